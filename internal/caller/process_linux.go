package caller

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// lookup reads proc(5). Of a setgid program, as ssh-agent is one, the path is hidden and the name is not.
func lookup(pid int) Process {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return Process{}
	}
	// "pid (name) state ppid …"; the name may hold spaces and parentheses. It is cut at 15 bytes.
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return Process{}
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 20 {
		return Process{}
	}
	p := Process{PID: pid, Name: string(stat[open+1 : end]), Start: fields[19]}
	p.parent, _ = strconv.Atoi(fields[1])
	if path, err := os.Readlink(dir + "/exe"); err == nil {
		p.Path, p.Name = strings.TrimSuffix(path, " (deleted)"), programName(path)
	}
	if line, err := os.ReadFile(dir + "/cmdline"); err == nil && len(line) > 0 {
		p.Args = strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	}
	return p
}
