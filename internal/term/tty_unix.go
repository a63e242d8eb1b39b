//go:build unix

package term

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// past is a deadline that ends a read at once.
var past = time.Unix(1, 0)

// tty is the controlling terminal. Opening it anew gives a file description of our own, whose O_NONBLOCK nobody else sees.
type tty struct {
	in, out *os.File
}

func open() (*tty, error) {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNoTerminal, err)
	}
	return &tty{f, f}, nil
}

func (t *tty) close() { t.in.Close() }

// control calls f with the descriptor. (*os.File).Fd would make it blocking, and deadlines would be gone.
func (t *tty) control(f func(fd int) error) error {
	raw, err := t.in.SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		return e
	}
	return err
}

func (t *tty) foreground() bool {
	var group int
	err := t.control(func(fd int) (err error) {
		group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		return err
	})
	return err == nil && group == unix.Getpgrp()
}

// hideInput turns the echo off and returns what turns it on again. In between, Ctrl-Z gives the shell its echo back, and the
// return from it asks the question again by show.
func (t *tty) hideInput(show func()) (restore func() error, err error) {
	var before unix.Termios
	err = t.control(func(fd int) error {
		now, err := unix.IoctlGetTermios(fd, ioctlGetTermios)
		if err == nil {
			before = *now
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	hidden := before
	hidden.Lflag &^= unix.ECHO | unix.ECHONL
	hidden.Lflag |= unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	set := func(state *unix.Termios) error {
		return t.control(func(fd int) error { return unix.IoctlSetTermios(fd, ioctlSetTermios, state) })
	}
	ignoreOutputStops()
	done := make(chan struct{})
	onSuspend(func() { set(&before) }, func() {
		// A shell lets us go on in the background, too (bg): the terminal is not ours then.
		for !t.foreground() {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
		set(&hidden)
		show()
	})
	if err := set(&hidden); err != nil {
		onSuspend(nil, nil)
		return nil, err
	}
	return func() error {
		close(done)
		onSuspend(nil, nil)
		return set(&before)
	}, nil
}

// eraseLine wipes the question, which has no line end behind it as the typed one was not echoed.
func (t *tty) eraseLine() {
	if term := os.Getenv("TERM"); term == "" || term == "dumb" {
		io.WriteString(t.out, "\n")
		return
	}
	io.WriteString(t.out, "\r\x1b[K")
}
