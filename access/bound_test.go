package access_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

// reply is the answer of a hostile server that a test puts in the place of one.
func reply(req *http.Request, status int, h http.Header, body string) *http.Response {
	if h == nil {
		h = http.Header{}
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: req}
}

// Signed metadata names a host and no port, and whoever asks for it gets it. A
// server on another port of the host that repeats it gets no session by that.
func TestOtherPortRepeatsMetadata(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	if _, err := b.get(b.client(nil), ask, page); err != nil {
		t.Fatal(err)
	}
	asked := 0
	c := b.client(func(cfg *access.Config) {
		cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.URL.Host != "git.example.com:8443" {
				return b.rt.RoundTrip(req)
			}
			asked++
			if req.Header.Get("Cf-Access-Token") != "" || req.Header.Get("Cookie") != "" {
				t.Error("a session arrived at the other port")
			}
			genuine, err := http.NewRequest(http.MethodHead, "https://git.example.com/", nil)
			if err != nil {
				return nil, err
			}
			genuine.Header.Set("Cf-Access-Metadata-Request", "true")
			resp, err := b.rt.RoundTrip(genuine)
			if err != nil {
				return nil, err
			}
			resp.Body.Close()
			return reply(req, resp.StatusCode, resp.Header, ""), nil
		})
	})
	if _, err := b.get(c, access.Policy{}, "https://git.example.com:8443/repo.git"); err == nil || asked == 0 {
		t.Errorf("%d requests to the other port, and then %v", asked, err)
	}
	if _, err := b.client(nil).Credential(t.Context(), b.url(page), access.Policy{}); err != nil {
		t.Errorf("the session of the host itself: %v", err)
	}
}

