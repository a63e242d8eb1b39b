package access_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/box"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

// Each way of falsifying the signed metadata ends discovery, and nothing that is
// stored for the real application goes anywhere.
func TestFalsifiedMetadata(t *testing.T) {
	for _, fault := range accesstest.MetadataFaults() {
		t.Run(fault.String(), func(t *testing.T) {
			b := newBed(t)
			app := b.app(accesstest.App{Allow: true})
			b.app(accesstest.App{Host: "wiki.example.com", Allow: true})
			if _, err := b.get(b.client(nil), ask, page); err != nil {
				t.Fatal(err)
			}
			token, org := b.stored("session/", "token"), b.stored("org/", "token")
			evil := b.edge.AddTeam("evil")
			app.Set(func(a *accesstest.App) { a.Metadata = fault; a.OtherTeam = evil })
			b.edge.ClearLog()
			policy := ask
			policy.Fresh = true
			// As a new machine would see it, and as this one does.
			for name, c := range map[string]*access.Client{
				"known host": b.client(nil),
				"first use": b.client(func(cfg *access.Config) {
					cfg.Store, cfg.Cache = newMemory(), cacheMemory{newMemory()}
				}),
			} {
				c := c
				_, err := c.Discover(t.Context(), b.url(page))
				if err == nil && name == "first use" && fault == accesstest.MetadataOtherTeam {
					continue // a team of its own: nothing at first use tells it from the right one
				}
				if err == nil {
					t.Errorf("%s: accepted", name)
				}
				var changed *access.TeamChangedError
				if fault == accesstest.MetadataOtherTeam && !errors.As(err, &changed) {
					t.Errorf("%s: %v, want *TeamChangedError", name, err)
				}
			}
			if n := b.logins(); n != 1 {
				t.Errorf("%d logins", n)
			}
			b.noLeaks(token)
			b.noLeaks(org)
		})
	}
}

// The pin outlives what else is known of a host, and a record that was damaged.
func TestPinOutlivesTheRecord(t *testing.T) {
	for name, forget := range map[string]func(m map[string][]byte, key string){
		"gone":    func(m map[string][]byte, key string) { delete(m, key) },
		"damaged": func(m map[string][]byte, key string) { m[key] = []byte("{") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			app := b.app(accesstest.App{Allow: true})
			if _, err := b.get(b.client(nil), ask, page); err != nil {
				t.Fatal(err)
			}
			evil := b.edge.AddTeam("evil")
			app.Move(evil)
			for k := range b.cache.m {
				if strings.HasPrefix(k, "host-") {
					forget(b.cache.m, k)
				}
			}
			logins := b.logins()
			for range 2 {
				_, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
				var changed *access.TeamChangedError
				if !errors.As(err, &changed) || changed.Was != b.team.Domain() || changed.Now != evil.Domain() {
					t.Fatalf("got %v", err)
				}
			}
			if b.logins() != logins {
				t.Error("a login was opened for the other team")
			}
			policy := ask
			policy.AcceptTeam = "https://" + strings.ToUpper(evil.Domain()) + "/" // as Config.Team may be written
			if _, err := b.client(nil).Credential(t.Context(), b.url(page), policy); err != nil {
				t.Fatal(err)
			}
			for k := range b.cache.m {
				if strings.HasPrefix(k, "host-") {
					forget(b.cache.m, k)
				}
			}
			if _, err := b.client(nil).Credential(t.Context(), b.url(page), ask); err != nil {
				t.Errorf("the accepted team: %v", err)
			}
		})
	}
}

