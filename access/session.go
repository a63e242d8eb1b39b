package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// session is the Store's form of a person's credential for one application.
type session struct {
	Version  int       `json:"v"`
	Team     string    `json:"team"`
	Audience string    `json:"audience,omitempty"`
	Token    string    `json:"token"`
	Expiry   time.Time `json:"expiry,omitzero"`
	Account  string    `json:"account,omitempty"`
	Created  time.Time `json:"created"`
	Origin   Origin    `json:"origin"` // that it was issued for

	// Managed OAuth only.
	Refresh    string `json:"refresh_token,omitempty"`
	ClientID   string `json:"client_id,omitempty"`
	TokenURL   string `json:"token_endpoint,omitempty"`
	RevokeURL  string `json:"revocation_endpoint,omitempty"`
	ResourceID string `json:"resource,omitempty"` // RFC 8707
}

// errNoSession: nothing usable is stored.
var errNoSession = errors.New("access: no stored session")

// loadSession reads the session of app. It returns errNoSession if there is none,
// if it is of another application, or if its token was refused before.
func (c *Client) loadSession(ctx context.Context, app App) (session, error) {
	var s session
	b, err := c.cfg.Store.Get(ctx, app.sessionKey())
	if errors.Is(err, fs.ErrNotExist) {
		return s, errNoSession
	}
	if err != nil {
		return s, fmt.Errorf("access: read the session of %s: %w", app.Origin.Host(), err)
	}
	if err := json.Unmarshal(b, &s); err != nil || s.Version != 1 {
		// Not erased: a newer version of this program may have written it.
		return session{}, fmt.Errorf("access: the stored session of %s is unreadable or from a newer version", app.Origin.Host())
	}
	if s.Team != app.Team || s.Audience != app.Audience || app.bearer() && s.Origin != app.Origin {
		return session{}, errNoSession
	}
	return s, nil
}

// credential makes a Credential of s, unless its token is empty, was refused
// before, or is expired.
func (c *Client) credential(app App, s session) (Credential, bool) {
	cr := Credential{Kind: JWT, App: app, Expiry: s.Expiry, Account: s.Account, token: NewSecret(s.Token)}
	if app.bearer() {
		cr.Kind = Bearer
	}
	if s.Token == "" || !cr.valid(c.now(), 0) || c.wasRejected(cr.token) {
		return Credential{}, false
	}
	return cr, true
}

func (c *Client) saveSession(ctx context.Context, app App, s session) error {
	s.Version, s.Origin, s.Team, s.Audience, s.Created = 1, app.Origin, app.Team, app.Audience, c.now().UTC()
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	// A token that was issued must not be lost because somebody pressed Ctrl-C
	// between the answer and this line.
	if err := c.cfg.Store.Put(context.WithoutCancel(ctx), app.sessionKey(), b); err != nil {
		return fmt.Errorf("access: store the session of %s: %w", app.Origin.Host(), err)
	}
	if err := c.updateHost(ctx, app.Origin, func(r *hostRecord) { r.Checked = c.now().UTC() }); err != nil {
		c.log.Warn("session stored, but not noted as checked", "host", app.Origin.Host(), "err", err)
	}
	return nil
}

// orgSession is the Store's form of a team's org token, which opens new
// applications of the team without a browser.
type orgSession struct {
	Version int       `json:"v"`
	Team    string    `json:"team"`
	Token   string    `json:"token"`
	Expiry  time.Time `json:"expiry"`
	Account string    `json:"account,omitempty"`
}

func (c *Client) loadOrg(ctx context.Context, team string) (orgSession, error) {
	var s orgSession
	b, err := c.cfg.Store.Get(ctx, orgKey(team))
	if errors.Is(err, fs.ErrNotExist) {
		return s, errNoSession
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil || s.Version != 1 || s.Team != team || s.Token == "" || !c.now().Before(s.Expiry) {
		return orgSession{}, errNoSession
	}
	return s, nil
}

func (c *Client) saveOrg(ctx context.Context, s orgSession) error {
	s.Version = 1
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return c.cfg.Store.Put(context.WithoutCancel(ctx), orgKey(s.Team), b)
}

// dropOrg deletes the org token if it is still the one that was refused.
func (c *Client) dropOrg(ctx context.Context, s orgSession) {
	if now, err := c.loadOrg(ctx, s.Team); err == nil && now.Token == s.Token {
		if err := c.cfg.Store.Delete(ctx, orgKey(s.Team)); err != nil {
			c.log.Warn("org token not deleted", "team", s.Team, "err", err)
		}
	}
}

func (c *Client) wasRejected(s Secret) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rejected[s.fingerprint()]
}

// Reject tells the client that the server refused exactly this credential. A
// stored session is deleted if it still holds the same token; a newer one stays.
// Service tokens are the user's and stay.
func (c *Client) Reject(ctx context.Context, cr Credential) error {
	if cr.Kind != JWT && cr.Kind != Bearer {
		return nil
	}
	c.noteRejected(cr)
	// If somebody else holds the lock, they are about to replace the session.
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	lease, err := c.cfg.Locker.Lock(short, lockName(cr.App), nil)
	if err != nil {
		return ctx.Err()
	}
	defer lease.Release()
	return c.dropSession(ctx, cr)
}

func (c *Client) noteRejected(cr Credential) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rejected[cr.token.fingerprint()] = true
}

// dropSession is Reject for one who holds the session's lock.
func (c *Client) dropSession(ctx context.Context, cr Credential) error {
	c.noteRejected(cr)
	s, err := c.loadSession(ctx, cr.App)
	if errors.Is(err, errNoSession) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.Token != cr.token.Reveal() {
		return nil
	}
	if s.Refresh != "" {
		// Only the access token was refused; the refresh token may get another.
		s.Token, s.Expiry = "", time.Time{}
		b, err := json.Marshal(s)
		if err != nil {
			return err
		}
		return c.cfg.Store.Put(ctx, cr.App.sessionKey(), b)
	}
	return c.cfg.Store.Delete(ctx, cr.App.sessionKey())
}

func lockName(app App) string { return cacheName("session", app.sessionKey()) }