// A host that offers Managed OAuth names its team in a document that nobody signed,
// and no audience. A caller that wants a JWT there gets none: whatever application
// of that team a person was led to, its token would go to this host.
func TestUnsignedTeamGetsNoJWT(t *testing.T) {
	b := newBed(t)
	victim := b.app(accesstest.App{Allow: true})
	stolen := ""
	b.edge.Handle("evil.example.net", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if tok := req.Header.Get("Cf-Access-Token"); tok != "" {
			stolen = tok
			return
		}
		switch req.URL.Path {
		case "/rm":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"resource":"https://evil.example.net","team_domain":%q,"authorization_servers":[%q]}`, b.team.Domain(), b.team.URL())
		case "/cdn-cgi/access/cli": // the login page, for a browser
			q := req.URL.Query()
			q.Set("aud", victim.App().AUD)
			q.Set("redirect_url", "https://git.example.com/?token="+url.QueryEscape(q.Get("token")))
			http.Redirect(w, req, "https://git.example.com/cdn-cgi/access/cli?"+q.Encode(), http.StatusFound)
		default:
			w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="https://evil.example.net/rm"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	policy := ask
	policy.JWT = true
	_, err := b.client(nil).Credential(t.Context(), b.url("https://evil.example.net/"), policy)
	if stolen != "" {
		t.Error("a token of the team's application went to the host")
	}
	var refused *access.RefusedError
	if !errors.As(err, &refused) || refused.Cause != access.NotWithOAuth {
		t.Errorf("got %v", err)
	}
	if n := b.logins(); n != 0 {
		t.Errorf("a person was asked %d times", n)
	}
}

// The edge finds the application by the Host header: a request that names another
// host there, as a reverse proxy's may, carries nothing.
func TestHostHeaderNamesAnotherHost(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	b.edge.Handle("elsewhere.example.net", http.NotFoundHandler())
	c := b.client(nil)
	cr, err := c.Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"elsewhere.example.net", "git.example.com:8443", "git.example.com.", "GIT.example.com:443", ""} {
		req := &http.Request{Method: http.MethodGet, URL: b.url(page), Host: host}
		same := host == "" || strings.HasPrefix(strings.ToLower(host), "git.example.com") && !strings.HasSuffix(host, "8443")
		if cr.Apply(req) != same || (len(req.Header) > 0) != same {
			t.Errorf("%q: %d headers", host, len(req.Header))
		}
	}
	req, err := http.NewRequest(http.MethodGet, page, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "elsewhere.example.net"
	if resp, err := c.Transport(nil, access.Policy{}).RoundTrip(req); err == nil {
		resp.Body.Close()
		t.Errorf("sent, and answered with %s", resp.Status)
	}
	b.noLeaks(cr.Token().Reveal(), "git.example.com")
	if b.stored("session/", "token") != cr.Token().Reveal() {
		t.Error("the session is gone")
	}
}

// What a host says of its team without a signature does not get by the pin, and
// does not reach a command that a person is told to copy.
func TestUnsignedTeamClaims(t *testing.T) {
	for name, server := range map[string]string{
		"the host itself":  "https://git.example.com",
		"a shell's syntax": "https://$(id).cloudflareaccess.com",
		"two labels":       "https://team.evil.cloudflareaccess.com",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			app := b.app(accesstest.App{Allow: true})
			if _, err := b.get(b.client(nil), ask, page); err != nil {
				t.Fatal(err)
			}
			app.Set(func(a *accesstest.App) {
				a.Metadata = accesstest.MetadataAbsent
				a.OAuth = &accesstest.OAuth{Document: func(d map[string]any) { d["authorization_servers"] = []string{server} }}
			})
			b.edge.ClearLog()
			for machine, c := range map[string]*access.Client{
				"known host": b.client(nil),
				"first use":  b.client(func(cfg *access.Config) { cfg.Store, cfg.Cache = newMemory(), cacheMemory{newMemory()} }),
			} {
				_, err := c.Discover(t.Context(), b.url(page))
				var discovery *access.DiscoveryError
				if !errors.As(err, &discovery) {
					t.Errorf("%s: got %v", machine, err)
				}
			}
		})
	}
}

// A host that refuses a session and belongs to another team now gets neither a
// login nor the session dropped, whatever audience its answer names, and however
// short ago the application was seen.
func TestRefusalByAnotherTeam(t *testing.T) {
	for _, aud := range []string{"its own", "the pinned team's"} {
		t.Run(aud, func(t *testing.T) {
			b := newBed(t)
			app := b.app(accesstest.App{Allow: true})
			c := b.client(nil)
			if _, err := b.get(c, ask, page); err != nil {
				t.Fatal(err)
			}
			token := b.stored("session/", "token")
			app.Move(b.edge.AddTeam("evil"))
			if aud == "its own" {
				app.Set(func(a *accesstest.App) { a.AUD = strings.Repeat("e", 64) })
			}
			check := ask
			check.CheckEvery = 1
			for name, try := range map[string]func() error{
				"a request": func() error { _, err := b.get(c, ask, page); return err },
				"a check":   func() error { _, err := c.Credential(t.Context(), b.url(page), check); return err },
			} {
				err := try()
				var changed *access.TeamChangedError
				if !errors.As(err, &changed) {
					t.Errorf("%s: got %v", name, err)
				}
			}
			if n := b.logins(); n != 1 {
				t.Errorf("%d logins", n)
			}
			if b.stored("session/", "token") != token {
				t.Error("the session was dropped on the word of the other team")
			}
		})
	}
}

// A server behind Access may guard itself by OAuth as well. Its challenge is the
// caller's business, and says nothing about the session.
func TestOriginWithOAuthOfItsOwn(t *testing.T) {
	b := newBed(t)
	challenge := `Bearer resource_metadata="https://git.example.com/.well-known/oauth-protected-resource"`
	token := b.team.AddServiceToken("ci")
	b.app(accesstest.App{Allow: true, Services: []*accesstest.ServiceToken{token}, Origin: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", challenge)
		w.WriteHeader(http.StatusUnauthorized)
	})})
	check := ask
	check.CheckEvery = 1
	for name, c := range map[string]*access.Client{
		"session": b.client(nil),
		"service token": b.client(func(cfg *access.Config) {
			cfg.ServiceTokens = []access.BoundServiceToken{{ClientID: token.ID, Secret: access.NewSecret(token.Secret()), Hosts: []string{"git.example.com"}}}
		}),
	} {
		for range 2 { // a session that is new, and one that is stored
			req, err := http.NewRequest(http.MethodGet, page, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Transport(nil, check).RoundTrip(req)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			resp.Body.Close()
			if got := resp.Header.Get("WWW-Authenticate"); got != challenge {
				t.Errorf("%s: status %s, challenge %q", name, resp.Status, got)
			}
		}
	}
	if n := b.logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
	if b.stored("session/", "token") == "" {
		t.Error("the session was dropped")
	}
}

// A logout forgets the sessions of a host also when what was learnt about it is
// lost, or is of another mode by now.
func TestLogoutWithoutRecord(t *testing.T) {
	for name, oauth := range map[string]*accesstest.OAuth{"session/": nil, "oauth/": {}} {
		for _, lost := range []bool{true, false} {
			b := newBed(t)
			app := b.app(accesstest.App{Allow: true, OAuth: oauth})
			c := b.client(nil)
			if _, err := c.Credential(t.Context(), b.url(page), ask); err != nil {
				t.Fatal(err)
			}
			if lost {
				clear(b.cache.m)
			} else {
				app.Set(func(a *accesstest.App) {
					a.OAuth = nil
					if oauth == nil {
						a.OAuth = &accesstest.OAuth{}
					}
				})
				if _, err := c.Discover(t.Context(), b.url(page)); err != nil {
					t.Fatal(err)
				}
			}
			if found, err := c.Logout(t.Context(), "https://wiki.example.com"); found || err != nil {
				t.Errorf("%s of another host: %v, %v", name, found, err)
			}
			found, err := c.Logout(t.Context(), "https://git.example.com")
			if !found || err != nil || b.stored(name, "token") != "" {
				t.Errorf("%s, record lost %v: found %v, %v; stored %v", name, lost, found, err, b.stored(name, "token") != "")
			}
		}
	}
}

// A server that repeats in its refusal what it was sent does not put it into our
// errors by that.
func TestRefusedLogoutTellsNoToken(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	b.app(accesstest.App{Host: "mcp.example.com", Allow: true, OAuth: &accesstest.OAuth{}})
	for _, raw := range []string{page, "https://mcp.example.com/"} {
		if _, err := b.client(nil).Credential(t.Context(), b.url(raw), ask); err != nil {
			t.Fatal(err)
		}
	}
	org, refresh := b.stored("org/", "token"), b.stored("oauth/", "refresh_token")
	c := b.client(func(cfg *access.Config) {
		cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			text := req.Header.Get("Cookie")
			if req.Body != nil {
				body, err := io.ReadAll(req.Body)
				if err != nil {
					return nil, err
				}
				text = string(body)
			}
			return reply(req, http.StatusBadRequest, http.Header{"Content-Type": {"text/plain"}}, "not known: "+text), nil
		})
	})
	err := c.LogoutTeam(t.Context(), b.team.Domain(), true)
	if err == nil || org == "" || refresh == "" {
		t.Fatalf("nothing was refused: %v", err)
	}
	for _, secret := range []string{org, refresh} {
		// The beginning is enough: what is long is cut.
		if strings.Contains(err.Error(), secret[:30]) || strings.Contains(err.Error(), url.QueryEscape(secret)[:30]) {
			t.Errorf("%v", err)
		}
	}
}

// The same for a renewal that is refused while the refresh token is good.
func TestRefusedRenewalTellsNoToken(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	cr, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	refresh := b.stored("oauth/", "refresh_token")
	c := b.client(func(cfg *access.Config) {
		cfg.Now = func() time.Time { return cr.Expiry.Add(time.Second) }
		cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(req.URL.Path, "/oauth/token") {
				return b.rt.RoundTrip(req)
			}
			return reply(req, http.StatusBadRequest, http.Header{"Content-Type": {"application/json"}},
				fmt.Sprintf(`{"error":"slow_down %s","error_description":"too many requests for %[1]s"}`, refresh)), nil
		})
	})
	_, err = c.Credential(t.Context(), b.url(page), access.Policy{})
	var refused *access.OAuthError
	if !errors.As(err, &refused) || !strings.HasPrefix(refused.Code, "slow_down") {
		t.Fatalf("got %v", err)
	}
	if strings.Contains(refused.Error(), refresh) {
		t.Errorf("%v", refused)
	}
}

// What a token says of its account is printed on terminals.
func TestAccountSteersNoTerminal(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	b.person = b.edge.Person("ada\x1b]0;mine\a\u202e\u009b2J@example.com")
	cr, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	if want := "ada]0;mine2J@example.com"; cr.Account != want {
		t.Errorf("account %q, want %q", cr.Account, want)
	}
}

// A record that cannot be read just now may hold a pin: its host is no new one.
func TestUnreadableRecordIsNoFirstUse(t *testing.T) {
	b := newBed(t)
	app := b.app(accesstest.App{Allow: true})
	if _, err := b.get(b.client(nil), ask, page); err != nil {
		t.Fatal(err)
	}
	app.Move(b.edge.AddTeam("evil"))
	c := b.client(func(cfg *access.Config) { cfg.Cache = brokenCache{cacheMemory{b.cache}} })
	if app, err := c.Discover(t.Context(), b.url(page)); err == nil {
		t.Errorf("team %s was accepted", app.Team)
	}
	_, err := b.client(nil).Discover(t.Context(), b.url(page))
	var changed *access.TeamChangedError
	if !errors.As(err, &changed) {
		t.Errorf("the pin is gone: %v", err)
	}
}

// brokenCache keeps what it is given and cannot be read.
type brokenCache struct{ cacheMemory }

func (brokenCache) Load(string) ([]byte, error) { return nil, errors.New("input/output error") }

// The same for a refused certificate.
func TestRefusedCertificateTellsNoToken(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	if _, err := b.client(nil).Credential(t.Context(), b.url(page), ask); err != nil {
		t.Fatal(err)
	}
	token := b.stored("session/", "token")
	c := b.client(func(cfg *access.Config) {
		cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return nil, err
			}
			return reply(req, http.StatusBadRequest, nil, "not understood: "+string(body)), nil
		})
	})
	_, err := c.SignSSHKey(t.Context(), b.url(page), "k", access.Policy{})
	var refused *access.SignError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "not understood") {
		t.Fatalf("got %v", err)
	}
	if strings.Contains(err.Error(), token[:30]) {
		t.Errorf("%v", err)
	}
}

// Where a server's redirects lead to does not make the record of its host too large
// to be read.
func TestLongPathsAreNotKept(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	c := b.client(nil)
	check := ask
	check.CheckEvery = time.Hour
	for _, path := range []string{"", "/short", "/long" + strings.Repeat("/x", 64<<10)} {
		if _, err := c.Credential(t.Context(), b.url("https://git.example.com"+path), check); err != nil {
			t.Fatal(err)
		}
	}
	for name, record := range b.cache.m {
		if strings.HasPrefix(name, "host-") && (len(record) > 4<<10 || !strings.Contains(string(record), "/short")) {
			t.Errorf("%d bytes are kept", len(record))
		}
	}
}

// A logout in the middle of a renewal is not undone by its end.
func TestLogoutWhileRenewing(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	cr, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	asked, locking, renewed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	renewing := b.client(func(cfg *access.Config) {
		cfg.Now = func() time.Time { return cr.Expiry.Add(time.Second) }
		cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			if strings.HasSuffix(req.URL.Path, "/oauth/token") {
				close(asked)
				<-locking
			}
			return b.rt.RoundTrip(req)
		})
	})
	go func() {
		_, err := renewing.Credential(t.Context(), b.url(page), access.Policy{})
		renewed <- err
	}()
	<-asked
	goOn := sync.OnceFunc(func() { close(locking) })
	c := b.client(func(cfg *access.Config) { cfg.Locker = tellingLocker{b.locks, goOn} })
	found, err := c.Logout(t.Context(), "https://git.example.com")
	goOn()
	if !found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	if err := <-renewed; err != nil {
		t.Errorf("the renewal: %v", err)
	}
	if b.stored("oauth/", "token") != "" || b.stored("oauth/", "refresh_token") != "" {
		t.Error("there is a session after the logout")
	}
}

// tellingLocker tells before it locks.
type tellingLocker struct {
	access.Locker
	tell func()
}

func (l tellingLocker) Lock(ctx context.Context, name string, waiting func(int, string)) (access.Lease, error) {
	l.tell()
	return l.Locker.Lock(ctx, name, waiting)
}
