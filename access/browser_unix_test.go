//go:build unix

package access_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

// These tests put a real browser between the client and the edge, with its own
// rules for cookies, redirects, forms, certificates and caches. Each leaves
// pictures: go test -run TestBrowser -artifacts -outputdir DIR ./access

// inBrowser returns a client that opens its page in the tab, and does what use says
// before Open returns.
func (b *bed) inBrowser(p *tab, use func(ctx context.Context, link string), change func(*access.Config)) *access.Client {
	b.Helper()
	return b.client(func(cfg *access.Config) {
		cfg.LoginTimeout = 5 * time.Minute
		cfg.Open = func(ctx context.Context, link string) error {
			p.open(link)
			use(ctx, link)
			return nil
		}
		if change != nil {
			change(cfg)
		}
	})
}

// fresh returns the same edge for another test, before a client that knows nothing.
func (b *bed) fresh(t *testing.T) *bed {
	return &bed{T: t, edge: b.edge, srv: b.srv, team: b.team, rt: b.rt, store: newMemory(), cache: newMemory(), locks: &locks{}}
}

func briefly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for the case that something is never to be seen
	t.Cleanup(cancel)
	return ctx
}

func TestBrowser(t *testing.T) {
	whole := newBed(t)
	browser := newChromium(t, whole.srv)
	whole.app(accesstest.App{Host: "wiki.example.com", Allow: true})
	whole.app(accesstest.App{Host: "docs.example.com", Allow: true})
	oauth := &accesstest.OAuth{}
	app := whole.app(accesstest.App{Allow: true, OAuth: oauth})

	login := func(ctx context.Context, p *tab, host string) {
		p.t.Helper()
		p.see(ctx, "Log in to "+host)
		p.write("#email", "grace@example.com")
		p.screenshot("1-login")
		p.click("button[value=login]")
	}
	approve := func(ctx context.Context, p *tab, host string) {
		p.t.Helper()
		p.see(ctx, "Approve this request?", host, "grace@example.com")
		p.screenshot("2-approve")
		p.click("button[value=approve]")
	}
	consent := func(ctx context.Context, p *tab, button string) {
		p.t.Helper()
		p.see(ctx, "Allow this program?", "git.example.com", "grace@example.com")
		p.screenshot("2-consent")
		p.click("button[value=" + button + "]")
	}
	test := func(name string, f func(b *bed, p *tab, ctx context.Context)) {
		t.Run(name, func(t *testing.T) {
			b := whole.fresh(t)
			app.Set(func(a *accesstest.App) { a.OAuth = &accesstest.OAuth{} })
			f(b, browser.person(t), briefly(t))
		})
	}

	test("transfer and single sign-on", func(b *bed, p *tab, ctx context.Context) {
		clicks := 0
		c := b.inBrowser(p, func(context.Context, string) {
			login(ctx, p, "wiki.example.com")
			approve(ctx, p, "wiki.example.com")
			clicks = 2
		}, nil)
		cr, err := c.Credential(ctx, b.url("https://wiki.example.com/page"), ask)
		if err != nil || cr.Kind != access.JWT || cr.Account != "grace@example.com" || clicks != 2 {
			b.Fatalf("%v of %q, %v, %d clicks", cr.Kind, cr.Account, err, clicks)
		}
		p.see(ctx, "Success", "You are logged in to wiki.example.com as grace@example.com")
		p.screenshot("3-success")

		// The browser has a session now, the other client has none: one click less.
		other := b.fresh(b.T)
		clicks = 0
		c = other.inBrowser(p, func(context.Context, string) {
			approve(ctx, p, "docs.example.com")
			clicks = 1
		}, nil)
		if cr, err = c.Credential(ctx, b.url("https://docs.example.com/"), ask); err != nil || cr.Account != "grace@example.com" || clicks != 1 {
			b.Fatalf("single sign-on: %q, %v, %d clicks", cr.Account, err, clicks)
		}
		p.see(ctx, "Success", "docs.example.com")
		// The first client has the org token: no click at all.
		c = b.inBrowser(p, func(context.Context, string) { b.Error("a page was opened") }, nil)
		if cr, err = c.Credential(ctx, b.url("https://docs.example.com/"), ask); err != nil || cr.Account != "grace@example.com" {
			b.Errorf("with the org token: %q, %v", cr.Account, err)
		}
	})

	test("transfer denied", func(b *bed, p *tab, ctx context.Context) {
		c := b.inBrowser(p, func(context.Context, string) {
			login(ctx, p, "wiki.example.com")
			p.see(ctx, "Approve this request?")
			p.click("button[value=deny]")
			p.see(ctx, "Denied", "Nothing was handed over")
			p.screenshot("3-denied")
		}, func(cfg *access.Config) { cfg.LoginTimeout = time.Second })
		_, err := c.Credential(ctx, b.url("https://wiki.example.com/"), ask)
		var timeout *access.LoginTimeoutError // nobody tells the client
		if !errors.As(err, &timeout) {
			b.Errorf("got %v", err)
		}
	})

	test("Managed OAuth", func(b *bed, p *tab, ctx context.Context) {
		var mu sync.Mutex
		code := ""
		app.Set(func(a *accesstest.App) {
			a.OAuth = &accesstest.OAuth{Callback: func(_ string, q url.Values) {
				mu.Lock()
				defer mu.Unlock()
				code = q.Get("code")
			}}
		})
		referrers := make(chan string, 1)
		b.edge.Handle("elsewhere.example.net", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				referrers <- r.Referer()
			}
			io.WriteString(w, "elsewhere")
		}))
		c := b.inBrowser(p, func(context.Context, string) {
			login(ctx, p, "git.example.com")
			consent(ctx, p, "allow")
		}, nil)
		if body, err := b.get(c, ask, page); err != nil || body != "hello GET " {
			b.Fatalf("%q, %v", body, err)
		}
		shown := p.see(ctx, "Logged in", "You are logged in to git.example.com", "close this tab")
		p.screenshot("3-logged-in")
		if u := b.url(shown.URL); u.Hostname() != "localhost" || u.Path != "/callback" || u.RawQuery != "" {
			b.Errorf("the page is at %s", shown.URL)
		}
		p.look("3-logged-in")

		mu.Lock()
		defer mu.Unlock()
		if code == "" {
			b.Fatal("no code was seen")
		}
		if i := slices.IndexFunc(p.history(), func(link string) bool { return strings.Contains(link, code) }); i >= 0 {
			b.Error("the code is in the history of the tab")
		}
		b.noLeaks(code, b.team.Domain())
		b.noLeaks(b.stored("oauth/", "token"), "git.example.com")
		var gone bool
		if err := p.eval(`location.href = "https://elsewhere.example.net/", true`, &gone); err != nil {
			b.Fatal(err)
		}
		p.see(ctx, "elsewhere")
		if r := <-referrers; r != "" {
			b.Errorf("the page sent the referrer %q", r)
		}
	})

	test("Managed OAuth denied", func(b *bed, p *tab, ctx context.Context) {
		c := b.inBrowser(p, func(context.Context, string) {
			login(ctx, p, "git.example.com")
			consent(ctx, p, "deny")
		}, nil)
		_, err := c.Credential(ctx, b.url(page), ask)
		var refused *access.RefusedError
		if !errors.As(err, &refused) || refused.Cause != access.Denied || !strings.Contains(refused.Detail, "denied the request") {
			b.Errorf("got %v", err)
		}
		p.see(ctx, "Not logged in", "The login to git.example.com was refused")
		p.screenshot("3-denied")
		p.look("3-denied")
	})

	// A page that said "Logged in" because a code came back would be wrong here.
	test("the code is refused", func(b *bed, p *tab, ctx context.Context) {
		app.Set(func(a *accesstest.App) { a.OAuth = &accesstest.OAuth{CodeLifetime: time.Nanosecond} })
		c := b.inBrowser(p, func(context.Context, string) {
			login(ctx, p, "git.example.com")
			consent(ctx, p, "allow")
		}, nil)
		_, err := c.Credential(ctx, b.url(page), ask)
		var oauth *access.OAuthError
		if !errors.As(err, &oauth) || oauth.Code != "invalid_grant" {
			b.Errorf("got %v", err)
		}
		p.see(ctx, "Not logged in", "The login to git.example.com failed", "Your terminal says why")
		p.screenshot("3-failed")
	})

	test("closed tab", func(b *bed, p *tab, ctx context.Context) {
		for _, host := range []string{"wiki.example.com", "git.example.com"} {
			p, callback := browser.person(b.T), ""
			c := b.inBrowser(p, func(_ context.Context, link string) {
				callback = b.url(link).Query().Get("redirect_uri")
				p.see(ctx, "Log in to "+host)
				p.close()
			}, func(cfg *access.Config) { cfg.LoginTimeout = time.Second })
			_, err := c.Credential(ctx, b.url("https://"+host+"/"), ask)
			var timeout *access.LoginTimeoutError
			if !errors.As(err, &timeout) || timeout.App.Origin.Host() != host || timeout.After != time.Second {
				b.Errorf("%s: got %v", host, err)
			}
			if callback == "" {
				continue
			}
			if conn, err := net.Dial("tcp", b.url(callback).Host); err == nil {
				conn.Close()
				b.Error("the callback still listens")
			}
		}
	})

	test("wrong state", func(b *bed, p *tab, ctx context.Context) {
		tamper := func(f func(string, url.Values)) {
			app.Set(func(a *accesstest.App) { a.OAuth = &accesstest.OAuth{Callback: f} })
		}
		b.edge.ClearLog()
		tamper(func(_ string, q url.Values) { q.Set("state", "of-another-login") })
		c := b.inBrowser(p, func(_ context.Context, link string) {
			login(ctx, p, "git.example.com")
			consent(ctx, p, "allow")
			p.see(ctx, "This is not the login that is waiting", "Open the address shown there again")
			p.screenshot("3-wrong-state")
			p.look("3-wrong-state")
			if n := len(b.edge.Requests(accesstest.ToPath("/cdn-cgi/access/oauth/token"))); n != 0 {
				b.Errorf("%d requests to the token endpoint", n)
			}
			// What the page says helps.
			tamper(nil)
			p.open(link)
			consent(ctx, p, "allow")
		}, nil)
		if body, err := b.get(c, ask, page); err != nil || body != "hello GET " {
			b.Errorf("%q, %v", body, err)
		}
		p.see(ctx, "Logged in")
	})

	test("callback reached twice", func(b *bed, p *tab, ctx context.Context) {
		answers := make(chan string, 1)
		app.Set(func(a *accesstest.App) {
			a.OAuth = &accesstest.OAuth{Callback: func(redirect string, q url.Values) { answers <- redirect + "?" + q.Encode() }}
		})
		b.edge.ClearLog()
		again := browser.person(b.T)
		c := b.inBrowser(p, func(context.Context, string) {
			login(ctx, p, "git.example.com")
			consent(ctx, p, "allow")
		}, func(cfg *access.Config) {
			cfg.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				if strings.HasSuffix(r.URL.Path, "/oauth/token") {
					// The code was accepted and is not yet exchanged.
					again.open(<-answers)
					again.see(ctx, "Already done", "answered before")
					again.screenshot("3-already-done")
				}
				return b.rt.RoundTrip(r)
			})
		})
		if body, err := b.get(c, ask, page); err != nil || body != "hello GET " {
			b.Errorf("%q, %v", body, err)
		}
		p.see(ctx, "Logged in")
		if n := len(b.edge.Requests(accesstest.ToPath("/cdn-cgi/access/oauth/token"))); n != 1 {
			b.Errorf("%d requests to the token endpoint", n)
		}
		// The callback is gone with the login; a reload finds nobody to talk to.
		p.tell("Page.reload", nil, nil)
		p.see(ctx, "ERR_CONNECTION_REFUSED")
		p.screenshot("4-reloaded")
	})
}

