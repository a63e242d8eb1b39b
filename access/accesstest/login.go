package accesstest

import (
	"crypto/sha256"
	"errors"
	"html"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// grant is a login on its way from the team domain back to the application.
type grant struct {
	app        *Application
	session    *session
	appSession string // digest of the CF_AppSession that started it
	back       string
	expires    time.Time
}

// pending is a page that waits for a click. Each is good for one.
type pending struct {
	click   func(w http.ResponseWriter, r *http.Request, answer string)
	path    string
	expires time.Time
}

// await registers a page's form and returns its id.
func (e *Edge) await(path string, click func(http.ResponseWriter, *http.Request, string)) string {
	id := token(16)
	now := e.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, p := range e.forms {
		if now.After(p.expires) {
			delete(e.forms, k)
		}
	}
	e.forms[id] = &pending{click: click, path: path, expires: now.Add(time.Hour)}
	return id
}

// clicked runs what the form of this POST is for.
func (e *Edge) clicked(w http.ResponseWriter, r *http.Request) {
	if s := r.Header.Get("Sec-Fetch-Site"); s != "" && s != "same-origin" {
		page(w, http.StatusForbidden, "Forbidden", "<p>This click came from another site.</p>", nil)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		page(w, http.StatusBadRequest, "Bad request", "<p>The form could not be read.</p>", nil)
		return
	}
	id := r.PostForm.Get("form")
	now := e.now()
	e.mu.Lock()
	p := e.forms[id]
	delete(e.forms, id)
	e.mu.Unlock()
	if p == nil || p.path != r.URL.Path || now.After(p.expires) {
		page(w, http.StatusBadRequest, "Page expired", "<p>This page was used already, or is too old. Start again.</p>", nil)
		return
	}
	p.click(w, r, r.PostForm.Get("answer"))
}

// metaClaims tie a login to the browser that was sent to it. That there is a
// "meta" token is [observed], what is in it [assumed].
type metaClaims struct {
	Type       string `json:"type"`
	AUD        string `json:"aud"`
	Hostname   string `json:"hostname"`
	AppSession string `json:"app_session_hash"`
	IssuedAt   int64  `json:"iat"`
	Expiry     int64  `json:"exp"`
	Issuer     string `json:"iss"`
}

func (app *App) loginMeta(host, appSession string, now time.Time) string {
	return app.Team.Sign(metaClaims{Type: "meta", AUD: app.AUD, Hostname: host, AppSession: digest(appSession),
		IssuedAt: now.Unix(), Expiry: now.Add(24 * time.Hour).Unix(), Issuer: app.Team.URL()}, Genuine)
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return b64(sum[:])
}

// binding is the CF_Binding that belongs to an application token.
func binding(tok string) string { return digest("binding\x00" + tok) }

// login is what a request to the login page asks for.
type login struct {
	app        *Application
	host, back string
	appSession string
}

func (t *Team) parseLogin(r *http.Request) (*login, error) {
	host := strings.TrimPrefix(r.URL.Path, pathLogin)
	q := r.URL.Query()
	app := t.edge.findApp(func(a *App) bool {
		return a.Team == t && a.AUD == q.Get("kid") && a.named(hostname(host))
	})
	if app == nil {
		return nil, errors.New("no application of this team is at " + host)
	}
	var m metaClaims
	if err := t.verifySignature(q.Get("meta"), &m); err != nil || m.Type != "meta" || m.AUD != q.Get("kid") || m.Hostname != host {
		return nil, errors.New("the login session is not valid")
	}
	if t.edge.now().Unix() >= m.Expiry {
		return nil, errors.New("the login session is over")
	}
	back := q.Get("redirect_url")
	if !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") || strings.HasPrefix(back, `/\`) {
		back = "/"
	}
	return &login{app: app, host: host, back: back, appSession: m.AppSession}, nil
}

// serveLogin is the team's login page. It lets in an org session, or a click.
func (t *Team) serveLogin(w http.ResponseWriter, r *http.Request, rec *entry) {
	if r.Method == http.MethodPost {
		t.edge.clicked(w, r)
		return
	}
	l, err := t.parseLogin(r)
	if err != nil {
		page(w, http.StatusBadRequest, "Unable to log in", "<p>"+html.EscapeString(err.Error())+"</p>", nil)
		return
	}
	if s := t.browserSession(r, rec); s != nil {
		t.finishLogin(w, r, l, s, http.StatusFound)
		return
	}
	if who := t.settings().ApproveAnyone; who != "" {
		s := t.startSession(who)
		t.setSession(w, s)
		t.finishLogin(w, r, l, s, http.StatusFound)
		return
	}
	id := t.edge.await(r.URL.Path, func(w http.ResponseWriter, r *http.Request, answer string) {
		if s := t.clickedLogin(w, r, answer); s != nil {
			t.finishLogin(w, r, l, s, http.StatusSeeOther)
		}
	})
	t.loginPage(w, l.app.App(), r.URL.Path, id, "https://"+l.host)
}

