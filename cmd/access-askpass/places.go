package main

import (
	"context"
	"errors"
	"strings"

	"github.com/gitaccess/gitaccess/internal/dialog"
	"github.com/gitaccess/gitaccess/internal/pinentry"
	"github.com/gitaccess/gitaccess/internal/term"
)

// terminal is the one that the program was started from.
type terminal struct{}

func (terminal) secret(ctx context.Context, text string) ([]byte, error) {
	return term.ReadSecret(ctx, spaced(text))
}

func (terminal) line(ctx context.Context, text string) ([]byte, error) {
	s, err := term.ReadLine(ctx, spaced(text))
	return []byte(s), err
}

func (terminal) yes(ctx context.Context, text string) error {
	s, err := term.ReadLine(ctx, strings.TrimRight(text, " ")+" [y/N] ")
	if err != nil {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "y", "yes":
		return nil
	}
	return errNoAnswer
}

func (terminal) tell(ctx context.Context, text string, until bool) error {
	if until {
		return term.Notice(ctx, text)
	}
	return term.Print(text + "\n")
}

// spaced leaves room between a question and what is typed: git-lfs asks without.
func spaced(text string) string {
	if strings.HasSuffix(text, " ") || strings.HasSuffix(text, "\n") {
		return text
	}
	return text + ": "
}

// entry is a pinentry program.
type entry struct {
	a    *asked
	path string
}

func (e *entry) start(ctx context.Context) (*pinentry.Client, error) {
	return pinentry.Start(ctx, e.path, &pinentry.Options{Getenv: e.a.env.Getenv, Environ: e.a.door.CleanEnviron})
}

func (e *entry) secret(ctx context.Context, text string) ([]byte, error) {
	c, err := e.start(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Ask(pinentry.Question{Title: e.a.title(), Text: text, Prompt: "Answer:"})
}

// line has no way to show what is typed.
func (e *entry) line(ctx context.Context, text string) ([]byte, error) { return e.secret(ctx, text) }

func (e *entry) yes(ctx context.Context, text string) error {
	c, err := e.start(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Confirm(pinentry.Question{Title: e.a.title(), Text: text, Yes: "Yes", No: "No"})
}

func (e *entry) tell(ctx context.Context, text string, _ bool) error {
	c, err := e.start(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Message(pinentry.Question{Title: e.a.title(), Text: text})
}

// desktop is a window.
type desktop struct {
	a *asked
	w *dialog.Dialog
}

func (d *desktop) secret(ctx context.Context, text string) ([]byte, error) {
	return d.w.Ask(ctx, d.a.title(), text, false)
}

func (d *desktop) line(ctx context.Context, text string) ([]byte, error) {
	return d.w.Ask(ctx, d.a.title(), text, true)
}

func (d *desktop) yes(ctx context.Context, text string) error {
	return d.w.Confirm(ctx, d.a.title(), text)
}

func (d *desktop) tell(ctx context.Context, text string, _ bool) error {
	return d.w.Notice(ctx, d.a.title(), text)
}

// offer has the person decide whether the answer is kept. Nothing is kept without a yes.
func (a *asked) offer(ctx context.Context, p place, target, what string) bool {
	never := "askpass/never/" + nameOf(target)
	if _, err := a.door.State.Load(never); err == nil {
		return false
	}
	ks, err := a.door.Store.Keystore(ctx)
	if err != nil {
		return false
	}
	info := ks.Info()
	where := info.Location
	if !info.Sealed {
		where += ", where whoever can read your files can read it"
	}
	if _, ok := p.(terminal); !ok {
		return p.yes(ctx, "Remember this "+what+"? It would be kept in "+where+".\n\n"+strings.TrimRight(a.prompt.Text, " :")) == nil
	}
	s, err := term.ReadLine(ctx, "Remember this "+what+" (in "+where+")? [y/N/never] ")
	if err != nil {
		return false
	}
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "y", "yes":
		return true
	case "never":
		_ = a.door.State.Save(never, nil) // if it stays unknown, the person is asked again
	}
	return false
}

// keptOrNot tells the person that something could not be kept, where they answered: standard error is for failures, and the answer is
// none.
func (a *asked) keptOrNot(ctx context.Context, p place, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		_ = p.tell(ctx, "It could not be remembered: "+err.Error(), false)
	}
}
