package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/caller"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/dialog"
	"github.com/gitaccess/gitaccess/internal/pinentry"
	"github.com/gitaccess/gitaccess/internal/term"
)

// errNobody says that no person can be asked.
var errNobody = errors.New("nobody can be asked")

// question is what ask needs beside the prompt.
type question struct {
	again   githelper.Secret // what is kept and may be wrong; an empty answer stands for it
	because error            // why nothing that is kept was looked at
}

// place is where a person is asked.
type place interface {
	// secret and line have the person type a line; yes has them agree.
	secret(ctx context.Context, text string) ([]byte, error)
	line(ctx context.Context, text string) ([]byte, error)
	yes(ctx context.Context, text string) error
	// tell shows a text, and until until ctx ends where until is set.
	tell(ctx context.Context, text string, until bool) error
}

// places returns where the person may be asked, in order; the first that works is taken. Nothing is started for that.
func (a *asked) places(ctx context.Context) ([]place, error) {
	var all []place
	if term.Available() {
		all = append(all, terminal{})
	}
	window := false
	if path, ok := pinentry.Find(&pinentry.Options{Getenv: a.env.Getenv, Environ: a.door.CleanEnviron}); ok {
		all = append(all, &entry{a, path})
		window = true
	}
	if w, ok := dialog.Find(&dialog.Options{Getenv: a.env.Getenv, Environ: a.door.CleanEnviron}); ok {
		all = append(all, &desktop{a, w})
		window = true
	}
	c := door.Caller{Named: true, Window: window}
	if h := a.prompt.Account.Host; h != "" {
		c.Origin = access.Origin(a.prompt.Account.Protocol + "://" + h)
	}
	err := a.door.MayAsk(ctx, c)
	if err == nil && len(all) == 0 {
		err = errors.New("there is no terminal, no pinentry and no window")
	}
	if err != nil {
		return nil, a.nobody(err)
	}
	return all, nil
}

// nobody is the error where no person can be asked, with what to do about it.
func (a *asked) nobody(why error) error {
	e := &cli.Error{Err: fmt.Errorf("%w %s: %w", errNobody, a.subject(), why)}
	switch a.prompt.Kind {
	case githelper.PromptUsername, githelper.PromptPassword:
		e.Hints = []string{"ACCESS_ORIGIN_HOST, ACCESS_ORIGIN_USERNAME and ACCESS_ORIGIN_PASSWORD give a job the account of a host"}
	case githelper.PromptPassphrase:
		e.Hints = []string{"ssh-add gives the key to an agent, which needs no passphrase any more"}
	case githelper.PromptHostKey:
		e.Hints = []string{"put the host's key into known_hosts, from a source that you trust"}
	}
	return e
}

// subject is what the prompt is about, for an error.
func (a *asked) subject() string {
	w := a.prompt.Account
	switch at := w.Protocol + "://" + w.Host; {
	case w.Host != "" && a.prompt.Kind == githelper.PromptUsername:
		return fmt.Sprintf("for the user name at %s", at)
	case w.Host != "":
		return fmt.Sprintf("for the password of %q at %s", w.Username, at)
	case len(a.prompt.Keys) > 0:
		return fmt.Sprintf("for the passphrase of %s", a.prompt.Keys[0])
	}
	text, _, _ := strings.Cut(strings.TrimSpace(a.prompt.Text), "\n")
	return fmt.Sprintf("%q", text)
}

// ask has a person answer the prompt, and returns where. The question is over when the program that asks has gone.
func (a *asked) ask(ctx context.Context, q question) (githelper.Secret, place, error) {
	all, err := a.places(ctx)
	if err != nil {
		return githelper.Secret{}, nil, errors.Join(err, q.because)
	}
	ctx, cancel := caller.UntilGone(ctx)
	defer cancel()
	text := a.prompt.Text
	if !q.again.Empty() {
		text = "What is remembered was the answer a moment ago. If it is wrong, type another one; an empty line gives it again.\n" + text
	}
	var failed []error
	for _, p := range all {
		var b []byte
		if a.prompt.Visible() {
			b, err = p.line(ctx, text)
		} else {
			b, err = p.secret(ctx, text)
		}
		switch {
		case err == nil && len(b) == 0 && !q.again.Empty():
			return q.again, p, nil
		case err == nil && len(b) == 0 && a.prompt.Kind == githelper.PromptHostKey:
			return githelper.Secret{}, nil, errNoAnswer
		case err == nil:
			return githelper.NewSecret(string(b)), p, nil
		case ctx.Err() != nil:
			return githelper.Secret{}, nil, ended(ctx)
		case errors.Is(err, term.ErrNoAnswer), errors.Is(err, pinentry.ErrCanceled), errors.Is(err, dialog.ErrCanceled):
			return githelper.Secret{}, nil, errNoAnswer
		}
		failed = append(failed, err)
	}
	return githelper.Secret{}, nil, a.nobody(errors.Join(failed...))
}

// ended is why the context has: nobody waits any more, or a signal, of which package cli tells.
func ended(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), caller.ErrGone) {
		return caller.ErrGone
	}
	return ctx.Err()
}

// errNoAnswer says that the person chose to give none. They know, so that nobody needs to tell them.
var errNoAnswer = &cli.Error{Code: cli.ExitFailed}

// consent has a person say yes or no. Only a yes is exit code 0.
func (a *asked) consent(ctx context.Context) error {
	all, err := a.places(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := caller.UntilGone(ctx)
	defer cancel()
	var failed []error
	for _, p := range all {
		err := p.yes(ctx, a.prompt.Text)
		switch {
		case err == nil:
			return a.say(githelper.NewSecret("yes"))
		case ctx.Err() != nil:
			return ended(ctx)
		case errors.Is(err, term.ErrNoAnswer), errors.Is(err, pinentry.ErrCanceled), errors.Is(err, dialog.ErrCanceled), errors.Is(err, errNoAnswer):
			return errNoAnswer
		}
		failed = append(failed, err)
	}
	return a.nobody(errors.Join(failed...))
}

// notice shows the text until the person has read it, ssh ends it by SIGTERM, or has gone.
func (a *asked) notice(ctx context.Context) error {
	all, err := a.places(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := caller.UntilGone(ctx)
	defer cancel()
	for _, p := range all {
		if err = p.tell(ctx, a.prompt.Text, true); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ended(ctx)
		}
	}
	return err
}
