package gogit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	"github.com/gitaccess/gitaccess/githelper/gogit"
)

const main = plumbing.ReferenceName("refs/heads/main")

// Clone, push and fetch by both transports, with both kinds of credentials, in
// memory and on disk.
func TestCloneFetchPush(t *testing.T) {
	b := newBed(t)
	session := b.withSession(bothHosts...)
	for _, credential := range []struct {
		name   string
		config func(*access.Config)
		kind   accesstest.Kind
	}{{"service token", b.withToken, accesstest.ServiceHeaders}, {"stored session", session, accesstest.TokenHeader}} {
		for _, by := range []struct {
			name, url string
			auth      transport.AuthMethod
		}{{"https", "https://git.example.com/demo.git", nil}, {"ssh", "ssh://git@ssh.example.com/demo.git", b.auth()}} {
			for _, onDisk := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, disk %v", credential.name, by.name, onDisk), func(t *testing.T) {
					b := *b
					b.TB = t
					b.install(b.client(credential.config), nil)
					b.edge.ClearLog()
					clone := func() *git.Repository {
						t.Helper()
						o := &git.CloneOptions{URL: by.url, Auth: by.auth}
						var r *git.Repository
						var err error
						if onDisk {
							r, err = git.PlainCloneContext(b.ctx(), t.TempDir(), false, o)
						} else {
							r, err = b.clone(o)
						}
						b.must(err)
						return r
					}
					first, second := clone(), clone()
					want, err := commit(first, main, t.Name())
					b.must(err)
					b.must(push(b.ctx(), first, by.auth))
					b.must(second.FetchContext(b.ctx(), &git.FetchOptions{Auth: by.auth}))
					got, err := second.Reference("refs/remotes/origin/main", true)
					b.must(err)
					if got.Hash() != want {
						t.Errorf("fetched %s, pushed %s", got.Hash(), want)
					}
					if _, err := second.CommitObject(want); err != nil {
						t.Error(err)
					}
					remote, err := first.Remote("origin")
					b.must(err)
					refs, err := remote.ListContext(b.ctx(), &git.ListOptions{Auth: by.auth})
					if err != nil || len(refs) == 0 {
						t.Errorf("list: %d references, %v", len(refs), err)
					}
					host := strings.TrimPrefix(strings.Split(by.url, "/")[2], "git@")
					passed := false
					for _, r := range b.edge.Requests(accesstest.ToHost(host)) {
						passed = passed || r.Presented(credential.kind)
					}
					if !passed {
						t.Errorf("no request to %s has the %s: %v", host, credential.name, b.edge.Requests())
					}
				})
			}
		}
	}
	b.noLeaks(b.service.Secret(), bothHosts...)
}

