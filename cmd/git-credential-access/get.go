package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/cmd/internal/gitnote"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// checkEvery is how long a session is taken for good without asking the server. git asks no helper and erases nothing when Access
// answers a revoked session with a redirect, so the helper looks for itself.
const checkEvery = 5 * time.Minute

// atOnce has a session looked at that was refused a moment ago.
const atOnce = time.Nanosecond

func (h *helper) get(ctx context.Context) error {
	req, err := githelper.ReadRequest(h.env.Stdin)
	if err != nil {
		return err
	}
	t, err := h.host(req)
	if err != nil {
		return err
	}
	if t == nil {
		return h.serverLogin(ctx, req, nil)
	}
	h.upgrade(ctx, t)
	switch sent := t.sent(); {
	case sent.cookie:
		return h.cookieRefused(ctx, t, sent)
	case sent.token:
		return h.tokenRefused(ctx, t, sent)
	}
	if t.byServer() {
		h.learnOwnLogin(t)
	}
	if p := t.pathApplication(); p != "" && t.req.Path == "" {
		h.env.Note("%s has an application of its own for %s, and git does not tell which repository it asks for; "+
			"to have it tell (credential.useHttpPath): access setup git %s", t.origin.Host(), p, t.origin.Host())
	}
	cr, err := h.credential(ctx, t, checkEvery)
	if err != nil {
		return h.stop(t, err)
	}
	return h.give(ctx, t, cr, jarState)
}

// cookieRefused answers when a request with the cookie was refused: by the server behind Access, which wants a login of its own, or
// by Access.
func (h *helper) cookieRefused(ctx context.Context, t *host, sent sent) error {
	if !t.byAccess() { // Access always says what it wants
		h.learnOwnLogin(t)
		return h.serverLogin(ctx, t.req, t.req.NextHelper())
	}
	// The application may have another mode than it had.
	if _, err := t.Client.Discover(ctx, t.url); err != nil {
		return h.stop(t, err)
	}
	if sent.again && t.note.Cookie == gitnote.CookieAccepted {
		h.learn(t, func(n *gitnote.Note) { n.Cookie = gitnote.CookieRefused })
	}
	cr, err := h.credential(ctx, t, atOnce)
	if err == nil && cr.Kind == access.JWT && (sent.again || cr.App.Mode != access.ModeOAuth) {
		err = &access.RefusedError{App: cr.App, Cause: access.TokenNotAccepted}
	}
	if err != nil {
		return h.stop(t, err)
	}
	return h.give(ctx, t, cr, againState)
}

// tokenRefused answers when a request with the access token was refused, as far as git knows: git below 2.54 probes the server ahead
// of a large push, and does so without the token.
func (h *helper) tokenRefused(ctx context.Context, t *host, sent sent) error {
	if t.byServer() {
		h.learnOwnLogin(t) // from now on it is the cookie
	}
	cr, err := h.credential(ctx, t, atOnce)
	if err == nil && cr.Kind == access.Bearer && (sent.again || sent.mark == mark(cr)) {
		// Access accepts it from us.
		cr, err = h.insteadOfToken(ctx, t)
	}
	if err != nil {
		return h.stop(t, err)
	}
	return h.give(ctx, t, cr, lastState)
}

// insteadOfToken gets a cookie for a git that leaves the token out.
func (h *helper) insteadOfToken(ctx context.Context, t *host) (access.Credential, error) {
	if t.reads && t.note.Cookie == gitnote.CookieUntried {
		cr, err := h.cookie(ctx, t, h.policy(t, checkEvery))
		if !errors.Is(err, errNoCookie) {
			return cr, err
		}
	}
	return access.Credential{}, &cli.Error{
		Err: fmt.Errorf("%s refuses a request that git sent without the token: git below 2.54 does so ahead of a push that is larger than http.postBuffer", t.origin.Host()),
		Hints: []string{
			"use git 2.54 or later",
			fmt.Sprintf("or have git hold the whole push in memory: git -c http.%s/.postBuffer=1g push …", t.origin),
		},
	}
}

