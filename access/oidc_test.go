package access_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// These tests hold the client against an authorization server that nobody here
// wrote: npm oidc-provider (contrib/testbed/oauth). The emulated edge and the
// client were written from the same documents and may share a misreading.

const (
	oidcHost   = "oidc.cloudflareaccess.com"
	oidcSecret = "of the resource, to introspect"
)

// oidc is the real server behind the edge's TLS, with a protected resource.
type oidc struct {
	*bed
	modules string // a folder with node_modules
	program string // node
	node    *exec.Cmd
	stderr  bytes.Buffer // to be read after stop
	eof     io.Closer
	pages   *http.Client // of the person
}

func newOIDC(t *testing.T) *oidc {
	modules := testbedFolder("oauth/node_modules")
	if modules == "" {
		scripttest.Missing(t, "npm oidc-provider", "it")
	}
	// There is one beside it where that of the system is too old.
	node, err := filepath.Glob(filepath.Join(modules, "node-*", "bin", "node"))
	if err != nil || len(node) == 0 {
		node = []string{scripttest.Need(t, "node", "nodejs")}
	}
	dir, err := os.MkdirTemp("", "oidc-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &oidc{bed: newBed(t), modules: dir, program: node[0]}
	if err := os.Symlink(modules, filepath.Join(s.modules, "node_modules")); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("../contrib/testbed/oauth/server.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.modules, "server.mjs"), program, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("oidc-provider:\n%s", &s.stderr)
		}
	})

	behind := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket())
	}}
	t.Cleanup(behind.CloseIdleConnections)
	s.edge.Handle(oidcHost, &httputil.ReverseProxy{Transport: behind, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "http", "oidc-provider"
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}})
	s.edge.Handle("git.example.com", s)

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	direct := &http.Transport{Proxy: nil}
	t.Cleanup(direct.CloseIdleConnections)
	s.pages = &http.Client{Jar: jar, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if h := r.URL.Hostname(); h == "localhost" || h == "127.0.0.1" {
			return direct.RoundTrip(r)
		}
		return s.rt.RoundTrip(r)
	})}
	return s
}

// testbedFolder returns the path of something that contrib/testbed/install has put
// into its folder, or "".
func testbedFolder(name string) string {
	cache, _ := os.UserCacheDir()
	for _, dir := range []string{"/opt", cache} {
		path := filepath.Join(dir, "gitaccess-testbed", filepath.FromSlash(name))
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

func (s *oidc) socket() string { return filepath.Join(s.modules, "http") }

// start runs the server until stop, or until this process ends.
func (s *oidc) start() {
	s.Helper()
	_ = os.Remove(s.socket()) // node leaves it
	s.node = exec.Command(s.program, "server.mjs", "https://"+oidcHost, "https://git.example.com", s.socket(), oidcSecret)
	s.node.Dir = s.modules
	s.node.Stderr = &s.stderr
	in, err := s.node.StdinPipe()
	if err != nil {
		s.Fatal(err)
	}
	out, err := s.node.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := s.node.Start(); err != nil {
		s.Fatal(err)
	}
	s.eof = in
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		s.stop()
		s.Fatalf("oidc-provider: %q, %v\n%s", line, err, &s.stderr)
	}
}

// stop ends the server, which forgets everything.
func (s *oidc) stop() {
	s.eof.Close()
	_ = s.node.Wait() // the second stop finds nothing to do
}

// ServeHTTP is the protected resource: its document (RFC 9728 §3), a challenge that
// names it (§5.1), and behind that who is who.
func (s *oidc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const document = "/.well-known/oauth-protected-resource"
	if r.URL.Path == document {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"resource":"https://git.example.com","authorization_servers":["https://%s"],"bearer_methods_supported":["header"]}`, oidcHost)
		return
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	in, err := s.introspect(r.Context(), token)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadGateway)
	case token != "" && in.Active && in.Audience == "https://git.example.com":
		fmt.Fprintf(w, "hello %s", in.Subject)
	default:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", resource_metadata="https://git.example.com`+document+`"`)
		http.Error(w, "no valid token", http.StatusUnauthorized)
	}
}