// Each way in which Access says no is found by errors.As behind go-git's own errors.
func TestRefusals(t *testing.T) {
	refused := func(cause access.Cause) func(error) bool {
		return func(err error) bool {
			var e *access.RefusedError
			return errors.As(err, &e) && e.Cause == cause
		}
	}
	login := func(err error) bool {
		var e *access.LoginRequiredError
		return errors.As(err, &e)
	}
	for _, test := range []struct {
		name   string
		app    func(*bed, *accesstest.App)
		config func(*bed) func(*access.Config)
		first  bool // clone once before it breaks
		break_ func(*bed)
		is     func(error) bool
	}{
		{name: "nobody is logged in", is: login},
		{name: "session ended everywhere", config: func(b *bed) func(*access.Config) { return b.withSession("git.example.com") },
			break_: func(b *bed) { b.git.Revoke(); b.team.RevokeUser(ada) }, is: login},
		{name: "service token required", app: func(_ *bed, a *accesstest.App) { a.Allow = false }, is: refused(access.ServiceTokenRequired)},
		{name: "service token refused", config: func(b *bed) func(*access.Config) { return b.withToken },
			break_: func(b *bed) { b.service.Disable(true) }, is: refused(access.ServiceTokenRefused)},
		{name: "service token disabled, strict", app: func(_ *bed, a *accesstest.App) { a.Strict, a.Allow = true, false },
			config: func(b *bed) func(*access.Config) { return b.withToken }, break_: func(b *bed) { b.service.Disable(true) }, is: refused(access.ServiceTokenInvalid)},
		{name: "service token of another policy, strict", app: func(b *bed, a *accesstest.App) {
			a.Strict, a.Services = true, []*accesstest.ServiceToken{b.other}
		}, config: func(b *bed) func(*access.Config) { return b.withToken }, is: func(err error) bool {
			return refused(access.ServiceTokenNotAllowed)(err) || refused(access.ServiceTokenRefused)(err)
		}},
		{name: "another team", config: func(b *bed) func(*access.Config) { return b.withSession("git.example.com") },
			first: true, break_: func(b *bed) { b.git.Move(b.edge.AddTeam("evil")) }, is: func(err error) bool {
				var e *access.TeamChangedError
				return errors.As(err, &e)
			}},
		{name: "the server's own login", app: func(b *bed, a *accesstest.App) { a.Origin = &origin.Git{Root: b.root, Login: "ada:secret"} },
			config: func(b *bed) func(*access.Config) { return b.withToken }, is: func(err error) bool {
				return errors.Is(err, transport.ErrAuthenticationRequired) && !access.IsRefusal(err)
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t)
			if test.app != nil {
				b.git.Set(func(a *accesstest.App) { test.app(b, a) })
			}
			var config func(*access.Config)
			if test.config != nil {
				config = test.config(b)
			}
			b.install(b.client(config), nil)
			o := &git.CloneOptions{URL: "https://git.example.com/demo.git"}
			if test.first {
				_, err := b.clone(o)
				b.must(err)
			}
			if test.break_ != nil {
				test.break_(b)
			}
			_, err := b.clone(o)
			if !test.is(err) {
				t.Errorf("clone: %T %v", err, err)
			}
		})
	}
}

// atPost is a server that calls f when a client's first request has passed, and
// before its POST comes.
func atPost(h http.Handler, f func()) http.Handler {
	var once sync.Once
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			once.Do(f)
		}
		h.ServeHTTP(w, r)
	})
}

// The POST of go-git, whose errors do not unwrap, and which must be sent again whole.
func TestSessionEndsUnderWay(t *testing.T) {
	t.Run("renewed", func(t *testing.T) {
		b := newBed(t)
		config := b.withSession("git.example.com")
		b.install(b.client(config), nil)
		b.git.Set(func(a *accesstest.App) { a.Origin = atPost(&origin.Git{Root: b.root}, b.git.Revoke) })
		b.edge.ClearLog()
		r, err := b.clone(&git.CloneOptions{URL: "https://git.example.com/demo.git"})
		b.must(err)
		var posts []int
		for _, r := range b.edge.Requests(accesstest.ToHost("git.example.com"), accesstest.ToPath("/demo.git/git-upload-pack"), func(r accesstest.Request) bool { return r.Method == http.MethodPost }) {
			posts = append(posts, r.Status)
		}
		if fmt.Sprint(posts) != "[302 200]" {
			t.Errorf("POSTs: %v", posts)
		}

		b.git.Set(func(a *accesstest.App) { a.Origin = atPost(&origin.Git{Root: b.root}, b.git.Revoke) })
		_, err = commit(r, main, "after")
		b.must(err)
		b.must(push(b.ctx(), r, nil))
	})
	t.Run("not renewed", func(t *testing.T) {
		b := newBed(t)
		config := b.withSession("git.example.com")
		b.install(b.client(config), nil)
		r, err := b.clone(&git.CloneOptions{URL: "https://git.example.com/demo.git"})
		b.must(err)
		b.git.Set(func(a *accesstest.App) {
			a.Origin = atPost(&origin.Git{Root: b.root}, func() { b.git.Revoke(); b.team.RevokeUser(ada) })
		})
		_, err = commit(r, main, "never arrives")
		b.must(err)
		err = push(b.ctx(), r, nil)
		var login *access.LoginRequiredError
		if !errors.As(err, &login) || login.App.Origin != "https://git.example.com" {
			t.Errorf("push: %T %v", err, err)
		}
		var gogits *plumbing.UnexpectedError
		if !errors.As(err, &gogits) {
			t.Errorf("go-git's own error is lost: %T %v", err, err)
		}
	})
}

