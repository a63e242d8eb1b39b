//go:build unix

package term

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// The test binary plays a program that asks when it is called with this variable.
const playVar = "GITACCESS_TERM_TEST_PLAY"

func TestMain(m *testing.M) {
	if play := os.Getenv(playVar); play != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		var answer []byte
		var err error
		switch play {
		case "secret":
			answer, err = ReadSecret(ctx, "Password for host: ")
		case "line":
			var s string
			s, err = ReadLine(ctx, "User name: ")
			answer = []byte(s)
		case "foreign":
			answer, err = ReadSecret(ctx, "Password for \x1b]0;x\a\u202ehost: ")
		case "notice":
			err = Notice(ctx, "Touch the key")
		case "timeout":
			ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			answer, err = ReadSecret(ctx, "Password for host: ")
		}
		fmt.Printf("answer %q error %v none %t\n", answer, err, errors.Is(err, ErrNoTerminal))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// screen is the other side of a terminal.
type screen struct {
	t   *testing.T
	tty *os.File
	cmd *exec.Cmd

	mu   sync.Mutex
	text string
	end  chan struct{}
}

// run starts a command on a terminal of its own; PLAYER in the environment is what asks.
func run(t *testing.T, play string, argv ...string) *screen {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if len(argv) == 0 {
		argv = []string{exe}
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), playVar+"="+play, "PLAYER="+exe, "TERM=xterm", "GORACE=atexit_sleep_ms=0")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, tty: tty, cmd: cmd, end: make(chan struct{})}
	go func() {
		defer close(s.end)
		b := make([]byte, 1024)
		for {
			n, err := tty.Read(b)
			s.mu.Lock()
			s.text += string(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait(); tty.Close(); <-s.end })
	return s
}

func (s *screen) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text
}

// await waits until the screen shows the text count times.
func (s *screen) await(text string, count int) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); strings.Count(s.shown(), text) < count; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%q is not on the screen %d times: %q", text, count, s.shown())
		}
	}
}

func (s *screen) typed(keys string) {
	s.t.Helper()
	if _, err := io.WriteString(s.tty, keys); err != nil {
		s.t.Fatal(err)
	}
}

// wait waits for the end of the program and returns whether the terminal echoes.
func (s *screen) wait() {
	s.t.Helper()
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("%v; screen %q", err, s.shown())
	}
	s.await("none", 1)
}

func (s *screen) echoes() bool {
	state := exec.Command("stty", "-a")
	state.Stdin = s.tty // on Linux the settings of the other side
	out, err := state.Output()
	if err != nil {
		s.t.Fatal(err)
	}
	return !strings.Contains(string(out), "-echo ")
}

func TestSecret(t *testing.T) {
	s := run(t, "secret")
	s.await("Password for host: ", 1)
	if s.echoes() {
		t.Error("the terminal echoes while a secret is typed")
	}
	s.typed("pa\x7fpa ss\n")
	s.wait()
	if got := s.shown(); !strings.Contains(got, `answer "ppa ss" error <nil>`) || strings.Contains(strings.ReplaceAll(got, `"ppa ss"`, ""), "pa ss") {
		t.Errorf("screen: %q", got)
	}
	if !strings.Contains(s.shown(), "Password for host: \r\x1b[K") {
		t.Errorf("the question was not erased: %q", s.shown())
	}
	if !s.echoes() {
		t.Error("the echo did not come back")
	}
}

// A question may have a server's words in it.
func TestQuestionsSteerNoTerminal(t *testing.T) {
	s := run(t, "foreign")
	s.await("host: ", 1)
	s.typed("x\n")
	s.wait()
	if got := s.shown(); !strings.Contains(got, "Password for \ufffd]0;x\ufffd\ufffdhost: ") {
		t.Errorf("screen: %q", got)
	}
}

func TestLine(t *testing.T) {
	s := run(t, "line")
	s.await("User name: ", 1)
	s.typed("me\n")
	s.wait()
	if got := s.shown(); !strings.Contains(got, `answer "me" error <nil>`) || !strings.Contains(got, "User name: me\r\n") {
		t.Errorf("screen: %q", got)
	}
}

func TestEndOfInput(t *testing.T) {
	s := run(t, "secret")
	s.await("Password for host: ", 1)
	s.typed("\x04")
	s.wait()
	if got := s.shown(); !strings.Contains(got, ErrNoAnswer.Error()) || !s.echoes() {
		t.Errorf("echo %t, screen: %q", s.echoes(), got)
	}
}

func TestInterrupt(t *testing.T) {
	s := run(t, "secret")
	s.await("Password for host: ", 1)
	s.typed("half\x03")
	s.wait()
	if got := s.shown(); !strings.Contains(got, `answer "" error context canceled`) {
		t.Errorf("screen: %q", got)
	}
	if !s.echoes() {
		t.Error("Ctrl-C left the terminal without echo")
	}
}

func TestDeadline(t *testing.T) {
	s := run(t, "timeout")
	s.wait()
	if got := s.shown(); !strings.Contains(got, "context deadline exceeded") || !s.echoes() {
		t.Errorf("echo %t, screen: %q", s.echoes(), got)
	}
}

// A notice goes away with its context, and leaves the terminal as it was.
func TestNotice(t *testing.T) {
	s := run(t, "notice")
	s.await("Touch the key", 1)
	s.typed("\x03")
	s.wait()
	if got := s.shown(); !strings.Contains(got, "error context canceled") || !strings.Contains(got, "\r\x1b[K") || !s.echoes() {
		t.Errorf("echo %t, screen: %q", s.echoes(), got)
	}
}

// Ctrl-Z gives the shell a terminal that echoes, and fg asks again.
func TestSuspend(t *testing.T) {
	s := run(t, "secret", needBash(t), "-mc", `"$PLAYER"; echo stopped; read -r line; echo "read $line"; fg >/dev/null; echo end`)
	s.await("Password for host: ", 1)
	s.typed("\x1a")
	s.await("stopped", 1)
	if !s.echoes() {
		t.Error("the suspended program left the terminal without echo")
	}
	s.typed("visible\n")
	s.await("read visible", 1)
	s.await("Password for host: ", 2)
	if s.echoes() {
		t.Error("the terminal echoes after the program went on")
	}
	s.typed("s3cret\n")
	s.await(`answer "s3cret" error <nil>`, 1)
	s.await("end", 1)
	if !s.echoes() {
		t.Error("the echo did not come back")
	}
}

// A background job that reads from the terminal is stopped by the system, without a word to anyone.
func TestBackgroundJobDoesNotStop(t *testing.T) {
	s := run(t, "secret", needBash(t), "-mc", `"$PLAYER" & wait; echo end`)
	s.await("end", 1)
	if got := s.shown(); !strings.Contains(got, "none true") || !strings.Contains(got, "background") {
		t.Errorf("screen: %q", got)
	}
}

func TestNoTerminal(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), playVar+"=secret")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "none true") {
		t.Errorf("%v, output %q; want ErrNoTerminal", err, out)
	}
}

func TestIsTerminal(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, tt := range []struct {
		v    any
		want bool
	}{{slave, true}, {r, false}, {(*os.File)(nil), false}, {strings.NewReader(""), false}, {nil, false}} {
		if got := IsTerminal(tt.v); got != tt.want {
			t.Errorf("IsTerminal(%v) = %t", tt.v, got)
		}
	}
}

func needBash(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is missing: install the package bash")
	}
	return path
}
