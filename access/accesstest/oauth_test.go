package accesstest_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
)

const oauthHost = "oauth.example.com"

// oauthClient walks the nine steps of the agents document.
type oauthClient struct {
	t        *testing.T
	http     *http.Client
	metadata map[string]any // the authorization server's
	id       string
	redirect string
	callback chan url.Values
	verifier string
}

// answered is what a POST was answered.
type answered struct {
	status int
	body   map[string]any
}

func (a answered) str(key string) string { s, _ := a.body[key].(string); return s }

// newOAuthClient discovers the server of the application and listens for the
// callback at host.
func newOAuthClient(t *testing.T, c *http.Client, host string) *oauthClient {
	t.Helper()
	oc := &oauthClient{t: t, http: c, callback: make(chan url.Values, 10)}
	resp, body := ask(t, c, "GET", "https://"+oauthHost+"/repo/info", "User-Agent", "git/2.55.0")
	if resp.StatusCode != 401 {
		t.Fatalf("%s %s", resp.Status, body)
	}
	m := regexp.MustCompile(`^Bearer .*resource_metadata="([^"]*)"`).FindStringSubmatch(resp.Header.Get("WWW-Authenticate"))
	if m == nil {
		t.Fatalf("challenge %q", resp.Header.Get("WWW-Authenticate"))
	}
	var doc struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	oc.get(m[1], &doc)
	if doc.Resource != "https://"+oauthHost || len(doc.Servers) != 1 {
		t.Fatalf("%+v", doc)
	}
	oc.get(doc.Servers[0]+"/.well-known/oauth-authorization-server", &oc.metadata)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { oc.callback <- r.URL.Query() })}
	done := make(chan struct{})
	go func() { srv.Serve(l); close(done) }()
	t.Cleanup(func() { srv.Close(); <-done })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	oc.redirect = "http://" + net.JoinHostPort(host, port) + "/callback"
	return oc
}

func (c *oauthClient) get(link string, v any) {
	c.t.Helper()
	resp, body := ask(c.t, c.http, "GET", link)
	if err := json.Unmarshal([]byte(body), v); err != nil || resp.StatusCode != 200 {
		c.t.Fatalf("%s: %s %v", link, resp.Status, err)
	}
}

func (c *oauthClient) post(endpoint, mime, body string) answered {
	c.t.Helper()
	link, _ := c.metadata[endpoint].(string)
	resp, err := c.http.Post(link, mime, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answered{status: resp.StatusCode}
	b, _ := io.ReadAll(resp.Body)
	json.Unmarshal(b, &a.body)
	return a
}

func (c *oauthClient) register() answered {
	c.t.Helper()
	b, _ := json.Marshal(map[string]any{"redirect_uris": []string{c.redirect}, "token_endpoint_auth_method": "none",
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"}, "resource": "https://" + oauthHost})
	a := c.post("registration_endpoint", "application/json", string(b))
	c.id = a.str("client_id")
	return a
}

// link is the authorization URL, with a fresh verifier. Parameters given replace ours.
func (c *oauthClient) link(replace url.Values) string {
	for {
		b := make([]byte, 32)
		rand.Read(b)
		c.verifier = base64.RawURLEncoding.EncodeToString(b)
		sum := sha256.Sum256([]byte(c.verifier))
		challenge := base64.RawURLEncoding.EncodeToString(sum[:])
		if strings.IndexAny(challenge, "-_") == 0 {
			continue
		}
		q := url.Values{"client_id": {c.id}, "redirect_uri": {c.redirect}, "response_type": {"code"}, "code_challenge": {challenge},
			"code_challenge_method": {"S256"}, "resource": {"https://" + oauthHost}, "state": {"xyz"}}
		for k, v := range replace {
			q[k] = v
		}
		return c.metadata["authorization_endpoint"].(string) + "?" + q.Encode()
	}
}

func (c *oauthClient) exchange(code string) answered {
	c.t.Helper()
	return c.post("token_endpoint", "application/x-www-form-urlencoded", url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"client_id": {c.id}, "redirect_uri": {c.redirect}, "code_verifier": {c.verifier}}.Encode())
}

func (c *oauthClient) refresh(tok string) answered {
	c.t.Helper()
	return c.post("token_endpoint", "application/x-www-form-urlencoded",
		url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok}, "client_id": {c.id}}.Encode())
}

