package caller

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// lookup asks sysctl(3) for kern.proc.pid and kern.procargs2, as ps(1) does.
func lookup(pid int) Process {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(k.Proc.P_pid) != pid {
		return Process{}
	}
	p := Process{
		PID:    pid,
		Start:  fmt.Sprintf("%d.%06d", k.Proc.P_starttime.Sec, k.Proc.P_starttime.Usec),
		Name:   programName(unix.ByteSliceToString(k.Proc.P_comm[:])),
		parent: int(k.Eproc.Ppid),
	}
	if b, err := unix.SysctlRaw("kern.procargs2", pid); err == nil {
		p.Path, p.Args = procArgs(b)
		if p.Path != "" {
			p.Name = programName(p.Path)
		}
	}
	return p
}

// procArgs reads the number of arguments, the path, null bytes, and the arguments, each with a null byte.
func procArgs(b []byte) (path string, args []string) {
	if len(b) < 4 {
		return "", nil
	}
	n := int(binary.LittleEndian.Uint32(b))
	head, rest, ok := bytes.Cut(b[4:], []byte{0})
	if !ok || n < 0 || n > len(rest) {
		return "", nil
	}
	rest = bytes.TrimLeft(rest, "\x00")
	for range n {
		var a []byte
		if a, rest, ok = bytes.Cut(rest, []byte{0}); !ok {
			return string(head), nil
		}
		args = append(args, string(a))
	}
	return string(head), args
}
