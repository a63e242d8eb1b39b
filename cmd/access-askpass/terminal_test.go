//go:build unix

package main

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/internal/scripttest"
	"github.com/gitaccess/gitaccess/internal/scripttest/ptytest"
)

// newWorld has the servers of the scripts.
func newWorld(t *testing.T) *scripttest.World {
	t.Helper()
	w := scripttest.NewWorld(t, scripttest.Git{})
	if err := addServers(w); err != nil {
		t.Fatal(err)
	}
	return w
}

// screen is a terminal with a program on it, and the person before it.
type screen struct {
	*ptytest.Screen
	t    *testing.T
	read int // what was awaited already
}

// onTerminal starts a program of the world on a terminal of its own.
func onTerminal(t *testing.T, w *scripttest.World, name string, args ...string) *screen {
	t.Helper()
	cmd := w.Command(context.Background(), name, args...)
	cmd.Env = append(cmd.Env, "TERM=xterm")
	return play(t, cmd)
}

func play(t *testing.T, cmd *exec.Cmd) *screen {
	t.Helper()
	return &screen{Screen: ptytest.Start(t, cmd, 24, 200), t: t}
}

// patience is far beyond what anything takes.
const patience = 2 * time.Minute

// await waits until the text is shown, after what was awaited before.
func (s *screen) await(text string) {
	s.t.Helper()
	s.Until(strconv.Quote(text), func(shown string) bool {
		i := strings.Index(shown[s.read:], text)
		if i >= 0 {
			s.read += i + len(text)
		}
		return i >= 0
	})
}

// hidden waits until the terminal does not echo: the question may be on the screen before.
func (s *screen) hidden() {
	s.t.Helper()
	s.UntilEcho(false)
}

func (s *screen) ends() {
	s.t.Helper()
	if err := s.Wait(); err != nil {
		s.t.Fatalf("%v: %q", err, s.Text())
	}
}

// keep answers the offer to remember.
func (s *screen) keep(answer string) {
	s.t.Helper()
	s.await("Remember this")
	s.await("[y/N/never] ")
	s.Type(answer + "\n")
}

// git asks, the person types and lets it be remembered, and the next git asks nobody.
func TestGitOnTerminal(t *testing.T) {
	w := newWorld(t)
	const url = "https://login.example.com/demo.git"
	s := onTerminal(t, w, "git", "clone", "-q", url, "one")
	s.await("Username for 'https://login.example.com': ")
	s.Type("ada\n")
	s.await("Password for 'https://ada@login.example.com': ")
	s.hidden()
	s.Type("origin-password\n")
	s.keep("y")
	s.ends()
	if strings.Contains(s.Text(), "origin-password") {
		t.Errorf("the password was shown: %q", s.Text())
	}

	// Without a terminal, and without anybody.
	out, err := w.Command(t.Context(), "git", "clone", "-q", url, "two").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v %s", err, out)
	}
	// The same entry is that of git-credential-access --store.
	helper := w.Command(t.Context(), "git", "-c", "credential.helper=", "-c", "credential.helper=git-credential-access --store", "credential", "fill")
	helper.Stdin = strings.NewReader("protocol=https\nhost=login.example.com\n\n")
	if out, err := helper.CombinedOutput(); err != nil || !strings.Contains(string(out), "password=origin-password\n") {
		t.Errorf("%v %s", err, out)
	}
	// And another host has none.
	if out, err := w.Command(t.Context(), "git", "ls-remote", "https://other.example.com/demo.git").CombinedOutput(); err == nil {
		t.Errorf("another host was let in: %s", out)
	}
	if leaks := w.Edge.Leaks("origin-password", "login.example.com"); len(leaks) > 0 {
		t.Error(leaks)
	}
	// Forgotten by name.
	if out, err := w.Command(t.Context(), "access-askpass", "--forget", "https://ada@login.example.com").CombinedOutput(); err != nil {
		t.Errorf("%v %s", err, out)
	}
	if out, err := w.Command(t.Context(), "git", "ls-remote", url).CombinedOutput(); err == nil {
		t.Errorf("it was not forgotten: %s", out)
	}
}