// The options that go-git can only apply to an *http.Transport give an error for
// hosts behind Access, with and without go-git's cache, and still work for others.
func TestOptions(t *testing.T) {
	b := newBed(t)
	b.edge.Handle("open.example.com", &origin.Git{Root: b.root})
	b.edge.SetTLS("open.example.com", accesstest.TLSOtherName)
	cert, key := clientCertificate(t)
	for _, cache := range []int{0, 5} {
		b.install(b.client(b.withToken), func(o *gogit.Options) { o.HTTP = &githttp.ClientOptions{CacheMaxEntries: cache} })
		for option, o := range map[string]git.CloneOptions{
			"InsecureSkipTLS": {InsecureSkipTLS: true},
			"CABundle":        {CABundle: b.server.CAPEM()},
			"ClientCert":      {ClientCert: cert, ClientKey: key},
			"ProxyOptions":    {ProxyOptions: transport.ProxyOptions{URL: b.server.ProxyURL()}},
		} {
			for _, url := range []string{"https://git.example.com/demo.git", "ssh://git@ssh.example.com/demo.git"} {
				o.URL = url
				b.edge.ClearLog()
				_, err := b.clone(&o)
				var refused *gogit.OptionError
				if !errors.As(err, &refused) || refused.Option != option {
					t.Errorf("%s with a cache of %d for %s: %v", option, cache, url, err)
				}
				if sent := b.edge.Requests(); len(sent) > 0 {
					t.Errorf("%s: sent %v", option, sent)
				}
			}
		}
		o := &git.CloneOptions{URL: "https://open.example.com/demo.git"}
		if _, err := b.clone(o); err == nil {
			t.Error("another host's certificate was taken")
		}
		o.InsecureSkipTLS = true
		if _, err := b.clone(o); err != nil {
			t.Errorf("InsecureSkipTLS for another host, cache of %d: %v", cache, err)
		}
	}
	b.noLeaks(b.service.Secret(), bothHosts...)
}

// Whatever a URL, a server or a repository says, secrets go to the hosts that were named.
func TestSecretsStay(t *testing.T) {
	for _, credential := range []string{"service token", "session", "oauth"} {
		t.Run(credential, func(t *testing.T) {
			b := newBed(t)
			host := "git.example.com"
			var secret string
			var config func(*access.Config)
			switch credential {
			case "service token":
				config, secret = b.withToken, b.service.Secret()
			case "session":
				config = b.withSession(host)
			case "oauth":
				b.git.Set(func(a *accesstest.App) { a.OAuth, a.Services = &accesstest.OAuth{}, nil })
				config = b.withSession(host)
			}
			c := b.client(config)
			if secret == "" {
				cr, err := c.Credential(b.ctx(), b.url("https://"+host), access.Policy{})
				b.must(err)
				secret = cr.Token().Reveal()
			}
			// Somebody else's server takes whatever comes, and one of Access's hosts that nobody named.
			taken := &origin.Git{Root: b.root}
			for _, h := range []string{"evil.example.com", "git.example.com.evil.example"} {
				b.edge.Handle(h, taken)
			}
			b.edge.AddApp(accesstest.App{Host: "other.example.com", Allow: true, Services: []*accesstest.ServiceToken{b.service}, Origin: taken})
			b.git.Set(func(a *accesstest.App) {
				a.Origin = &origin.Git{Root: b.root, Redirect: map[string]string{
					"/away": "https://evil.example.com", "/other": "https://other.example.com", "/port": "https://git.example.com:8443", "/plain": "http://git.example.com",
				}}
			})
			b.edge.Set(func(s *accesstest.Switches) { s.ProxyPorts = nil })
			for _, follow := range []githttp.RedirectPolicy{"", githttp.FollowRedirects} {
				b.install(c, func(o *gogit.Options) { o.HTTP = &githttp.ClientOptions{RedirectPolicy: follow} })
				for _, url := range []string{
					"https://git.example.com/away/demo.git",
					"https://git.example.com/other/demo.git",
					"https://git.example.com/port/demo.git",
					"https://git.example.com/plain/demo.git",
					"https://git.example.com@evil.example.com/demo.git",
					"https://git.example.com:443@evil.example.com/demo.git",
					"https://git.example.com.evil.example/demo.git",
					"https://evil.example.com/demo.git?https://git.example.com",
					"https://evil.example.com#git.example.com/demo.git",
					"https://other.example.com/demo.git",
					"http://evil.example.com/demo.git",
					"ssh://git@evil.example.com/demo.git",
				} {
					_, err := b.clone(&git.CloneOptions{URL: url})
					var unnamed *gogit.UnnamedHostError
					if strings.Contains(url, "/other") && !errors.As(err, &unnamed) {
						t.Errorf("%s: %v", url, err)
					}
					if err == nil && !strings.Contains(url, "evil") && !strings.Contains(url, "away") {
						t.Errorf("%s was cloned", url)
					}
				}
				// Options for another host, which sends the client on to ours.
				b.edge.Handle("back.example.com", http.RedirectHandler("https://git.example.com/demo.git/info/refs?service=git-upload-pack", http.StatusFound))
				before := len(b.edge.Requests(accesstest.ToHost(host), presented))
				for _, o := range []git.CloneOptions{
					{InsecureSkipTLS: true}, {CABundle: b.server.CAPEM()}, {ProxyOptions: transport.ProxyOptions{URL: b.server.ProxyURL(), Username: "a", Password: "b"}},
				} {
					o.URL = "https://back.example.com/demo.git"
					if _, err := b.clone(&o); err == nil {
						t.Errorf("%v: cloned without a credential", o)
					}
				}
				if after := len(b.edge.Requests(accesstest.ToHost(host), presented)); after != before {
					t.Error("a credential went by a network that the clone's options chose")
				}
			}
			// The edge sends http on to https, where there is a credential, and not before.
			_, err := b.clone(&git.CloneOptions{URL: "http://git.example.com/demo.git"})
			b.must(err)
			for _, r := range b.edge.Requests(presented) {
				if r.Scheme != "https" {
					t.Errorf("in clear: %v", r)
				}
			}
			b.noLeaks(secret, host)
		})
	}
}

