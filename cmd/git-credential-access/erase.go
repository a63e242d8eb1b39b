package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/gitnote"
	"github.com/gitaccess/gitaccess/githelper"
)

// erase takes git's word for a hint. git 2.46 to 2.53 sends the probe of a large push without the Bearer token, gets a 401 and erases
// a token that is good; and every helper is told of every refusal, those of other helpers' passwords included.
func (h *helper) erase(ctx context.Context) error {
	req, err := githelper.ReadRequest(h.env.Stdin)
	if err != nil {
		return err
	}
	err = h.forgetLogin(ctx, req)
	t, herr := h.host(req)
	switch {
	case t == nil || herr != nil:
		return errors.Join(err, herr)
	case !t.req.Credential.Empty():
		return errors.Join(err, t.check(ctx))
	case t.req.Has("username") && t.req.Has("password") && t.req.Username == "" && t.req.Password.Empty():
		return errors.Join(err, h.eraseCookie(ctx, t))
	}
	return err
}

// eraseCookie finds out why git below 2.46 was refused with the cookie, for which it holds an empty name and password. Access answers
// a bad cookie with a redirect, which erases nothing, unless the application has Managed OAuth.
func (h *helper) eraseCookie(ctx context.Context, t *host) error {
	app, err := t.Client.Discover(ctx, t.url)
	if err != nil {
		return err
	}
	if app.Mode == access.ModeOAuth {
		p := access.Policy{JWT: true} // no person is asked here: the next get does
		before, err := t.Client.Credential(ctx, t.url, p)
		if err != nil {
			return nil
		}
		accepted, err := t.TakesCookie(ctx, t.url, p)
		if access.IsRefusal(err) {
			return nil
		}
		if err != nil {
			return err
		}
		after, err := t.Client.Credential(ctx, t.url, p)
		switch {
		case !accepted:
			h.learn(t, func(n *gitnote.Note) { n.Cookie = gitnote.CookieRefused })
			return nil
		case err != nil, !after.Token().Equal(before.Token()):
			return nil // it was dead, and is replaced
		}
	}
	if app.Mode == access.ModeLogin || app.Mode == access.ModeOAuth {
		h.learnOwnLogin(t)
	}
	return nil
}

// check finds out whether the token that git erases is dead, and drops or renews it then. It costs one request at most every five
// minutes for each host.
func (t *host) check(ctx context.Context) error {
	// No person is asked here: the next get does.
	cr, err := t.Client.Credential(ctx, t.url, access.Policy{})
	if err != nil || cr.Kind != access.Bearer || cr.Token().Reveal() != t.req.Credential.Reveal() {
		return nil // gone or replaced already
	}
	name := "cache/git-erase-" + strings.NewReplacer("/", "_", ":", "_").Replace(string(t.origin))
	now := time.Now()
	if b, err := t.State.Load(name); err == nil {
		if last, err := time.Parse(time.RFC3339, string(b)); err == nil && now.Sub(last) >= 0 && now.Sub(last) < checkEvery {
			return nil
		}
	}
	if err := t.State.Save(name, []byte(now.UTC().Format(time.RFC3339))); err != nil {
		return err
	}
	// Refused, it is renewed if that needs no person; if it does, that is for the next get to say.
	_, _ = t.Client.Credential(ctx, t.url, access.Policy{CheckEvery: time.Nanosecond})
	return nil
}
