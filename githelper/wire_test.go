package githelper_test

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// The test binary is the credential helper, too: git runs it under this name.
const helperName = "git-credential-test"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == helperName {
		os.Exit(helper())
	}
	os.Exit(m.Run())
}

// helper is the smallest credential helper of this package: it puts a cookie into a jar. It notes what it was asked.
func helper() int {
	op := os.Args[len(os.Args)-1]
	req, err := githelper.ReadRequest(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if f, err := os.OpenFile(os.Getenv("TEST_CALLS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		note := op
		if op == "get" && (req.AuthType != "" || len(req.State) > 0) {
			note = fmt.Sprintf("get:%s:%d:%s", req.AuthType, len(req.WWWAuth), strings.Join(req.State, ","))
		}
		fmt.Fprintln(f, note)
		f.Close()
	}
	if op != "get" {
		return 0
	}
	u, err := req.URL()
	if err != nil {
		return 1
	}
	var resp *githelper.Response
	switch {
	case os.Getenv("TEST_STOP") != "":
		fmt.Fprintln(os.Stderr, "test: error: no login here")
		resp = req.Stop()
	case req.Answered("test:jar"):
		resp = req.NextHelper()
	case req.Answered("test:second"):
		resp = req.Stop()
	case req.AuthType != "":
		resp = req.BearerToken(githelper.NewSecret(os.Getenv("TEST_SECOND_TOKEN")), time.Now().Add(time.Hour), "test:second")
	case os.Getenv("TEST_TOKEN") != "":
		resp = req.BearerToken(githelper.NewSecret(os.Getenv("TEST_TOKEN")), time.Now().Add(time.Hour), "test:first")
	default:
		jar := &githelper.Jar{Path: os.Getenv("TEST_JAR"), Host: u.Hostname()}
		cookie := githelper.Cookie{Name: "session", Value: githelper.NewSecret(os.Getenv("TEST_COOKIE")), Expires: time.Now().Add(time.Hour), HTTPOnly: true}
		if err := jar.Save([]githelper.Cookie{cookie}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		resp = req.CookieInJar("test:jar", os.Getenv("TEST_OWN_LOGIN") != "")
	}
	if _, err := resp.WriteTo(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// edge serves git repositories to those who bring the cookie, and sends the others to a login page. With password, the server
// behind it wants a login of its own.
type edge struct {
	*httptest.Server
	cookie   string
	tokens   map[string]int // Bearer tokens in place of the cookie, and for how many more requests each is good
	password string
	root     string
	login    *httptest.Server // at another host

	mu   sync.Mutex
	git  http.Handler
	seen []string // "GET git.example.com cookie Basic"
}

func newEdge(t *testing.T) *edge {
	backend, err := exec.Command(scripttest.Need(t, "git", "git"), "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{cookie: "c" + strings.Repeat("0123456789", 300), root: t.TempDir()}
	script := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(backend)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + e.root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=me", "HOME=" + e.root},
	}
	e.git = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 { // CGI wants a length, git sends large pushes in chunks
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		}
		script.ServeHTTP(w, r)
	})
	e.login = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.note(r, "login")
		io.WriteString(w, "<!DOCTYPE html><title>Sign in</title>")
	}))
	t.Cleanup(e.login.Close)
	e.Server = httptest.NewTLSServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.Close)
	return e
}

func (e *edge) note(r *http.Request, to string) (hasCookie bool) {
	c, err := r.Cookie("session")
	hasCookie = err == nil && c.Value == e.cookie
	s := r.Method + " " + to
	if hasCookie {
		s += " cookie"
	}
	if scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); scheme != "" {
		s += " " + scheme
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, s)
	return hasCookie
}

