// Package ptytest has a terminal with a program on it, and the person before it, for tests.
package ptytest

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// patience is far beyond what anything takes.
const patience = 2 * time.Minute

// A Screen shows what was written to a terminal.
type Screen struct {
	TTY *os.File // the person's side; on Linux it has the settings of the other one
	Cmd *exec.Cmd

	t    *testing.T
	end  chan struct{}
	mu   sync.Mutex
	text strings.Builder
}

// Start starts a program on a terminal of its own. It is ended with the test.
func Start(t *testing.T, cmd *exec.Cmd, rows, columns uint16) *Screen {
	t.Helper()
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: rows, Cols: columns})
	if err != nil {
		t.Fatal(err)
	}
	s := &Screen{TTY: tty, Cmd: cmd, t: t, end: make(chan struct{})}
	go func() {
		defer close(s.end)
		b := make([]byte, 4096)
		for {
			n, err := tty.Read(b)
			s.mu.Lock()
			s.text.Write(b[:n])
			s.mu.Unlock()
			if err != nil { // EIO when the last program there has ended
				return
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		tty.Close()
		<-s.end
	})
	return s
}

// Text is all that was written, with what only steers the terminal.
func (s *Screen) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// Until waits until the screen has what found looks for. The test fails when that cannot be any more.
func (s *Screen) Until(what string, found func(text string) bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		over := s.over()
		if found(s.Text()) {
			return
		}
		if over || time.Now().After(deadline) {
			s.t.Fatalf("%s is not on the screen: %q", what, s.Text())
		}
	}
}

func (s *Screen) over() bool {
	select {
	case <-s.end:
		return true
	default:
		return false
	}
}

// Type presses keys.
func (s *Screen) Type(keys string) {
	s.t.Helper()
	if _, err := io.WriteString(s.TTY, keys); err != nil {
		s.t.Fatal(err)
	}
}

// Echoes reports whether the terminal shows what is typed.
func (s *Screen) Echoes() bool {
	s.t.Helper()
	state := exec.Command("stty", "-a")
	state.Stdin = s.TTY
	out, err := state.Output()
	if err != nil {
		s.t.Fatal(err)
	}
	return !strings.Contains(string(out), "-echo ")
}

// UntilEcho waits until the terminal shows what is typed, or does not.
func (s *Screen) UntilEcho(want bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); s.Echoes() != want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("the terminal's echo is not %t: %q", want, s.Text())
		}
	}
}

// Wait waits for the end of the program, and of all that was written.
func (s *Screen) Wait() error {
	err := s.Cmd.Wait()
	<-s.end // the other side of the terminal is closed with the last program on it
	return err
}
