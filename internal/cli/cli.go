// Package cli is the edge between a process and the code that does its work.
//
// A program's main is one line,
//
//	func main() { os.Exit(cli.Main("access-ssh-proxy", run)) }
//
// and run receives everything that it may touch of its process in an [Env]. Only main functions and this package know
// os.Args, os.Exit, os.Stdin and os.Getenv.
//
// # What people see
//
// Standard output belongs to the protocol that the program speaks. People read standard error: one line
// "name: error: what failed, on what, why", then lines "name: hint: what to do". Lower case, no full stop, silent on success.
//
// # Exit codes
//
//	0    done, or not ours to do
//	1    failed
//	2    usage: the command line cannot be understood
//	3    a login is required and may not be made here
//	4    refused by the Access policy
//	128+n ended by signal n, as shells report it
//
// An error chooses its code through a method ExitCode() int; see [Error].
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/gitaccess/gitaccess/internal/plaintext"
)

// Exit codes that all programs share.
const (
	ExitFailed        = 1
	ExitUsage         = 2
	ExitLoginRequired = 3
	ExitRefused       = 4
)

// Env is what a run may touch of its process. Tests make their own.
type Env struct {
	Name   string   // the program, as it signs its messages
	Args   []string // without the program
	Stdin  io.Reader
	Stdout io.Writer // the protocol
	Stderr io.Writer // people

	Getenv  func(string) string
	Environ func() []string

	// HelpToStderr sends --help and --version to Stderr: for programs whose standard output is read by git or ssh.
	HelpToStderr bool
}

// Main runs a program and returns its exit code, to be given to os.Exit by main and nobody else.
//
// The context ends with the first SIGINT, SIGTERM or SIGHUP; a second one ends the process at once. An error of run is
// printed with its hints. An error that only tells of the end of the context after a signal, or of a reader of standard
// output who has gone, is not worth a line and is not printed.
func Main(name string, run func(ctx context.Context, env *Env) error) int {
	return runMain(processEnv(name), run)
}

func processEnv(name string) *Env {
	return &Env{
		Name:    name,
		Args:    os.Args[1:],
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Getenv:  os.Getenv,
		Environ: os.Environ,
	}
}

func runMain(env *Env, run func(ctx context.Context, env *Env) error) (code int) {
	ctx, stop := withSignals(context.Background())
	defer stop()
	defer func() {
		if v := recover(); v != nil {
			reportPanic(env, v)
			code = ExitFailed
		}
	}()
	err := run(ctx, env)
	var sig signalError
	if err != nil && errors.As(context.Cause(ctx), &sig) && errors.Is(err, context.Canceled) {
		return sig.exitCode()
	}
	return Report(env, err)
}

// Report prints an error with its hints to env.Stderr and returns the exit code that belongs to it. It is what [Main] does with
// the error of run; long-running programs use it for errors that do not end them.
func Report(env *Env, err error) int {
	if err == nil || errors.Is(err, errDone) {
		return 0
	}
	code := exitCode(err)
	if stdoutGone(err) {
		return code
	}
	if !silent(err) {
		printLines(env, "error", err.Error())
		all := hints(err)
		if usage := (*UsageError)(nil); len(all) == 0 && errors.As(err, &usage) {
			all = []string{env.Name + " --help shows the usage"}
		}
		for _, h := range all {
			printLines(env, "hint", h)
		}
	}
	return code
}

// Warn prints one line "name: warning: …" for people.
func (e *Env) Warn(format string, args ...any) {
	printLines(e, "warning", fmt.Sprintf(format, args...))
}

// Note prints one line "name: …" for people: progress that they must see, such as the URL of a login.
func (e *Env) Note(format string, args ...any) { printLines(e, "", fmt.Sprintf(format, args...)) }

// printLines writes text under the program's name, each of its lines with the prefix, so that whoever reads a log of several
// programs knows the author of each line. Control characters, which an error may have from a server, do not reach the terminal.
func printLines(env *Env, kind, text string) {
	prefix := env.Name + ": "
	if kind != "" {
		prefix += kind + ": "
	}
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		b.WriteString(prefix)
		b.WriteString(plaintext.Line(line))
		b.WriteByte('\n')
	}
	io.WriteString(env.Stderr, b.String()) // one write: lines of parallel processes do not mix
}

func exitCode(err error) int {
	var c interface {
		error
		ExitCode() int
	}
	if !errors.As(err, &c) {
		return ExitFailed
	}
	// os/exec's error has the same method, but a child's code is not ours to return by accident.
	if _, child := c.(*exec.ExitError); child {
		return ExitFailed
	}
	if n := c.ExitCode(); n > 0 {
		return n
	}
	return ExitFailed
}
