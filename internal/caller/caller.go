// Package caller tells which program has started this one.
//
// It is for programs that others call with a text to show, and that must know who speaks: what an operating system says of a process,
// without asking the process, and without any claim against a caller of bad will, who could as well read this user's files.
package caller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// A Process is one of our ancestors. The zero Process is one of which nothing is known.
type Process struct {
	PID   int
	Start string   // tells it from another one with the same number; empty: not known
	Name  string   // "ssh", "git-remote-https"; without ".exe"
	Path  string   // of the program; empty: not known
	Args  []string // command line; nil: not known

	parent int
}

// ID names the process among all that ever ran since the system started. It is empty where the system tells too little.
func (p *Process) ID() string {
	if p.PID == 0 || p.Start == "" {
		return ""
	}
	return fmt.Sprintf("%d-%s", p.PID, p.Start)
}

// inBetween are programs that start another one and are not who asks.
var inBetween = map[string]bool{
	"sh": true, "bash": true, "dash": true, "zsh": true, "ksh": true, "ash": true, "busybox": true, "fish": true, "cmd": true,
	"env": true, "setsid": true, "timeout": true, "nice": true, "flatpak-spawn": true, "wrapper": true,
}

// Parent returns the process that started us.
func Parent() Process { return lookup(os.Getppid()) }

// Caller returns the program that asks: our parent, or the first above it that is no shell and no other program in between. Where all
// are, or it cannot be told, it is the zero Process.
func Caller() Process {
	for p := range Ancestors(6) {
		if p.Name == "" {
			break
		}
		if !inBetween[strings.ToLower(p.Name)] {
			return p
		}
	}
	return Process{}
}

// Ancestors are the processes above us, the parent first, most of them at most; those of which nothing is known end them.
func Ancestors(most int) iter.Seq[Process] {
	return func(yield func(Process) bool) {
		pid := os.Getppid()
		for range most {
			if pid <= 1 {
				return
			}
			p := lookup(pid)
			if p.PID == 0 || !yield(p) {
				return
			}
			pid = p.parent
		}
	}
}

// Command names what is being run: the command lines of the parent and of its parent, and the folder. It is empty where the system
// tells too little. The same command run twice has the same name.
func Command() string {
	parent := Parent()
	if parent.Args == nil {
		return ""
	}
	above := lookup(parent.parent)
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	h := sha256.New()
	for _, list := range [][]string{parent.Args, {"\x00"}, above.Args, {"\x00"}, {dir}} {
		for _, a := range list {
			fmt.Fprintf(h, "%d:%s,", len(a), a)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// ErrGone is the cause of the end of a context of [UntilGone].
var ErrGone = errors.New("the program that asked has gone")

// UntilGone returns a context that ends when the process that started us does: nobody waits for an answer then.
func UntilGone(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	parent := os.Getppid()
	go func() {
		if waitForEnd(ctx, parent) {
			cancel(ErrGone)
		}
	}()
	return ctx, func() { cancel(nil) }
}

func programName(path string) string {
	return strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), " (deleted)"), ".exe")
}