func presented(r accesstest.Request) bool { return len(r.Credentials) > 0 }

// A repository names its submodules: those at other hosts get nothing, those at ours
// and relative ones are fetched.
func TestSubmodules(t *testing.T) {
	b := newBed(t)
	b.edge.Handle("evil.example.com", &origin.Git{Root: b.root})
	b.edge.AddApp(accesstest.App{Host: "other.example.com", Services: []*accesstest.ServiceToken{b.service}, Origin: &origin.Git{Root: b.root}})
	for _, test := range []struct {
		url string
		ok  bool
	}{
		{"https://git.example.com/demo.git", true},
		{"../demo.git", true},
		{"https://evil.example.com/demo.git", true},   // open to everybody
		{"https://other.example.com/demo.git", false}, // behind Access, and not named
	} {
		super := addSubmodule(t, b, test.url)
		b.install(b.client(b.withToken), nil)
		_, err := git.PlainCloneContext(b.ctx(), t.TempDir(), false, &git.CloneOptions{URL: "https://git.example.com/" + super, RecurseSubmodules: git.DefaultSubmoduleRecursionDepth})
		if (err == nil) != test.ok {
			t.Errorf("submodule %s: %v", test.url, err)
		}
		var unnamed *gogit.UnnamedHostError
		if !test.ok && (!errors.As(err, &unnamed) || unnamed.Host != "other.example.com") {
			t.Errorf("submodule %s: %T %v", test.url, err, err)
		}
	}
	b.noLeaks(b.service.Secret(), bothHosts...)
}

