//go:build unix

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// The test binary plays a program when it is called with this variable.
const playVar = "GITACCESS_CLI_TEST_PLAY"

func TestMain(m *testing.M) {
	plays := map[string]func(context.Context, *Env) error{
		"wait": func(ctx context.Context, env *Env) error {
			<-ready(ctx, env)
			return fmt.Errorf("login: %w", ctx.Err())
		},
		"stubborn": func(ctx context.Context, env *Env) error {
			<-ready(ctx, env)
			fmt.Fprintln(env.Stdout, "cancelled")
			select {}
		},
		"graceful": func(ctx context.Context, env *Env) error {
			<-ready(ctx, env)
			return nil
		},
		"failing": func(ctx context.Context, env *Env) error {
			<-ready(ctx, env)
			return errors.New("could not restore the file")
		},
		"write": func(ctx context.Context, env *Env) error {
			for {
				if _, err := fmt.Fprintln(env.Stdout, "ready"); err != nil {
					return err
				}
			}
		},
	}
	if play := plays[os.Getenv(playVar)]; play != nil {
		os.Exit(Main("prog", play))
	}
	os.Exit(m.Run())
}

// ready tells the test to send signals, when this program would notice them.
func ready(ctx context.Context, env *Env) <-chan struct{} {
	done := ctx.Done()
	fmt.Fprintln(env.Stdout, "ready")
	return done
}

type player struct {
	*exec.Cmd
	out    *bufio.Reader
	stdout io.Closer
	stderr strings.Builder
}

func start(t *testing.T, play string, through ...string) *player {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv := append(through, exe)
	p := &player{Cmd: exec.Command(argv[0], argv[1:]...)}
	p.Env = append(os.Environ(), playVar+"="+play, "GORACE=atexit_sleep_ms=0")
	p.Stderr = &p.stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout, p.out = out, bufio.NewReader(out)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill(); p.Wait() })
	p.expect(t, "ready")
	return p
}

func (p *player) expect(t *testing.T, want string) {
	t.Helper()
	if line, err := p.out.ReadString('\n'); err != nil || strings.TrimSpace(line) != want {
		t.Fatalf("read %q, %v; want %q", line, err, want)
	}
}

func TestSignals(t *testing.T) {
	for _, tt := range []struct {
		play, stderr string
		signals      []syscall.Signal
		code         int
	}{
		{"wait", "", []syscall.Signal{syscall.SIGINT}, 130},
		{"wait", "", []syscall.Signal{syscall.SIGTERM}, 143},
		{"wait", "", []syscall.Signal{syscall.SIGHUP}, 129},
		{"graceful", "", []syscall.Signal{syscall.SIGTERM}, 0},
		{"failing", "prog: error: could not restore the file\n", []syscall.Signal{syscall.SIGINT}, 1},
		{"stubborn", "", []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}, 143},
	} {
		t.Run(fmt.Sprint(tt.play, tt.signals), func(t *testing.T) {
			p := start(t, tt.play)
			for i, s := range tt.signals {
				if i > 0 {
					p.expect(t, "cancelled")
				}
				p.Process.Signal(s)
			}
			p.Wait()
			if got := p.ProcessState.ExitCode(); got != tt.code || p.stderr.String() != tt.stderr {
				t.Errorf("exit code %d, stderr %q; want %d, %q", got, p.stderr.String(), tt.code, tt.stderr)
			}
		})
	}
}

// A program started by nohup, or in the background of a script, must not die of the signal that its starter wanted it to survive.
func TestIgnoredSignalsStayIgnored(t *testing.T) {
	p := start(t, "wait", "sh", "-c", `trap '' HUP INT; exec "$0" "$@"`)
	p.Process.Signal(syscall.SIGHUP)
	p.Process.Signal(syscall.SIGINT)
	p.Process.Signal(syscall.SIGTERM)
	p.Wait()
	if got := p.ProcessState.ExitCode(); got != 143 {
		t.Errorf("exit code %d (%v), want that of SIGTERM", got, p.ProcessState)
	}
}

// `access token … | head -0` ends without a word.
func TestReaderOfStdoutGone(t *testing.T) {
	for _, through := range [][]string{nil, {"sh", "-c", `trap '' PIPE; exec "$0" "$@"`}} {
		p := start(t, "write", through...)
		p.stdout.Close()
		p.Wait()
		if ws := p.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != syscall.SIGPIPE || p.stderr.Len() > 0 {
			t.Errorf("%v, stderr %q; want the end by SIGPIPE", p.ProcessState, p.stderr.String())
		}
	}
}
