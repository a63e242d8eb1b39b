package accesstest

import (
	"crypto/sha256"
	"encoding/json"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// oauthClient is a registered client.
type oauthClient struct {
	id, secret string // secret empty for a public one
	redirects  []string
	app        *Application // of the resource it registered for; nil if it named none
}

// oauthCode is an authorization code, good for one exchange.
type oauthCode struct {
	client, redirect, challenge string
	app                         *Application
	session                     *session
	expires                     time.Time
	grant                       *oauthGrant // once used
}

func uuid() string {
	s := token(16)
	return strings.Join([]string{s[:8], s[8:12], "4" + s[13:16], "a" + s[17:20], s[20:]}, "-")
}

// serveOAuth serves the authorization server, and reports whether the path is its own.
func (t *Team) serveOAuth(w http.ResponseWriter, r *http.Request, rec *entry) bool {
	post := func(h func(http.ResponseWriter, *http.Request, *entry)) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			oauthError(w, http.StatusMethodNotAllowed, "invalid_request", "POST it")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		h(w, r, rec)
	}
	switch r.URL.Path {
	case pathOAuthServer:
		t.serveOAuthServer(w)
	case pathOAuthRegistration:
		post(t.serveRegistration)
	case pathOAuthAuthorization:
		t.serveAuthorization(w, r, rec)
	case pathOAuthToken:
		post(t.serveToken)
	case pathOAuthRevoke:
		post(t.serveRevoke)
	default:
		return false
	}
	return true
}

// oauthError is the error answer of RFC 6749 §5.2 and RFC 7591 §3.2.2.
func oauthError(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, status, map[string]string{"error": code, "error_description": description})
}

// serveOAuthServer is the authorization server's metadata, as [agents] prints it.
func (t *Team) serveOAuthServer(w http.ResponseWriter) {
	set := t.settings().OAuthServer
	doc := map[string]any{
		"issuer":                                t.domain,
		"authorization_endpoint":                t.URL() + pathOAuthAuthorization,
		"token_endpoint":                        t.URL() + pathOAuthToken,
		"response_types_supported":              []string{"code"},
		"response_modes_supported":              []string{"query"},
		"grant_types_supported":                 []string{"authorization_code", "refresh_token"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post", "none"},
		"revocation_endpoint":                   t.URL() + pathOAuthRevoke,
		"code_challenge_methods_supported":      []string{"S256"},
	}
	if set.IssuerScheme {
		doc["issuer"] = t.URL()
	}
	if !set.NoRegistration && t.edge.findApp(func(a *App) bool { return a.Team == t && a.OAuth != nil }) != nil {
		doc["registration_endpoint"] = t.URL() + pathOAuthRegistration
	}
	if set.Document != nil {
		set.Document(doc)
	}
	if set.Oversized {
		doc["padding"] = strings.Repeat("a", 10<<20)
	}
	writeJSON(w, http.StatusOK, doc)
}

// resourceApp finds the team's application of a resource URL. RFC 8707.
func (t *Team) resourceApp(resource string) *Application {
	u, err := url.Parse(resource)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil
	}
	path := u.Path
	if path == "" {
		path = "/"
	}
	host := hostname(u.Host)
	return t.edge.findApp(func(a *App) bool {
		// The documents name the host alone even for an application below a path.
		return a.Team == t && a.OAuth != nil && a.named(host) && (a.covers(path) || path == "/")
	})
}

