package sshproxy

import (
	"io"
	"os"
	"sync/atomic"
	"time"
)

// input reads the input of a relay so that a Read that waits can be woken, as far
// as the reader allows.
type input struct {
	io.Reader
	deadline interface{ SetReadDeadline(time.Time) error } // nil: has none that works
	file     *file                                         // instead of deadline; nil: not an *os.File
	pipe     pipe
	stopped  atomic.Bool
}

func openInput(r io.Reader) *input {
	in := &input{Reader: r}
	if d, ok := r.(interface{ SetReadDeadline(time.Time) error }); ok && d.SetReadDeadline(time.Time{}) == nil {
		in.deadline = d
	}
	if f, ok := r.(*os.File); ok {
		in.pipe.file = f
		if in.deadline == nil {
			in.file = openFile(f)
		}
	}
	return in
}

func (in *input) Read(p []byte) (int, error) {
	if in.file != nil {
		if err := in.file.waitReadable(); err != nil {
			return 0, err
		}
	}
	n, err := in.Reader.Read(p)
	if n == 0 && err != nil && in.stopped.Load() {
		err = io.EOF
	}
	return n, err
}

// grow returns the buffer for the next Read, after one that read n bytes into buf.
func (in *input) grow(buf []byte, n int) []byte {
	if n == len(buf) {
		in.pipe.grow()
	}
	return grown(buf, n)
}

// cancel wakes the Read that is under way, and those that follow.
func (in *input) cancel() {
	in.stopped.Store(true)
	if in.deadline != nil {
		in.deadline.SetReadDeadline(time.Unix(1, 0))
	}
	if in.file != nil {
		in.file.wake()
	}
}

// cancelled reports whether cancel was of use.
func (in *input) cancelled() bool {
	return in.deadline != nil || in.file != nil
}

// release leaves the reader as it was.
func (in *input) release() {
	if in.deadline != nil {
		in.deadline.SetReadDeadline(time.Time{})
	}
	if in.file != nil {
		in.file.release()
	}
}
