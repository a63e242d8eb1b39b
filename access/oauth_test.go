package access_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

func TestManagedOAuth(t *testing.T) {
	tests := map[string]struct {
		oauth  accesstest.OAuth
		server accesstest.OAuthServer
	}{
		"as documented":            {},
		"as observed":              {accesstest.OAuth{MethodList: true}, accesstest.OAuthServer{IssuerScheme: true}},
		"MCP form of the metadata": {accesstest.OAuth{MCPPath: true}, accesstest.OAuthServer{}},
		"URL in the body alone":    {accesstest.OAuth{NoHeaderURL: true}, accesstest.OAuthServer{}},
		"localhost refused":        {accesstest.OAuth{RefuseLocalhost: true}, accesstest.OAuthServer{}},
		"127.0.0.1 refused":        {accesstest.OAuth{RefuseLoopback: true}, accesstest.OAuthServer{}},
		"no rotation":              {accesstest.OAuth{NoRotation: true}, accesstest.OAuthServer{}},
		"rotation, reuse revokes":  {accesstest.OAuth{ReuseRevokes: true}, accesstest.OAuthServer{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.team.Set(func(s *accesstest.TeamSettings) { s.OAuthServer = tt.server })
			b.app(accesstest.App{Allow: true, OAuth: &tt.oauth})
			body, err := b.get(b.client(nil), ask, page)
			if err != nil || body != "hello GET " {
				t.Fatalf("%q, %v", body, err)
			}
			first := b.stored("oauth/", "token")
			b.noLeaks(first, "git.example.com", b.team.Domain())
			refresh := b.stored("oauth/", "refresh_token")
			if refresh == "" {
				t.Fatal("no refresh token")
			}
			b.noLeaks(refresh, b.team.Domain())

			// Warm: no network. Then refreshed ahead of expiry, without a person.
			b.edge.ClearLog()
			cr, err := b.client(nil).Credential(t.Context(), b.url(page), access.Policy{})
			if err != nil || cr.Kind != access.Bearer || len(b.edge.Requests()) != 0 {
				t.Errorf("warm: %v %v, %d requests", cr.Kind, err, len(b.edge.Requests()))
			}
			for range 3 {
				late := func(cfg *access.Config) { cfg.Now = func() time.Time { return cr.Expiry.Add(-30 * time.Second) } }
				next, err := b.client(late).Credential(t.Context(), b.url(page), access.Policy{})
				if err != nil || next.Token().Equal(cr.Token()) {
					t.Fatalf("refresh: %v, same token %v", err, next.Token().Equal(cr.Token()))
				}
				cr = next
			}
			if _, err := b.get(b.client(nil), access.Policy{}, page); err != nil {
				t.Errorf("with the refreshed token: %v", err)
			}
			if n := b.logins(); n != 1 {
				t.Errorf("%d logins", n)
			}
		})
	}
}

// 200 callers after the expiry make exactly one refresh.
func TestOneRefreshForMany(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{ReuseRevokes: true}})
	cr, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	b.edge.ClearLog()
	late := func(cfg *access.Config) { cfg.Now = func() time.Time { return cr.Expiry.Add(time.Second) } }
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if _, err := b.client(late).Credential(t.Context(), b.url(page), access.Policy{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	tokens := b.edge.Requests(accesstest.ToPath("/cdn-cgi/access/oauth/token"))
	if len(tokens) != 1 {
		t.Errorf("%d requests to the token endpoint", len(tokens))
	}
}

// An administrator registers a redirect URL as it suits them. It is sent as it was
// registered, and served where it says.
func TestRegisteredRedirectURL(t *testing.T) {
	redirects := []string{"http://localhost", "http://localhost/", "http://localhost/callback", "http://127.0.0.1/oauth/back"}
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil { // not every machine has IPv6
		l.Close()
		redirects = append(redirects, "http://[::1]/callback")
	}
	for _, redirect := range redirects {
		t.Run(redirect, func(t *testing.T) {
			b := newBed(t)
			b.team.Set(func(s *accesstest.TeamSettings) { s.OAuthServer.NoRegistration = true })
			b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{AnyPort: true}})
			id := b.team.AddOAuthClient(redirect)
			c := b.client(func(cfg *access.Config) { cfg.ClientID, cfg.RedirectURL = id, redirect })
			if _, err := c.Credential(t.Context(), b.url(page), ask); err != nil {
				t.Error(err)
			}
		})
	}
}