// A host that changes its team gets no session, no org token and no login until a
// person accepts the new team.
func TestTeamIsPinned(t *testing.T) {
	b := newBed(t)
	app := b.app(accesstest.App{Allow: true})
	if _, err := b.get(b.client(nil), ask, page); err != nil {
		t.Fatal(err)
	}
	org := b.stored("org/", "token")
	evil := b.edge.AddTeam("evil")
	app.Move(evil)
	b.edge.ClearLog()
	policy := ask
	policy.Fresh = true
	// What is cached about the host is used for five minutes; then it is asked.
	forget := func(c *access.Client) *access.Client {
		var rec map[string]any
		for k, v := range b.cache.m {
			if strings.HasPrefix(k, "host-") && json.Unmarshal(v, &rec) == nil {
				for _, a := range rec["apps"].([]any) {
					a.(map[string]any)["seen"] = "2020-01-01T00:00:00Z"
				}
				b.cache.m[k], _ = json.Marshal(rec)
			}
		}
		return c
	}
	_, err := forget(b.client(nil)).Credential(t.Context(), b.url(page), policy)
	var changed *access.TeamChangedError
	if !errors.As(err, &changed) || changed.Was != b.team.Domain() || changed.Now != evil.Domain() {
		t.Fatalf("got %v", err)
	}
	b.noLeaks(org)
	if b.logins() != 1 {
		t.Error("a login was opened for the other team")
	}
	policy.AcceptTeam = evil.Domain()
	if _, err := b.client(nil).Credential(t.Context(), b.url(page), policy); err != nil {
		t.Errorf("accepted by hand: %v", err)
	}
	b.noLeaks(org)
}

// A stored session of a host is never handed to a team or host that Config.Team
// or the policy's path excludes.
func TestOtherHostsGetNothing(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, Origin: http.RedirectHandler("https://elsewhere.example.net/stolen", http.StatusFound)})
	b.edge.Handle("elsewhere.example.net", http.NotFoundHandler())
	c := b.client(nil)
	if _, err := b.get(c, ask, page); err == nil {
		t.Error("expected the 404 of elsewhere")
	}
	token := b.stored("session/", "token")
	if token == "" {
		t.Fatal("no session")
	}
	b.noLeaks(token, "git.example.com")
	for _, raw := range []string{"http://git.example.com/", "https://git.example.com:8443/", "https://sub.git.example.com/", "https://git.example.com.evil.net/"} {
		req, _ := http.NewRequest(http.MethodGet, raw, nil)
		cr, err := c.Credential(t.Context(), b.url(page), access.Policy{})
		if err != nil {
			t.Fatal(err)
		}
		if cr.Apply(req) || len(req.Header) != 0 {
			t.Errorf("%s got a credential", raw)
		}
	}
}

func TestTransferIsTamperedWith(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	tests := map[string]func(clientKey string, body []byte, key string) ([]byte, string){
		"garbage":        func(_ string, _ []byte, k string) ([]byte, string) { return []byte("!!!"), k },
		"short":          func(_ string, _ []byte, k string) ([]byte, string) { return []byte("AAAA"), k },
		"nonce":          func(_ string, b []byte, k string) ([]byte, string) { return flipped(t, b, 0), k },
		"seal":           func(_ string, b []byte, k string) ([]byte, string) { return flipped(t, b, 24), k },
		"text":           func(_ string, b []byte, k string) ([]byte, string) { return flipped(t, b, 40), k },
		"no key":         func(_ string, b []byte, _ string) ([]byte, string) { return b, "" },
		"key of another": func(_ string, b []byte, _ string) ([]byte, string) { return b, strings.Repeat("A", 43) + "=" },
		"10 MB":          func(_ string, _ []byte, k string) ([]byte, string) { return make([]byte, 10<<20), k },
	}
	for name, tamper := range tests {
		t.Run(name, func(t *testing.T) {
			b.edge.Set(func(s *accesstest.Switches) { s.Transfer = tamper })
			if _, err := b.client(nil).Credential(t.Context(), b.url(page), ask); err == nil {
				t.Error("accepted")
			}
			if b.stored("session/", "token") != "" {
				t.Error("stored")
			}
		})
	}
}

// flipped is a box of base64(nonce || seal || text) with one bit of the byte at i changed.
func flipped(t *testing.T, body []byte, i int) []byte {
	b, err := base64.StdEncoding.DecodeString(string(body))
	if err != nil {
		t.Error(err)
		return nil
	}
	b[i] ^= 1
	return []byte(base64.StdEncoding.EncodeToString(b))
}

