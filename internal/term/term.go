// Package term asks people questions on the terminal that a program was started from.
//
// Standard input and output belong to git and ssh, so that questions go to /dev/tty (Windows: CONIN$ and CONOUT$). While a secret
// is typed the terminal does not echo it; the echo comes back when the answer is there, the context ends (Ctrl-C), or the program
// is suspended (Ctrl-Z), and the question is erased.
package term

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/gitaccess/gitaccess/internal/plaintext"
)

// ErrNoTerminal says that there is no terminal to ask on: a job of cron, a graphical program, a connection without one.
var ErrNoTerminal = errors.New("no terminal to ask on")

// ErrNoAnswer says that the person ended the input (Ctrl-D) without an answer.
var ErrNoAnswer = errors.New("no answer on the terminal")

// IsTerminal says whether v is an *os.File that is a terminal.
func IsTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok || f == nil {
		return false
	}
	raw, err := f.SyscallConn() // f.Fd would change the mode of a descriptor that we may share with git
	if err != nil {
		return false
	}
	is := false
	err = raw.Control(func(fd uintptr) { is = term.IsTerminal(int(fd)) })
	return err == nil && is
}

// Available says whether a question could be asked: there is a terminal, and we are not in its background, where asking
// would stop the process.
func Available() bool {
	t, err := open()
	if err != nil {
		return false
	}
	defer t.close()
	return t.foreground()
}

// Print writes text to the terminal. It fails with ErrNoTerminal where there is none.
func Print(text string) error {
	t, err := open()
	if err != nil {
		return err
	}
	defer t.close()
	_, err = io.WriteString(t.out, plaintext.Lines(text))
	return err
}

// Notice shows text on the terminal until ctx ends, and takes its last line away then. It fails with ErrNoTerminal where there is none.
func Notice(ctx context.Context, text string) error {
	t, err := open()
	if err != nil {
		return err
	}
	defer t.close()
	if _, err := io.WriteString(t.out, plaintext.Lines(text)); err != nil {
		return err
	}
	<-ctx.Done()
	t.eraseLine()
	return ctx.Err()
}

// ReadLine asks for a line and returns it without its end.
func ReadLine(ctx context.Context, prompt string) (string, error) {
	b, err := ask(ctx, prompt, true)
	return string(b), err
}

// ReadSecret asks for a line without showing what is typed. The caller should not keep the bytes longer than needed.
func ReadSecret(ctx context.Context, prompt string) ([]byte, error) { return ask(ctx, prompt, false) }

// maxLine bounds an answer. Terminals have bounds of their own (Linux 4095 bytes, macOS 1024).
const maxLine = 64 << 10

func ask(ctx context.Context, prompt string, echo bool) (_ []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t, err := open()
	if err != nil {
		return nil, err
	}
	defer t.close()
	if !t.foreground() {
		return nil, fmt.Errorf("%w: the program runs in the background", ErrNoTerminal)
	}
	show := func() { io.WriteString(t.out, plaintext.Lines(prompt)) }
	if !echo {
		restore, err := t.hideInput(show)
		if err != nil {
			return nil, fmt.Errorf("could not turn the terminal's echo off: %w", err)
		}
		defer func() {
			t.eraseLine()
			if e := restore(); e != nil && err == nil {
				err = fmt.Errorf("could not turn the terminal's echo on again: %w", e)
			}
		}()
	}
	show()
	line, err := readLine(ctx, t.in)
	if err != nil && echo {
		io.WriteString(t.out, "\n") // what is printed next starts on a line of its own
	}
	return line, err
}

// readLine reads until the end of a line. When ctx ends first it interrupts the read where the system can, and leaves it behind
// where not (macOS, Windows): the process is about to end.
func readLine(ctx context.Context, in *os.File) ([]byte, error) {
	type result struct {
		line []byte
		err  error
	}
	got := make(chan result, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(in, maxLine)).ReadBytes('\n')
		got <- result{line, err}
	}()
	var r result
	select {
	case r = <-got:
	case <-ctx.Done():
		if in.SetReadDeadline(past) == nil {
			<-got
		}
		return nil, ctx.Err()
	}
	switch {
	case r.err == nil:
		return trimEnd(r.line), nil
	case errors.Is(r.err, io.EOF) && len(r.line) == 0:
		return nil, ErrNoAnswer
	case errors.Is(r.err, io.EOF) && len(r.line) < maxLine:
		return r.line, nil
	case errors.Is(r.err, io.EOF):
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxLine)
	}
	return nil, fmt.Errorf("could not read from the terminal: %w", r.err)
}

func trimEnd(line []byte) []byte {
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}