// A redirect URL that would take the code off this machine, or that no browser could
// be answered at, is told before anybody is asked to log in.
func TestBadRedirectURL(t *testing.T) {
	for _, redirect := range []string{"https://localhost:8400/callback", "http://git.example.com/callback", "http://192.0.2.1:8400/", "localhost:8400",
		"http://me@localhost:8400/", "http://localhost:8400/?a=b", "http://localhost:8400/#a", "http://localhost:8400/%zz", "/callback"} {
		if _, err := access.New(&access.Config{ClientID: "id", RedirectURL: redirect}); err == nil {
			t.Errorf("%q was accepted", redirect)
		}
	}
	for _, redirect := range []string{"", "http://localhost:8400/callback", "http://127.0.0.1:8400", "http://[::1]:8400/a/b"} {
		if _, err := access.New(&access.Config{ClientID: "id", RedirectURL: redirect}); err != nil {
			t.Errorf("%q: %v", redirect, err)
		}
	}
}

// A caller that is interrupted in the middle of a refresh does not end the chain:
// what the server answered is kept.
func TestInterruptedRefreshKeepsTheChain(t *testing.T) {
	for _, answered := range []bool{false, true} {
		b := newBed(t)
		b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{ReuseRevokes: true}})
		cr, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
		if err != nil {
			t.Fatal(err)
		}
		late := func(cfg *access.Config) { cfg.Now = func() time.Time { return cr.Expiry.Add(time.Second) } }
		ctx, cancel := context.WithCancel(t.Context())
		interrupt := func(cfg *access.Config) {
			late(cfg)
			cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
				if !strings.HasSuffix(req.URL.Path, "/oauth/token") {
					return b.rt.RoundTrip(req)
				}
				if !answered {
					cancel()
				}
				resp, err := b.rt.RoundTrip(req)
				cancel()
				if err == nil && req.Context().Err() != nil { // as a transport does that is still reading
					resp.Body.Close()
					return nil, req.Context().Err()
				}
				return resp, err
			})
		}
		_, _ = b.client(interrupt).Credential(ctx, b.url(page), access.Policy{}) // either is fine
		cancel()
		if _, err := b.client(late).Credential(t.Context(), b.url(page), access.Policy{}); err != nil {
			t.Errorf("answered: %v: after the interruption: %v", answered, err)
		}
		if b.logins() != 1 {
			t.Error("a person was asked")
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A token endpoint that is out of order for a moment costs nobody a session.
func TestServerTroubleKeepsTheRefreshToken(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	cr, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	late := func(cfg *access.Config) { cfg.Now = func() time.Time { return cr.Expiry.Add(time.Second) } }
	b.edge.Fail(b.team.Domain(), 1, accesstest.Unavailable, nil)
	if _, err := b.client(late).Credential(t.Context(), b.url(page), access.Policy{}); err == nil {
		t.Error("503 went unnoticed")
	}
	if _, err := b.client(late).Credential(t.Context(), b.url(page), access.Policy{}); err != nil {
		t.Errorf("after the trouble: %v", err)
	}
}

func TestUnknownClientRegistersAgain(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	cr, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	old := b.stored("client/", "client_id")
	b.team.DropOAuthClients()
	late := func(cfg *access.Config) { cfg.Now = func() time.Time { return cr.Expiry.Add(time.Second) } }
	var required *access.LoginRequiredError
	if _, err := b.client(late).Credential(t.Context(), b.url(page), access.Policy{}); !errors.As(err, &required) {
		t.Errorf("got %v", err)
	}
	if b.stored("client/", "client_id") != "" {
		t.Error("the dead registration is kept")
	}
	if _, err := b.client(late).Credential(t.Context(), b.url(page), ask); err != nil {
		t.Fatal(err)
	}
	if now := b.stored("client/", "client_id"); now == "" || now == old {
		t.Errorf("registered as %q, before as %q", now, old)
	}
}

func TestDeadGrantAsksForALogin(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	cr, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	b.team.ExpireGrants()
	late := func(cfg *access.Config) { cfg.Now = func() time.Time { return cr.Expiry.Add(time.Second) } }
	var required *access.LoginRequiredError
	var oauth *access.OAuthError
	_, err = b.get(b.client(late), access.Policy{}, page)
	if !errors.As(err, &required) || !errors.As(err, &oauth) || oauth.Code != "invalid_grant" {
		t.Errorf("got %v", err)
	}
	if body, err := b.get(b.client(late), ask, page); err != nil || body != "hello GET " {
		t.Errorf("log in again: %q, %v", body, err)
	}
}

func TestOAuthRefusals(t *testing.T) {
	t.Run("denied", func(t *testing.T) {
		b := newBed(t)
		b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{Deny: true}})
		_, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
		var refused *access.RefusedError
		if !errors.As(err, &refused) || refused.Cause != access.Denied {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no registration endpoint", func(t *testing.T) {
		b := newBed(t)
		b.team.Set(func(s *accesstest.TeamSettings) { s.OAuthServer.NoRegistration = true })
		b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{AnyPort: true}})
		_, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
		var none *access.NoRegistrationError
		if !errors.As(err, &none) {
			t.Errorf("got %v", err)
		}
		id := b.team.AddOAuthClient("http://localhost:8400/callback")
		c := b.client(func(cfg *access.Config) { cfg.ClientID = id })
		if _, err := c.Credential(t.Context(), b.url(page), ask); err != nil {
			t.Errorf("with a client id: %v", err)
		}
	})
	t.Run("both loopback hosts refused", func(t *testing.T) {
		b := newBed(t)
		b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{RefuseLocalhost: true, RefuseLoopback: true}})
		_, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
		var oauth *access.OAuthError
		if !errors.As(err, &oauth) || oauth.Step != "registration" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("code expired", func(t *testing.T) {
		b := newBed(t)
		b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{CodeLifetime: time.Nanosecond}})
		_, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
		var oauth *access.OAuthError
		if !errors.As(err, &oauth) || oauth.Code != "invalid_grant" || oauth.Step != "token" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the request has its own Authorization", func(t *testing.T) {
		b := newBed(t)
		b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
		c := b.client(nil)
		if _, err := c.Credential(t.Context(), b.url(page), ask); err != nil {
			t.Fatal(err)
		}
		req, _ := http.NewRequest(http.MethodGet, page, nil)
		req.SetBasicAuth("me", "pat")
		_, err := c.Transport(nil, access.Policy{}).RoundTrip(req)
		var refused *access.RefusedError
		if !errors.As(err, &refused) || refused.Cause != access.NotWithOAuth {
			t.Errorf("got %v", err)
		}
		if user, _, _ := req.BasicAuth(); user != "me" {
			t.Error("the caller's request was changed")
		}
	})
}