// Fifty clones at once, half of them by SSH, with a session that has just ended:
// it is renewed once for each host.
func TestManyClones(t *testing.T) {
	b := newBed(t)
	config := b.withSession(bothHosts...)
	b.git.Revoke()
	b.ssh.Revoke()
	b.install(b.client(config), nil)
	auth := b.auth()
	b.edge.ClearLog()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			o := &git.CloneOptions{URL: "https://git.example.com/demo.git"}
			if i%2 == 1 {
				o = &git.CloneOptions{URL: "ssh://git@ssh.example.com/demo.git", Auth: auth}
			}
			r, err := git.CloneContext(b.ctx(), memory.NewStorage(), nil, o)
			if err != nil {
				t.Errorf("clone %d: %v", i, err)
			} else if _, err := r.Head(); err != nil {
				t.Errorf("clone %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for _, host := range bothHosts {
		accepted := map[string]bool{}
		for _, r := range b.edge.Requests(accesstest.ToHost(host), presented) {
			if r.Status < 300 {
				accepted[r.Header().Get("Cf-Access-Token")] = true
			}
		}
		if len(accepted) != 1 {
			t.Errorf("%d tokens were used at %s", len(accepted), host)
		}
	}
}

// The end of the context is the end of a clone, at whatever it is.
func TestContext(t *testing.T) {
	for _, test := range []struct {
		name, url string
		hang      func(b *bed, reached chan<- struct{})
	}{
		{"https, before the answer", "https://git.example.com/demo.git", func(b *bed, reached chan<- struct{}) {
			b.git.Set(func(a *accesstest.App) {
				a.Origin = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					reached <- struct{}{}
					<-r.Context().Done()
				})
			})
		}},
		{"ssh, before the handshake", "ssh://git@ssh.example.com/demo.git", func(b *bed, reached chan<- struct{}) {
			silent(b, func() { reached <- struct{}{} })
		}},
		{"ssh, before the upgrade", "ssh://git@ssh.example.com/demo.git", func(b *bed, reached chan<- struct{}) {
			b.ssh.Set(func(a *accesstest.App) {
				a.TCP = func(ctx context.Context, _ string) (net.Conn, error) {
					reached <- struct{}{}
					<-ctx.Done()
					return nil, ctx.Err()
				}
			})
		}},
		{"ssh, after the handshake", "ssh://git@ssh.example.com/demo.git", func(b *bed, reached chan<- struct{}) {
			// git-upload-pack runs, and says nothing.
			dir := t.TempDir()
			program := filepath.Join(dir, "git")
			b.must(os.WriteFile(program, []byte("#!/bin/sh\necho > "+dir+"/reached\nexec sleep 600\n"), 0o700))
			sshd, err := origin.StartSSH(b.root, &origin.SSHOptions{Program: program})
			b.must(err)
			b.Cleanup(func() { sshd.Close() })
			b.sshd = sshd
			var answered atomic.Bool
			b.ssh.Set(func(a *accesstest.App) {
				dial := accesstest.DialTCP(sshd.Addr())
				a.TCP = func(ctx context.Context, to string) (net.Conn, error) {
					conn, err := dial(ctx, to)
					if answered.CompareAndSwap(false, true) {
						go func() {
							for b.Context().Err() == nil {
								if _, err := os.Stat(dir + "/reached"); err == nil {
									reached <- struct{}{}
									return
								}
								time.Sleep(10 * time.Millisecond)
							}
						}()
					}
					return conn, err
				}
			})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t)
			b.install(b.client(b.withToken), nil)
			reached := make(chan struct{}, 10)
			test.hang(b, reached)
			var auth transport.AuthMethod
			if strings.HasPrefix(test.url, "ssh") {
				auth = b.auth()
			}
			ctx, cancel := context.WithCancelCause(b.ctx())
			enough := errors.New("enough")
			go func() {
				<-reached
				cancel(enough)
			}()
			_, err := git.CloneContext(ctx, memory.NewStorage(), nil, &git.CloneOptions{URL: test.url, Auth: auth})
			if !errors.Is(err, context.Canceled) && !errors.Is(err, enough) {
				t.Errorf("clone: %T %v", err, err)
			}
			if b.ctx().Err() != nil {
				t.Error("the clone ended for another reason")
			}
		})
	}
}

// silent puts a server behind ssh.example.com that takes connections and says nothing.
func silent(b *bed, accepted func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.must(err)
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(io.Discard, c)
				c.Close()
			}()
			accepted()
		}
	}()
	b.ssh.Set(func(a *accesstest.App) { a.TCP = accesstest.DialTCP(l.Addr().String()) })
}

