package access_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

const page = "https://git.example.com/repo.git"

func TestLoginOnceThenNoNetwork(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	body, err := b.get(b.client(nil), ask, page)
	if err != nil || body != "hello GET " {
		t.Fatalf("first request: %q, %v", body, err)
	}
	if n := b.logins(); n != 1 {
		t.Fatalf("%d logins", n)
	}
	b.edge.ClearLog()
	gets := b.store.gets
	cr, err := b.client(nil).Credential(t.Context(), b.url(page), access.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if cr.Kind != access.JWT || cr.Account != "ada@example.com" || cr.Fresh() {
		t.Errorf("got %v of %q, fresh %v", cr.Kind, cr.Account, cr.Fresh())
	}
	if n := len(b.edge.Requests()); n != 0 {
		t.Errorf("a stored session cost %d requests", n)
	}
	if n := b.store.gets - gets; n != 1 {
		t.Errorf("a stored session cost %d reads of the store", n)
	}
	if left := time.Until(cr.Expiry); left < 23*time.Hour || left > 25*time.Hour {
		t.Errorf("expires in %v", left)
	}
	b.noLeaks(cr.Token().Reveal(), "git.example.com")
	b.noLeaks(b.stored("org/", "token"), b.team.Domain())
}

func TestOrgTokenOpensTheNextApplication(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	b.app(accesstest.App{Host: "wiki.example.com", Allow: true})
	if _, err := b.get(b.client(nil), ask, page); err != nil {
		t.Fatal(err)
	}
	body, err := b.get(b.client(nil), access.Policy{}, "https://wiki.example.com/")
	if err != nil || body != "hello GET " {
		t.Fatalf("second application: %q, %v", body, err)
	}
	if n := b.logins(); n != 1 {
		t.Errorf("%d logins for two applications of one team", n)
	}
	org := b.stored("org/", "token")
	b.noLeaks(org, b.team.Domain())
	// An org token that was revoked is dropped, and a person is wanted again.
	b.team.RevokeUser("ada@example.com")
	_, err = b.client(nil).Credential(t.Context(), b.url(page), access.Policy{Fresh: true})
	var required *access.LoginRequiredError
	if !errors.As(err, &required) {
		t.Fatalf("after revocation: %v", err)
	}
	if b.stored("org/", "token") != "" {
		t.Error("the revoked org token is still stored")
	}
}

func TestRevokedSessionIsRenewedOnce(t *testing.T) {
	b := newBed(t)
	app := b.app(accesstest.App{Allow: true})
	if _, err := b.get(b.client(nil), ask, page); err != nil {
		t.Fatal(err)
	}
	app.Revoke()
	b.edge.ClearLog()
	req, _ := http.NewRequest(http.MethodPost, page, strings.NewReader("pack"))
	resp, err := b.client(nil).Transport(nil, access.Policy{}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if n := len(b.edge.Requests(accesstest.ToPath("/repo.git"), func(r accesstest.Request) bool { return r.Method == http.MethodPost })); n != 2 {
		t.Errorf("%d POSTs, want the refused and the repeated one", n)
	}
	// What is refused right after it was issued is told, and not tried for ever.
	app.Set(func(a *accesstest.App) { a.BindingCookie = true })
	b.edge.ClearLog()
	_, err = b.get(b.client(nil), ask, page)
	var refused *access.RefusedError
	if !errors.As(err, &refused) || refused.Cause != access.TokenNotAccepted {
		t.Errorf("binding cookie: %v", err)
	}
	if n := len(b.edge.Requests()); n > 30 {
		t.Errorf("%d requests to find out", n)
	}
}

func TestServiceTokens(t *testing.T) {
	tests := []struct {
		name  string
		app   accesstest.App
		spoil func(*bed, *access.BoundServiceToken, *accesstest.ServiceToken)
		cause access.Cause // "" passes
	}{
		{"not strict", accesstest.App{Allow: true}, nil, ""},
		{"service tokens only", accesstest.App{}, nil, ""},
		{"strict", accesstest.App{Allow: true, Strict: true}, nil, ""},
		{"wrong, not strict", accesstest.App{Allow: true}, wrongSecret, access.ServiceTokenRefused},
		{"wrong, service tokens only", accesstest.App{}, wrongSecret, access.ServiceTokenRefused},
		{"wrong, strict", accesstest.App{Allow: true, Strict: true}, wrongSecret, access.ServiceTokenInvalid},
		{"disabled, strict", accesstest.App{Strict: true}, disabled, access.ServiceTokenInvalid},
		{"expired, not strict", accesstest.App{Allow: true}, expired, access.ServiceTokenRefused},
		{"in no policy, not strict", accesstest.App{Allow: true}, unlisted, access.ServiceTokenRefused},
		{"in no policy, service tokens only", accesstest.App{}, unlisted, access.ServiceTokenRefused},
		{"in no policy, strict", accesstest.App{Allow: true, Strict: true}, unlisted, access.ServiceTokenNotAllowed},
		{"in no policy, strict, OAuth", accesstest.App{Allow: true, Strict: true, OAuth: &accesstest.OAuth{}}, unlisted, access.ServiceTokenNotAllowed},
		{"in no policy, strict, service tokens only", accesstest.App{Strict: true}, unlisted, access.ServiceTokenRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			svc := b.team.AddServiceToken("ci")
			tt.app.Services = []*accesstest.ServiceToken{svc}
			b.app(tt.app)
			token := access.BoundServiceToken{ClientID: svc.ID, Secret: access.NewSecret(svc.Secret()), Hosts: []string{"*.example.com"}}
			if tt.spoil != nil {
				tt.spoil(b, &token, svc)
			}
			c := b.client(func(cfg *access.Config) { cfg.ServiceTokens = []access.BoundServiceToken{token} })
			body, err := b.get(c, ask, page)
			var refused *access.RefusedError
			switch {
			case tt.cause == "" && (err != nil || body != "hello GET "):
				t.Errorf("got %q, %v", body, err)
			case tt.cause != "" && (!errors.As(err, &refused) || refused.Cause != tt.cause):
				t.Errorf("got %v, want %v", err, tt.cause)
			}
			if n := b.logins(); n != 0 {
				t.Errorf("a browser was opened %d times", n)
			}
			want := 1
			if refused != nil && refused.StatusCode == http.StatusForbidden {
				want = 2 // the second without the token, to see whether people are sent to a login
			}
			if n := len(b.edge.Requests()); n != want {
				t.Errorf("%d requests, want %d", n, want)
			}
			b.noLeaks(token.Secret.Reveal(), "git.example.com")
			if err != nil && strings.Contains(err.Error(), token.Secret.Reveal()) {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

func wrongSecret(_ *bed, t *access.BoundServiceToken, _ *accesstest.ServiceToken) {
	t.Secret = access.NewSecret(strings.Repeat("0", 64))
}
func disabled(_ *bed, _ *access.BoundServiceToken, s *accesstest.ServiceToken) { s.Disable(true) }
func expired(_ *bed, _ *access.BoundServiceToken, s *accesstest.ServiceToken) {
	s.Expire(time.Now().Add(-time.Hour))
}

// unlisted is a token of the same team that is in no policy.
func unlisted(b *bed, t *access.BoundServiceToken, _ *accesstest.ServiceToken) {
	other := b.team.AddServiceToken("other")
	t.ClientID, t.Secret = other.ID, access.NewSecret(other.Secret())
}

// A service token in the environment of a CI job goes to the hosts it is bound to,
// or to one that a person named; a URL out of a repository gets nothing.
func TestServiceTokenGoesWhereItIsBound(t *testing.T) {
	b := newBed(t)
	svc := b.team.AddServiceToken("ci")
	b.app(accesstest.App{Services: []*accesstest.ServiceToken{svc}})
	b.app(accesstest.App{Host: "evil.example.net", Allow: true})
	named, _, _ := access.ParseHost("git.example.com")
	c := b.client(func(cfg *access.Config) {
		cfg.ServiceTokens = []access.BoundServiceToken{{ClientID: svc.ID, Secret: access.NewSecret(svc.Secret())}}
	})
	p := access.Policy{Named: named}
	if _, err := b.get(c, p, page); err != nil {
		t.Error(err)
	}
	var required *access.LoginRequiredError
	if _, err := b.get(c, p, "https://evil.example.net/x"); !errors.As(err, &required) {
		t.Errorf("another host: %v", err)
	}
	var refused *access.RefusedError
	if _, err := b.get(c, access.Policy{}, page); !errors.As(err, &refused) || refused.Cause != access.ServiceTokenRequired {
		t.Errorf("not named: %v", err)
	}
	b.noLeaks(svc.Secret(), "git.example.com")
}

func TestStoredServiceToken(t *testing.T) {
	b := newBed(t)
	svc := b.team.AddServiceToken("ci")
	b.app(accesstest.App{Services: []*accesstest.ServiceToken{svc}})
	o, _, _ := access.ParseHost("git.example.com")
	c := b.client(nil)
	if err := c.AddServiceToken(t.Context(), o, svc.ID, access.NewSecret(svc.Secret()), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.get(b.client(nil), access.Policy{}, page); err != nil {
		t.Error(err)
	}
	// The token outlives what is known about the host.
	b.cache.m = map[string][]byte{}
	if _, err := b.get(b.client(nil), access.Policy{}, page); err != nil {
		t.Errorf("with an empty cache: %v", err)
	}
	infos, err := c.ServiceTokens(t.Context())
	if err != nil || len(infos) != 1 || infos[0].ClientID != svc.ID {
		t.Errorf("list: %v, %v", infos, err)
	}
	if had, err := c.RemoveServiceToken(t.Context(), o); !had || err != nil {
		t.Errorf("remove: %v, %v", had, err)
	}
	if _, err := b.get(b.client(nil), access.Policy{}, page); err == nil {
		t.Error("a removed token still opens the host")
	}
}

func TestNobodyMayBeAsked(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	p := access.Policy{Login: func(context.Context) error { return errors.New("CI is set") }}
	_, err := b.get(b.client(nil), p, page)
	var required *access.LoginRequiredError
	if !errors.As(err, &required) || required.Reason != "CI is set" {
		t.Errorf("got %v", err)
	}
	if b.logins() != 0 {
		t.Error("a browser was opened")
	}
}

// Fifty callers with no session make one login; one who may not ask anybody does
// not wait for the person of another.
func TestOneLoginForMany(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	opened := make(chan struct{})
	approve := make(chan struct{})
	open := func(cfg *access.Config) {
		cfg.Open = func(ctx context.Context, u string) error {
			b.mu.Lock()
			b.opened++
			first := b.opened == 1
			b.mu.Unlock()
			if first {
				close(opened)
			}
			go func() { <-approve; b.person.Approve(ctx, u) }()
			return nil
		}
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := b.client(open).Credential(t.Context(), b.url(page), ask); err != nil {
				t.Error(err)
			}
		})
	}
	<-opened
	_, err := b.client(open).Credential(t.Context(), b.url(page), access.Policy{})
	var required *access.LoginRequiredError
	if !errors.As(err, &required) || required.PID == 0 || !strings.HasPrefix(required.URL, "https://git.example.com/cdn-cgi/access/cli?") {
		t.Errorf("one who may ask nobody: %+v", err)
	}
	close(approve)
	wg.Wait()
	if n := b.logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
}

// A login that a person left undone is not followed by one browser window for each
// process that stood in line, nor by background callers soon after.
func TestLoginLeftUndone(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	never := func(cfg *access.Config) {
		cfg.LoginTimeout = 300 * time.Millisecond
		cfg.Open = func(context.Context, string) error { b.mu.Lock(); b.opened++; b.mu.Unlock(); return nil }
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			_, err := b.client(never).Credential(t.Context(), b.url(page), ask)
			var timeout *access.LoginTimeoutError
			var required *access.LoginRequiredError
			if !errors.As(err, &timeout) && !errors.As(err, &required) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if n := b.logins(); n != 1 {
		t.Errorf("%d browser windows", n)
	}
	background := ask
	background.Background = true
	if _, err := b.client(never).Credential(t.Context(), b.url(page), background); err == nil || b.logins() != 1 {
		t.Errorf("background caller: %v, %d windows", err, b.logins())
	}
	later := func(cfg *access.Config) {
		never(cfg)
		cfg.Now = func() time.Time { return time.Now().Add(11 * time.Minute) }
	}
	if _, err := b.client(later).Credential(t.Context(), b.url(page), background); err == nil || b.logins() != 2 {
		t.Errorf("background caller ten minutes later: %v, %d windows", err, b.logins())
	}
}

func TestNothingOfAccess(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, Bypass: true})
	for range 3 {
		if body, err := b.get(b.client(nil), access.Policy{}, page); err != nil || body != "hello GET " {
			t.Fatalf("%q, %v", body, err)
		}
	}
	if n := len(b.edge.Requests()); n != 4 {
		t.Errorf("%d requests, want one question and three requests", n)
	}
}

// A session that was revoked is noticed although nobody reports it, by one cheap
// request in five minutes.
func TestCheckEvery(t *testing.T) {
	b := newBed(t)
	app := b.app(accesstest.App{Allow: true})
	first, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	p := access.Policy{CheckEvery: 5 * time.Minute}
	at := func(d time.Duration) func(*access.Config) {
		return func(cfg *access.Config) { cfg.Now = func() time.Time { return time.Now().Add(d) } }
	}
	app.Revoke()
	b.edge.ClearLog()
	cr, err := b.client(at(time.Minute)).Credential(t.Context(), b.url(page), p)
	if err != nil || !cr.Token().Equal(first.Token()) || len(b.edge.Requests()) != 0 {
		t.Errorf("after a minute: %v, %d requests", err, len(b.edge.Requests()))
	}
	cr, err = b.client(at(6*time.Minute)).Credential(t.Context(), b.url(page), p)
	if err != nil || cr.Token().Equal(first.Token()) {
		t.Errorf("after six minutes the revoked session is still handed out (%v)", err)
	}
	b.edge.ClearLog()
	for range 5 {
		if _, err := b.client(at(7*time.Minute)).Credential(t.Context(), b.url(page), p); err != nil {
			t.Error(err)
		}
	}
	if n := len(b.edge.Requests()); n != 0 {
		t.Errorf("%d requests within five minutes of a check", n)
	}
}

func TestRenewedAheadOfExpiry(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	first, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	soon := func(cfg *access.Config) { cfg.Now = func() time.Time { return first.Expiry.Add(-30 * time.Second) } }
	// The org token ends at the same time, but has half a minute, too.
	cr, err := b.client(soon).Credential(t.Context(), b.url(page), access.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if cr.Token().Equal(first.Token()) {
		t.Error("not renewed with half a minute left")
	}
	if b.logins() != 1 {
		t.Error("a person was asked")
	}
	// With no way to renew, what is left of it still serves.
	keys, _ := b.store.List(t.Context(), "org/")
	for _, k := range keys {
		b.store.Delete(t.Context(), k)
	}
	last := func(cfg *access.Config) { cfg.Now = func() time.Time { return cr.Expiry.Add(-30 * time.Second) } }
	again, err := b.client(last).Credential(t.Context(), b.url(page), access.Policy{})
	if err != nil || !again.Token().Equal(cr.Token()) {
		t.Errorf("without an org token: %v", err)
	}
}

func TestRejectKeepsANewerSession(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	old, err := b.client(nil).Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := b.client(nil).Credential(t.Context(), b.url(page), access.Policy{Fresh: true})
	if err != nil || fresh.Token().Equal(old.Token()) {
		t.Fatalf("fresh: %v", err)
	}
	if err := b.client(nil).Reject(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if b.stored("session/", "token") != fresh.Token().Reveal() {
		t.Error("rejecting the old token removed the new one")
	}
	if err := b.client(nil).Reject(t.Context(), fresh); err != nil {
		t.Fatal(err)
	}
	if b.stored("session/", "token") != "" {
		t.Error("the rejected token is still stored")
	}
}

func TestLogout(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	c := b.client(nil)
	cr, err := c.Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	infos, err := c.Sessions(t.Context())
	if err != nil || len(infos) != 1 || infos[0].Account != "ada@example.com" || !infos[0].Renewable || infos[0].Origin != cr.App.Origin {
		t.Errorf("sessions: %+v, %v", infos, err)
	}
	if found, err := c.Logout(t.Context(), cr.App.Origin); !found || err != nil {
		t.Errorf("logout: %v, %v", found, err)
	}
	if err := c.LogoutTeam(t.Context(), cr.App.Team, true); err != nil {
		t.Error(err)
	}
	if len(b.store.m) != 0 {
		t.Errorf("left behind: %v", b.store.m)
	}
	if _, err := b.get(b.client(nil), access.Policy{}, page); err == nil {
		t.Error("still logged in")
	}
}

// fullDisk is a Cache that takes nothing more once it is full.
type fullDisk struct {
	access.Cache
	full *atomic.Bool
}

func (d fullDisk) Save(name string, b []byte) error {
	if d.full.Load() {
		return errors.New("no space left on device")
	}
	return d.Cache.Save(name, b)
}

// A session that was renewed and stored serves, also if its state folder takes no note
// of it; a person could do nothing about it by logging in.
func TestRenewalWithAFullDisk(t *testing.T) {
	for name, oauth := range map[string]*accesstest.OAuth{"org token": nil, "Managed OAuth": {}} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.app(accesstest.App{Allow: true, OAuth: oauth})
			if _, err := b.client(nil).Credential(t.Context(), b.url(page), ask); err != nil {
				t.Fatal(err)
			}
			var full atomic.Bool
			c := b.client(func(cfg *access.Config) { cfg.Cache = fullDisk{cfg.Cache, &full} })
			cr, err := c.Credential(t.Context(), b.url(page), ask)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Reject(t.Context(), cr); err != nil {
				t.Fatal(err)
			}
			full.Store(true)
			if renewed, err := c.Credential(t.Context(), b.url(page), access.Policy{}); err != nil || renewed.Token().Equal(cr.Token()) {
				t.Errorf("%v, the same token: %v", err, renewed.Token().Equal(cr.Token()))
			}
		})
	}
}

// forgetful is a Store in which one entry cannot be read.
type forgetful struct {
	access.Store
	key string
}

func (s forgetful) Get(ctx context.Context, key string) ([]byte, error) {
	if key == s.key {
		return nil, errors.New("it is damaged")
	}
	return s.Store.Get(ctx, key)
}

// An entry that cannot be read hides no other one, and is told of.
func TestListsWithADamagedEntry(t *testing.T) {
	b := newBed(t)
	for _, host := range []string{"a.example.com", "b.example.com"} {
		b.app(accesstest.App{Host: host, Allow: true})
		if _, err := b.client(nil).Credential(t.Context(), b.url("https://"+host), ask); err != nil {
			t.Fatal(err)
		}
		if err := b.client(nil).AddServiceToken(t.Context(), access.Origin("https://"+host), "id.access", access.NewSecret("s"), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	sessions, _ := b.store.List(t.Context(), "session/")
	if len(sessions) != 2 {
		t.Fatalf("stored %q", sessions)
	}
	damaged := func(key string) *access.Client {
		return b.client(func(cfg *access.Config) { cfg.Store = forgetful{cfg.Store, key} })
	}
	if infos, err := damaged(sessions[0]).Sessions(t.Context()); err == nil || len(infos) != 1 {
		t.Errorf("sessions: %v, %v", infos, err)
	}
	const token = "service-token/https://a.example.com"
	if infos, err := damaged(token).ServiceTokens(t.Context()); err == nil || len(infos) != 1 || infos[0].Origin != "https://b.example.com" {
		t.Errorf("service tokens: %v, %v", infos, err)
	}
	if tokens, err := damaged(token).StoredServiceTokens(t.Context()); err == nil || len(tokens) != 1 {
		t.Errorf("service tokens with their secrets: %v, %v", tokens, err)
	}
	// What a newer version wrote is not shown as nothing.
	if err := b.store.Put(t.Context(), sessions[0], []byte(`{"v":2}`)); err != nil {
		t.Fatal(err)
	}
	if infos, err := b.client(nil).Sessions(t.Context()); err == nil || len(infos) != 1 {
		t.Errorf("with one of a newer version: %v, %v", infos, err)
	}
}
