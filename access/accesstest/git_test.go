package accesstest_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// gitBed is an edge with git behind it, and a git that reaches it.
type gitBed struct {
	t    *testing.T
	e    *accesstest.Edge
	root string   // of the origins
	dir  string   // of the client
	env  []string // of the client
	git  *origin.Git
	// Program of the client.
	program string
}

func newGitBed(t *testing.T) *gitBed {
	t.Helper()
	need(t, "git", "git")
	e, srv, _ := edge(t, nil)
	b := &gitBed{t: t, e: e, root: t.TempDir(), dir: t.TempDir(), program: "git"}
	if _, err := origin.Init(t.Context(), b.root, "demo.git", nil); err != nil {
		t.Fatal(err)
	}
	b.git = &origin.Git{Root: b.root}
	vars, err := srv.Env(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b.env = append(os.Environ(), vars...)
	b.env = append(b.env, "HOME="+t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	return b
}

// run runs git in the client's folder.
func (b *gitBed) run(config []string, args ...string) (string, error) {
	var all []string
	for _, c := range config {
		all = append(all, "-c", c)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.program, append(all, args...)...)
	cmd.Dir, cmd.Env = b.dir, b.env
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (b *gitBed) must(config []string, args ...string) string {
	b.t.Helper()
	out, err := b.run(config, args...)
	if err != nil {
		b.t.Fatalf("git %s: %v\n%s", args, err, out)
	}
	return out
}

// exercise clones, commits a file of this size, pushes, and compares both ends.
func (b *gitBed) exercise(config []string, link, name string, size int) {
	b.t.Helper()
	b.must(config, "clone", "-q", link, name)
	content := make([]byte, size)
	rand.Read(content)
	if err := os.WriteFile(filepath.Join(b.dir, name, name), content, 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.must(nil, "-C", name, "add", ".")
	b.must(nil, "-C", name, "commit", "-q", "-m", name)
	b.must(config, "-C", name, "push", "-q", "origin", "main")
	b.must(config, "-C", name, "fetch", "-q")
	local := b.must(nil, "-C", name, "rev-parse", "HEAD")
	if remote := b.must(nil, "--git-dir="+filepath.Join(b.root, "demo.git"), "rev-parse", "main"); local != remote {
		b.t.Errorf("%s: pushed %s, the origin has %s", name, local, remote)
	}
}

// jar writes a cookie file in the form that libcurl reads.
func (b *gitBed) jar(host, tok string) string {
	path := filepath.Join(b.t.TempDir(), "jar")
	line := fmt.Sprintf("#HttpOnly_%s\tFALSE\t/\tTRUE\t%d\tCF_Authorization\t%s\n", host, time.Now().Add(time.Hour).Unix(), tok)
	if err := os.WriteFile(path, []byte("# Netscape HTTP Cookie File\n"+line), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func TestGitOverHTTP(t *testing.T) {
	b := newGitBed(t)
	svc := b.e.Team().AddServiceToken("ci")
	services := []*accesstest.ServiceToken{svc}
	login := b.e.AddApp(accesstest.App{Host: "git.example.com", Allow: true, Origin: b.git})
	b.e.AddApp(accesstest.App{Host: "ci.example.com", Services: services, Strict: true, Origin: b.git})
	basic := b.e.AddApp(accesstest.App{Host: "basic.example.com", Allow: true, Origin: &origin.Git{Root: b.root, Login: "ada:origin-password"}})
	post := b.e.AddApp(accesstest.App{Host: "post.example.com", Allow: true, Origin: &origin.Git{Root: b.root, Login: "ada:origin-password",
		LoginFor: func(r *http.Request) bool {
			return r.Method == "POST" && strings.HasSuffix(r.URL.Path, "git-receive-pack")
		}}})
	b.e.AddApp(accesstest.App{Host: "moved.example.com", Bypass: true, Origin: &origin.Git{Root: b.root, Redirect: map[string]string{"/old/": "https://open.example.com/"}}})
	b.e.AddApp(accesstest.App{Host: "open.example.com", Bypass: true, Origin: b.git})

	cookie := []string{"http.cookieFile=" + b.jar("git.example.com", login.Token("ada@example.com"))}
	headers := []string{"http.extraHeader=CF-Access-Client-Id: " + svc.ID, "http.extraHeader=CF-Access-Client-Secret: " + svc.Secret(), "http.followRedirects=false"}
	helper := func(app *accesstest.Application) []string {
		return []string{"http.cookieFile=" + b.jar(app.App().Host, app.Token("ada@example.com")),
			"credential.helper=!f() { echo username=ada; echo password=origin-password; }; f"}
	}
	b.exercise(cookie, "https://git.example.com/demo.git", "cookie", 1<<10)
	b.exercise(headers, "https://ci.example.com/demo.git", "service", 1<<10)
	b.exercise(helper(basic), "https://basic.example.com/demo.git", "basic", 1<<10)
	b.exercise(helper(post), "https://post.example.com/demo.git", "basic-on-push", 1<<10)
	b.must(nil, "clone", "-q", "https://moved.example.com/old/demo.git", "moved")

	// Packs above http.postBuffer stream, over HTTP/1.1 as chunks. These come
	// last: what follows would clone them.
	// By the newest git: libcurl before 8.2 stops in the middle of an upload by
	// HTTP/2 now and then (curl/curl#11157 and its neighbours).
	gits := scripttest.Gits(t)
	b.program = gits[len(gits)-1].Path
	b.exercise(cookie, "https://git.example.com/demo.git", "http2", 4<<20)
	b.program = "git"
	b.exercise(append(cookie, "http.version=HTTP/1.1"), "https://git.example.com/demo.git", "chunked", 30<<20)
	protos := map[string]bool{}
	for _, r := range b.e.Requests(accesstest.ToHost("git.example.com"), accesstest.ToPath("/demo.git/git-receive-pack")) {
		protos[r.Proto] = true
		if r.Status != 200 {
			t.Errorf("%s", r)
		}
	}
	if !protos["HTTP/2.0"] || !protos["HTTP/1.1"] {
		t.Errorf("pushed by %v", protos)
	}
	if leaks := b.e.Leaks(svc.Secret(), "ci.example.com"); leaks != nil {
		t.Errorf("%v", leaks)
	}

	// What git makes of Access's own answers.
	for name, tc := range map[string]struct {
		link   string
		config []string
		want   string
	}{
		"no session":                  {"https://git.example.com/demo.git", nil, "unable to update url base from redirection"},
		"no session, but a jar":       {"https://git.example.com/demo.git", []string{"http.cookieFile=" + b.jar("other.example.com", "x"), "http.saveCookies=true"}, "unable to update url base from redirection"},
		"no service token":            {"https://ci.example.com/demo.git", nil, "The requested URL returned error: 403"},
		"wrong password for the push": {"https://basic.example.com/demo.git", append(helper(basic)[:1:1], "credential.helper=!f() { echo username=ada; echo password=x; }; f"), "Authentication failed"},
	} {
		if out, err := b.run(tc.config, "ls-remote", tc.link); err == nil || !strings.Contains(out, tc.want) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestGitOverSSH(t *testing.T) {
	b := newGitBed(t)
	need(t, "ssh", "openssh-client")
	sshd, err := origin.StartSSH(b.root, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sshd.Close()
	app := b.e.AddApp(accesstest.App{Host: sshHost, Allow: true, TCP: accesstest.DialTCP(sshd.Addr())})
	known := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, []byte(sshd.KnownHosts(sshHost)), 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b.env = append(b.env, proxyCommand+"=https://"+sshHost+"/", "ACCESSTEST_TOKEN="+app.Token("ada@example.com"), "GORACE=atexit_sleep_ms=0",
		"GIT_SSH_COMMAND=ssh -F none -o ProxyCommand='"+exe+"' -o UserKnownHostsFile="+known+" -o StrictHostKeyChecking=yes -o IdentityFile=none")
	b.exercise(nil, "ssh://git@"+sshHost+"/demo.git", "small", 1<<10)
	b.exercise(nil, "git@"+sshHost+":demo.git", "large", 30<<20)
	if out, err := b.run(nil, "ls-remote", "ssh://git@"+sshHost+"/../../etc.git"); err == nil {
		t.Errorf("outside of the root: %s", out)
	}
	for _, r := range b.e.Requests() {
		// The edge may hear of the end of ssh a little later than we do.
		if _, err := b.e.Await(t.Context(), func(q accesstest.Request) bool { return q.ID == r.ID && q.Done }); err != nil || r.Status != 101 {
			t.Errorf("%s: %v", r, err)
		}
	}
	if n := len(b.e.Relays()); n != 0 {
		t.Errorf("%d relays are left", n)
	}
}