// clickedLogin makes the session of someone who clicked on a login page, or
// answers with a page and returns nil.
func (t *Team) clickedLogin(w http.ResponseWriter, r *http.Request, answer string) *session {
	email := strings.TrimSpace(r.PostForm.Get("email"))
	switch {
	case answer != "login":
		page(w, http.StatusForbidden, "Login cancelled", "<p>You can close this window.</p>", nil)
		return nil
	case t.settings().Deny:
		page(w, http.StatusForbidden, "Login refused", "<p>The identity provider refused the login.</p>", nil)
		return nil
	case !strings.Contains(email, "@"):
		page(w, http.StatusBadRequest, "Unable to log in", "<p>That is no e-mail address.</p>", nil)
		return nil
	}
	s := t.startSession(email)
	t.setSession(w, s)
	return s
}

// loginPage shows the form of a login. A click's redirects lead through
// target: Chromium holds the page's form-action against each of them.
func (t *Team) loginPage(w http.ResponseWriter, app App, action, id, target string) {
	page(w, http.StatusOK, "Log in to "+app.Name, "<p>Team <strong>"+html.EscapeString(t.settings().Name)+
		"</strong>. This is an emulated login: any address will do.</p>", &form{
		action: action, id: id, email: true, targets: []string{target, "https:"},
		buttons: []button{{"login", "Log in", true}, {"cancel", "Cancel", false}},
	})
}

// browserSession is the session of the org token in the request's cookies.
func (t *Team) browserSession(r *http.Request, rec *entry) *session {
	for _, c := range r.CookiesNamed(cookieAuthorization) {
		s, err := t.orgSession(c.Value)
		rec.credential(OrgCookie, err)
		if err == nil {
			return s
		}
	}
	return nil
}

func (t *Team) setSession(w http.ResponseWriter, s *session) {
	http.SetCookie(w, &http.Cookie{Name: cookieAuthorization, Value: t.orgToken(s), Path: "/",
		Expires: s.expires, Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode})
	http.SetCookie(w, &http.Cookie{Name: cookieSession, Value: token(16), Path: "/",
		Expires: t.edge.now().Add(4 * time.Hour), Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode})
}

// finishLogin sends a logged-in person back to the application.
func (t *Team) finishLogin(w http.ResponseWriter, r *http.Request, l *login, s *session, status int) {
	app := l.app.App()
	if !app.admits(s.email) {
		page(w, http.StatusForbidden, "Forbidden", "<p>"+html.EscapeString(s.email)+" may not use <strong>"+
			html.EscapeString(app.Name)+"</strong>.</p>", nil)
		return
	}
	nonce := token(16)
	now := t.edge.now()
	t.edge.mu.Lock()
	for k, g := range t.edge.nonces {
		if now.After(g.expires) {
			delete(t.edge.nonces, k)
		}
	}
	t.edge.nonces[nonce] = &grant{app: l.app, session: s, appSession: l.appSession, back: l.back, expires: now.Add(2 * time.Minute)}
	t.edge.mu.Unlock()
	// The parameter names are [assumed]; the client follows the redirect as it is.
	q := url.Values{"nonce": {nonce}, "redirect_url": {l.back}}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", "https://"+l.host+pathAuthorized+"?"+q.Encode())
	w.WriteHeader(status)
}

// serveOnApp serves Access's own paths on an application's host.
func (e *Edge) serveOnApp(w http.ResponseWriter, r *http.Request, host string, rec *entry) {
	switch p := r.URL.Path; {
	case p == pathAuthorized:
		e.serveAuthorized(w, r, host)
	case p == pathCLI:
		e.serveCLI(w, r, host, rec)
	case p == pathIdentity, p == pathLogout:
		a := e.cookieApp(r, host)
		if a == nil {
			a = e.findApp(func(app *App) bool { return app.named(host) })
		}
		app := a.App()
		if p == pathLogout {
			app.Team.serveLogout(w, r)
		} else {
			app.Team.serveIdentity(w, r, app.AUD)
		}
	default:
		http.NotFound(w, r)
	}
}

