package accesstest

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// App describes an application behind the edge. Its policies decide how it
// answers:
//
//	Allow                a person's session is wanted: 302 to the team's login
//	Services             only service tokens may pass: 403
//	Allow and Services   either; a service token that is refused gets the 302
//	Bypass               everyone may pass; the edge adds nothing
//	none of them         nobody may pass: 403
type App struct {
	// Host is the name it is reached by, or a wildcard such as *.example.com.
	Host string
	// Path limits it to this prefix, such as "/git". The longest one wins.
	Path string
	// Name is shown on login pages. Default: Host and Path.
	Name string
	// AUD is its audience tag. Default: 64 random hex digits.
	AUD string
	// Team it belongs to. Default: [Edge.Team].
	Team *Team

	// Allow admits people: Users by e-mail address, or everyone if nil.
	Allow bool
	Users []string
	// Services are the tokens that its Service Auth policy admits.
	Services []*ServiceToken
	// Bypass switches Access off for it.
	Bypass bool

	// Strict is the organisation's strict_service_token_auth: 401 for a
	// service token that cannot authenticate, 403 for one that is not
	// admitted, whatever else is sent along; no cookie comes back, and
	// duplicate or incomplete headers are refused. [service]: the default,
	// and fixed, for organisations created since 2026-10-05.
	Strict bool
	// ServiceAuth401 is service_auth_401_redirect: 401 instead of 403 where
	// only service tokens may pass.
	ServiceAuth401 bool
	// ServiceHeader is read_service_tokens_from_header: this header, too,
	// may carry the service token, as one JSON object.
	ServiceHeader string
	// BindingCookie wants CF_Binding beside each application token.
	BindingCookie bool
	// PathCookie limits CF_Authorization to Path. Otherwise applications of
	// one host overwrite each other's cookie.
	PathCookie bool
	// ClientCAs wants a client certificate of one of these authorities, for
	// mutual TLS: 403 without.
	ClientCAs *x509.CertPool
	// Session is the lifetime of its tokens. Zero: 24 h.
	Session time.Duration
	// OAuth turns Managed OAuth on.
	OAuth *OAuth

	// Origin serves its HTTP. nil answers 502.
	Origin http.Handler
	// TCP connects to its TCP origin, for WebSocket upgrades. destination is
	// the Cf-Access-Jump-Destination of the client without scheme and path,
	// mostly empty. nil leaves upgrades to Origin.
	TCP func(ctx context.Context, destination string) (net.Conn, error)

	// MessageLimit discards, silently, what a client's message holds beyond so
	// many bytes. Zero: nothing. cloudflared's connector, which sits in front
	// of an origin, has 16 KiB: Conn.Read of websocket/connection.go takes a
	// whole message and keeps what fits the buffer of cfio/copy.go. [client]
	MessageLimit int
	// NoCloseFrame ends a relay whose origin has ended by the end of TLS
	// alone, as comes from behind that connector. [client]
	NoCloseFrame bool

	// WebSocketsOff answers upgrades with 400, as a zone that has them off.
	WebSocketsOff bool
	// Delay holds each request for so long.
	Delay time.Duration
	// Metadata falsifies the signed metadata.
	Metadata MetadataFault
	// OtherTeam is the team that MetadataOtherTeam speaks of.
	OtherTeam *Team
	// OversizedDocuments makes the resource document 10 MB large.
	OversizedDocuments bool
	// EndlessRedirects makes it redirect to itself instead of answering.
	EndlessRedirects bool
}

// Application is an App that an edge serves.
type Application struct {
	edge *Edge

	// Guarded by edge.mu.
	app     App
	revoked int64 // issue number up to which its tokens are revoked
}

// AddApp serves an application. It panics if a names no host, or a team of
// another edge.
func (e *Edge) AddApp(a App) *Application {
	if a.Team == nil {
		a.Team = e.Team()
	}
	if a.Host == "" || a.Team.edge != e {
		panic("accesstest: an application needs a host, and a team of this edge")
	}
	a.Host = strings.ToLower(a.Host)
	a.Path = strings.TrimSuffix(a.Path, "/")
	if a.AUD == "" {
		a.AUD = token(32)
	}
	if a.Name == "" {
		a.Name = a.Host + a.Path
	}
	app := &Application{edge: e, app: a}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.apps = append(e.apps, app)
	return app
}

// Set changes the application. Host, Path and Team stay as they were.
func (a *Application) Set(change func(*App)) {
	a.edge.mu.Lock()
	defer a.edge.mu.Unlock()
	n := a.app
	change(&n)
	n.Host, n.Path, n.Team = a.app.Host, a.app.Path, a.app.Team
	a.app = n
}