// serveRegistration is RFC 7591. Body and answer: [agents].
func (t *Team) serveRegistration(w http.ResponseWriter, r *http.Request, _ *entry) {
	if t.settings().OAuthServer.NoRegistration {
		oauthError(w, http.StatusForbidden, "access_denied", "dynamic client registration is not enabled")
		return
	}
	var in struct {
		RedirectURIs  []string `json:"redirect_uris"`
		AuthMethod    string   `json:"token_endpoint_auth_method"`
		GrantTypes    []string `json:"grant_types"`
		ResponseTypes []string `json:"response_types"`
		Resource      string   `json:"resource"`
		ClientName    string   `json:"client_name,omitempty"`
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err != nil || len(in.RedirectURIs) == 0 || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		oauthError(w, http.StatusBadRequest, "invalid_client_metadata", "redirect_uris, as JSON")
		return
	}
	var app *Application
	if in.Resource != "" {
		if app = t.resourceApp(in.Resource); app == nil {
			oauthError(w, http.StatusBadRequest, "invalid_client_metadata", "resource is not known")
			return
		}
	}
	for _, u := range in.RedirectURIs {
		if !t.allowsRedirect(app, u) {
			oauthError(w, http.StatusBadRequest, "invalid_client_metadata", "redirect_uri is not allowed by the account configuration") // [observed]
			return
		}
	}
	c := &oauthClient{id: uuid(), redirects: in.RedirectURIs, app: app}
	switch in.AuthMethod {
	case "none":
	case "", "client_secret_basic", "client_secret_post": // RFC 7591: basic is the default
		c.secret = token(32)
	default:
		oauthError(w, http.StatusBadRequest, "invalid_client_metadata", "token_endpoint_auth_method")
		return
	}
	if len(in.GrantTypes) == 0 {
		in.GrantTypes = []string{"authorization_code"}
	}
	if len(in.ResponseTypes) == 0 {
		in.ResponseTypes = []string{"code"}
	}
	for _, g := range in.GrantTypes {
		if g != "authorization_code" && g != "refresh_token" {
			oauthError(w, http.StatusBadRequest, "invalid_client_metadata", "grant_types")
			return
		}
	}
	t.edge.mu.Lock()
	t.oauth.clients[c.id] = c
	t.edge.mu.Unlock()
	out := map[string]any{
		"client_id": c.id, "redirect_uris": in.RedirectURIs, "grant_types": in.GrantTypes, "response_types": in.ResponseTypes,
		"token_endpoint_auth_method": in.AuthMethod, "registration_client_uri": t.URL() + pathOAuthRegistration + "/" + c.id,
		"client_id_issued_at": t.edge.now().Unix(),
	}
	if c.secret != "" {
		out["client_secret"], out["client_secret_expires_at"] = c.secret, 0
	}
	writeJSON(w, http.StatusCreated, out)
}