type introspection struct {
	Active   bool   `json:"active"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Scope    string `json:"scope"`
	ClientID string `json:"client_id"`
}

// introspect asks the server about a token (RFC 7662).
func (s *oidc) introspect(ctx context.Context, token string) (introspection, error) {
	var in introspection
	if token == "" {
		return in, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+oidcHost+"/token/introspection", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return in, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("resource", url.QueryEscape(oidcSecret)) // RFC 6749 §2.3.1
	resp, err := s.rt.RoundTrip(req)
	if err != nil {
		return in, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return in, fmt.Errorf("introspection: %s", resp.Status)
	}
	return in, json.NewDecoder(resp.Body).Decode(&in)
}

func (s *oidc) active(token string) bool {
	s.Helper()
	in, err := s.introspect(s.Context(), token)
	if err != nil {
		s.Error(err)
	}
	return in.Active
}

var (
	oidcForm   = regexp.MustCompile(`<form [^>]*action="([^"]*)"`)
	oidcPrompt = regexp.MustCompile(`name="prompt" value="([^"]*)"`)
	oidcAbort  = regexp.MustCompile(`<a href="([^"]*/abort)"`)
)

// visit walks through oidc-provider's own pages: logs in as ada, then consents, or
// cancels at the page named by until. It returns the prompts it met and the text of
// the page where it ended.
func (s *oidc) visit(ctx context.Context, link, until string) (prompts []string, end string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return nil, "", err
	}
	for range 10 {
		resp, err := s.pages.Do(req)
		if err != nil {
			return prompts, "", err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return prompts, "", err
		}
		form, prompt := oidcForm.FindSubmatch(body), oidcPrompt.FindSubmatch(body)
		if form == nil || prompt == nil {
			return prompts, string(body), nil
		}
		prompts = append(prompts, string(prompt[1]))
		if string(prompt[1]) == until {
			abort := oidcAbort.FindSubmatch(body)
			if abort == nil {
				return prompts, "", errors.New("no way to cancel")
			}
			form, req = abort, nil
		}
		next, err := resp.Request.URL.Parse(html.UnescapeString(string(form[1])))
		if err != nil {
			return prompts, "", err
		}
		if req == nil {
			req, err = http.NewRequestWithContext(ctx, http.MethodGet, next.String(), nil)
		} else {
			fields := url.Values{"prompt": {string(prompt[1])}, "login": {"ada"}, "password": {"any"}}
			req, err = http.NewRequestWithContext(ctx, http.MethodPost, next.String(), strings.NewReader(fields.Encode()))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if err != nil {
			return prompts, "", err
		}
	}
	return prompts, "", errors.New("pages without end")
}

// client returns a client whose person goes through the pages.
func (s *oidc) client(change func(*access.Config)) *access.Client {
	s.Helper()
	return s.bed.client(func(cfg *access.Config) {
		cfg.LoginTimeout = time.Minute
		cfg.Open = s.opener("", nil)
		if change != nil {
			change(cfg)
		}
	})
}

// opener is a browser with a person before it; seen gets the login URL, the prompts
// and the last page.
func (s *oidc) opener(until string, seen func(login *url.URL, prompts []string, end string)) func(context.Context, string) error {
	return func(_ context.Context, link string) error {
		s.mu.Lock()
		s.opened++
		s.mu.Unlock()
		var visit sync.WaitGroup
		visit.Go(func() {
			// The test may end before the person has seen the last page.
			prompts, end, err := s.visit(context.WithoutCancel(s.Context()), link, until)
			if err != nil {
				s.Error("the person at the browser:", err)
			}
			if seen != nil {
				seen(s.url(link), prompts, end)
			}
		})
		s.Cleanup(visit.Wait)
		return nil
	}
}

func at(t time.Time) func(*access.Config) {
	return func(cfg *access.Config) { cfg.Now = func() time.Time { return t } }
}

