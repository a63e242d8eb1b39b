//go:build unix

package githelper

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What git started may outlive it and have its standard output still: a daemon, a
// pager. Nobody waits for that, neither when git has ended nor when it was given up on.
func TestWhatGitStartedIsNotWaitedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		then string
		want error
	}{
		"git ends":    {"echo git version 2.39.5", nil},
		"is given up": {"wait", context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fifo := filepath.Join(dir, "pid")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			program := filepath.Join(dir, "git")
			script := "#!/bin/sh\nsleep 300 &\necho $! >" + fifo + "\n" + tt.then + "\n"
			if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			child := make(chan int, 1)
			go func() {
				b, _ := os.ReadFile(fifo) // when the script is that far
				pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
				child <- pid
				if tt.want != nil {
					cancel()
				}
			}()
			began := time.Now()
			out, err := (&Git{Path: program}).Output(ctx, "version")
			if took := time.Since(began); !errors.Is(err, tt.want) || took > 2*time.Minute {
				t.Errorf("%q, %v after %s", out, err, took)
			}
			if tt.want == nil && string(out) != "git version 2.39.5\n" {
				t.Errorf("got %q", out)
			}
			if pid := <-child; pid > 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		})
	}
}