// allowsRedirect applies the administrator's rules for redirect URIs. [oauth]
// A client that names no resource is held against every application.
func (t *Team) allowsRedirect(a *Application, raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Fragment != "" {
		return false
	}
	if a == nil {
		a = t.edge.findApp(func(app *App) bool { return app.Team == t && app.OAuth != nil })
		if a == nil {
			return false
		}
	}
	o := a.App().OAuth
	if o == nil {
		return false
	}
	for _, allowed := range o.AllowedURIs {
		prefix, wild := strings.CutSuffix(allowed, "*")
		if raw == allowed || wild && strings.HasSuffix(prefix, "/") && strings.HasPrefix(raw, prefix) && strings.HasPrefix(u.Scheme, "http") {
			return true
		}
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	switch host := u.Hostname(); {
	case host == "localhost":
		return !o.RefuseLocalhost
	case net.ParseIP(host).IsLoopback():
		return !o.RefuseLoopback
	}
	return false
}

// registered reports whether the client may be answered at this redirect URI.
func (c *oauthClient) registered(raw string, anyPort bool) bool {
	if slices.Contains(c.redirects, raw) {
		return true
	}
	u, err := url.Parse(raw)
	if err != nil || !anyPort || u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback() {
		return false
	}
	for _, r := range c.redirects {
		known, err := url.Parse(r)
		if err == nil && known.Scheme == u.Scheme && known.Hostname() == u.Hostname() && known.Path == u.Path {
			return true
		}
	}
	return false
}

// serveAuthorization is the page that a client opens in the browser: login if
// there is no session, then consent.
func (t *Team) serveAuthorization(w http.ResponseWriter, r *http.Request, rec *entry) {
	if r.Method == http.MethodPost {
		t.edge.clicked(w, r)
		return
	}
	q := r.URL.Query()
	t.edge.mu.Lock()
	client := t.oauth.clients[q.Get("client_id")]
	t.edge.mu.Unlock()
	redirect := q.Get("redirect_uri")
	app := t.resourceApp(q.Get("resource"))
	// Nothing is redirected before client and redirect URI are known to belong together. RFC 6749 §4.1.2.1
	switch {
	case client == nil:
		page(w, http.StatusBadRequest, "Unable to authorize", "<p>invalid_client: this client is not registered.</p>", nil)
		return
	case !client.registered(redirect, app != nil && app.App().OAuth.AnyPort):
		page(w, http.StatusBadRequest, "Unable to authorize", "<p>invalid_request: this redirect_uri is not registered.</p>", nil)
		return
	case q.Get("resource") == "" && client.app != nil:
		// Reported: without resource the browser ends at the root of the
		// resource and not at the callback. [observed]
		http.Redirect(w, r, client.app.URL()+"/", http.StatusFound)
		return
	}
	back := func(w http.ResponseWriter, status int, params url.Values) {
		if s := q.Get("state"); s != "" {
			params.Set("state", s)
		}
		if app != nil {
			if change := app.App().OAuth.Callback; change != nil {
				change(redirect, params)
			}
		}
		u, _ := url.Parse(redirect)
		all := u.Query()
		for k, v := range params {
			all[k] = v
		}
		u.RawQuery = all.Encode()
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", u.String())
		w.WriteHeader(status)
	}
	fail := func(code, description string) {
		back(w, http.StatusFound, url.Values{"error": {code}, "error_description": {description}})
	}
	challenge := q.Get("code_challenge")
	switch {
	case app == nil:
		fail("invalid_target", "resource is not known")
		return
	case client.app != nil && client.app != app:
		fail("invalid_target", "the client is registered for another resource")
		return
	case q.Get("response_type") != "code":
		fail("unsupported_response_type", "response_type must be code")
		return
	case q.Get("code_challenge_method") != "S256", len(challenge) != 43, strings.IndexAny(challenge, "-_") == 0:
		// A challenge that begins so gets this message. [agents], troubleshooting
		fail("invalid_request", "code_challenge_method must be S256 for public clients")
		return
	}
	consent := func(w http.ResponseWriter, s *session, status int) {
		a := app.App()
		if a.OAuth == nil || a.OAuth.Deny || !a.admits(s.email) {
			back(w, status, url.Values{"error": {"access_denied"}, "error_description": {"the policy does not admit " + s.email}})
			return
		}
		allow := func(w http.ResponseWriter, status int) {
			code := token(32)
			t.edge.mu.Lock()
			t.oauth.codes[code] = &oauthCode{client: client.id, redirect: redirect, challenge: challenge, app: app, session: s,
				expires: t.edge.opt.Now().Add(t.edge.sw.Skew).Add(orDefault(a.OAuth.CodeLifetime, time.Minute))}
			t.edge.mu.Unlock()
			back(w, status, url.Values{"code": {code}})
		}
		if a.OAuth.NoConsent {
			allow(w, status)
			return
		}
		id := t.edge.await(r.URL.Path, func(w http.ResponseWriter, r *http.Request, answer string) {
			if answer != "allow" {
				back(w, http.StatusSeeOther, url.Values{"error": {"access_denied"}, "error_description": {"the person denied the request"}})
				return
			}
			allow(w, http.StatusSeeOther)
		})
		u, _ := url.Parse(redirect)
		page(w, http.StatusOK, "Allow this program?", "<p>A program asks for access to <strong>"+html.EscapeString(a.Name)+
			"</strong> as "+html.EscapeString(s.email)+". It is answered at <strong>"+html.EscapeString(u.Host)+"</strong>.</p>", &form{
			action: r.URL.Path, id: id, targets: []string{u.Scheme + "://" + u.Host},
			buttons: []button{{"allow", "Allow", true}, {"deny", "Deny", false}},
		})
	}
	if s := t.browserSession(r, rec); s != nil {
		consent(w, s, http.StatusFound)
		return
	}
	if who := t.settings().ApproveAnyone; who != "" {
		s := t.startSession(who)
		t.setSession(w, s)
		consent(w, s, http.StatusFound)
		return
	}
	u, _ := url.Parse(redirect)
	id := t.edge.await(r.URL.Path, func(w http.ResponseWriter, r *http.Request, answer string) {
		s := t.clickedLogin(w, r, answer)
		if s != nil {
			consent(w, s, http.StatusSeeOther)
		}
	})
	t.loginPage(w, app.App(), r.URL.Path, id, u.Scheme+"://"+u.Host)
}

// oauthClientOf authenticates the client of a POST with a form.
func (t *Team) oauthClientOf(w http.ResponseWriter, r *http.Request) *oauthClient {
	if err := r.ParseForm(); err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", "the form could not be read")
		return nil
	}
	id, secret, basic := r.BasicAuth()
	if basic {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	t.edge.mu.Lock()
	c := t.oauth.clients[id]
	t.edge.mu.Unlock()
	if c == nil || c.secret != secret {
		oauthError(w, http.StatusUnauthorized, "invalid_client", "the client is not known")
		return nil
	}
	return c
}

// serveToken exchanges codes and refresh tokens. [agents], steps 7 and 9
func (t *Team) serveToken(w http.ResponseWriter, r *http.Request, rec *entry) {
	client := t.oauthClientOf(w, r)
	if client == nil {
		return
	}
	now := t.edge.now()
	f := r.PostForm
	var g *oauthGrant
	var why string
	rotated := true
	switch f.Get("grant_type") {
	case "authorization_code":
		g, why = t.redeem(client, f, now)
		rec.oauth(AuthorizationCode, why)
	case "refresh_token":
		g, rotated, why = t.refreshGrant(client, f.Get("refresh_token"), now)
		rec.oauth(RefreshToken, why)
	default:
		oauthError(w, http.StatusBadRequest, "unsupported_grant_type", "grant_type")
		return
	}
	if why != "" {
		oauthError(w, http.StatusBadRequest, "invalid_grant", why)
		return
	}
	o := g.app.App().OAuth
	lifetime := orDefault(o.AccessLifetime, 15*time.Minute)
	at := bearerPrefix + token(32)
	out := map[string]any{
		"access_token": at, "token_type": "bearer", "expires_in": int(lifetime / time.Second), "scope": "",
		"resource": "https://" + g.app.App().Host + "/", // with a slash, unlike the resource document
	}
	t.edge.mu.Lock()
	t.oauth.access[at] = &accessToken{g, now.Add(lifetime)}
	if rotated {
		g.refresh = bearerPrefix + token(32)
		t.oauth.refresh[g.refresh] = g
		out["refresh_token"] = g.refresh
	}
	t.edge.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, out)
}