// git ends when a password is refused. Who types the same command again at once is asked, and what they type takes the place of what was
// remembered; an empty line stands by it.
func TestSameCommandAgain(t *testing.T) {
	w := newWorld(t)
	args := []string{"ls-remote", "-q", "https://ada@login.example.com/demo.git"}
	s := onTerminal(t, w, "git", args...)
	s.await("Password for 'https://ada@login.example.com': ")
	s.hidden()
	s.Type("wrong\n")
	s.keep("y")
	if err := s.Wait(); err == nil {
		t.Fatal("a wrong password was accepted")
	}

	s = onTerminal(t, w, "git", args...)
	s.await("What is remembered was the answer a moment ago")
	s.await("Password for 'https://ada@login.example.com': ")
	s.hidden()
	s.Type("origin-password\n")
	s.keep("y")
	s.ends()

	s = onTerminal(t, w, "git", args...)
	s.await("What is remembered was the answer a moment ago")
	s.hidden()
	s.Type("\n")
	s.ends()
	s = onTerminal(t, w, "git", args...) // stood by
	s.ends()
	if strings.Contains(s.Text(), "Password for") {
		t.Errorf("asked again: %q", s.Text())
	}
	// In another folder it is another command, and with nobody to ask, what is remembered is the answer as often as it is wanted.
	for range 3 {
		cmd := w.Command(t.Context(), "git", args...)
		cmd.Dir = t.TempDir()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, out)
		}
	}
}

// A program that asks the same twice did not get through: what was kept is forgotten.
func TestSameProgramAgain(t *testing.T) {
	w := newWorld(t)
	const prompt = "Password for 'https://ada@login.example.com': "
	s := onTerminal(t, w, "access-askpass", prompt)
	s.await(prompt)
	s.hidden()
	s.Type("wrong\n")
	s.keep("y")
	s.ends()

	// A program of its own that asks twice, as git-lfs does.
	s = onTerminal(t, w, needPerl(t), "-e", `print "first: ", qx(access-askpass "$ARGV[0]"); print "second: ", qx(access-askpass "$ARGV[0]");`, prompt)
	s.await("first: wrong")
	s.await(prompt)
	s.hidden()
	s.Type("right\n")
	s.keep("n")
	s.await("second: right")
	s.ends()

	if out, err := w.Command(t.Context(), "access-askpass", prompt).Output(); err == nil || len(out) > 0 {
		t.Errorf("what was wrong is still kept: %v %q", err, out)
	}
}

func needPerl(t *testing.T) string { return scripttest.Need(t, "perl", "perl") }

// "never" is an answer to the offer, too.
func TestNeverRemember(t *testing.T) {
	w := newWorld(t)
	const prompt = "Password for 'https://ada@login.example.com': "
	for i := range 2 {
		s := onTerminal(t, w, "access-askpass", prompt)
		s.await(prompt)
		s.hidden()
		s.Type("secret\n")
		if i == 0 {
			s.keep("never")
		}
		s.ends()
		if i > 0 && strings.Contains(s.Text(), "Remember") {
			t.Errorf("offered again: %q", s.Text())
		}
	}
}

// Whatever ends the question, the terminal is as it was.
func TestTerminalIsRestored(t *testing.T) {
	w := newWorld(t)
	shell := scripttest.Need(t, "bash", "bash")
	t.Run("Ctrl-C", func(t *testing.T) {
		// The shell stays: with the first process of a session its terminal would go.
		s := onTerminal(t, w, shell, "--norc", "-c", `trap : INT; git ls-remote -q https://ada@login.example.com/demo.git; echo "over $?"; read -r line; echo "read $line"`)
		s.await("Password for 'https://ada@login.example.com': ")
		s.hidden()
		s.Type("half\x03")
		s.await("over ")
		s.UntilEcho(true)
		s.Type("visible\n")
		s.await("read visible")
		s.ends()
		if got := s.Text(); strings.Contains(got, "half") || strings.Contains(got, "error") || strings.Contains(got, "over 0") {
			t.Errorf("%q", got)
		}
	})
	t.Run("Ctrl-Z", func(t *testing.T) {
		s := onTerminal(t, w, shell, "--norc", "-mc", `git ls-remote -q https://ada@login.example.com/demo.git; echo stopped; read -r line; echo "read $line"; fg >/dev/null; echo "over $?"`)
		s.await("Password for 'https://ada@login.example.com': ")
		s.hidden()
		s.Type("\x1a")
		s.await("stopped")
		s.UntilEcho(true)
		s.Type("visible\n")
		s.await("read visible")
		s.await("Password for 'https://ada@login.example.com': ")
		s.hidden()
		s.Type("origin-password\n")
		s.keep("n")
		s.await("over 0")
		s.ends()
		if !s.Echoes() || strings.Contains(s.Text(), "origin-password") {
			t.Errorf("echo %t: %q", s.Echoes(), s.Text())
		}
	})
}