// credential gets what git can send to the host, and what leaves Authorization to the server's own login where it wants one.
func (h *helper) credential(ctx context.Context, t *host, every time.Duration) (access.Credential, error) {
	p := h.policy(t, every)
	tokens := t.req.Can(githelper.CapabilityAuthType)
	if tokens && !t.note.OwnLogin && t.note.Cookie != gitnote.CookieAccepted {
		return t.Client.Credential(ctx, t.url, p)
	}
	cr, err := h.cookie(ctx, t, p)
	var login *access.LoginRequiredError
	switch {
	case errors.As(err, &login) && !tokens && t.forgotToken():
		return cr, &cli.Error{Err: err, Hints: forgotToken(t.origin), Code: cli.ExitLoginRequired}
	case !errors.Is(err, errNoCookie):
		return cr, err
	case t.note.OwnLogin:
		return cr, gitnote.LoginError(t.origin)
	case !tokens && t.forgotToken():
		return cr, &cli.Error{
			Err:   fmt.Errorf("git has dropped the token of %s in the middle of the command and takes no other; the application refuses a session cookie", t.origin.Host()),
			Hints: forgotToken(t.origin),
		}
	case !tokens:
		return cr, gitnote.TokenError(t.origin, "this git", t.reads)
	}
	return t.Client.Credential(ctx, t.url, p)
}

// forgotToken reports whether the git that asks could have sent a token: what it took for a redirect made it forget the one that it had,
// and a request by POST that is refused then has it ask for a name and a password only (remote-curl.c, http_reauth_prepare). libcurl 8.23
// makes it take a user name in the URL for a redirect.
func (t *host) forgotToken() bool {
	v, err := githelper.ParseVersion("git version " + t.note.Git.Version)
	return err == nil && v.Bearer() && len(t.req.WWWAuth) > 0
}

func forgotToken(o access.Origin) []string {
	return []string{
		fmt.Sprintf("git forgets it after a redirect, and newer ones after a user name in the URL: use the URL https://%s/… that it leads to, without a name", o.Host()),
	}
}

func (h *helper) policy(t *host, every time.Duration) access.Policy {
	return t.Policy(door.Caller{Origin: t.origin, Git: "git", CheckEvery: every})
}

// errNoCookie: the application, with Managed OAuth, accepts no session cookie, or git would not read it.
var errNoCookie = errors.New("no session cookie is accepted")

// cookie gets a session that can go into the cookie file. What an application with Managed OAuth says to one is found out once.
func (h *helper) cookie(ctx context.Context, t *host, p access.Policy) (access.Credential, error) {
	p.JWT = true
	app, known := t.Client.Lookup(t.url)
	if known && app.Mode == access.ModeOAuth && t.note.Cookie == gitnote.CookieRefused {
		var err error // the administrator may have turned it off by now
		if app, err = t.Client.Discover(ctx, t.url); err != nil {
			return access.Credential{}, err
		}
	}
	if known && app.Mode == access.ModeOAuth && (!t.reads || t.note.Cookie == gitnote.CookieRefused) {
		return access.Credential{}, errNoCookie
	}
	cr, err := t.Client.Credential(ctx, t.url, p)
	if err == nil && cr.Kind == access.JWT && cr.App.Mode == access.ModeOAuth && t.note.Cookie != gitnote.CookieAccepted {
		var accepted bool
		if accepted, err = t.TakesCookie(ctx, t.url, p); err == nil && accepted {
			h.learn(t, func(n *gitnote.Note) { n.Cookie = gitnote.CookieAccepted })
			return t.Client.Credential(ctx, t.url, p)
		} else if err == nil {
			err = &access.RefusedError{App: cr.App, Cause: access.NotWithOAuth}
		}
	}
	var refused *access.RefusedError
	if errors.As(err, &refused) && refused.Cause == access.NotWithOAuth {
		h.learn(t, func(n *gitnote.Note) { n.Cookie = gitnote.CookieRefused })
		return cr, errNoCookie
	}
	return cr, err
}
