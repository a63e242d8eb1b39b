package sshproxy

import (
	"io"
	"os"
	"syscall"
	"time"
)

// output writes the output of a relay and notices when its reader goes away.
type output struct {
	io.Writer
	deadline interface{ SetWriteDeadline(time.Time) error } // nil: has none that works
	pipe     pipe
}

func openOutput(w io.Writer) *output {
	out := &output{Writer: w}
	if d, ok := w.(interface{ SetWriteDeadline(time.Time) error }); ok && d.SetWriteDeadline(time.Time{}) == nil {
		out.deadline = d
	}
	if f, ok := w.(*os.File); ok {
		out.pipe.file = f
	}
	return out
}

// grow returns the buffer for the next Write, after one of n bytes from buf.
func (out *output) grow(buf []byte, n int) []byte {
	if n == len(buf) {
		out.pipe.grow()
	}
	return grown(buf, n)
}

// cancel wakes the Write that is under way.
func (out *output) cancel() {
	if out.deadline != nil {
		out.deadline.SetWriteDeadline(time.Unix(1, 0))
	}
}

// cancelled reports whether cancel was of use.
func (out *output) cancelled() bool { return out.deadline != nil }

// release leaves the writer as it was.
func (out *output) release() {
	if out.deadline != nil {
		out.deadline.SetWriteDeadline(time.Time{})
	}
}

// watch closes gone when the reader of the output goes away, if that can be
// noticed. The caller stops the watcher.
func (out *output) watch(gone chan<- struct{}) *watcher {
	w := &watcher{done: make(chan struct{})}
	if c, ok := out.Writer.(syscall.Conn); ok {
		w.file = openFile(c)
	}
	if w.file == nil {
		close(w.done)
		return w
	}
	go func() {
		defer close(w.done)
		if w.file.waitGone() {
			close(gone)
		}
	}()
	return w
}

type watcher struct {
	file *file
	done chan struct{}
}

func (w *watcher) stop() {
	if w.file != nil {
		w.file.wake()
	}
	<-w.done
	if w.file != nil {
		w.file.release()
	}
}
