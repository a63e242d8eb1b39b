package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A SessionInfo describes a stored session, without its secrets.
type SessionInfo struct {
	Kind      Kind      `json:"-"`
	Origin    Origin    `json:"origin"` // that it was issued for; empty for an org session
	Team      string    `json:"team"`
	Audience  string    `json:"audience,omitempty"`
	Account   string    `json:"account,omitempty"`
	Created   time.Time `json:"created,omitzero"`
	Expiry    time.Time `json:"expiry,omitzero"`
	Renewable bool      `json:"renewable"` // without a person, as far as is known here
}

// Sessions lists the stored sessions of applications, expired ones included. One that
// cannot be read is left out, and err says why.
func (c *Client) Sessions(ctx context.Context) (infos []SessionInfo, err error) {
	var errs []error
	for _, prefix := range []string{"session/", "oauth/"} {
		keys, err := c.cfg.Store.List(ctx, prefix)
		if err != nil {
			return infos, errors.Join(append(errs, err)...)
		}
		for _, k := range keys {
			b, err := c.cfg.Store.Get(ctx, k)
			if errors.Is(err, fs.ErrNotExist) {
				continue // gone in the meantime
			}
			var s session
			if err == nil && (json.Unmarshal(b, &s) != nil || s.Version != 1) {
				err = fmt.Errorf("access: the stored session %q is unreadable or from a newer version", k)
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
			info := SessionInfo{JWT, s.Origin, s.Team, s.Audience, s.Account, s.Created, s.Expiry, s.Refresh != ""}
			if prefix == "oauth/" {
				info.Kind = Bearer
			} else if _, err := c.loadOrg(ctx, s.Team); err == nil {
				info.Renewable = true
			}
			infos = append(infos, info)
		}
	}
	return infos, errors.Join(errs...)
}

// Logout forgets the sessions of o, tells the server where it can be told
// (RFC 7009), and reports whether there was any. The team's org session stays,
// since other hosts use it; [Client.LogoutTeam] ends it.
func (c *Client) Logout(ctx context.Context, o Origin) (bool, error) {
	found := false
	var errs []error
	var apps []App
	for _, app := range c.host(o).Apps {
		apps = append(apps, app)
		if app.Mode == ModeOAuth {
			app.byJWT = true // a caller may have wanted one beside
			apps = append(apps, app)
		}
	}
	for _, app := range apps {
		was, err := c.logout(ctx, app)
		found = found || was
		errs = append(errs, err)
	}
	// The record may be lost, and knows nothing of a mode or team that was before.
	for _, prefix := range []string{"session/", "oauth/"} {
		more, err := c.forgetAll(ctx, prefix, o)
		found = found || more
		errs = append(errs, err)
	}
	return found, errors.Join(errs...)
}

// logoutWait is how long a logout waits for a process that is renewing the session,
// and would store it again afterwards. One that waits for a person takes longer.
const logoutWait = 5 * time.Second

func (c *Client) logout(ctx context.Context, app App) (found bool, err error) {
	short, cancel := context.WithTimeout(ctx, logoutWait)
	defer cancel()
	if lease, err := c.cfg.Locker.Lock(short, lockName(app), nil); err == nil {
		defer lease.Release()
	}
	s, err := c.loadSession(ctx, app)
	if errors.Is(err, errNoSession) {
		return false, nil
	}
	var errs []error
	if err == nil && app.bearer() {
		if err := c.revoke(ctx, s); err != nil {
			// The session is forgotten here all the same.
			errs = append(errs, fmt.Errorf("access: %s: the token was forgotten but not revoked: %w", app.Origin.Host(), err))
		}
	}
	errs = append(errs, c.cfg.Store.Delete(ctx, app.sessionKey()))
	return true, errors.Join(errs...)
}

// LogoutTeam forgets every session of the team and its org token. With everywhere,
// the server is asked to end the person's sessions on all devices
// [doc: session management, /cdn-cgi/access/logout].
func (c *Client) LogoutTeam(ctx context.Context, team string, everywhere bool) error {
	var errs []error
	if org, err := c.loadOrg(ctx, team); err == nil && everywhere {
		if err := c.endSessions(ctx, org); err != nil {
			errs = append(errs, err)
		}
	}
	for _, prefix := range []string{"session/" + team + "/", "oauth/" + team + "/"} {
		_, err := c.forgetAll(ctx, prefix, "")
		errs = append(errs, err)
	}
	errs = append(errs, c.cfg.Store.Delete(ctx, orgKey(team)))
	return errors.Join(errs...)
}

// LogoutAll forgets all sessions, org tokens and client registrations, and revokes
// what can be revoked. Service tokens stay: they are the user's property.
func (c *Client) LogoutAll(ctx context.Context) error {
	var errs []error
	for _, prefix := range []string{"session/", "oauth/", "org/", "client/"} {
		_, err := c.forgetAll(ctx, prefix, "")
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// forgetAll forgets what is stored below prefix, or of it the sessions that were
// issued for o, and reports whether there was any.
func (c *Client) forgetAll(ctx context.Context, prefix string, o Origin) (found bool, err error) {
	keys, err := c.cfg.Store.List(ctx, prefix)
	errs := []error{err}
	for _, k := range keys {
		var s session
		if b, err := c.cfg.Store.Get(ctx, k); err == nil {
			_ = json.Unmarshal(b, &s) // what is unreadable is revoked nowhere and of no origin
		}
		if o != "" && s.Origin != o {
			continue
		}
		if strings.HasPrefix(k, "oauth/") {
			if err := c.revoke(ctx, s); err != nil {
				errs = append(errs, fmt.Errorf("access: %s: the token was forgotten but not revoked: %w", s.Origin.Host(), err))
			}
		}
		found = true
		errs = append(errs, c.cfg.Store.Delete(ctx, k))
	}
	return found, errors.Join(errs...)
}

// revoke tells the authorization server to end the grant (RFC 7009).
func (c *Client) revoke(ctx context.Context, s session) error {
	token, hint := s.Refresh, "refresh_token"
	if token == "" {
		token, hint = s.Token, "access_token"
	}
	if s.RevokeURL == "" || token == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	form := url.Values{"token": {token}, "token_type_hint": {hint}, "client_id": {s.ClientID}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.RevokeURL, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.do(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return newStatusError(resp, nil) // without its words, which may repeat the token
	}
	return nil
}

// endSessions asks the team domain to log the person out everywhere.
func (c *Client) endSessions(ctx context.Context, org orgSession) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, teamURL(org.Team, "/cdn-cgi/access/logout").String(), nil)
	if err != nil {
		return err
	}
	req.AddCookie(&http.Cookie{Name: tokenCookie, Value: org.Token})
	resp, err := c.do(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return newStatusError(resp, nil)
	}
	return nil
}