func TestRealServer(t *testing.T) {
	s := newOIDC(t)
	done := make(chan struct{})
	c := s.client(func(cfg *access.Config) {
		cfg.Open = s.opener("", func(login *url.URL, prompts []string, end string) {
			defer close(done)
			q := login.Query()
			if got, want := strings.Join(prompts, " "), "login consent"; got != want {
				t.Errorf("pages: %s, want %s", got, want)
			}
			if !strings.Contains(end, "Logged in") {
				t.Errorf("the last page is\n%s", end)
			}
			if m, ch := q.Get("code_challenge_method"), q.Get("code_challenge"); m != "S256" || len(ch) != 43 {
				t.Errorf("PKCE: %q %q", m, ch)
			}
			if u := s.url(q.Get("redirect_uri")); u.Scheme != "http" || u.Hostname() != "localhost" || u.Port() == "" {
				t.Errorf("redirect to %v", u)
			}
			if len(q.Get("state")) < 20 || q.Get("resource") != "https://git.example.com" {
				t.Errorf("state %q, resource %q", q.Get("state"), q.Get("resource"))
			}
		})
	})
	if body, err := s.get(c, ask, page); err != nil || body != "hello ada" {
		t.Fatalf("%q, %v", body, err)
	}
	<-done
	if n := len(s.edge.Requests(accesstest.ToHost(oidcHost), accesstest.ToPath("/reg"))); n != 1 {
		t.Errorf("%d registrations", n)
	}
	token, refresh := s.stored("oauth/", "token"), s.stored("oauth/", "refresh_token")
	in, err := s.introspect(t.Context(), token)
	if err != nil || !in.Active || in.Audience != "https://git.example.com" || in.Scope != "git" || in.ClientID != s.stored("client/", "client_id") {
		t.Errorf("introspection: %+v, %v", in, err)
	}
	if refresh == "" {
		t.Fatal("no refresh token")
	}
	s.noLeaks(token, "git.example.com", oidcHost)
	s.noLeaks(refresh, oidcHost)

	// Three renewals, each with a new refresh token; the one before is dead, and
	// its use would end the grant.
	for i := range 3 {
		cr, err := s.client(nil).Credential(t.Context(), s.url(page), access.Policy{})
		if err != nil {
			t.Fatal(err)
		}
		s.edge.ClearLog()
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				next, err := s.client(at(cr.Expiry.Add(time.Second))).Credential(t.Context(), s.url(page), access.Policy{})
				if err != nil || next.Token().Equal(cr.Token()) {
					t.Errorf("renewal %d: %v, same token %v", i, err, next.Token().Equal(cr.Token()))
				}
			})
		}
		callers.Wait()
		if n := len(s.edge.Requests(accesstest.ToHost(oidcHost), accesstest.ToPath("/token"))); n != 1 {
			t.Errorf("renewal %d: %d requests to the token endpoint", i, n)
		}
		now := s.stored("oauth/", "refresh_token")
		if now == refresh || !s.active(now) || s.active(refresh) {
			t.Errorf("renewal %d: rotated %v, new one active %v, old one active %v", i, now != refresh, s.active(now), s.active(refresh))
		}
		refresh = now
	}
	if body, err := s.get(s.client(nil), access.Policy{}, page); err != nil || body != "hello ada" {
		t.Errorf("with the renewed token: %q, %v", body, err)
	}
	if n := s.logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
}