// What a hostile or broken server may say about where to log in.
func TestHostileOAuthDocuments(t *testing.T) {
	tests := map[string]struct {
		oauth  accesstest.OAuth
		server accesstest.OAuthServer
	}{
		"resource document on another host": {oauth: accesstest.OAuth{MetadataURL: func(string) string {
			return "https://evil.example.net/.well-known/cloudflare-access-protected-resource/"
		}}},
		"resource document over http": {oauth: accesstest.OAuth{MetadataURL: func(u string) string { return strings.Replace(u, "https:", "http:", 1) }}},
		"resource of another host":    {oauth: accesstest.OAuth{Resource: "https://wiki.example.com"}},
		"resource of another path":    {oauth: accesstest.OAuth{Resource: "https://git.example.com/other"}},
		"another authorization server": {oauth: accesstest.OAuth{Document: func(d map[string]any) {
			d["authorization_servers"] = []string{"https://evil.cloudflareaccess.com"}
		}}},
		"an authorization server elsewhere": {oauth: accesstest.OAuth{Document: func(d map[string]any) {
			d["authorization_servers"] = []string{"https://evil.example.net"}
		}}},
		"an authorization server over http": {oauth: accesstest.OAuth{Document: func(d map[string]any) {
			d["authorization_servers"] = []string{"http://team.cloudflareaccess.com"}
		}}},
		"no authorization server": {oauth: accesstest.OAuth{Document: func(d map[string]any) { delete(d, "authorization_servers") }}},
		"another issuer":          {server: accesstest.OAuthServer{Document: func(d map[string]any) { d["issuer"] = "https://evil.cloudflareaccess.com" }}},
		"token endpoint elsewhere": {server: accesstest.OAuthServer{Document: func(d map[string]any) {
			d["token_endpoint"] = "https://evil.example.net/token"
		}}},
		"token endpoint over http": {server: accesstest.OAuthServer{Document: func(d map[string]any) {
			d["token_endpoint"] = "http://team.cloudflareaccess.com/token"
		}}},
		"authorization endpoint for another resource": {server: accesstest.OAuthServer{Document: func(d map[string]any) {
			d["authorization_endpoint"] = d["authorization_endpoint"].(string) + "?resource=https://wiki.example.com"
		}}},
		"authorization endpoint is a script": {server: accesstest.OAuthServer{Document: func(d map[string]any) {
			d["authorization_endpoint"] = "javascript:alert(1)"
		}}},
		"no PKCE":           {server: accesstest.OAuthServer{Document: func(d map[string]any) { delete(d, "code_challenge_methods_supported") }}},
		"plain PKCE":        {server: accesstest.OAuthServer{Document: func(d map[string]any) { d["code_challenge_methods_supported"] = []string{"plain"} }}},
		"no public clients": {server: accesstest.OAuthServer{Document: func(d map[string]any) { d["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic"} }}},
		"10 MB":             {server: accesstest.OAuthServer{Oversized: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.edge.AddTeam("evil")
			b.edge.Handle("evil.example.net", http.NotFoundHandler())
			b.team.Set(func(s *accesstest.TeamSettings) { s.OAuthServer = tt.server })
			b.app(accesstest.App{Host: "wiki.example.com", Allow: true})
			b.app(accesstest.App{Allow: true, OAuth: &tt.oauth})
			_, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
			var discovery *access.DiscoveryError
			if !errors.As(err, &discovery) {
				t.Errorf("got %v", err)
			}
			if n := b.logins(); n != 0 {
				t.Errorf("a browser was opened %d times", n)
			}
			if n := len(b.edge.Requests(accesstest.ToHost("evil.example.net"))) + len(b.edge.Requests(accesstest.ToHost("evil.cloudflareaccess.com"))); n != 0 {
				t.Errorf("%d requests to the foreign host", n)
			}
		})
	}
}