// Tokens that are not for this login's application and team are not taken, though
// the box opens: a person may be lured into approving another login.
func TestSwappedTokens(t *testing.T) {
	b := newBed(t)
	app := b.app(accesstest.App{Allow: true})
	wiki := b.app(accesstest.App{Host: "wiki.example.com", Allow: true})
	evil := b.edge.AddTeam("evil")
	evilApp := b.app(accesstest.App{Host: "evil.example.net", Allow: true, Team: evil})
	tests := map[string]struct{ app, org string }{
		"of another application": {wiki.Token("ada@example.com"), ""},
		"of another team":        {evilApp.Token("ada@example.com"), ""},
		"an org token":           {b.team.OrgToken("ada@example.com"), ""},
		"empty":                  {"", ""},
		"no JWT":                 {"secret", ""},
		"unsigned":               {unsigned(app.Token("ada@example.com")), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tamper := sealed(t, tt.app, tt.org)
			b.edge.Set(func(s *accesstest.Switches) { s.Transfer = tamper })
			_, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
			if err == nil {
				t.Error("accepted")
			} else if tt.app != "" && strings.Contains(err.Error(), tt.app) {
				t.Errorf("the error tells the token: %v", err)
			}
			if len(tt.app) > 100 {
				b.noLeaks(tt.app) // to try it is to show it
			}
			if b.stored("session/", "token") != "" || b.stored("org/", "token") != "" {
				t.Error("stored")
			}
		})
	}
	// A good application token with a foreign org token: the one is taken, the other not.
	tamper := sealed(t, app.Token("ada@example.com"), evil.OrgToken("eve@example.com"))
	b.edge.Set(func(s *accesstest.Switches) { s.Transfer = tamper })
	if _, err := b.client(nil).Credential(t.Context(), b.url(page), ask); err != nil {
		t.Error(err)
	}
	if b.stored("org/", "token") != "" {
		t.Error("another team's org token was stored")
	}
}

// sealed puts other tokens into the box of a login.
func sealed(t *testing.T, app, org string) func(string, []byte, string) ([]byte, string) {
	return func(clientKey string, _ []byte, _ string) ([]byte, string) {
		peer, err := base64.URLEncoding.DecodeString(clientKey)
		if err != nil {
			t.Error(err)
		}
		public, private, err := box.GenerateKey(rand.Reader)
		if err != nil {
			t.Error(err)
		}
		plain, _ := json.Marshal(map[string]string{"app_token": app, "org_token": org})
		var nonce [24]byte
		rand.Read(nonce[:])
		sealed := box.Seal(nonce[:], plain, &nonce, (*[32]byte)(peer), private)
		return []byte(base64.StdEncoding.EncodeToString(sealed)), base64.URLEncoding.EncodeToString(public[:])
	}
}

// unsigned turns a token into one with alg none.
func unsigned(token string) string {
	claims := strings.Split(token, ".")[1]
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + claims + "."
}

func TestOversizedAndEndless(t *testing.T) {
	for name, change := range map[string]func(*bed, *accesstest.Application){
		"certs of 10 MB": func(b *bed, _ *accesstest.Application) {
			b.team.Set(func(s *accesstest.TeamSettings) { s.OversizedCerts = true })
		},
		"certs redirect": func(b *bed, _ *accesstest.Application) {
			b.team.Set(func(s *accesstest.TeamSettings) { s.EndlessRedirects = true })
		},
		"endless redirects": func(_ *bed, a *accesstest.Application) { a.Set(func(a *accesstest.App) { a.EndlessRedirects = true }) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			app := b.app(accesstest.App{Allow: true})
			change(b, app)
			_, err := b.get(b.client(nil), ask, page)
			if err == nil {
				t.Error("no error")
			}
			if n := len(b.edge.Requests()); n > 20 {
				t.Errorf("%d requests", n)
			}
		})
	}
}