// look checks that a page fits a telephone, and takes pictures there and in the dark.
func (p *tab) look(name string) {
	p.t.Helper()
	p.tell("Emulation.setDeviceMetricsOverride", object{"width": 320, "height": 560, "deviceScaleFactor": 2, "mobile": true}, nil)
	p.screenshot(name + "-narrow")
	var wide int
	if err := p.eval(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &wide); err != nil || wide != 0 {
		p.t.Errorf("%d pixels do not fit (%v)", wide, err)
	}
	p.tell("Emulation.clearDeviceMetricsOverride", nil, nil)
	p.tell("Emulation.setEmulatedMedia", object{"features": []object{{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	p.screenshot(name + "-dark")
	p.tell("Emulation.setEmulatedMedia", object{"features": []object{}}, nil)
}

// What a browser keeps on disk after it was quit: no token, and the code in no
// cache, no tab to be restored and no storage. Its history database notes where a
// redirect came from, which is why a code is good for one exchange, with a verifier
// that was never in the browser (RFC 9700 §4.3.1).
func TestBrowserKeepsNothing(t *testing.T) {
	b := newBed(t)
	var mu sync.Mutex
	code := ""
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{Callback: func(_ string, q url.Values) {
		mu.Lock()
		defer mu.Unlock()
		code = q.Get("code")
	}}})
	browser := newChromium(t, b.srv)
	p, ctx := browser.tab(t, ""), briefly(t)
	c := b.inBrowser(p, func(context.Context, string) {
		p.see(ctx, "Log in to")
		p.click("button[value=login]")
		p.see(ctx, "Allow this program?")
		p.click("button[value=allow]")
	}, nil)
	if _, err := c.Credential(ctx, b.url(page), ask); err != nil {
		t.Fatal(err)
	}
	p.see(ctx, "Logged in")
	browser.quit()
	mu.Lock()
	defer mu.Unlock()
	if code == "" {
		t.Fatal("no code was seen")
	}
	files, histories := 0, 0
	err := filepath.WalkDir(filepath.Dir(browser.profile), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a lock file that went
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for name, secret := range map[string]string{"code": code, "access token": b.stored("oauth/", "token"), "refresh token": b.stored("oauth/", "refresh_token")} {
			if !bytes.Contains(raw, []byte(secret)) {
				continue
			}
			rel, _ := filepath.Rel(browser.profile, path)
			// The second one is made of the history, for statistics.
			if name == "code" && (strings.HasPrefix(filepath.Base(rel), "History") || strings.HasPrefix(rel, "segmentation_platform")) {
				histories++
				continue
			}
			t.Errorf("%s has the %s", rel, name)
		}
		return nil
	})
	if err != nil || files < 10 || histories == 0 {
		t.Errorf("looked at %d files, %d of them of the history: %v", files, histories, err)
	}
}

// Nothing here is ours but the client: a real browser on the pages of a real
// authorization server.
func TestBrowserOnRealServer(t *testing.T) {
	s := newOIDC(t)
	p, ctx := newChromium(t, s.srv).person(t), briefly(t)
	c := s.inBrowser(p, func(context.Context, string) {
		p.see(ctx, "Sign-in")
		p.write("input[name=login]", "grace")
		p.write("input[name=password]", "any")
		p.screenshot("1-login")
		p.click("button[type=submit]")
		p.see(ctx, "Authorize", "https://git.example.com")
		p.screenshot("2-consent")
		p.click("button[type=submit]")
	}, nil)
	if body, err := s.get(c, ask, page); err != nil || body != "hello grace" {
		t.Errorf("%q, %v", body, err)
	}
	shown := p.see(ctx, "Logged in", "git.example.com")
	p.screenshot("3-logged-in")
	if strings.Contains(shown.URL, "?") {
		t.Errorf("the page is at %s", shown.URL)
	}
}
