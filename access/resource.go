package access

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// This file reads protected-resource metadata (RFC 9728).

// resourceMetadata is the document. Cloudflare's has more members, in two forms
// ("authentication_method" in the documentation, "authentication_methods" live),
// which are not needed.
type resourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
}

// resource fetches and checks the metadata that app's challenge named. Its URL is
// taken from the challenge and not built, since at least two forms exist
// (/.well-known/cloudflare-access-protected-resource/… and
// /.well-known/oauth-protected-resource/…).
func (c *Client) resource(ctx context.Context, app App) (*resourceMetadata, error) {
	u, err := resourceURL(app)
	var m *resourceMetadata
	if err == nil {
		err = retry(ctx, func() (again bool, err error) {
			m, err = getJSON[resourceMetadata](ctx, c, u)
			return err != nil && mayPass(err), err
		})
	}
	if err == nil {
		err = m.check(app)
	}
	if err != nil {
		return nil, &DiscoveryError{Origin: app.Origin, Step: "resource metadata", Err: err}
	}
	return m, nil
}

// resourceURL returns where the document of app's challenge is.
func resourceURL(app App) (*url.URL, error) {
	u, err := app.Origin.URL().Parse(app.Resource)
	if err != nil {
		return nil, err
	}
	// A challenge that names another host's document would let one host hand us
	// the login of another.
	if !sameOrigin(u, app.Origin.URL()) {
		return nil, fmt.Errorf("its URL %s is on another host", redactQuery(u))
	}
	u.User, u.Host = nil, app.Origin.Host() // net/http would send the one, and the other as it is written
	return u, nil
}

func (m *resourceMetadata) check(app App) error {
	if err := covers(m.Resource, app); err != nil {
		return err
	}
	if len(m.AuthorizationServers) == 0 {
		return errors.New("it names no authorization server")
	}
	return nil
}

// maxURL bounds the URLs of documents: they go into the address of the login page,
// which a terminal shows and a command of the system opens.
const maxURL = 2 << 10

// documentURL reads a URL of a document: https, or http to loopback, without a user
// and a fragment (RFC 9728 §1.2, RFC 6749 §3.1), and in ASCII (RFC 3986 §2): what is
// beyond it in a host is not the same to all who connect.
func documentURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	if _, err := OriginOf(u); err != nil {
		return nil, err
	}
	if u.User != nil || strings.Contains(raw, "#") || !visible(raw) || len(raw) > maxURL {
		return nil, errors.New("no URL that a document has")
	}
	return u, nil
}

// covers checks that the resource identifier stands for app's origin and path
// (RFC 9728 §3.3). The documents show it with and without a trailing slash.
func covers(resource string, app App) error {
	r, err := documentURL(resource)
	if err != nil {
		return fmt.Errorf("resource %q is no URL", cut(resource))
	}
	if !sameOrigin(r, app.Origin.URL()) {
		return fmt.Errorf("resource %q is another host's", cut(resource))
	}
	if p := cleanPath(r.Path); !(App{Path: p}).covers(app.Path) {
		return fmt.Errorf("resource %q does not cover %q", cut(resource), app.Path)
	}
	return nil
}

// authorizationServer returns the issuer that m names for app: the team domain,
// or the application's own host, which the documentation also gives.
func (c *Client) authorizationServer(app App, m *resourceMetadata) (*url.URL, error) {
	raw := m.AuthorizationServers[0]
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	// No query (RFC 8414 §2), and no path that leads its document elsewhere.
	u, err := documentURL(raw)
	if err != nil || u.Scheme != "https" || strings.Contains(raw, "?") || path.Clean("/"+u.Path) != "/"+strings.Trim(u.Path, "/") {
		return nil, fmt.Errorf("authorization server %q is no https URL", cut(raw))
	}
	u.Host = lowerASCII(u.Host)
	switch {
	case app.Team != "" && u.Host == app.Team:
	case app.Team == "" && c.isTeamDomain(u.Host):
	case sameOrigin(u, app.Origin.URL()):
	default:
		return nil, fmt.Errorf("authorization server %q is neither the team domain nor the application's host", cut(raw))
	}
	return u, nil
}

// resourceTeam learns the team of a Managed OAuth application whose answer carried
// no signed metadata. What an unsigned document says of the team counts because the
// login is at the team then: a host that names itself as the authorization server
// could claim whatever team is pinned.
func (c *Client) resourceTeam(ctx context.Context, app *App) error {
	m, err := c.resource(ctx, *app)
	if err != nil {
		return err
	}
	as, err := c.authorizationServer(*app, m)
	if err != nil {
		return &DiscoveryError{Origin: app.Origin, Step: "resource metadata", Err: err}
	}
	if sameOrigin(as, app.Origin.URL()) {
		return &DiscoveryError{Origin: app.Origin, Step: "metadata",
			Err: errors.New("the host is its own authorization server and sends no signed metadata, so that nothing tells its team")}
	}
	app.Team = as.Host
	return nil
}
