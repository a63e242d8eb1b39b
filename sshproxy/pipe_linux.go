package sshproxy

import (
	"os"

	"golang.org/x/sys/unix"
)

// pipeSize is what a pipe in the way of much data is enlarged to, from 64 KiB. A
// user's pipes may hold 64 MiB together before the kernel gives new ones less than
// usual (pipe-user-pages-soft in pipe(7)), so it is not the most one can get.
const pipeSize = 256 << 10

// pipe is a file that may be a pipe.
type pipe struct {
	file *os.File // nil: it is not
	grew bool
}

// grow enlarges the pipe, once. It is called when data comes faster than it is taken.
func (p *pipe) grow() {
	if p.grew || p.file == nil {
		return
	}
	p.grew = true
	conn, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	conn.Control(func(fd uintptr) {
		if n, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0); err == nil && n < pipeSize {
			unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize)
		}
	})
}

func pipeCloseOnExec(p *[2]int) error { return unix.Pipe2(p[:], unix.O_CLOEXEC) }
