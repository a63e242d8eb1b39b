package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

const tokenEndpoint = "/cdn-cgi/access/oauth/token"

// must runs a program of the world and returns what it printed.
func must(t *testing.T, w *scripttest.World, name string, args ...string) string {
	t.Helper()
	out, err := w.Command(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// seen lists requests for the repository as "METHOD status credential".
func seen(w *scripttest.World, host string) []string {
	var all []string
	for _, r := range w.Edge.Requests(accesstest.ToHost(host), accesstest.ByProgram) {
		if strings.HasPrefix(r.Path, "/demo.git/") {
			kind := ""
			for _, c := range r.Credentials {
				kind += " " + string(c.Kind)
			}
			all = append(all, r.Method+" "+http.StatusText(r.Status)+kind)
		}
	}
	return all
}

// commit adds a commit with a file that does not compress to a clone.
func commit(t *testing.T, w *scripttest.World, clone string, size int) {
	t.Helper()
	b := make([]byte, size)
	x := uint32(time.Now().UnixNano()) | 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	if err := os.WriteFile(filepath.Join(w.Dir, clone, "noise"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, w, "git", "-C", clone, "add", "noise")
	must(t, w, "git", "-C", clone, "-c", "core.compression=0", "commit", "-q", "-m", "noise")
}

// The token expires between two requests of one git, each time. git is given another one and goes on: fetch, small push, large push.
func TestTokenExpiresInMidUse(t *testing.T) {
	for _, g := range scripttest.Gits(t) {
		if !g.AtLeast(2, 46) {
			continue // it cannot send one
		}
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			w := scripttest.NewWorld(t, g)
			app := w.Apps["oauth.example.com"]
			app.Set(func(a *accesstest.App) {
				a.OAuth = &accesstest.OAuth{RefuseJWT: true, AccessLifetime: 5 * time.Minute, ReuseRevokes: true}
			})
			must(t, w, "access", "setup", "git", "oauth.example.com")
			tabs := len(w.Tabs())
			var late time.Duration
			var mu sync.Mutex
			app.Set(func(a *accesstest.App) {
				git := a.Origin
				a.Origin = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					git.ServeHTTP(rw, r)
					if strings.HasSuffix(r.URL.Path, "/info/refs") {
						mu.Lock()
						late += 6 * time.Minute
						w.Edge.Set(func(s *accesstest.Switches) { s.Skew = late })
						mu.Unlock()
					}
				})
			})
			w.Edge.ClearLog()
			must(t, w, "git", "clone", "-q", "https://oauth.example.com/demo.git", "c")
			want := []string{"GET OK bearer", "POST Unauthorized bearer", "POST OK bearer", "POST OK bearer"}
			if got := seen(w, "oauth.example.com"); strings.Join(got, ", ") != strings.Join(want, ", ") {
				t.Errorf("clone: %q", got)
			}
			for _, size := range []int{1 << 10, 3 << 20} {
				commit(t, w, "c", size)
				must(t, w, "git", "-C", "c", "push", "-q", "origin", "HEAD")
			}
			if n := len(w.Tabs()) - tabs; n != 0 {
				t.Errorf("%d pages were opened", n)
			}
		})
	}
}

// The same with git that has the cookie: the application ends the session in mid-use, and the person is asked for another one.
func TestCookieEndsInMidUse(t *testing.T) {
	for _, g := range scripttest.Gits(t) {
		if !g.AtLeast(2, 46) || g.AtLeast(2, 54) {
			continue
		}
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			w := scripttest.NewWorld(t, g)
			w.Set("ACCESS_INTERACTIVE=always")
			must(t, w, "access", "setup", "git", "oauth.example.com")
			app := w.Apps["oauth.example.com"]
			once := sync.OnceFunc(app.Revoke)
			app.Set(func(a *accesstest.App) {
				git := a.Origin
				a.Origin = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					git.ServeHTTP(rw, r)
					once()
				})
			})
			w.Edge.ClearLog()
			must(t, w, "git", "ls-remote", "https://oauth.example.com/demo.git")
			want := "GET OK CF_Authorization, POST Unauthorized CF_Authorization, POST OK CF_Authorization"
			if got := strings.Join(seen(w, "oauth.example.com"), ", "); got != want {
				t.Errorf("%s", got)
			}
			// No cookie is accepted any more: the token is next, in the same command, whose curl keeps the cookie as well.
			app.Set(func(a *accesstest.App) { a.OAuth = &accesstest.OAuth{RefuseJWT: true} })
			w.Edge.ClearLog()
			must(t, w, "git", "ls-remote", "https://oauth.example.com/demo.git")
			want = "GET Unauthorized CF_Authorization, GET OK bearer CF_Authorization, POST OK bearer CF_Authorization"
			if got := strings.Join(seen(w, "oauth.example.com"), ", "); got != want {
				t.Errorf("%s", got)
			}
			if n := len(w.Tabs()); n > 4 { // setup, after the end, tried once more, the token
				t.Errorf("%d pages were opened", n)
			}
		})
	}
}

