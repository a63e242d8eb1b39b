package accesstest

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Paths of Managed OAuth on the team domain ([agents]); the documents are on
// the application, too ([oauth]).
const (
	pathOAuthAuthorization = "/cdn-cgi/access/oauth/authorization"
	pathOAuthToken         = "/cdn-cgi/access/oauth/token"
	pathOAuthRegistration  = "/cdn-cgi/access/oauth/registration"
	pathOAuthRevoke        = "/cdn-cgi/access/oauth/revoke"
	pathOAuthServer        = "/.well-known/oauth-authorization-server"
	pathMCPResource        = "/.well-known/oauth-protected-resource" // reported for an MCP portal [observed]
	bearerPrefix           = "oauth:"
)

// OAuth turns Managed OAuth on for an application, with its switches. What the
// authorization server does for the whole team is in [TeamSettings.OAuthServer].
// The zero value is the service as [agents] shows it, and where nobody has said
// what it does, what is hardest on a client.
type OAuth struct {
	// MCPPath puts the resource document at the path of MCP portals.
	MCPPath bool
	// MethodList gives the resource document the authentication_methods list
	// that was observed, instead of the documented authentication_method.
	MethodList bool
	// NoHeaderURL leaves resource_metadata out of WWW-Authenticate: the body
	// has it alone.
	NoHeaderURL bool
	// RefuseJWT refuses application tokens (cookie, cf-access-token) beside Bearer.
	RefuseJWT bool
	// KeepBearer passes Authorization on to the origin.
	KeepBearer bool
	// NoUpgrade refuses Bearer on a WebSocket upgrade.
	NoUpgrade bool
	// Browser tells whom to redirect instead of challenging. Default: whoever's
	// User-Agent begins with "Mozilla/". How the service tells is not documented.
	Browser func(*http.Request) bool

	// RefuseLocalhost and RefuseLoopback refuse redirect URIs on "localhost",
	// and on 127.0.0.1 and ::1, as without allow_any_on_localhost and
	// allow_any_on_loopback. AllowedURIs are admitted all the same; one may
	// end in "/*".
	RefuseLocalhost, RefuseLoopback bool
	AllowedURIs                     []string
	// AnyPort admits a loopback redirect URI that differs from the registered
	// one by its port.
	AnyPort bool
	// NoConsent asks for no click where a session exists.
	NoConsent bool
	// Deny refuses everyone after the login.
	Deny bool
	// Callback may change the parameters of the redirect to the client, as a
	// hostile server would: drop or change state, put in another code.
	Callback func(redirect string, params url.Values)

	// CodeLifetime is how long a code is good for. Zero: 1 min.
	CodeLifetime time.Duration
	// AccessLifetime is that of access tokens. Zero: 15 min. [oauth]
	AccessLifetime time.Duration
	// GrantLifetime is that of refresh tokens. Zero: 24 h.
	GrantLifetime time.Duration
	// NoRotation keeps the refresh token when it is used.
	NoRotation bool
	// ReuseRevokes ends the whole grant when a rotated refresh token is used again.
	ReuseRevokes bool

	// Resource is what the resource document names. Default: https://HOST.
	Resource string
	// MetadataURL may change the URL of the resource document in the challenge.
	MetadataURL func(string) string
	// Document may change the resource document.
	Document func(map[string]any)
}

// OAuthServer are the switches of a team's authorization server.
type OAuthServer struct {
	// IssuerScheme puts https:// before the issuer, as observed; the
	// documentation shows it without.
	IssuerScheme bool
	// NoRegistration offers no registration_endpoint, as where Managed OAuth
	// is off, and refuses registration.
	NoRegistration bool
	// Oversized makes the document 10 MB large.
	Oversized bool
	// Document may change the document.
	Document func(map[string]any)
}

