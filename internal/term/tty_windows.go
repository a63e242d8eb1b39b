package term

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// past is a deadline that ends a read at once; consoles know none, see readLine.
var past = time.Unix(1, 0)

type tty struct {
	in, out *os.File
}

func open() (*tty, error) {
	in, err := os.OpenFile("CONIN$", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNoTerminal, err)
	}
	out, err := os.OpenFile("CONOUT$", os.O_RDWR, 0)
	if err != nil {
		in.Close()
		return nil, fmt.Errorf("%w (%w)", ErrNoTerminal, err)
	}
	return &tty{in, out}, nil
}

// close waits for no read: one that readLine has left behind ends with the next key, and (*os.File).Close waits for it
// (internal/poll, FD.Close of Windows, go 1.26).
func (t *tty) close() {
	t.out.Close()
	go t.in.Close()
}

// foreground is always true: consoles have no background that stops who reads.
func (t *tty) foreground() bool { return true }

func (t *tty) hideInput(func()) (restore func() error, err error) {
	h := windows.Handle(t.in.Fd())
	var before uint32
	if err := windows.GetConsoleMode(h, &before); err != nil {
		return nil, err
	}
	hidden := before&^windows.ENABLE_ECHO_INPUT | windows.ENABLE_PROCESSED_INPUT | windows.ENABLE_LINE_INPUT
	if err := windows.SetConsoleMode(h, hidden); err != nil {
		return nil, err
	}
	return func() error { return windows.SetConsoleMode(h, before) }, nil
}

// eraseLine wipes the question where the console understands escape sequences (Windows 10 and later).
func (t *tty) eraseLine() {
	h := windows.Handle(t.out.Fd())
	var before uint32
	const vt = windows.ENABLE_PROCESSED_OUTPUT | windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING
	if windows.GetConsoleMode(h, &before) != nil || windows.SetConsoleMode(h, before|vt) != nil {
		io.WriteString(t.out, "\r\n")
		return
	}
	io.WriteString(t.out, "\r\x1b[K")
	windows.SetConsoleMode(h, before)
}
