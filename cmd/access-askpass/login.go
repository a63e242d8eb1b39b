package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// login answers for the account of a server: user name or password.
func (a *asked) login(ctx context.Context) error {
	wants := a.prompt.Account
	target := a.target()
	configured, found, err := accountFor(a.env, wants, a.prompt.Kind)
	if err != nil {
		return err
	}
	history := a.history(target)
	trusted := a.mayHearLogin()
	if found && trusted {
		if history.sameCaller() {
			return &cli.Error{
				Err:   fmt.Errorf("%s refused the account that the environment has for it", wants.Host),
				Hints: []string{"look at ACCESS_ORIGIN_USERNAME, ACCESS_ORIGIN_PASSWORD or the file in ACCESS_ORIGIN_ACCOUNTS_FILE"},
			}
		}
		history.note(given)
		return a.say(configured)
	}

	var q question
	var kept githelper.Secret
	if trusted {
		var keptErr error
		kept, keptErr = a.keptLogin(ctx)
		q.because = keptErr
	}
	isPassword := a.prompt.Kind == githelper.PromptPassword
	switch {
	case kept.Empty():
	case history.sameCaller():
		if isPassword {
			if err := a.door.Logins().Erase(ctx, wants.Login(kept)); err != nil {
				return err
			}
			kept = githelper.Secret{}
		}
	case history.sameCommand():
		q.again = kept
	default:
		history.note(given)
		return a.say(kept)
	}

	text, by, err := a.ask(ctx, q)
	switch {
	case errors.Is(err, errNobody) && !q.again.Empty(): // a job that does the same again and again
		history.note(given)
		return a.say(q.again)
	case err != nil:
		return err
	case !q.again.Empty() && text.Equal(q.again):
		history.clear()
		return a.say(text)
	}
	if isPassword && trusted && q.because == nil {
		if !q.again.Empty() { // another one was typed
			if err := a.door.Logins().Erase(ctx, wants.Login(q.again)); err != nil {
				return err
			}
		}
		if a.offer(ctx, by, target, "password") {
			_, err := a.door.Logins().Save(ctx, wants.Login(text))
			a.keptOrNot(ctx, by, err)
			history.note(typed)
		}
	}
	return a.say(text)
}

// keptLogin returns what the keystore has for the account: the user name, or the password of exactly this user.
func (a *asked) keptLogin(ctx context.Context) (githelper.Secret, error) {
	wants := a.prompt.Account
	if !a.somethingKept() {
		return githelper.Secret{}, nil
	}
	r, err := a.door.Logins().Get(ctx, wants.Request())
	switch {
	case err != nil:
		return githelper.Secret{}, err
	case r == nil || r.Login == nil:
		return githelper.Secret{}, nil
	case a.prompt.Kind == githelper.PromptUsername:
		return githelper.NewSecret(r.Login.Username), nil
	case r.Login.Username != wants.Username:
		return githelper.Secret{}, nil
	}
	return r.Login.Password, nil
}

// somethingKept reports whether this user has ever had a keystore here. Where nobody has, none is looked for: that could mean to wait
// for a keyring that does not answer, only to learn that it is empty.
func (a *asked) somethingKept() bool {
	if a.env.Getenv("ACCESS_KEYSTORE") != "" {
		return true
	}
	_, err := os.Stat(a.door.State.Path("keystore-choice")) // written by package keystore whenever it has chosen
	return !errors.Is(err, fs.ErrNotExist)
}

// target names what the answer is for, in files that hold no secrets.
func (a *asked) target() string {
	w := a.prompt.Account
	return fmt.Sprintf("%s of %q at %q path %q", a.prompt.Kind, w.Username, w.Protocol+"://"+w.Host, w.Path)
}
