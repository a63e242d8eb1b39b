package access_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// A code that belongs to somebody else's authorization is worth nothing with our
// verifier, whoever puts it into the answer.
func TestInjectedCode(t *testing.T) {
	b := newBed(t)
	stolen := ""
	inject := false
	oauth := &accesstest.OAuth{Callback: func(_ string, q url.Values) {
		if inject {
			q.Set("code", stolen)
			return
		}
		stolen = q.Get("code")
		q.Set("code", "spent-elsewhere") // keep the real one unused
	}}
	b.app(accesstest.App{Allow: true, OAuth: oauth})
	if _, err := b.client(nil).Credential(t.Context(), b.url(page), ask); err == nil || stolen == "" {
		t.Fatalf("the first login: %v, code %q", err, stolen)
	}
	inject = true
	_, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
	var refused *access.OAuthError
	if !errors.As(err, &refused) || refused.Code != "invalid_grant" {
		t.Errorf("got %v", err)
	}
	if b.stored("oauth/", "token") != "" {
		t.Error("a token was stored")
	}
}

// An authorization server that drops or changes the state gets no code taken.
func TestStateMismatch(t *testing.T) {
	for name, change := range map[string]func(url.Values){
		"dropped": func(q url.Values) { q.Del("state") },
		"changed": func(q url.Values) { q.Set("state", "x"+q.Get("state")) },
		"twice":   func(q url.Values) { q["state"] = []string{"x", q.Get("state")} },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{Callback: func(_ string, q url.Values) { change(q) }}})
			short := func(cfg *access.Config) { cfg.LoginTimeout = time.Second }
			_, err := b.client(short).Credential(t.Context(), b.url(page), ask)
			var timeout *access.LoginTimeoutError
			if !errors.As(err, &timeout) {
				t.Errorf("got %v", err)
			}
			if n := len(b.edge.Requests(accesstest.ToPath("/cdn-cgi/access/oauth/token"))); n != 0 {
				t.Errorf("%d requests to the token endpoint", n)
			}
		})
	}
}

// The port that was registered is taken by another program: a new port and a new
// registration, no error.
func TestCallbackPortTaken(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	if _, err := b.client(nil).Credential(t.Context(), b.url(page), ask); err != nil {
		t.Fatal(err)
	}
	before := b.stored("client/", "redirect_uri")
	fresh := ask
	fresh.Fresh = true
	b.team.ExpireGrants() // so that a person is asked
	if _, err := b.client(nil).Credential(t.Context(), b.url(page), fresh); err != nil {
		t.Fatal(err)
	}
	if again := b.stored("client/", "redirect_uri"); again != before {
		t.Errorf("registered %s, then %s though the port was free", before, again)
	}
	u, err := url.Parse(before)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:"+u.Port())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b.team.ExpireGrants()
	if _, err := b.client(nil).Credential(t.Context(), b.url(page), fresh); err != nil {
		t.Fatal(err)
	}
	if after := b.stored("client/", "redirect_uri"); after == before {
		t.Error("the taken port is still registered")
	}
}

// Ctrl-C ends a wait for a person at once, says so to nobody else, and the next
// caller may ask again.
func TestLoginIsCancelled(t *testing.T) {
	for name, app := range map[string]accesstest.App{"transfer": {Allow: true}, "OAuth": {Allow: true, OAuth: &accesstest.OAuth{}}} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.app(app)
			ctx, cancel := context.WithCancel(t.Context())
			stop := func(cfg *access.Config) {
				cfg.Open = func(context.Context, string) error { cancel(); return nil }
			}
			if _, err := b.client(stop).Credential(ctx, b.url(page), ask); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			if body, err := b.get(b.client(nil), ask, page); err != nil || body != "hello GET " {
				t.Errorf("the next one: %q, %v", body, err)
			}
		})
	}
}

// The registered port is somebody else's on ::1 alone, where a browser takes
// localhost to be first: the answer must not go there.
func TestCallbackPortTakenOnIPv6(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	if _, err := b.client(nil).Credential(t.Context(), b.url(page), ask); err != nil {
		t.Fatal(err)
	}
	before := b.stored("client/", "redirect_uri")
	u, err := url.Parse(before)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp6", "[::1]:"+u.Port())
	if err != nil {
		scripttest.Missing(t, "::1", "IPv6 on the loopback interface")
	}
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			t.Error("the browser came to the other program")
			c.Close()
		}
	}()
	fresh := ask
	fresh.Fresh = true
	b.team.ExpireGrants() // so that a person is asked
	if _, err := b.client(nil).Credential(t.Context(), b.url(page), fresh); err != nil {
		t.Fatal(err)
	}
	if after := b.stored("client/", "redirect_uri"); after == before {
		t.Error("the taken port is still registered")
	}
}