func (e *edge) serve(w http.ResponseWriter, r *http.Request) {
	hasCookie := e.note(r, "git")
	if e.tokens != nil {
		e.mu.Lock()
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		hasCookie = e.tokens[token] > 0
		e.tokens[token]--
		e.mu.Unlock()
		if !hasCookie {
			w.Header().Set("WWW-Authenticate", `Bearer realm="OAuth", resource_metadata="https://example.com/x"`)
			http.Error(w, "a token is wanted", http.StatusUnauthorized)
			return
		}
	}
	if !hasCookie {
		_, port, _ := net.SplitHostPort(e.login.Listener.Addr().String())
		http.Redirect(w, r, "https://localhost:"+port+"/login", http.StatusFound)
		return
	}
	if name, password, _ := r.BasicAuth(); e.password != "" && (name != "me" || password != e.password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="origin"`)
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	e.mu.Lock()
	git := e.git
	e.mu.Unlock()
	git.ServeHTTP(w, r)
}

// requests returns what was asked since the last call.
func (e *edge) requests() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := e.seen
	e.seen = nil
	return seen
}

// person is a home folder with a git, set up for an edge.
type person struct {
	git  *githelper.Git
	home string
	env  map[string]string
}

func newPerson(t *testing.T, g *githelper.Git, e *edge, h *githelper.HostConfig) *person {
	t.Helper()
	p := &person{git: g, home: t.TempDir()}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(p.home, "ca.pem")
	certs := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Certificate().Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.login.Certificate().Raw})...)
	tools := filepath.Join(p.home, "my tools") // a path that needs quoting
	h.Origin, h.Helper, h.Jar = e.URL, filepath.Join(tools, helperName), filepath.Join(p.home, "the jar")
	config, err := h.Set([]byte("[user]\n\tname = me\n\temail = me@example.com\n[credential]\n\thelper = store\n"), g.Version)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Mkdir(tools, 0o755), os.Symlink(self, h.Helper),
		os.WriteFile(ca, certs, 0o600), os.WriteFile(filepath.Join(p.home, ".gitconfig"), config, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p.env = map[string]string{
		"HOME": p.home, "PATH": os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_SSL_CAINFO": ca,
		"LC_ALL": "C", "TEST_CALLS": filepath.Join(p.home, "calls"), "TEST_JAR": h.Jar, "TEST_COOKIE": e.cookie, "GORACE": "atexit_sleep_ms=0",
	}
	return p
}

func (p *person) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.git.Path, args...)
	for k, v := range p.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Dir = p.home
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (p *person) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.run(t, args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// calls returns the operations that the helper was asked for since the last call.
func (p *person) calls(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(p.env["TEST_CALLS"])
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	os.Remove(p.env["TEST_CALLS"])
	return strings.Fields(string(b))
}

func (p *person) store(t *testing.T, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.home, ".git-credentials"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *person) stored(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.home, ".git-credentials"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

// kept is the line of git-credential-store for me at e.
func kept(e *edge, password string) string {
	return strings.Replace(strings.Replace(e.URL, "127.0.0.1:", "127.0.0.1%3a", 1), "://", "://me:"+password+"@", 1) + "\n"
}

func gits(t *testing.T, f func(t *testing.T, g *githelper.Git)) {
	for _, g := range githelper.TestGits(t) {
		t.Run(g.Version.String(), func(t *testing.T) { f(t, g) })
	}
}

// clonePush does what people do: clone, fetch, push a little and push too much for one request.
func clonePush(t *testing.T, p *person, e *edge, remote string) {
	t.Helper()
	p.must(t, "init", "-q", "--bare", filepath.Join(e.root, "r.git"))
	p.must(t, "-C", filepath.Join(e.root, "r.git"), "config", "http.receivepack", "true")
	p.must(t, "ls-remote", remote)
	p.must(t, "clone", "-q", remote, "c")
	for _, size := range []int{1 << 10, 3 << 20} { // above http.postBuffer, 1 MiB, git probes and sends chunks
		if err := os.WriteFile(filepath.Join(p.home, "c", fmt.Sprint(size)), noise(size), 0o600); err != nil {
			t.Fatal(err)
		}
		p.must(t, "-C", "c", "add", ".")
		p.must(t, "-C", "c", "commit", "-q", "-m", fmt.Sprint(size))
		p.must(t, "-C", "c", "push", "-q", "origin", "HEAD:refs/heads/main")
	}
	p.must(t, "-C", "c", "fetch", "-q")
	p.must(t, "clone", "-q", "--depth=1", "-b", "main", remote, "d")
}

// noise is what zlib cannot make small.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

// The cookie is on the first request already, no request is refused, and no Authorization is sent.
func TestGitSendsTheCookieOfAnOpenServer(t *testing.T) {
	gits(t, func(t *testing.T, g *githelper.Git) {
		e := newEdge(t)
		p := newPerson(t, g, e, &githelper.HostConfig{})
		clonePush(t, p, e, e.URL+"/r.git")
		for _, r := range e.requests() {
			if r != "GET git cookie" && r != "POST git cookie" {
				t.Errorf("%s", r)
			}
		}
		calls := p.calls(t)
		if len(calls) == 0 || slices.Contains(calls, "erase") {
			t.Errorf("the helper was asked to %v", calls)
		}
		if s := p.stored(t); s != "" {
			t.Errorf("another helper keeps %q", s)
		}
	})
}

// A login of the server's own is given by the helper that the person has for it, and kept there.
func TestGitGivesTheServersOwnLogin(t *testing.T) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("known=%v", known), func(t *testing.T) {
			gits(t, func(t *testing.T, g *githelper.Git) {
				if !known && !g.Version.AtLeast(2, 46) {
					return // it asks once only, so it must be known before: by setup
				}
				e := newEdge(t)
				e.password = "pw"
				p := newPerson(t, g, e, &githelper.HostConfig{OwnLogin: true, Username: "me", Others: []string{"store"}})
				if known {
					p.env["TEST_OWN_LOGIN"] = "1"
				}
				p.store(t, kept(e, "pw"))
				clonePush(t, p, e, e.URL+"/r.git")
				for _, r := range e.requests() {
					if !strings.HasPrefix(r, "GET git cookie") && !strings.HasPrefix(r, "POST git cookie") {
						t.Errorf("%s", r)
					}
				}
				if s := p.stored(t); s != kept(e, "pw") {
					t.Errorf("the person's helper keeps %q", s)
				}
			})
		})
	}
}

// A password that is wrong ends after one attempt, is forgotten where it was kept, and does not touch the cookie.
func TestGitForgetsAWrongPassword(t *testing.T) {
	gits(t, func(t *testing.T, g *githelper.Git) {
		e := newEdge(t)
		e.password = "pw"
		p := newPerson(t, g, e, &githelper.HostConfig{OwnLogin: true, Username: "me", Others: []string{"store"}})
		p.env["TEST_OWN_LOGIN"] = "1"
		p.store(t, kept(e, "wrong"))
		if out, err := p.run(t, "ls-remote", e.URL+"/r.git"); err == nil {
			t.Errorf("a wrong password passed: %s", out)
		}
		if n := len(e.requests()); n > 2 {
			t.Errorf("%d requests", n)
		}
		if s := p.stored(t); s != "" {
			t.Errorf("the person's helper keeps %q", s)
		}
	})
}

// What the person types is offered to their helper, and not as something that must not be kept: the mark of our first answer is off.
func TestGitLetsTheNextHelperKeepThePassword(t *testing.T) {
	gits(t, func(t *testing.T, g *githelper.Git) {
		e := newEdge(t)
		e.password = "pw"
		p := newPerson(t, g, e, &githelper.HostConfig{
			OwnLogin: true, Username: "me",
			Others: []string{`!f() { if test "$1" = store; then cat >"$HOME/offered"; fi; }; f`},
		})
		p.env["TEST_OWN_LOGIN"] = "1"
		askpass := filepath.Join(p.home, "askpass")
		script := "#!/bin/sh\ncase $1 in Username*) echo me;; *) echo pw;; esac\n"
		if err := os.WriteFile(askpass, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		p.env["GIT_ASKPASS"] = askpass
		p.must(t, "init", "-q", "--bare", filepath.Join(e.root, "r.git"))
		p.must(t, "ls-remote", e.URL+"/r.git")
		b, err := os.ReadFile(filepath.Join(p.home, "offered"))
		offered, err2 := githelper.ReadRequest(bytes.NewReader(b))
		if err != nil || err2 != nil || offered.Username != "me" || offered.Password.Reveal() != "pw" || offered.Ephemeral {
			t.Errorf("the next helper was offered %q, %v", b, err)
		}
	})
}

// A token is on every request, those of a large push included, and no helper keeps it.
func TestGitSendsABearerToken(t *testing.T) {
	gits(t, func(t *testing.T, g *githelper.Git) {
		if !g.Version.Bearer() {
			return
		}
		e := newEdge(t)
		e.tokens = map[string]int{"first": 1 << 20}
		p := newPerson(t, g, e, &githelper.HostConfig{Bearer: true, OwnLogin: true, Others: []string{"store", "cache"}})
		defer p.run(t, "credential-cache", "exit")
		p.env["TEST_TOKEN"] = "first"
		clonePush(t, p, e, e.URL+"/r.git")
		for _, r := range e.requests() {
			if r != "GET git Bearer" && r != "POST git Bearer" {
				t.Errorf("%s", r)
			}
		}
		if calls := p.calls(t); !slices.Equal(slices.Compact(slices.Sorted(slices.Values(calls))), []string{"get", "store"}) {
			t.Errorf("the helper was asked to %v", calls)
		}
		if s := p.stored(t); s != "" {
			t.Errorf("another helper keeps %q", s)
		}
		u, _ := url.Parse(e.URL)
		for _, helper := range []string{"store", "cache"} {
			cmd := exec.Command(g.Path, "credential-"+helper, "get")
			cmd.Stdin = strings.NewReader("capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=" + u.Host + "\n\n")
			cmd.Env = []string{"HOME=" + p.home, "PATH=" + os.Getenv("PATH")}
			if out, _ := cmd.Output(); strings.Contains(string(out), "first") {
				t.Errorf("credential-%s keeps %q", helper, out)
			}
		}
	})
}

// A token that dies in the middle of a command is replaced, and the command goes on.
func TestGitAsksAgainForABearerToken(t *testing.T) {
	gits(t, func(t *testing.T, g *githelper.Git) {
		if !g.Version.Bearer() {
			return
		}
		for good := range 2 {
			e := newEdge(t)
			e.tokens = map[string]int{"first": good, "second": 1 << 20}
			p := newPerson(t, g, e, &githelper.HostConfig{Bearer: true})
			p.env["TEST_TOKEN"], p.env["TEST_SECOND_TOKEN"] = "first", "second"
			p.must(t, "init", "-q", "--bare", filepath.Join(e.root, "r.git"))
			p.must(t, "ls-remote", e.URL+"/r.git")
			// After a request that succeeded git does not know the state any more, but the authtype.
			want := [][]string{{"get", "get:Bearer:1:test:first", "store"}, {"get", "store", "get:Bearer:1:"}}[good]
			if calls := p.calls(t); !slices.Equal(calls, want) {
				t.Errorf("the helper was asked to %v", calls)
			}
		}
	})
}

// Below 2.54 the probe of a push that is larger than http.postBuffer goes without the token. The token is good, and asked for again.
func TestGitProbesWithoutTheBearerToken(t *testing.T) {
	gits(t, func(t *testing.T, g *githelper.Git) {
		if !g.Version.Bearer() || g.Version.BearerOnProbe() {
			return
		}
		e := newEdge(t)
		e.tokens = map[string]int{"first": 1 << 20, "second": 1 << 20}
		p := newPerson(t, g, e, &githelper.HostConfig{})
		p.env["TEST_TOKEN"], p.env["TEST_SECOND_TOKEN"] = "first", "second"
		p.must(t, "init", "-q", "--bare", filepath.Join(e.root, "r.git"))
		p.must(t, "-C", filepath.Join(e.root, "r.git"), "config", "http.receivepack", "true")
		p.must(t, "clone", "-q", e.URL+"/r.git", "c")
		if err := os.WriteFile(filepath.Join(p.home, "c", "large"), noise(3<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		p.must(t, "-C", "c", "add", ".")
		p.must(t, "-C", "c", "commit", "-q", "-m", "large")
		e.requests()
		p.calls(t)
		out, err := p.run(t, "-C", "c", "push", "-q", "origin", "HEAD:refs/heads/main")
		if err == nil || !strings.Contains(out, "told us to quit") {
			t.Errorf("%v\n%s", err, out)
		}
		if got := e.requests(); !slices.Equal(got, []string{"GET git Bearer", "POST git", "POST git"}) {
			t.Errorf("%v", got)
		}
		if got := p.calls(t); !slices.Equal(got, []string{"get", "store", "get:Bearer:1:", "get:Bearer:1:test:second"}) {
			t.Errorf("the helper was asked to %v", got)
		}
	})
}

// A stale cookie in the file is replaced before git reads the file.
func TestGitReadsTheJarAfterTheHelper(t *testing.T) {
	gits(t, func(t *testing.T, g *githelper.Git) {
		e := newEdge(t)
		p := newPerson(t, g, e, &githelper.HostConfig{})
		p.must(t, "init", "-q", "--bare", filepath.Join(e.root, "r.git"))
		u, _ := url.Parse(e.URL)
		jar := &githelper.Jar{Path: p.env["TEST_JAR"], Host: u.Hostname()}
		if err := jar.Save([]githelper.Cookie{{Name: "session", Value: githelper.NewSecret("stale")}}); err != nil {
			t.Fatal(err)
		}
		p.must(t, "ls-remote", e.URL+"/r.git")
		if got := e.requests(); !slices.Equal(got, []string{"GET git cookie", "POST git cookie"}) {
			t.Errorf("got %v", got)
		}
	})
}

// The cookie stays with its host when the server sends git elsewhere, and is in no argument and no trace.
func TestGitKeepsTheCookieToItself(t *testing.T) {
	gits(t, func(t *testing.T, g *githelper.Git) {
		e := newEdge(t)
		p := newPerson(t, g, e, &githelper.HostConfig{})
		p.must(t, "init", "-q", "--bare", filepath.Join(e.root, "r.git"))
		origin, asked := e.git, make(chan struct{}, 100)
		o := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- struct{}{}
			if r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" {
				t.Errorf("another host got the headers %v", r.Header)
			}
			origin.ServeHTTP(w, r)
		}))
		defer o.Close()
		_, port, _ := net.SplitHostPort(o.Listener.Addr().String())
		e.mu.Lock()
		e.git = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://localhost:"+port+r.URL.RequestURI(), http.StatusFound)
		})
		e.mu.Unlock()
		p.env["GIT_SSL_NO_VERIFY"] = "1" // httptest's certificate names no localhost
		p.env["GIT_TRACE"], p.env["GIT_TRACE_CURL"], p.env["GIT_CURL_VERBOSE"], p.env["GIT_TRACE2_EVENT"] = "1", "1", "1", "2"
		p.env["GIT_TRACE2_ENV_VARS"], p.env["GIT_TRACE2_CONFIG_PARAMS"] = "TEST_JAR", "http.*,credential.*"
		out, _ := p.run(t, "ls-remote", e.URL+"/r.git")
		if len(asked) == 0 {
			t.Errorf("git did not follow the redirect:\n%s", out)
		}
		if !strings.Contains(out, "session=<redacted>") || strings.Contains(out, e.cookie) {
			t.Errorf("the trace has the cookie, or none was sent:\n%s", strings.ReplaceAll(out, e.cookie, "COOKIE"))
		}
	})
}

// "quit=1" ends git with the helper's words and asks nobody else.
func TestGitStops(t *testing.T) {
	gits(t, func(t *testing.T, g *githelper.Git) {
		e := newEdge(t)
		p := newPerson(t, g, e, &githelper.HostConfig{OwnLogin: true, Username: "me", Others: []string{"!touch asked; :"}})
		p.env["TEST_STOP"] = "1"
		out, err := p.run(t, "ls-remote", e.URL+"/r.git")
		if err == nil || !strings.Contains(out, "test: error: no login here") || !strings.Contains(out, "told us to quit") {
			t.Errorf("got %s, %v", out, err)
		}
		if _, err := os.Stat(filepath.Join(p.home, "asked")); err == nil {
			t.Error("another helper was asked")
		}
		if r := e.requests(); len(r) != 0 {
			t.Errorf("requests: %v", r)
		}
	})
}