// login registers, lets the person allow it, and returns the tokens.
func (c *oauthClient) login(p *accesstest.Person) answered {
	c.t.Helper()
	if a := c.register(); a.status != 201 {
		c.t.Fatalf("register: %+v", a)
	}
	if err := p.Approve(c.t.Context(), c.link(nil)); err != nil {
		c.t.Fatal(err)
	}
	q := <-c.callback
	if q.Get("state") != "xyz" || q.Get("code") == "" {
		c.t.Fatalf("callback %v", q)
	}
	a := c.exchange(q.Get("code"))
	if a.status != 200 {
		c.t.Fatalf("exchange: %+v", a)
	}
	return a
}

func (c *oauthClient) use(tok string) int {
	c.t.Helper()
	resp, _ := ask(c.t, c.http, "GET", "https://"+oauthHost+"/", "Authorization", "Bearer "+tok)
	return resp.StatusCode
}

func TestManagedOAuth(t *testing.T) {
	e, _, c := edge(t, nil)
	var seen http.Header
	app := e.AddApp(accesstest.App{Host: oauthHost, Allow: true, OAuth: &accesstest.OAuth{},
		Origin: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })})
	oc := newOAuthClient(t, c, "localhost")
	if oc.metadata["issuer"] != "team.cloudflareaccess.com" {
		t.Errorf("issuer %v", oc.metadata["issuer"])
	}
	p := e.Person("ada@example.com")
	tokens := oc.login(p)
	access, refresh := tokens.str("access_token"), tokens.str("refresh_token")
	if !strings.HasPrefix(access, "oauth:") || tokens.str("resource") != "https://oauth.example.com/" || tokens.body["expires_in"] != 900.0 {
		t.Errorf("%v", tokens.body)
	}
	if got := oc.use(access); got != 200 || seen.Get("Authorization") != "" || seen.Get("Cf-Access-Jwt-Assertion") == "" {
		t.Fatalf("bearer: %d, origin saw %v", got, seen)
	}
	if got := oc.use(access + "x"); got != 401 {
		t.Errorf("wrong bearer: %d", got)
	}
	resp, _ := ask(t, c, "GET", "https://"+oauthHost+"/", "cf-access-token", app.Token("ada@example.com"))
	if resp.StatusCode != 200 {
		t.Errorf("JWT beside OAuth: %s", resp.Status)
	}
	resp, _ = ask(t, c, "GET", "https://"+oauthHost+"/", "User-Agent", "Mozilla/5.0")
	if resp.StatusCode != 302 {
		t.Errorf("browser: %s", resp.Status)
	}

	e.Team().ExpireAccessTokens()
	if got := oc.use(access); got != 401 {
		t.Errorf("expired bearer: %d", got)
	}
	next := oc.refresh(refresh)
	if next.status != 200 || next.str("refresh_token") == "" || next.str("refresh_token") == refresh || oc.use(next.str("access_token")) != 200 {
		t.Fatalf("refresh: %+v", next)
	}
	if again := oc.refresh(refresh); again.str("error") != "invalid_grant" {
		t.Errorf("rotated token again: %+v", again)
	}
	if a := oc.post("revocation_endpoint", "application/x-www-form-urlencoded", url.Values{"token": {next.str("refresh_token")}, "client_id": {oc.id}}.Encode()); a.status != 200 {
		t.Errorf("revoke: %+v", a)
	}
	if got := oc.use(next.str("access_token")); got != 401 {
		t.Errorf("after revocation: %d", got)
	}
	if leaks := e.Leaks(refresh, "team.cloudflareaccess.com"); leaks != nil {
		t.Errorf("leaks %v", leaks)
	}
	if leaks := e.Leaks(refresh); len(leaks) != 2 {
		t.Errorf("the log lost the bodies of two refreshes: %v", leaks)
	}
}