// App returns the application's present description.
func (a *Application) App() App {
	a.edge.mu.Lock()
	defer a.edge.mu.Unlock()
	return a.app
}

// URL is where the application begins, without a slash at the end.
func (a *Application) URL() string {
	app := a.App()
	return "https://" + app.Host + app.Path
}

// Move gives the application to another team, as when a name changes hands.
func (a *Application) Move(t *Team) {
	if t.edge != a.edge {
		panic("accesstest: a team of another edge")
	}
	a.edge.mu.Lock()
	defer a.edge.mu.Unlock()
	a.app.Team, a.app.AUD = t, token(32)
}

// Revoke is "Revoke existing tokens": every token that the application gave
// out so far ends. Sessions at the team stay.
func (a *Application) Revoke() {
	a.edge.mu.Lock()
	defer a.edge.mu.Unlock()
	a.revoked = a.edge.seq
	a.app.Team.revokeGrants(func(g *oauthGrant) bool { return g.app == a })
}

// Token returns a fresh application token for the person, as if they had
// logged in, for tests that start with one.
func (a *Application) Token(email string) string {
	app := a.App()
	return a.appToken(app, app.Team.startSession(email))
}

// OrgToken returns a fresh org token of the team for the person.
func (t *Team) OrgToken(email string) string { return t.orgToken(t.startSession(email)) }

func (t *Team) startSession(email string) *session {
	s := &session{id: token(16), email: email, expires: t.edge.now().Add(t.settings().OrgSession)}
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	t.sessions[s.id] = s
	return s
}

func (a *Application) appToken(app App, s *session) string {
	return app.Team.issue(tokenClaims{AUD: []string{app.AUD}, Email: s.email, Type: "app", IdentityNonce: s.id, Subject: subject(s.email)},
		app.session())
}

func (app *App) session() time.Duration {
	if app.Session > 0 {
		return app.Session
	}
	return 24 * time.Hour
}

// admits reports whether the Allow policy lets the person in.
func (app *App) admits(email string) bool {
	return app.Allow && email != "" && (app.Users == nil || slices.Contains(app.Users, email))
}

// covers reports whether a path is the application's.
func (app *App) covers(path string) bool {
	return app.Path == "" || path == app.Path || strings.HasPrefix(path, app.Path+"/")
}

func (app *App) named(host string) bool {
	suffix, wild := strings.CutPrefix(app.Host, "*")
	return app.Host == host || wild && strings.HasSuffix(host, suffix) && len(host) > len(suffix)
}

// appFor finds the application for a request: an exact host before a wildcard,
// then the longest path. Paths of Access itself belong to the host.
func (e *Edge) appFor(host, path string) *Application {
	own := strings.HasPrefix(path, pathPrefix)
	if rest, ok := strings.CutPrefix(path, pathResource); ok {
		path = rest
		if path == "" {
			path = "/"
		}
	}
	return e.findApp(func(app *App) bool { return app.named(host) && (own || app.covers(path)) })
}

func (e *Edge) findApp(match func(*App) bool) *Application {
	e.mu.Lock()
	defer e.mu.Unlock()
	var best *Application
	rank := func(a *Application) int {
		n := len(a.app.Path)
		if !strings.HasPrefix(a.app.Host, "*") {
			n += 1 << 16
		}
		return n
	}
	for _, a := range e.apps {
		if match(&a.app) && (best == nil || rank(a) > rank(best)) {
			best = a
		}
	}
	return best
}

func (a *Application) serve(w http.ResponseWriter, r *http.Request, rec *entry) {
	app := a.App()
	if !a.edge.pause(r, app.Delay) {
		return
	}
	if app.EndlessRedirects {
		http.Redirect(w, r, "https://"+r.Host+r.URL.Path+"?again="+token(4), http.StatusFound)
		return
	}
	switch p := r.URL.Path; {
	case strings.HasPrefix(p, pathPrefix):
		a.edge.serveOnApp(w, r, hostname(r.Host), rec)
		return
	case strings.HasPrefix(p, pathResource):
		a.serveResource(w, r, app)
		return
	case a.serveOAuthDocuments(w, r, app):
		return
	}
	if r.Header.Get(headerMetadataRequest) == "true" && !app.Bypass {
		a.addMetadata(w, r, app)
	}
	if app.ClientCAs != nil && !app.Bypass && !hasCertificate(r, app.ClientCAs) {
		a.forbid(w, r, app, http.StatusForbidden)
		return
	}
	v := a.judge(r, app)
	rec.judged(v)
	if !v.pass {
		a.refuse(w, r, app, v)
		return
	}
	for _, c := range v.cookies {
		http.SetCookie(w, c)
	}
	a.forward(w, r, app, v, rec)
}