// Access has let the connection pass; whose server it is, known_hosts says.
func TestKnownHosts(t *testing.T) {
	b := newBed(t)
	b.install(b.client(b.withToken), nil)
	other, err := origin.StartSSH(b.root, nil)
	b.must(err)
	t.Cleanup(func() { other.Close() })
	file := filepath.Join(t.TempDir(), "known_hosts")
	t.Setenv("SSH_KNOWN_HOSTS", file)
	for _, test := range []struct {
		name, known string
		ok          bool
	}{
		{"its own key", b.sshd.KnownHosts("ssh.example.com"), true},
		{"another key", other.KnownHosts("ssh.example.com"), false},
		{"of another host", b.sshd.KnownHosts("git.example.com"), false},
	} {
		b.must(os.WriteFile(file, []byte(test.known), 0o600))
		_, err := b.clone(&git.CloneOptions{URL: "ssh://git@ssh.example.com/demo.git", Auth: &gitssh.Password{User: "git"}})
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
		if !test.ok && !strings.Contains(fmt.Sprint(err), "knownhosts: key") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// names is ~/.ssh/config for go-git.
type names map[string]string

func (n names) Get(alias, key string) string {
	switch key {
	case "Hostname":
		return n[alias]
	case "Port":
		return "22" // ssh_config's default
	}
	return ""
}

// Another name of a host, given by ~/.ssh/config, leads to its application, and
// another address of one that was named does not lead around it.
func TestSSHConfig(t *testing.T) {
	b := newBed(t)
	b.install(b.client(b.withToken), nil)
	before := gitssh.DefaultSSHConfig
	t.Cleanup(func() { gitssh.DefaultSSHConfig = before })
	gitssh.DefaultSSHConfig = names{"work": "ssh.example.com", "ssh.example.com": "ssh.example.com"}
	auth := b.auth()
	for _, url := range []string{"ssh://git@work/demo.git", "git@work:demo.git", "ssh://git@ssh.example.com/demo.git"} {
		if _, err := b.clone(&git.CloneOptions{URL: url, Auth: auth}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	gitssh.DefaultSSHConfig = names{"ssh.example.com": "192.0.2.1"}
	if _, err := b.clone(&git.CloneOptions{URL: "ssh://git@ssh.example.com/demo.git", Auth: b.authAt("192.0.2.1")}); err != nil {
		t.Error(err)
	}
}

// A program with two identities gives the second one a name of its own.
func TestTwoIdentities(t *testing.T) {
	b := newBed(t)
	b.git.Set(func(a *accesstest.App) { a.Origin = &origin.Git{Root: b.root} })
	nobody, err := gogit.New(&gogit.Options{Client: b.client(nil), Hosts: bothHosts, Transport: b.network})
	b.must(err)
	ci, err := gogit.New(&gogit.Options{Client: b.client(b.withToken), Hosts: []string{"*.example.com"}, Transport: b.network})
	b.must(err)
	restore := nobody.Install()
	client.InstallProtocol("ci+https", ci.HTTP())
	t.Cleanup(func() { client.InstallProtocol("ci+https", nil) })
	if _, err := b.clone(&git.CloneOptions{URL: "https://git.example.com/demo.git"}); !access.IsRefusal(err) {
		t.Errorf("without a credential: %v", err)
	}
	if _, err := b.clone(&git.CloneOptions{URL: "ci+https://git.example.com/demo.git"}); err != nil {
		t.Errorf("with a service token: %v", err)
	}
	restore()
	restore()
	if client.Protocols["https"] != githttp.DefaultClient || client.Protocols["ssh"] != gitssh.DefaultClient {
		t.Error("go-git's own transports are not back")
	}
}

func TestNew(t *testing.T) {
	c, err := access.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []*gogit.Options{
		nil, {}, {Client: c}, {Hosts: []string{"git.example.com"}},
		{Client: c, Hosts: []string{"*.com"}}, {Client: c, Hosts: []string{"*."}}, {Client: c, Hosts: []string{""}}, {Client: c, Hosts: []string{"http://git.example.com"}},
		{Client: c, Hosts: []string{"*.example.com/path"}}, {Client: c, Hosts: []string{"*.http://example.com"}},
	} {
		if _, err := gogit.New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
