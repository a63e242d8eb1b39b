// Package dialog asks a person in a window of the desktop, through the program that each desktop has for scripts: zenity and kdialog,
// osascript on macOS, PowerShell on Windows.
//
// What is shown is plain text wherever it comes from: markup, escapes and accelerators that these programs know are shown as they
// were written. Nothing that is typed is ever an argument.
package dialog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/internal/child"
	"github.com/gitaccess/gitaccess/internal/environ"
	"github.com/gitaccess/gitaccess/internal/plaintext"
)

// ErrCanceled says that the person closed the window or chose not to answer.
var ErrCanceled = errors.New("no answer in the window")

// Options are the surroundings. Nil means those of the process.
type Options = environ.Vars

// A Dialog is a program that shows windows.
type Dialog struct {
	path    string
	kind    kind
	environ func() []string
}

// kind is how a program wants to be called.
type kind struct {
	name    string
	call    func(form form, title, text string) (args, env []string)
	yesCode bool // a yes is exit code 0; else it is the answer "Yes"
}

type form int

const (
	secret form = iota
	line
	yesNo
	notice
)

// Find returns the program of this desktop, if there are a desktop and a program. Nothing is started.
func Find(o *Options) (*Dialog, bool) {
	opts := o.WithDefaults()
	for _, k := range kinds(opts.Getenv) {
		if path, err := exec.LookPath(k.name); err == nil {
			return &Dialog{path, k, opts.Environ}, true
		}
	}
	return nil, false
}

// Ask has the person type a line, which is shown only if visible is set.
func (d *Dialog) Ask(ctx context.Context, title, text string, visible bool) ([]byte, error) {
	f := secret
	if visible {
		f = line
	}
	out, err := d.run(ctx, f, title, text)
	if err != nil {
		return nil, err
	}
	out = bytes.TrimSuffix(out, []byte("\n"))
	return bytes.TrimSuffix(out, []byte("\r")), nil
}

// Confirm has the person say yes. A no is ErrCanceled.
func (d *Dialog) Confirm(ctx context.Context, title, text string) error {
	out, err := d.run(ctx, yesNo, title, text)
	if err == nil && !d.kind.yesCode && strings.TrimSpace(string(out)) != "Yes" {
		return ErrCanceled
	}
	return err
}

// Notice shows the text until the person has read it, or ctx ends.
func (d *Dialog) Notice(ctx context.Context, title, text string) error {
	_, err := d.run(ctx, notice, title, text)
	return err
}

func (d *Dialog) run(ctx context.Context, f form, title, text string) ([]byte, error) {
	args, env := d.kind.call(f, plain(title), plain(text))
	cmd := exec.CommandContext(ctx, d.path, args...)
	cmd.Env = append(d.environ(), env...)
	child.AskToEnd(cmd)
	cmd.WaitDelay = 2 * time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil:
		return out.Bytes(), nil
	case errors.As(err, &exit) && exit.ExitCode() == 1 && !failed(errOut.String()):
		return nil, ErrCanceled
	}
	said, _, _ := strings.Cut(strings.TrimSpace(errOut.String()), "\n")
	return nil, fmt.Errorf("%s: %w: %s", d.kind.name, err, plain(said))
}

// failed tells a program that found no display from a person who said no: both end with code 1.
func failed(stderr string) bool {
	s := strings.ToLower(stderr)
	for _, sign := range []string{"cannot open display", "failed to open display", "could not connect to display", "execution error: no user interaction"} {
		if strings.Contains(s, sign) {
			return true
		}
	}
	return false
}

// maxText keeps a window on the screen.
const maxText = 2000

// plain is a text without what could hide or turn around a part of it.
func plain(s string) string {
	s = plaintext.Lines(s)
	if r := []rune(s); len(r) > maxText {
		s = string(r[:maxText]) + "…"
	}
	return s
}
