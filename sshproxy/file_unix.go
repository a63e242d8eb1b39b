//go:build unix

package sshproxy

import (
	"io"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// file waits for events of a file descriptor in a way that can be ended from
// outside, without making it non-blocking: that would be seen by every process
// that shares it, such as the shell whose terminal our standard input is.
type file struct {
	conn syscall.RawConn
	poll func(fd uintptr) // made once, not for each Read

	wakeR, wakeW int // a pipe; closing wakeW wakes
	once         sync.Once

	events  int16 // argument of poll
	revents int16 // results of poll
	woken   bool
	err     error
}

// openFile returns nil for a descriptor that cannot be waited for.
func openFile(c syscall.Conn) *file {
	conn, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	var p [2]int
	if err := pipeCloseOnExec(&p); err != nil {
		return nil
	}
	f := &file{conn: conn, wakeR: p[0], wakeW: p[1]}
	f.poll = f.doPoll
	return f
}

func (f *file) doPoll(fd uintptr) {
	fds := [2]unix.PollFd{{Fd: int32(fd), Events: f.events}, {Fd: int32(f.wakeR), Events: unix.POLLIN}}
	for {
		_, f.err = unix.Poll(fds[:], pollTimeout(f.events))
		if f.err == unix.EINTR {
			continue
		}
		f.revents, f.woken = fds[0].Revents, fds[1].Revents != 0
		return
	}
}

// waitReadable returns when a Read would not wait: nil, or io.EOF after wake.
func (f *file) waitReadable() error {
	f.events = unix.POLLIN
	if err := f.conn.Control(f.poll); err != nil {
		return err
	}
	if f.woken {
		return io.EOF
	}
	return nil // also if poll failed: then Read has to wait by itself
}

// waitGone returns true when nobody is left who could read what is written, and
// false after wake.
func (f *file) waitGone() bool {
	for {
		f.events = goneEvents
		if err := f.conn.Control(f.poll); err != nil || f.err != nil || f.woken {
			return false
		}
		switch {
		case f.revents&unix.POLLNVAL != 0:
			return false // a device that poll does not know
		case f.revents&(unix.POLLERR|unix.POLLHUP) != 0:
			return true
		}
		if !waitAgain(f.wakeR) {
			return false
		}
	}
}

func (f *file) wake() { f.once.Do(func() { unix.Close(f.wakeW) }) }

// release is called when nobody waits.
func (f *file) release() {
	f.wake()
	unix.Close(f.wakeR)
}