func (o *OAuth) browser(r *http.Request) bool {
	if o.Browser != nil {
		return o.Browser(r)
	}
	return strings.HasPrefix(r.UserAgent(), "Mozilla/")
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// challengeOAuth is the 401 that sends a program to the authorization server. [agents]
func (a *Application) challengeOAuth(w http.ResponseWriter, r *http.Request, app App) {
	const description = "Missing or invalid access token"
	path := pathResource
	if app.OAuth.MCPPath {
		path = pathMCPResource
	}
	link := "https://" + r.Host + path + r.URL.EscapedPath()
	if app.OAuth.MetadataURL != nil {
		link = app.OAuth.MetadataURL(link)
	}
	head := `Bearer realm="OAuth", error="invalid_token", error_description="` + description + `"`
	if !app.OAuth.NoHeaderURL {
		head += `, resource_metadata="` + link + `"`
	}
	w.Header().Set("WWW-Authenticate", head)
	writeJSON(w, http.StatusUnauthorized, map[string]string{
		"error": "invalid_token", "error_description": description, "resource_metadata": link,
	})
}

// serveOAuthDocuments serves what Managed OAuth adds to an application's host.
func (a *Application) serveOAuthDocuments(w http.ResponseWriter, r *http.Request, app App) bool {
	if app.OAuth == nil {
		return false
	}
	switch p := r.URL.Path; {
	case p == pathOAuthServer: // [oauth] names it on the application, too
		app.Team.serveOAuthServer(w)
		return true
	case app.OAuth.MCPPath && (p == pathMCPResource || strings.HasPrefix(p, pathMCPResource+"/")):
		a.serveResource(w, r, app)
		return true
	}
	return false
}

// oauthGrant is what a person allowed a client.
type oauthGrant struct {
	app     *Application
	aud     string
	session *session
	client  string
	expires time.Time
	dead    bool
	refresh string // the one that holds
}

type accessToken struct {
	grant   *oauthGrant
	expires time.Time
}

// judgeBearer looks at an Authorization of Managed OAuth. One token is good
// for all domains of its application, that is of its audience. [oauth]
func (a *Application) judgeBearer(v *verdict, r *http.Request, app App) {
	scheme, tok, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if app.OAuth == nil || !strings.EqualFold(scheme, "Bearer") {
		return
	}
	g, err := app.Team.bearer(strings.TrimSpace(tok), app.AUD)
	if err == nil && app.OAuth.NoUpgrade && isWebSocket(r) {
		err = errors.New("no bearer on an upgrade")
	}
	if err == nil && !app.admits(g.session.email) {
		err = errors.New("not admitted by the policy")
	}
	v.add(Bearer, err)
	if err != nil {
		return
	}
	v.pass, v.bearer, v.email = true, true, g.session.email
	v.assertion = a.appToken(app, g.session)
}

func (t *Team) bearer(tok, aud string) (*oauthGrant, error) {
	now := t.edge.now()
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	at := t.oauth.access[tok]
	switch {
	case at == nil:
		return nil, errors.New("unknown access token")
	case at.grant.dead:
		return nil, errors.New("revoked")
	case !now.Before(at.expires):
		return nil, errors.New("expired")
	case at.grant.aud != aud:
		return nil, errors.New("access token of another application")
	}
	return at.grant, nil
}

// revokeGrants ends every grant that match picks. The edge is locked.
func (t *Team) revokeGrants(match func(*oauthGrant) bool) {
	for _, at := range t.oauth.access {
		at.grant.dead = at.grant.dead || match(at.grant)
	}
	for _, g := range t.oauth.refresh {
		g.dead = g.dead || match(g)
	}
}

// oauthState is what the authorization server remembers. Guarded by edge.mu.
type oauthState struct {
	clients map[string]*oauthClient
	codes   map[string]*oauthCode
	access  map[string]*accessToken
	refresh map[string]*oauthGrant // also of rotated tokens
}

func newOAuthState() oauthState {
	return oauthState{clients: map[string]*oauthClient{}, codes: map[string]*oauthCode{}, access: map[string]*accessToken{}, refresh: map[string]*oauthGrant{}}
}

// AddOAuthClient registers a public client by hand, for teams that allow no
// registration, and returns its id.
func (t *Team) AddOAuthClient(redirectURIs ...string) string {
	id := uuid()
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	t.oauth.clients[id] = &oauthClient{id: id, redirects: slices.Clone(redirectURIs)}
	return id
}

// DropOAuthClients forgets every client: invalid_client from now on.
func (t *Team) DropOAuthClients() {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	clear(t.oauth.clients)
}

// ExpireAccessTokens lets every access token of Managed OAuth expire now.
// Refresh tokens hold.
func (t *Team) ExpireAccessTokens() {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	for _, at := range t.oauth.access {
		at.expires = time.Time{}
	}
}

// ExpireGrants lets every refresh token expire now.
func (t *Team) ExpireGrants() {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	for _, g := range t.oauth.refresh {
		g.expires = time.Time{}
	}
}
