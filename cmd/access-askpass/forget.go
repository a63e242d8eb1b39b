package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// forgetKept drops what is kept for a server, of one user if the URL names one, or for the key in a file; and that the person did not
// want to be asked whether to keep it.
func forgetKept(ctx context.Context, d *door.Door, what string) error {
	if strings.Contains(what, "://") {
		u, err := url.Parse(what)
		if err != nil || u.Host == "" {
			return cli.Usagef("not a URL of a server: %q", redacted(u, what))
		}
		a, err := (&githelper.Request{Protocol: u.Scheme, Host: u.Host, Path: strings.TrimLeft(u.Path, "/"), Username: u.User.Username()}).Account()
		if err != nil {
			return cli.Usagef("%v", err)
		}
		p := &asked{door: d, prompt: &githelper.Prompt{Kind: githelper.PromptPassword, Account: a}}
		return errors.Join(d.Logins().Erase(ctx, a.Request()), p.forgetNotes(p.target()))
	}
	k, err := readKey([]string{what})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	p := &asked{door: d}
	return errors.Join(d.Store.Delete(ctx, k.store()), p.forgetNotes(k.store()))
}

func redacted(u *url.URL, what string) string {
	if u == nil {
		return what
	}
	return u.Redacted()
}

func (a *asked) forgetNotes(target string) error {
	return errors.Join(a.door.State.Remove("askpass/never/"+nameOf(target)), a.door.State.Remove("cache/askpass/"+nameOf(target)))
}