// A token with a line break would be a line of its own in what git, curl and the go
// command read, such as a header for another host.
func TestTokenWithALineBreak(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	c := b.client(func(cfg *access.Config) {
		cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := b.rt.RoundTrip(req)
			if err != nil || !strings.HasSuffix(req.URL.Path, "/oauth/token") {
				return resp, err
			}
			resp.Body.Close()
			resp.Body = io.NopCloser(strings.NewReader(`{"access_token":"oauth:x\n\nhttps://other.example.com\n\nAuthorization: y","token_type":"bearer"}`))
			resp.ContentLength = -1
			return resp, nil
		})
	})
	if cr, err := c.Credential(t.Context(), b.url(page), ask); err == nil {
		t.Errorf("got %q", cr.Token().Reveal())
	}
	if cr, err := b.client(nil).Credential(t.Context(), b.url(page), access.Policy{}); err == nil {
		t.Errorf("stored %q", cr.Token().Reveal())
	}
}

// An answer that does not carry the state of this login ends nothing and gives
// nothing: the person's own answer still counts.
func TestForeignCallbacks(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	try := func(link string, host string) int {
		req, err := http.NewRequest(http.MethodGet, link, nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			req.Host = host
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		return resp.StatusCode
	}
	var redirect string
	open := func(cfg *access.Config) {
		cfg.Open = func(ctx context.Context, login string) error {
			u, err := url.Parse(login)
			if err != nil {
				t.Fatal(err)
			}
			redirect = u.Query().Get("redirect_uri")
			state := u.Query().Get("state")
			for link, want := range map[string]int{
				redirect + "?code=injected":                                       http.StatusBadRequest,
				redirect + "?code=injected&state=x":                               http.StatusBadRequest,
				redirect + "?error=access_denied&state=x":                         http.StatusBadRequest,
				redirect + "?state=" + state:                                      http.StatusBadRequest,
				redirect + "?code=x&iss=https://evil.example.net&state=" + state:  http.StatusBadRequest,
				strings.TrimSuffix(redirect, "callback") + "other?state=" + state: http.StatusNotFound,
			} {
				if got := try(link, ""); got != want {
					t.Errorf("%s: status %d, want %d", link, got, want)
				}
			}
			if got := try(redirect+"?code=injected&state="+state, "evil.example.net"); got != http.StatusMisdirectedRequest {
				t.Errorf("another Host: status %d", got)
			}
			go b.person.Approve(ctx, login)
			return nil
		}
	}
	if _, err := b.client(open).Credential(t.Context(), b.url(page), ask); err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get(redirect + "?code=x"); err == nil {
		t.Error("the callback still listens")
	}
}

func TestOAuthLogoutRevokes(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	c := b.client(nil)
	cr, err := c.Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	b.edge.ClearLog()
	if found, err := c.Logout(t.Context(), cr.App.Origin); !found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	if n := len(b.edge.Requests(accesstest.ToPath("/cdn-cgi/access/oauth/revoke"))); n != 1 {
		t.Errorf("%d revocations", n)
	}
	req, _ := http.NewRequest(http.MethodGet, page, nil)
	if !cr.Apply(req) {
		t.Fatal("not applied")
	}
	resp, err := b.rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the token still opens the host: %s", resp.Status)
	}
}