func TestManagedOAuthSwitches(t *testing.T) {
	e, _, c := edge(t, nil)
	app := e.AddApp(accesstest.App{Host: oauthHost, Allow: true, Users: []string{"ada@example.com"}, Origin: who, OAuth: &accesstest.OAuth{}})
	set := func(o accesstest.OAuth) { app.Set(func(a *accesstest.App) { a.OAuth = &o }) }
	oc := newOAuthClient(t, c, "127.0.0.1")

	t.Run("redirect URIs", func(t *testing.T) {
		for _, tc := range []struct {
			uri   string
			oauth accesstest.OAuth
			want  int
		}{
			{"http://localhost:1/cb", accesstest.OAuth{}, 201},
			{"http://localhost:1/cb", accesstest.OAuth{RefuseLocalhost: true}, 400},
			{"http://127.0.0.1:1/cb", accesstest.OAuth{RefuseLocalhost: true}, 201},
			{"http://127.0.0.1:1/cb", accesstest.OAuth{RefuseLoopback: true}, 400},
			{"https://example.org/cb/x", accesstest.OAuth{}, 400},
			{"https://example.org/cb/x", accesstest.OAuth{AllowedURIs: []string{"https://example.org/cb/*"}}, 201},
			{"myapp://cb", accesstest.OAuth{AllowedURIs: []string{"myapp://cb"}}, 201},
			{"myapp://cb/x", accesstest.OAuth{AllowedURIs: []string{"myapp://cb/*"}}, 400},
			{"myapp://cb2", accesstest.OAuth{AllowedURIs: []string{"myapp://cb"}}, 400},
		} {
			set(tc.oauth)
			was := oc.redirect
			oc.redirect = tc.uri
			if a := oc.register(); a.status != tc.want {
				t.Errorf("%s with %+v: %+v", tc.uri, tc.oauth, a)
			}
			oc.redirect = was
		}
		set(accesstest.OAuth{})
	})
	t.Run("authorization", func(t *testing.T) {
		oc.register()
		for _, tc := range []struct{ param, value, want string }{
			{"code_challenge", "-" + strings.Repeat("a", 42), "invalid_request"},
			{"code_challenge", "_" + strings.Repeat("a", 42), "invalid_request"},
			{"code_challenge_method", "plain", "invalid_request"},
			{"response_type", "token", "unsupported_response_type"},
			{"resource", "https://other.example.com", "invalid_target"},
		} {
			p := e.Person("ada@example.com")
			if err := p.Approve(t.Context(), oc.link(url.Values{tc.param: {tc.value}})); err != nil {
				t.Errorf("%s=%s: %v", tc.param, tc.value, err)
				continue
			}
			if q := <-oc.callback; q.Get("error") != tc.want || q.Get("state") != "xyz" {
				t.Errorf("%s=%s: %v", tc.param, tc.value, q)
			}
		}
		for _, tc := range []struct{ param, value string }{{"client_id", "nobody"}, {"redirect_uri", "http://127.0.0.1:1/other"}} {
			page, err := e.Person("ada@example.com").Visit(t.Context(), oc.link(url.Values{tc.param: {tc.value}}))
			if err != nil || page.Status != 400 {
				t.Errorf("%s=%s: %+v %v", tc.param, tc.value, page, err)
			}
		}
		page, err := e.Person("ada@example.com").Visit(t.Context(), oc.link(url.Values{"resource": nil}))
		if err != nil || page.URL.Host == "127.0.0.1" {
			t.Errorf("without resource: %+v %v", page, err)
		}
	})
	t.Run("denial", func(t *testing.T) {
		if err := e.Person("ada@example.com").Refuse(t.Context(), oc.link(nil)); err != nil {
			t.Fatal(err)
		}
		if q := <-oc.callback; q.Get("error") != "access_denied" {
			t.Errorf("%v", q)
		}
		if err := e.Person("eve@example.org").Approve(t.Context(), oc.link(nil)); err != nil {
			t.Fatal(err)
		}
		if q := <-oc.callback; q.Get("error") != "access_denied" {
			t.Errorf("someone who is not admitted: %v", q)
		}
	})
	t.Run("codes", func(t *testing.T) {
		p := e.Person("ada@example.com")
		code := func(o accesstest.OAuth) string {
			set(o)
			oc.register()
			if err := p.Approve(t.Context(), oc.link(nil)); err != nil {
				t.Fatal(err)
			}
			return (<-oc.callback).Get("code")
		}
		once := code(accesstest.OAuth{})
		first := oc.exchange(once)
		if second := oc.exchange(once); first.status != 200 || second.str("error") != "invalid_grant" {
			t.Errorf("%+v, then %+v", first, second)
		}
		if got := oc.use(first.str("access_token")); got != 401 {
			t.Errorf("token of a code used twice: %d", got)
		}
		late := code(accesstest.OAuth{CodeLifetime: time.Nanosecond})
		if a := oc.exchange(late); a.str("error") != "invalid_grant" {
			t.Errorf("expired code: %+v", a)
		}
		swapped := code(accesstest.OAuth{})
		oc.verifier = strings.Repeat("a", 43)
		if a := oc.exchange(swapped); a.str("error") != "invalid_grant" {
			t.Errorf("wrong verifier: %+v", a)
		}
	})
	t.Run("refresh", func(t *testing.T) {
		p := e.Person("ada@example.com")
		set(accesstest.OAuth{NoRotation: true})
		tokens := oc.login(p)
		for range 2 {
			if a := oc.refresh(tokens.str("refresh_token")); a.status != 200 || a.str("refresh_token") != "" {
				t.Errorf("without rotation: %+v", a)
			}
		}
		set(accesstest.OAuth{ReuseRevokes: true})
		tokens = oc.login(p)
		next := oc.refresh(tokens.str("refresh_token"))
		oc.refresh(tokens.str("refresh_token"))
		if a := oc.refresh(next.str("refresh_token")); a.str("error") != "invalid_grant" {
			t.Errorf("after reuse: %+v", a)
		}
		set(accesstest.OAuth{})
		tokens = oc.login(p)
		app.Set(func(a *accesstest.App) { a.Users = []string{"bob@example.com"} })
		if a := oc.refresh(tokens.str("refresh_token")); a.str("error") != "invalid_grant" {
			t.Errorf("policy changed: %+v", a)
		}
		app.Set(func(a *accesstest.App) { a.Users = []string{"ada@example.com"} })
		app.Revoke()
		if a := oc.refresh(tokens.str("refresh_token")); a.str("error") != "invalid_grant" {
			t.Errorf("revoked: %+v", a)
		}
		tokens = oc.login(e.Person("ada@example.com"))
		e.Team().RevokeUser("ada@example.com")
		if a := oc.refresh(tokens.str("refresh_token")); a.str("error") != "invalid_grant" {
			t.Errorf("person revoked: %+v", a)
		}
		e.Team().DropOAuthClients()
		if a := oc.refresh(tokens.str("refresh_token")); a.status != 401 || a.str("error") != "invalid_client" {
			t.Errorf("client dropped: %+v", a)
		}
	})
	t.Run("where a credential counts", func(t *testing.T) {
		var seen http.Header
		app.Set(func(a *accesstest.App) {
			a.Origin = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
		})
		set(accesstest.OAuth{})
		access := oc.login(e.Person("ada@example.com")).str("access_token")
		e.AddApp(accesstest.App{Host: "second.example.com", Allow: true, AUD: app.App().AUD, OAuth: &accesstest.OAuth{}, Origin: who})
		e.AddApp(accesstest.App{Host: "foreign.example.com", Allow: true, OAuth: &accesstest.OAuth{}, Origin: who})
		status := func(host string, headers ...string) int {
			resp, _ := ask(t, c, "GET", "https://"+host+"/", headers...)
			return resp.StatusCode
		}
		bearer := []string{"Authorization", "bearer " + access}
		upgrade := append(bearer, "Upgrade", "websocket", "Connection", "Upgrade")
		if got := status("second.example.com", bearer...); got != 200 {
			t.Errorf("another domain of the application: %d", got)
		}
		if got := status("foreign.example.com", bearer...); got != 401 {
			t.Errorf("another application: %d", got)
		}
		if got := status(oauthHost, "cf-access-token", access); got != 401 {
			t.Errorf("opaque token as cf-access-token: %d", got)
		}
		if got := status(oauthHost, upgrade...); got != 200 {
			t.Errorf("upgrade: %d", got)
		}
		set(accesstest.OAuth{NoUpgrade: true, RefuseJWT: true, KeepBearer: true})
		if got := status(oauthHost, upgrade...); got != 401 {
			t.Errorf("upgrade where that is off: %d", got)
		}
		if got := status(oauthHost, "cf-access-token", app.Token("ada@example.com")); got != 401 {
			t.Errorf("JWT where that is off: %d", got)
		}
		if got := status(oauthHost, bearer...); got != 200 || seen.Get("Authorization") == "" {
			t.Errorf("bearer kept: %d, %v", got, seen)
		}
	})
	t.Run("confidential clients", func(t *testing.T) {
		set(accesstest.OAuth{AnyPort: true})
		a := oc.post("registration_endpoint", "application/json", `{"redirect_uris":["http://127.0.0.1:1/callback"],"token_endpoint_auth_method":"client_secret_post"}`)
		secret := a.str("client_secret")
		oc.id = a.str("client_id")
		if a.status != 201 || secret == "" {
			t.Fatalf("%+v", a)
		}
		// AnyPort: the port is not the registered one.
		if err := e.Person("ada@example.com").Approve(t.Context(), oc.link(nil)); err != nil {
			t.Fatal(err)
		}
		code := (<-oc.callback).Get("code")
		if a := oc.exchange(code); a.status != 401 {
			t.Errorf("without its secret: %+v", a)
		}
		form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "client_id": {oc.id}, "client_secret": {secret}, "redirect_uri": {oc.redirect}, "code_verifier": {oc.verifier}}
		tokens := oc.post("token_endpoint", "application/x-www-form-urlencoded", form.Encode())
		if tokens.status != 200 {
			t.Fatalf("with its secret: %+v", tokens)
		}
		other := oc.register()
		if a := oc.refresh(tokens.str("refresh_token")); a.str("error") != "invalid_grant" {
			t.Errorf("refresh token in the hands of client %s: %+v", other.str("client_id"), a)
		}
		// A code that another client got hold of.
		if err := e.Person("ada@example.com").Approve(t.Context(), oc.link(nil)); err != nil {
			t.Fatal(err)
		}
		code = (<-oc.callback).Get("code")
		verifier, redirect := oc.verifier, oc.redirect
		oc.register()
		oc.verifier = verifier
		if a := oc.exchange(code); a.str("error") != "invalid_grant" {
			t.Errorf("code of another client: %+v", a)
		}
		oc.register()
		if err := e.Person("ada@example.com").Approve(t.Context(), oc.link(nil)); err != nil {
			t.Fatal(err)
		}
		code = (<-oc.callback).Get("code")
		oc.redirect = "http://127.0.0.1:2/callback"
		if a := oc.exchange(code); a.str("error") != "invalid_grant" {
			t.Errorf("another redirect_uri: %+v", a)
		}
		oc.redirect = redirect
		// A client of one resource asks for another.
		oc.register()
		if err := e.Person("ada@example.com").Approve(t.Context(), oc.link(url.Values{"resource": {"https://foreign.example.com"}})); err != nil {
			t.Fatal(err)
		}
		if q := <-oc.callback; q.Get("error") != "invalid_target" {
			t.Errorf("%v", q)
		}
	})
	t.Run("expiry and a hostile callback", func(t *testing.T) {
		set(accesstest.OAuth{})
		tokens := oc.login(e.Person("ada@example.com"))
		e.Team().ExpireGrants()
		if a := oc.refresh(tokens.str("refresh_token")); a.str("error") != "invalid_grant" {
			t.Errorf("expired: %+v", a)
		}
		set(accesstest.OAuth{NoConsent: true, Callback: func(_ string, q url.Values) { q.Set("state", "forged"); q.Set("code", "injected") }})
		oc.register()
		if err := e.Person("ada@example.com").Approve(t.Context(), oc.link(nil)); err != nil {
			t.Fatal(err)
		}
		if q := <-oc.callback; q.Get("state") != "forged" || q.Get("code") != "injected" {
			t.Errorf("%v", q)
		}
	})
	t.Run("documents", func(t *testing.T) {
		for _, tc := range []struct {
			name         string
			oauth        accesstest.OAuth
			header, body string
		}{
			{"as documented", accesstest.OAuth{}, "https://oauth.example.com/.well-known/cloudflare-access-protected-resource/a%20b", "authentication_method"},
			{"as observed", accesstest.OAuth{MethodList: true}, "https://oauth.example.com/.well-known/cloudflare-access-protected-resource/a%20b", "authentication_methods"},
			{"MCP", accesstest.OAuth{MCPPath: true}, "https://oauth.example.com/.well-known/oauth-protected-resource/a%20b", "authentication_method"},
			{"body alone", accesstest.OAuth{NoHeaderURL: true}, "", "authentication_method"},
		} {
			set(tc.oauth)
			resp, body := ask(t, c, "GET", "https://"+oauthHost+"/a%20b")
			head := resp.Header.Get("WWW-Authenticate")
			if has := strings.Contains(head, `resource_metadata="`+tc.header+`"`); has != (tc.header != "") {
				t.Errorf("%s: %s", tc.name, head)
			}
			var told struct{ Resource_metadata string }
			json.Unmarshal([]byte(body), &told)
			var doc map[string]any
			oc.get(told.Resource_metadata, &doc)
			if _, ok := doc[tc.body]; !ok {
				t.Errorf("%s: %v", tc.name, doc)
			}
		}
		set(accesstest.OAuth{})
		e.Team().Set(func(s *accesstest.TeamSettings) {
			s.OAuthServer = accesstest.OAuthServer{IssuerScheme: true, NoRegistration: true}
		})
		var doc map[string]any
		oc.get("https://team.cloudflareaccess.com/.well-known/oauth-authorization-server", &doc)
		if doc["registration_endpoint"] != nil || doc["issuer"] != "https://team.cloudflareaccess.com" {
			t.Errorf("%v", doc)
		}
		if a := oc.register(); a.status != 403 && a.status != 404 {
			t.Errorf("register where that is off: %+v", a)
		}
		oc.id = e.Team().AddOAuthClient(oc.redirect)
		if err := e.Person("ada@example.com").Approve(context.Background(), oc.link(nil)); err != nil {
			t.Fatal(err)
		}
		if a := oc.exchange((<-oc.callback).Get("code")); a.status != 200 {
			t.Errorf("client registered by hand: %+v", a)
		}
	})
}