// cookieApp is the application of the host whose token the request carries.
func (e *Edge) cookieApp(r *http.Request, host string) *Application {
	for _, c := range r.CookiesNamed(cookieAuthorization) {
		var claims tokenClaims
		if parts := strings.Split(c.Value, "."); len(parts) != 3 || decodePart(parts[1], &claims) != nil || len(claims.AUD) != 1 {
			continue
		}
		if a := e.findApp(func(app *App) bool { return app.named(host) && app.AUD == claims.AUD[0] }); a != nil {
			return a
		}
	}
	return nil
}

// serveAuthorized gives the browser that began the login its application token.
func (e *Edge) serveAuthorized(w http.ResponseWriter, r *http.Request, host string) {
	nonce := r.URL.Query().Get("nonce")
	now := e.now()
	e.mu.Lock()
	g := e.nonces[nonce]
	delete(e.nonces, nonce)
	e.mu.Unlock()
	mine := false
	if g != nil {
		for _, c := range r.CookiesNamed(cookieAppSession) {
			mine = mine || digest(c.Value) == g.appSession
		}
	}
	switch {
	case g == nil || now.After(g.expires):
		page(w, http.StatusBadRequest, "Unable to log in", "<p>This login was used already, or is too old.</p>", nil)
		return
	case !mine:
		page(w, http.StatusBadRequest, "Unable to log in", "<p>This login was not started by this browser.</p>", nil)
		return
	}
	app := g.app.App()
	if !app.named(host) || !app.admits(g.session.email) {
		page(w, http.StatusForbidden, "Forbidden", "<p>You may not use this application.</p>", nil)
		return
	}
	for _, c := range g.app.appCookies(app, g.app.appToken(app, g.session)) {
		http.SetCookie(w, c)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", "https://"+r.Host+g.back)
	w.WriteHeader(http.StatusFound)
}

// tokenSession is the session behind the CF_Authorization of a request to the
// team domain or to an application, whose audience is aud.
func (t *Team) tokenSession(r *http.Request, aud string) (*session, tokenClaims) {
	typ := "app"
	if aud == t.aud {
		typ = "org"
	}
	for _, c := range r.CookiesNamed(cookieAuthorization) {
		claims, err := t.verify(c.Value, typ)
		if err != nil || len(claims.AUD) != 1 || claims.AUD[0] != aud || t.live(c.Value, claims, 0) != nil {
			continue
		}
		t.edge.mu.Lock()
		s := t.sessions[claims.IdentityNonce]
		t.edge.mu.Unlock()
		return s, claims
	}
	return nil, tokenClaims{}
}

// serveIdentity tells who the cookie belongs to. [cookie]
func (t *Team) serveIdentity(w http.ResponseWriter, r *http.Request, aud string) {
	s, c := t.tokenSession(r, aud)
	switch {
	case s != nil:
		label, _, _ := strings.Cut(s.email, "@")
		writeJSON(w, http.StatusOK, map[string]any{
			"id": subject(s.email), "user_uuid": subject(s.email), "email": s.email, "name": label,
			"idp": map[string]string{"id": subject(t.domain), "type": "onetimepin"}, "geo": map[string]string{"country": "GB"},
			"account_id": t.aud[:32], "iat": c.IssuedAt, "is_warp": false, "is_gateway": false, "version": 2,
			"service_token_status": false, "service_token_id": "",
		})
	case c.CommonName != "":
		writeJSON(w, http.StatusOK, map[string]any{"common_name": c.CommonName, "service_token_status": true,
			"service_token_id": strings.TrimSuffix(c.CommonName, ".access"), "account_id": t.aud[:32], "iat": c.IssuedAt})
	default: // status and text are [assumed]
		writeJSON(w, http.StatusBadRequest, map[string]string{"err": "no app token set"})
	}
}

// serveLogout ends the session everywhere. [session]; at the service that takes up to 30 s.
func (t *Team) serveLogout(w http.ResponseWriter, r *http.Request) {
	for _, typ := range []string{"app", "org"} {
		for _, c := range r.CookiesNamed(cookieAuthorization) {
			if claims, err := t.verify(c.Value, typ); err == nil {
				t.edge.mu.Lock()
				delete(t.sessions, claims.IdentityNonce)
				t.edge.mu.Unlock()
			}
		}
	}
	for _, name := range []string{cookieAuthorization, cookieBinding} {
		http.SetCookie(w, &http.Cookie{Name: name, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true})
	}
	page(w, http.StatusOK, "Logged out", "<p>You have logged out of every application of this team.</p>", nil)
}
