package access

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// authorize lets a person log in by Managed OAuth: the nine steps of
// [doc: authenticate coding agents], with state (RFC 6749 §10.12), resource
// (RFC 8707) and a check of iss (RFC 9207) besides.
func (c *Client) authorize(ctx context.Context, app App, lease Lease) (cr Credential, err error) {
	rm, err := c.resource(ctx, app)
	if err != nil {
		return Credential{}, err
	}
	issuer, err := c.authorizationServer(app, rm)
	if err != nil {
		return Credential{}, &DiscoveryError{Origin: app.Origin, Step: "resource metadata", Err: err}
	}
	sm, err := c.server(ctx, app, issuer)
	if err != nil {
		return Credential{}, err
	}
	waitCtx, cancel := context.WithTimeout(ctx, c.cfg.LoginTimeout)
	defer cancel() // after the last page is out: a browser may hang on it
	reg, cb, err := c.listen(ctx, app, sm, rm.Resource)
	if err != nil {
		return Credential{}, err
	}
	defer func() { cb.close(err) }()

	state := rand.Text()
	verifier, challenge := pkce()
	conf := c.oauth(reg.ClientID, sm)
	conf.RedirectURL = reg.RedirectURI
	login, err := authorizationURL(conf, state, challenge, rm.Resource)
	if err != nil {
		return Credential{}, err
	}
	cb.expect(expected{state, issuer, sm.NamesItself})
	c.show(waitCtx, app, login, c.now().Add(c.cfg.LoginTimeout), lease)
	stopPasting := c.paste(waitCtx, cb)
	answer, err := cb.wait(waitCtx)
	stopPasting()
	if err != nil {
		// Nobody came back. A server that does not know the registration any more
		// may not redirect, it tells the person alone (RFC 6749 §4.1.2.1): with the
		// same one again, every login would end like this one.
		c.dropRegistration(context.WithoutCancel(ctx), app)
	}
	switch {
	case ctx.Err() != nil:
		return Credential{}, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return Credential{}, &LoginTimeoutError{App: app, After: c.cfg.LoginTimeout}
	case err != nil:
		return Credential{}, err
	case answer.code == "access_denied":
		return Credential{}, &RefusedError{App: app, Cause: Denied, Detail: cut(answer.description)}
	case answer.isError:
		c.dropIfUnknownClient(ctx, app, answer.code)
		return Credential{}, &OAuthError{App: app, Step: "authorization", Code: answer.code, Description: cut(answer.description)}
	}
	// From here on the code is spent: what comes back must be kept even if
	// somebody presses Ctrl-C now.
	tokenCtx, stop := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer stop()
	tok, err := conf.Exchange(c.oauthContext(tokenCtx), answer.code, oauth2.VerifierOption(verifier))
	if err != nil {
		err = c.tokenError(app, "token", err, answer.code)
		var oe *OAuthError
		if errors.As(err, &oe) {
			c.dropIfUnknownClient(ctx, app, oe.Code)
		}
		return Credential{}, err
	}
	s := session{Origin: app.Origin, ClientID: reg.ClientID, TokenURL: sm.TokenEndpoint,
		RevokeURL: sm.RevocationEndpoint, ResourceID: rm.Resource}
	return c.takeOAuth(ctx, app, s, tok)
}

// authorizationURL is the page at which a person logs in.
func authorizationURL(conf *oauth2.Config, state, challenge, resource string) (*url.URL, error) {
	return url.Parse(conf.AuthCodeURL(state,
		oauth2.SetAuthURLParam("code_challenge", challenge),
		oauth2.SetAuthURLParam("code_challenge_method", "S256"),
		oauth2.SetAuthURLParam("resource", resource)))
}

// paste asks for the address that the browser ended at, until stop is called.
func (c *Client) paste(ctx context.Context, cb *callback) (stop func()) {
	if c.cfg.Paste == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	asking.Go(func() {
		var problem error
		for ctx.Err() == nil {
			address, err := c.cfg.Paste(ctx, problem)
			if err != nil {
				return
			}
			if problem = cb.paste(address); problem == nil {
				return
			}
		}
	})
	return func() {
		cancel()
		asking.Wait()
	}
}

// takeOAuth checks and stores what the token endpoint answered.
func (c *Client) takeOAuth(ctx context.Context, app App, s session, tok *oauth2.Token) (Credential, error) {
	if !strings.EqualFold(tok.Type(), "bearer") {
		return Credential{}, fmt.Errorf("access: token of %s is of type %q, not bearer", app.Origin.Host(), cut(tok.Type()))
	}
	// It goes into headers and lines of others' protocols, where a line break would
	// begin another one (RFC 6750 §2.1).
	if !visible(tok.AccessToken) {
		return Credential{}, fmt.Errorf("access: token of %s has characters that no token has", app.Origin.Host())
	}
	// The answer repeats the resource, with a trailing slash [doc]; one that
	// names another host is a mix-up.
	if r, ok := tok.Extra("resource").(string); ok && r != "" {
		if err := covers(r, app); err != nil {
			return Credential{}, fmt.Errorf("access: token of %s: %w", app.Origin.Host(), err)
		}
	}
	lifetime := 15 * time.Minute // the documented default
	if tok.ExpiresIn > 0 {
		lifetime = time.Duration(tok.ExpiresIn) * time.Second
	}
	s.Token, s.Expiry = tok.AccessToken, c.now().Add(lifetime).UTC()
	// Whether refresh tokens rotate is not documented: a new one replaces the
	// old, none keeps it.
	if tok.RefreshToken != "" {
		s.Refresh = tok.RefreshToken
	}
	if err := c.saveSession(ctx, app, s); err != nil {
		return Credential{}, err
	}
	return Credential{Kind: Bearer, App: app, Expiry: s.Expiry, token: NewSecret(s.Token)}, nil
}