// A copy of the store that renews behind our back uses up the refresh token. The
// server takes the second use for theft and ends the grant (RFC 9700 §4.14.2): a
// person has to log in, and is not made to register again.
func TestRealServerEndsAGrantOnReuse(t *testing.T) {
	s := newOIDC(t)
	cr, err := s.client(nil).Credential(t.Context(), s.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := s.store.List(t.Context(), "oauth/")
	if err != nil || len(keys) != 1 {
		t.Fatalf("%q, %v", keys, err)
	}
	old, err := s.store.Get(t.Context(), keys[0])
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.client(at(cr.Expiry.Add(time.Second))).Credential(t.Context(), s.url(page), access.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.Put(t.Context(), keys[0], old); err != nil {
		t.Fatal(err)
	}
	_, err = s.client(at(cr.Expiry.Add(time.Second))).Credential(t.Context(), s.url(page), access.Policy{})
	var required *access.LoginRequiredError
	var oauth *access.OAuthError
	if !errors.As(err, &required) || !errors.As(err, &oauth) || oauth.Code != "invalid_grant" {
		t.Errorf("got %v", err)
	}
	if s.active(next.Token().Reveal()) {
		t.Error("the grant lives on")
	}
	if body, err := s.get(s.client(nil), ask, page); err != nil || body != "hello ada" {
		t.Errorf("log in again: %q, %v", body, err)
	}
	if n := len(s.edge.Requests(accesstest.ToHost(oidcHost), accesstest.ToPath("/reg"))); n != 1 || s.logins() != 2 {
		t.Errorf("%d registrations, %d logins", n, s.logins())
	}
}

func TestRealServerRevokesOnLogout(t *testing.T) {
	s := newOIDC(t)
	c := s.client(nil)
	cr, err := c.Credential(t.Context(), s.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	token, refresh := cr.Token().Reveal(), s.stored("oauth/", "refresh_token")
	if !s.active(token) || !s.active(refresh) {
		t.Fatal("dead before the logout")
	}
	if found, err := c.Logout(t.Context(), cr.App.Origin); !found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	if s.active(token) || s.active(refresh) {
		t.Errorf("after the logout: access token active %v, refresh token active %v", s.active(token), s.active(refresh))
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page, nil)
	if err != nil {
		t.Fatal(err)
	}
	cr.Apply(req)
	resp, err := s.rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the token still opens the host: %s", resp.Status)
	}
	var required *access.LoginRequiredError
	if _, err := s.get(s.client(nil), access.Policy{}, page); !errors.As(err, &required) {
		t.Errorf("got %v", err)
	}
}

// The server names itself in each answer (RFC 9207): one that does not, or that
// names another, comes from elsewhere, even if it has the state.
func TestRealServerNamesItself(t *testing.T) {
	s := newOIDC(t)
	c := s.client(func(cfg *access.Config) {
		visit := cfg.Open
		cfg.Open = func(ctx context.Context, link string) error {
			q := s.url(link).Query()
			for _, iss := range []string{"", "&iss=https://evil.example.net"} {
				resp, err := s.pages.Get(q.Get("redirect_uri") + "?code=x&state=" + q.Get("state") + iss)
				if err != nil {
					return err
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "Another server answered") {
					t.Errorf("with %q: %s, %v\n%s", iss, resp.Status, err, body)
				}
			}
			return visit(ctx, link)
		}
	})
	if body, err := s.get(c, ask, page); err != nil || body != "hello ada" {
		t.Errorf("%q, %v", body, err)
	}
}

func TestRealServerRefuses(t *testing.T) {
	for _, prompt := range []string{"login", "consent"} {
		t.Run("cancelled at "+prompt, func(t *testing.T) {
			s := newOIDC(t)
			done := make(chan string, 1)
			c := s.client(func(cfg *access.Config) {
				cfg.Open = s.opener(prompt, func(_ *url.URL, _ []string, end string) { done <- end })
			})
			_, err := c.Credential(t.Context(), s.url(page), ask)
			var refused *access.RefusedError
			if !errors.As(err, &refused) || refused.Cause != access.Denied || refused.Detail == "" {
				t.Errorf("got %v", err)
			}
			if end := <-done; !strings.Contains(end, "Not logged in") {
				t.Errorf("the last page is\n%s", end)
			}
		})
	}
	t.Run("another verifier", func(t *testing.T) {
		s := newOIDC(t)
		c := s.client(func(cfg *access.Config) {
			cfg.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/token" {
					form, err := io.ReadAll(r.Body)
					if err != nil {
						return nil, err
					}
					fields, err := url.ParseQuery(string(form))
					if err != nil {
						return nil, err
					}
					fields.Set("code_verifier", rand.Text()+rand.Text())
					r = r.Clone(r.Context())
					r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(fields.Encode()))
				}
				return s.rt.RoundTrip(r)
			})
		})
		_, err := c.Credential(t.Context(), s.url(page), ask)
		var oauth *access.OAuthError
		if !errors.As(err, &oauth) || oauth.Step != "token" || oauth.Code != "invalid_grant" {
			t.Errorf("got %v", err)
		}
	})
}

// A registration ends when the server says so, and it does not always say so to the
// client: the authorization endpoint tells the person alone, on a page that leads
// nowhere (RFC 6749 §4.1.2.1).
func TestRealServerForgetsTheClient(t *testing.T) {
	t.Run("told at the renewal", func(t *testing.T) {
		s := newOIDC(t)
		cr, err := s.client(nil).Credential(t.Context(), s.url(page), ask)
		if err != nil {
			t.Fatal(err)
		}
		s.stop()
		s.start()
		_, err = s.client(at(cr.Expiry.Add(time.Second))).Credential(t.Context(), s.url(page), access.Policy{})
		var required *access.LoginRequiredError
		var oauth *access.OAuthError
		if !errors.As(err, &required) || !errors.As(err, &oauth) || oauth.Code != "invalid_client" {
			t.Errorf("got %v", err)
		}
		if body, err := s.get(s.client(at(cr.Expiry.Add(time.Second))), ask, page); err != nil || body != "hello ada" {
			t.Errorf("log in again: %q, %v", body, err)
		}
	})
	t.Run("told to the person", func(t *testing.T) {
		s := newOIDC(t)
		c := s.client(nil)
		cr, err := c.Credential(t.Context(), s.url(page), ask)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Logout(t.Context(), cr.App.Origin); err != nil {
			t.Fatal(err)
		}
		s.stop()
		s.start()
		ctx, interrupt := context.WithCancel(t.Context())
		c = s.client(func(cfg *access.Config) {
			cfg.Open = s.opener("", func(_ *url.URL, _ []string, end string) {
				if !strings.Contains(end, "client is invalid") {
					t.Errorf("the page is\n%s", end)
				}
				interrupt()
			})
		})
		if _, err := c.Credential(ctx, s.url(page), ask); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		if body, err := s.get(s.client(nil), ask, page); err != nil || body != "hello ada" {
			t.Errorf("log in again: %q, %v", body, err)
		}
	})
}