// Under "access run" the token stands in git's environment: the helper of a host that is set up adds no second one.
func TestRunBesideTheHelper(t *testing.T) {
	for _, g := range scripttest.Gits(t) {
		if !g.AtLeast(2, 46) {
			continue // has the cookie twice from one file
		}
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			w := scripttest.NewWorld(t, g)
			w.Apps["oauth.example.com"].Set(func(a *accesstest.App) { a.OAuth = &accesstest.OAuth{RefuseJWT: true} })
			must(t, w, "access", "setup", "git", "oauth.example.com")
			w.Edge.ClearLog()
			must(t, w, "access", "run", "oauth.example.com", "--", "git", "ls-remote", "https://oauth.example.com/demo.git")
			requests := w.Edge.Requests(accesstest.ToHost("oauth.example.com"), accesstest.ByProgram)
			if len(requests) != 2 {
				t.Errorf("%v", requests)
			}
			for _, r := range requests {
				if v := r.Header().Values("Authorization"); len(v) != 1 || !strings.HasPrefix(v[0], "Bearer oauth:") {
					t.Errorf("%v: %d headers", r, len(v))
				}
			}

			// It ends in mid-use, and only "access run" can give another one.
			once := sync.OnceFunc(w.Team.ExpireAccessTokens)
			w.Apps["oauth.example.com"].Set(func(a *accesstest.App) {
				git := a.Origin
				a.Origin = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					git.ServeHTTP(rw, r)
					once()
				})
			})
			run := w.Command(t.Context(), "access", "run", "oauth.example.com", "--", "git", "ls-remote", "https://oauth.example.com/demo.git")
			out, err := run.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "has ended") || !strings.Contains(string(out), "hint: run it again: access run oauth.example.com") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// A token that never lives as long as it takes to be renewed ahead is renewed for each git, and no person is asked.
func TestShortTokens(t *testing.T) {
	gits := scripttest.Gits(t)
	w := scripttest.NewWorld(t, gits[len(gits)-1])
	w.Apps["oauth.example.com"].Set(func(a *accesstest.App) {
		a.OAuth = &accesstest.OAuth{AccessLifetime: 30 * time.Second, ReuseRevokes: true, RefuseJWT: true}
	})
	must(t, w, "access", "setup", "git", "oauth.example.com")
	for range 3 {
		w.Edge.ClearLog()
		must(t, w, "git", "ls-remote", "https://oauth.example.com/demo.git")
		if n := len(w.Edge.Requests(accesstest.ToPath(tokenEndpoint))); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	}
	if n := len(w.Tabs()); n != 1 {
		t.Errorf("%d pages were opened", n)
	}
}

// Two hundred processes that find the token expired make one refresh, and all have the new one. The server would end the chain if a
// refresh token came twice.
func TestOneRefreshForManyProcesses(t *testing.T) {
	const many = 200
	w := scripttest.NewWorld(t, scripttest.Git{})
	helper := filepath.Join(scripttest.Build(t, "git-credential-access"), "git-credential-access")
	lifetime := func(d time.Duration) {
		w.Apps["oauth.example.com"].Set(func(a *accesstest.App) { a.OAuth = &accesstest.OAuth{AccessLifetime: d, ReuseRevokes: true} })
	}
	lifetime(time.Second)
	must(t, w, "access", "login", "oauth.example.com")
	expiry := time.Now().Add(time.Second)
	lifetime(15 * time.Minute)
	const request = "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=oauth.example.com\n\n"
	commands := make([]*exec.Cmd, many)
	outs := make([]bytes.Buffer, many)
	for i := range commands {
		commands[i] = w.Command(t.Context(), helper, "get")
		commands[i].Stdin, commands[i].Stdout, commands[i].Stderr = strings.NewReader(request), &outs[i], os.Stderr
	}
	<-time.After(time.Until(expiry))
	w.Edge.ClearLog()
	for _, c := range commands {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range commands {
		if err := c.Wait(); err != nil || outs[i].String() != outs[0].String() || !strings.Contains(outs[i].String(), "authtype=Bearer") {
			t.Fatalf("%d: %v, %d bytes", i, err, outs[i].Len())
		}
	}
	if all := w.Edge.Requests(accesstest.ByProgram); len(all) != 1 || all[0].Path != tokenEndpoint {
		t.Errorf("%d requests: %v", len(all), all)
	}
}
