package access

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// discoveryFresh is how long a discovered application is trusted when network is
// used anyhow; a warm call with a valid session never looks at it.
const discoveryFresh = 5 * time.Minute

// Discover returns the application that protects u, as the server tells it now.
// The team is checked against the pinned one, and pinned if it is the first.
func (c *Client) Discover(ctx context.Context, u *url.URL) (App, error) {
	o, err := OriginOf(u)
	if err != nil {
		return App{}, err
	}
	return c.discover(ctx, o, u.Path, Policy{})
}

// Lookup returns the application that protects u from what was learnt before,
// without network; ok is false if nothing was.
func (c *Client) Lookup(u *url.URL) (app App, ok bool) {
	o, err := OriginOf(u)
	if err != nil {
		return App{}, false
	}
	return c.host(o).match(u.Path)
}

// Applications returns what was learnt of the applications of o, without network:
// one may guard the whole of it, and others paths of it.
func (c *Client) Applications(o Origin) []App { return c.host(o).Apps }

func (c *Client) discover(ctx context.Context, o Origin, p string, policy Policy) (App, error) {
	var app App
	err := retry(ctx, func() (again bool, err error) {
		app, again, err = c.ask(ctx, o, p)
		return again, err
	})
	if err != nil {
		return App{}, err
	}
	if app.Mode == ModeOpen {
		// Not remembered against a pin: an open answer proves nothing.
		return app, c.updateHost(ctx, o, func(r *hostRecord) {
			if r.Pinned == "" {
				r.put(app)
			}
		})
	}
	var changed error
	accepted := canonicalTeam(policy.AcceptTeam)
	err = c.updateHost(ctx, o, func(r *hostRecord) {
		if r.Pinned != "" && app.Team != "" && app.Team != r.Pinned && app.Team != accepted {
			changed = &TeamChangedError{Origin: o, Was: r.Pinned, Now: app.Team}
			return
		}
		if app.Team != "" && r.Pinned != app.Team {
			r.Apps = nil // another team's applications are gone with it
			r.Pinned = app.Team
		}
		// One host may have several applications by path. Metadata does not
		// always tell the path; then the first one found stands for the host,
		// and another audience is kept for the path where it was met.
		if app.Path == "" {
			for _, known := range r.Apps {
				if known.Path == "" && known.Audience != app.Audience && known.Mode != ModeOpen && cleanPath(p) != "" {
					app.Path = cleanPath(p)
				}
			}
		}
		r.put(app)
		r.sawPath(p)
	})
	if changed != nil {
		return App{}, changed
	}
	return app, err
}

// ask sends one request without any credential and makes an App of the answer.
func (c *Client) ask(ctx context.Context, o Origin, p string) (app App, again bool, err error) {
	resp, answer, err := c.knock(ctx, http.MethodHead, o, p)
	if err == nil && resp.StatusCode == http.StatusUnauthorized && answer.Resource == "" {
		// The metadata URL of Managed OAuth may stand in the body alone.
		resp, answer, err = c.knock(ctx, http.MethodGet, o, p)
	}
	if err != nil {
		return App{}, ctx.Err() == nil && mayPass(err), err
	}
	app = App{Origin: o, Seen: c.now().UTC()}
	switch answer.Kind {
	case AnswerLogin:
		app.Mode = ModeLogin
	case AnswerOAuth:
		app.Mode, app.Resource = ModeOAuth, answer.Resource
	case AnswerServiceOnly:
		app.Mode = ModeServiceToken
	case AnswerUnauthorized, AnswerForbidden:
		// An origin's own refusal looks much the same to HEAD, which has no body;
		// metadata tells them apart.
		app.Mode = ModeServiceToken
	case AnswerBlocked:
		return App{}, false, &RefusedError{App: app, Cause: Blocked, StatusCode: answer.StatusCode, Detail: answer.Detail}
	}
	raw := resp.Header.Get(metadataHeader)
	switch {
	case raw != "":
		m, err := c.readMetadata(ctx, o, raw)
		if err != nil {
			return App{}, false, &DiscoveryError{Origin: o, Step: "metadata", Err: err}
		}
		app.Team, app.Audience, app.Hostname, app.Path = m.AuthDomain, m.Audience, m.AppHostname, m.path(p)
		if app.Mode == "" {
			// Metadata and no refusal: the request got through. A policy lets this
			// client in without a login (its address, its device).
			app.Mode = ModeOpen
		}
	case app.Mode == ModeServiceToken && answer.Kind != AnswerServiceOnly:
		app.Mode = ModeOpen // an origin's 401 or 403, nothing of Access's
	case app.Mode == ModeLogin:
		return App{}, false, &DiscoveryError{Origin: o, Step: "metadata",
			Err: errors.New("the host asks for a login but sends no signed metadata")}
	case app.Mode == ModeServiceToken:
		app.Audience = answer.Audience // for display; no person's token goes there
	case app.Mode == "":
		if answer.Kind == AnswerTunnelDown || answer.Kind == AnswerOriginDown || resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
			return App{}, true, refusal(app, answer)
		}
		app.Mode = ModeOpen
	}
	if app.Mode == ModeOAuth && app.Team == "" {
		if err := c.resourceTeam(ctx, &app); err != nil {
			return App{}, false, err
		}
	}
	return app, false, nil
}

// admitsPeople reports whether those who come without a credential are sent to a
// login. It asks once, and learns nothing of it.
func (c *Client) admitsPeople(ctx context.Context, o Origin, p string) bool {
	_, answer, err := c.knock(ctx, http.MethodHead, o, p)
	return err == nil && (answer.Kind == AnswerLogin || answer.Kind == AnswerOAuth)
}

// knock sends one request that carries no credential, and asks for metadata.
func (c *Client) knock(ctx context.Context, method string, o Origin, p string) (*http.Response, Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	u := o.URL()
	if p != "" {
		u.Path = p
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, Answer{}, err
	}
	req.Header.Set(metadataRequestHeader, "true")
	resp, err := c.do(ctx, req)
	if err != nil {
		return nil, Answer{}, err
	}
	defer resp.Body.Close()
	return resp, ReadAnswer(resp), nil
}

// refusal is the typed error of an answer that no credential cures.
func refusal(app App, a Answer) error {
	cause := OriginDown
	switch a.Kind {
	case AnswerBlocked:
		cause = Blocked
	case AnswerTunnelDown:
		cause = TunnelDown
	}
	return &RefusedError{App: app, Cause: cause, StatusCode: a.StatusCode, Detail: a.Detail}
}
