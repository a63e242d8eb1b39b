package access

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/nacl/box"
)

// Token transfer: the login page at /cdn-cgi/access/cli puts the tokens, boxed for
// a public key that the client made up, onto a transfer host, where the client
// polls for them. Neither the parameters nor the host are documented; they are the
// public client's [client]. It works with a browser on another machine.
const (
	cliPath         = "/cdn-cgi/access/cli"
	transferHost    = "login.cloudflareaccess.org"
	transferHostFed = "login.fed.cloudflareaccess.org"
	pollTimeout     = 75 * time.Second // one long poll; the server holds it for about 60 s
	pollPause       = time.Second      // between polls that were answered at once
)

// transferred is the plain text of the box.
type transferred struct {
	AppToken string `json:"app_token"`
	OrgToken string `json:"org_token"`
}

// transfer lets a person log in with a browser and takes the tokens over.
func (c *Client) transfer(ctx context.Context, app App, lease Lease) (Credential, error) {
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		return Credential{}, err
	}
	// The public key is also the name under which the tokens wait, so it is made
	// for this login alone and never kept.
	name := base64.URLEncoding.EncodeToString(public[:])
	deadline := c.now().Add(c.cfg.LoginTimeout)
	login := loginURL(app, name, c.cfg.AutoClose)
	ctx, cancel := context.WithTimeout(ctx, c.cfg.LoginTimeout)
	defer cancel()
	c.show(ctx, app, login, deadline, lease)

	raw, sender, err := c.poll(ctx, app, name)
	if errors.Is(err, context.DeadlineExceeded) {
		return Credential{}, &LoginTimeoutError{App: app, After: c.cfg.LoginTimeout}
	}
	if err != nil {
		return Credential{}, err
	}
	plain, err := openBox(raw, sender, private)
	if err != nil {
		return Credential{}, fmt.Errorf("access: tokens for %s: %w", app.Origin.Host(), err)
	}
	var got transferred
	if err := json.Unmarshal(plain, &got); err != nil {
		return Credential{}, fmt.Errorf("access: tokens for %s: not the JSON that was expected", app.Origin.Host())
	}
	return c.takeTokens(ctx, app, got.AppToken, got.OrgToken)
}

// takeTokens verifies tokens from outside and stores them.
func (c *Client) takeTokens(ctx context.Context, app App, appToken, orgToken string) (Credential, error) {
	claims, err := c.verifyToken(ctx, appToken, app.Team, "app", app.Audience)
	if err != nil {
		return Credential{}, fmt.Errorf("access: application token for %s: %w", app.Origin.Host(), err)
	}
	if orgToken != "" {
		// Losing the org token costs a login later on, nothing now.
		if org, err := c.verifyToken(ctx, orgToken, app.Team, "org", ""); err != nil {
			c.log.Warn("org token not kept", "team", app.Team, "err", err)
		} else if err := c.saveOrg(ctx, orgSession{Team: app.Team, Token: orgToken, Expiry: org.ExpiresAt.Time, Account: org.account()}); err != nil {
			c.log.Warn("org token not stored", "team", app.Team, "err", err)
		}
	}
	s := session{Token: appToken, Expiry: claims.ExpiresAt.UTC(), Account: claims.account()}
	if err := c.saveSession(ctx, app, s); err != nil {
		return Credential{}, err
	}
	return Credential{Kind: JWT, App: app, Expiry: s.Expiry, Account: s.Account, token: NewSecret(appToken)}, nil
}

// loginURL is the page that a person opens. After the login it leads to the root
// of the application, so that no download or clone URL is opened in the browser.
func loginURL(app App, name string, autoClose bool) *url.URL {
	q := url.Values{"token": {name}, "aud": {app.Audience}}
	back := app.Origin.URL()
	back.RawQuery = q.Encode()
	q.Set("redirect_url", back.String())
	q.Set("send_org_token", "true")      // both tokens, for single sign-on later
	q.Set("edge_token_transfer", "true") // through the transfer host
	if autoClose {
		q.Set("close_interstitial", "true")
	}
	u := app.Origin.URL()
	u.Path, u.RawQuery = cliPath, q.Encode()
	return u
}

// show hands a login URL to the person and to those who wait in other processes.
func (c *Client) show(ctx context.Context, app App, u *url.URL, deadline time.Time, lease Lease) {
	if err := lease.Note(u.String()); err != nil {
		c.log.Warn("login URL not shown to waiting processes", "err", err)
	}
	c.tell(Event{Kind: LoginURL, App: app, URL: u.String(), Deadline: deadline})
	if c.cfg.Open == nil {
		return
	}
	if err := c.cfg.Open(ctx, u.String()); err != nil {
		c.tell(Event{Kind: BrowserFailed, App: app, URL: u.String(), Err: err})
	}
}

// poll waits until the tokens lie on the transfer host. It returns the box and the
// public key of its sender.
func (c *Client) poll(ctx context.Context, app App, name string) (sealed []byte, sender string, err error) {
	host := transferHost
	if strings.HasSuffix(app.Team, teamSuffixes[1]) {
		host = transferHostFed
	}
	u := &url.URL{Scheme: "https", Host: host, Path: "/transfer/" + name}
	for failures := 0; ; {
		began := time.Now()
		sealed, sender, err = c.pollOnce(ctx, u)
		switch {
		case err == nil && sealed != nil:
			return sealed, sender, nil
		case ctx.Err() != nil:
			return nil, "", ctx.Err()
		case err != nil:
			if failures++; failures == 5 || !mayPass(err) {
				return nil, "", fmt.Errorf("access: wait for the login to %s: %w", app.Origin.Host(), err)
			}
		default:
			failures = 0
		}
		if pause := pollPause - time.Since(began); pause > 0 || failures > 0 {
			select {
			case <-ctx.Done():
				return nil, "", ctx.Err()
			case <-time.After(jitter(max(pause, time.Duration(failures)*pollPause))):
			}
		}
	}
}

// pollOnce returns nil without an error while there is nothing yet. The public
// client takes every status but 200 and 5xx for "not yet" [client].
func (c *Client) pollOnce(ctx context.Context, u *url.URL) ([]byte, string, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := c.do(ctx, req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := readLimited(resp.Body)
	switch {
	case err != nil:
		return nil, "", err
	case resp.StatusCode >= 500:
		return nil, "", newStatusError(resp, body)
	case resp.StatusCode != http.StatusOK || len(body) == 0:
		return nil, "", nil
	}
	return body, resp.Header.Get("Service-Public-Key"), nil
}

// openBox decrypts base64(nonce || box), made for our key by the sender's
// (crypto_box of NaCl) [client].
func openBox(raw []byte, sender string, private *[32]byte) ([]byte, error) {
	sealed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil || len(sealed) < 24 {
		return nil, errors.New("not a sealed box")
	}
	key, err := base64.URLEncoding.DecodeString(sender)
	if err != nil || len(key) != 32 {
		return nil, errors.New("the sender's public key is malformed")
	}
	plain, ok := box.Open(nil, sealed[24:], (*[24]byte)(sealed[:24]), (*[32]byte)(key), private)
	if !ok {
		return nil, errors.New("the box was not made for this login")
	}
	return plain, nil
}