// A caller that can place a cookie alone gets a JWT where the application accepts
// one beside Bearer, and hears that it does not where it does not.
func TestJWTBesideOAuth(t *testing.T) {
	b := newBed(t)
	app := b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	p := ask
	p.JWT = true
	if body, err := b.get(b.client(nil), p, page); err != nil || body != "hello GET " {
		t.Fatalf("%q, %v", body, err)
	}
	cr, err := b.client(nil).Credential(t.Context(), b.url(page), access.Policy{JWT: true})
	if err != nil || cr.Kind != access.JWT || cr.Cookie() == nil {
		t.Fatalf("%v, %v", cr.Kind, err)
	}
	// The two sessions stand side by side.
	bearer, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
	if err != nil || bearer.Kind != access.Bearer {
		t.Fatalf("%v, %v", bearer.Kind, err)
	}
	if again, err := b.client(nil).Credential(t.Context(), b.url(page), access.Policy{JWT: true}); err != nil || !again.Token().Equal(cr.Token()) {
		t.Errorf("the JWT is gone: %v", err)
	}
	// Revoked, it is dropped and a person is asked once.
	app.Revoke()
	if _, err := b.get(b.client(nil), p, page); err != nil {
		t.Errorf("after the revocation: %v", err)
	}
	if found, err := b.client(nil).Logout(t.Context(), cr.App.Origin); !found || err != nil {
		t.Errorf("logout: %v, %v", found, err)
	}
	if b.stored("session/", "token") != "" || b.stored("oauth/", "token") != "" {
		t.Error("logout left a session")
	}
	app.Set(func(a *accesstest.App) { a.OAuth = &accesstest.OAuth{RefuseJWT: true} })
	_, err = b.client(nil).Credential(t.Context(), b.url(page), p)
	var refused *access.RefusedError
	if !errors.As(err, &refused) || refused.Cause != access.NotWithOAuth {
		t.Errorf("where no JWT is accepted: %v", err)
	}
}