// refresh gets an access token for the stored refresh token. The caller holds the
// session's lock.
func (c *Client) refresh(ctx context.Context, app App, s session) (Credential, error) {
	if s.Refresh == "" || s.TokenURL == "" {
		return Credential{}, errNoSession
	}
	// With rotation, an answer that is thrown away ends the chain: the request
	// is not cancelled with the caller.
	tokenCtx, stop := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer stop()
	conf := &oauth2.Config{ClientID: s.ClientID,
		Endpoint: oauth2.Endpoint{TokenURL: s.TokenURL, AuthStyle: oauth2.AuthStyleInParams}}
	tok, err := conf.TokenSource(c.oauthContext(tokenCtx), &oauth2.Token{RefreshToken: s.Refresh}).Token()
	if err == nil {
		return c.takeOAuth(ctx, app, s, tok)
	}
	err = c.tokenError(app, "refresh", err, s.Refresh)
	var oe *OAuthError
	if !errors.As(err, &oe) {
		return Credential{}, err // network, 5xx: the refresh token may well be good
	}
	switch oe.Code {
	case "invalid_client", "unauthorized_client":
		c.dropIfUnknownClient(ctx, app, "invalid_client")
	case "invalid_grant":
		// Someone without our lock (a copy of this store) may have refreshed.
		if now, lerr := c.loadSession(ctx, app); lerr == nil && now.Refresh != s.Refresh {
			return c.refresh(ctx, app, now)
		}
	default:
		return Credential{}, err
	}
	if now, lerr := c.loadSession(ctx, app); lerr == nil && now.Refresh == s.Refresh {
		if derr := c.cfg.Store.Delete(ctx, app.sessionKey()); derr != nil {
			c.log.Warn("dead session not deleted", "err", derr)
		}
	}
	return Credential{}, err
}

// dropIfUnknownClient forgets a registration that the server does not know any
// more. How long registrations live is not documented.
func (c *Client) dropIfUnknownClient(ctx context.Context, app App, code string) {
	if code == "invalid_client" || code == "unauthorized_client" {
		c.dropRegistration(ctx, app)
	}
}

// dropRegistration has the next login register again.
func (c *Client) dropRegistration(ctx context.Context, app App) {
	if err := c.cfg.Store.Delete(ctx, registrationKey(app)); err != nil {
		c.log.Warn("registration not deleted", "err", err)
	}
}

func (c *Client) oauth(clientID string, m *serverMetadata) *oauth2.Config {
	return &oauth2.Config{ClientID: clientID, Endpoint: oauth2.Endpoint{
		AuthURL: m.AuthorizationEndpoint, TokenURL: m.TokenEndpoint, AuthStyle: oauth2.AuthStyleInParams}}
}

func (c *Client) oauthContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, c.http)
}

// tokenError turns x/oauth2's error into ours, without the body it repeats, and
// without the code or token that was sent, which the server may repeat.
func (c *Client) tokenError(app App, step string, err error, sent string) error {
	var re *oauth2.RetrieveError
	if !errors.As(err, &re) {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = &noAnswerError{http.MethodPost, strings.SplitN(ue.URL, "?", 2)[0], ue.Err}
		}
		return fmt.Errorf("access: %s for %s: %w", step, app.Origin.Host(), err)
	}
	if re.ErrorCode != "" {
		return &OAuthError{App: app, Step: step, Code: strings.ReplaceAll(re.ErrorCode, sent, redacted),
			Description: cut(strings.ReplaceAll(re.ErrorDescription, sent, redacted))}
	}
	if re.Response == nil || re.Response.Request == nil {
		return fmt.Errorf("access: %s for %s: the authorization server gave no token", step, app.Origin.Host())
	}
	return fmt.Errorf("access: %s for %s: %w", step, app.Origin.Host(), newStatusError(re.Response, nil))
}

// pkce makes a verifier whose S256 challenge begins with a letter or digit: the
// authorization server misreads a leading "-" or "_" and answers that the method
// must be S256 [doc: authenticate coding agents, step 5].
func pkce() (verifier, challenge string) {
	for {
		verifier = oauth2.GenerateVerifier()
		challenge = oauth2.S256ChallengeFromVerifier(verifier)
		if challenge[0] != '-' && challenge[0] != '_' {
			return verifier, challenge
		}
	}
}
