//go:build unix

package term

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/gitaccess/gitaccess/internal/scripttest/ptytest"
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
	*ptytest.Screen
	t *testing.T
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
	return &screen{ptytest.Start(t, cmd, 24, 80), t}
}

// await waits until the screen shows the text count times.
func (s *screen) await(text string, count int) {
	s.t.Helper()
	s.Until(fmt.Sprintf("%q, %d times,", text, count), func(shown string) bool { return strings.Count(shown, text) >= count })
}

// wait waits for the end of the program, which says then what it was answered.
func (s *screen) wait() {
	s.t.Helper()
	if err := s.Wait(); err != nil {
		s.t.Errorf("%v; screen %q", err, s.Text())
	}
	s.await("none", 1)
}

func TestSecret(t *testing.T) {
	s := run(t, "secret")
	s.await("Password for host: ", 1)
	if s.Echoes() {
		t.Error("the terminal echoes while a secret is typed")
	}
	s.Type("pa\x7fpa ss\n")
	s.wait()
	if got := s.Text(); !strings.Contains(got, `answer "ppa ss" error <nil>`) || strings.Contains(strings.ReplaceAll(got, `"ppa ss"`, ""), "pa ss") {
		t.Errorf("screen: %q", got)
	}
	if !strings.Contains(s.Text(), "Password for host: \r\x1b[K") {
		t.Errorf("the question was not erased: %q", s.Text())
	}
	if !s.Echoes() {
		t.Error("the echo did not come back")
	}
}

// A question may have a server's words in it.
func TestQuestionsSteerNoTerminal(t *testing.T) {
	s := run(t, "foreign")
	s.await("host: ", 1)
	s.Type("x\n")
	s.wait()
	if got := s.Text(); !strings.Contains(got, "Password for \ufffd]0;x\ufffd\ufffdhost: ") {
		t.Errorf("screen: %q", got)
	}
}

func TestLine(t *testing.T) {
	s := run(t, "line")
	s.await("User name: ", 1)
	s.Type("me\n")
	s.wait()
	if got := s.Text(); !strings.Contains(got, `answer "me" error <nil>`) || !strings.Contains(got, "User name: me\r\n") {
		t.Errorf("screen: %q", got)
	}
}

func TestEndOfInput(t *testing.T) {
	s := run(t, "secret")
	s.await("Password for host: ", 1)
	s.Type("\x04")
	s.wait()
	if got := s.Text(); !strings.Contains(got, ErrNoAnswer.Error()) || !s.Echoes() {
		t.Errorf("echo %t, screen: %q", s.Echoes(), got)
	}
}

func TestInterrupt(t *testing.T) {
	s := run(t, "secret")
	s.await("Password for host: ", 1)
	s.Type("half\x03")
	s.wait()
	if got := s.Text(); !strings.Contains(got, `answer "" error context canceled`) {
		t.Errorf("screen: %q", got)
	}
	if !s.Echoes() {
		t.Error("Ctrl-C left the terminal without echo")
	}
}

func TestDeadline(t *testing.T) {
	s := run(t, "timeout")
	s.wait()
	if got := s.Text(); !strings.Contains(got, "context deadline exceeded") || !s.Echoes() {
		t.Errorf("echo %t, screen: %q", s.Echoes(), got)
	}
}

// A notice goes away with its context, and leaves the terminal as it was.
func TestNotice(t *testing.T) {
	s := run(t, "notice")
	s.await("Touch the key", 1)
	s.Type("\x03")
	s.wait()
	if got := s.Text(); !strings.Contains(got, "error context canceled") || !strings.Contains(got, "\r\x1b[K") || !s.Echoes() {
		t.Errorf("echo %t, screen: %q", s.Echoes(), got)
	}
}

// Ctrl-Z gives the shell a terminal that echoes, and fg asks again.
func TestSuspend(t *testing.T) {
	s := run(t, "secret", needBash(t), "-mc", `"$PLAYER"; echo stopped; read -r line; echo "read $line"; fg >/dev/null; echo end`)
	s.await("Password for host: ", 1)
	s.Type("\x1a")
	s.await("stopped", 1)
	if !s.Echoes() {
		t.Error("the suspended program left the terminal without echo")
	}
	s.Type("visible\n")
	s.await("read visible", 1)
	s.await("Password for host: ", 2)
	if s.Echoes() {
		t.Error("the terminal echoes after the program went on")
	}
	s.Type("s3cret\n")
	s.await(`answer "s3cret" error <nil>`, 1)
	s.await("end", 1)
	if !s.Echoes() {
		t.Error("the echo did not come back")
	}
}

// A background job that reads from the terminal is stopped by the system, without a word to anyone.
func TestBackgroundJobDoesNotStop(t *testing.T) {
	s := run(t, "secret", needBash(t), "-mc", `"$PLAYER" & wait; echo end`)
	s.await("end", 1)
	if got := s.Text(); !strings.Contains(got, "none true") || !strings.Contains(got, "background") {
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