// redeem exchanges an authorization code; why says what is wrong with it.
func (t *Team) redeem(client *oauthClient, f url.Values, now time.Time) (g *oauthGrant, why string) {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	c := t.oauth.codes[f.Get("code")]
	sum := sha256.Sum256([]byte(f.Get("code_verifier")))
	switch {
	case c == nil:
		return nil, "the code is not known"
	case c.grant != nil: // RFC 6749 §4.1.2: what came of a code used twice should be revoked
		c.grant.dead = true
		return nil, "the code was used already"
	case c.client != client.id:
		return nil, "the code is another client's"
	case !now.Before(c.expires):
		return nil, "the code has expired"
	case c.redirect != f.Get("redirect_uri"):
		return nil, "redirect_uri is another one"
	case b64(sum[:]) != c.challenge:
		return nil, "the verifier does not match the challenge"
	case c.app.app.OAuth == nil || !c.app.app.admits(c.session.email):
		return nil, "the policy does not admit the person"
	}
	g = &oauthGrant{app: c.app, aud: c.app.app.AUD, session: c.session, client: client.id,
		expires: now.Add(orDefault(c.app.app.OAuth.GrantLifetime, 24*time.Hour))}
	c.grant = g
	return g, ""
}

// refreshGrant uses a refresh token. Policies are looked at again. [oauth]
func (t *Team) refreshGrant(client *oauthClient, tok string, now time.Time) (g *oauthGrant, rotated bool, why string) {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	g = t.oauth.refresh[tok]
	switch {
	case g == nil:
		return nil, false, "the refresh token is not known"
	case g.client != client.id:
		return nil, false, "the refresh token is another client's"
	case g.dead:
		return nil, false, "the grant was revoked"
	case !now.Before(g.expires):
		return nil, false, "the grant has expired"
	case g.app.app.OAuth == nil || !g.app.app.admits(g.session.email):
		return nil, false, "the policy does not admit the person"
	case g.refresh != tok:
		g.dead = g.app.app.OAuth.ReuseRevokes
		return nil, false, "the refresh token was used already"
	}
	return g, !g.app.app.OAuth.NoRotation, ""
}

// serveRevoke is RFC 7009; that the service does the same is [assumed].
func (t *Team) serveRevoke(w http.ResponseWriter, r *http.Request, rec *entry) {
	client := t.oauthClientOf(w, r)
	if client == nil {
		return
	}
	tok := r.PostForm.Get("token")
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	if g := t.oauth.refresh[tok]; g != nil && g.client == client.id {
		g.dead = true
	}
	if at := t.oauth.access[tok]; at != nil && at.grant.client == client.id {
		delete(t.oauth.access, tok)
	}
	w.WriteHeader(http.StatusOK)
}
