package accesstest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
)

func TestPolicies(t *testing.T) {
	e, _, c := edge(t, nil)
	svc := e.Team().AddServiceToken("ci")
	services := []*accesstest.ServiceToken{svc}
	add := func(a accesstest.App) *accesstest.Application { a.Origin = who; return e.AddApp(a) }
	login := add(accesstest.App{Host: "login.example.com", Allow: true, Users: []string{"ada@example.com"}})
	both := add(accesstest.App{Host: "both.example.com", Allow: true, Services: services})
	only := add(accesstest.App{Host: "only.example.com", Services: services})
	strict := add(accesstest.App{Host: "strict.example.com", Allow: true, Services: services, Strict: true, ServiceHeader: "X-Token"})
	add(accesstest.App{Host: "redirect401.example.com", Services: services, ServiceAuth401: true})
	single := add(accesstest.App{Host: "single.example.com", Allow: true, Services: services, ServiceHeader: "Authorization"})
	bound := add(accesstest.App{Host: "bound.example.com", Allow: true, BindingCookie: true})
	add(accesstest.App{Host: "bypass.example.com", Bypass: true})
	nobody := add(accesstest.App{Host: "nobody.example.com"})
	wild := add(accesstest.App{Host: "*.wild.example.com", Allow: true})
	add(accesstest.App{Host: "open.wild.example.com", Bypass: true})
	inner := add(accesstest.App{Host: "login.example.com", Path: "/inner/", Allow: true, PathCookie: true})

	// The application token that a service token was given.
	given := func(host string) string {
		resp, _ := ask(t, c, "GET", "https://"+host+"/", "CF-Access-Client-Id", svc.ID, "CF-Access-Client-Secret", svc.Secret())
		return cookie(resp, "CF_Authorization").Value
	}
	json1 := `{"cf-access-client-id": "` + svc.ID + `", "cf-access-client-secret": "` + svc.Secret() + `"}`
	const (
		id, secret = "CF-Access-Client-Id", "CF-Access-Client-Secret"
		tok, jar   = "cf-access-token", "Cookie"
	)
	ada := "ada@example.com"
	for _, tc := range []struct {
		name, url string
		headers   []string
		want      int
	}{
		{"person", "login.example.com", []string{tok, login.Token(ada)}, 200},
		{"person not admitted", "login.example.com", []string{tok, login.Token("eve@example.org")}, 302},
		{"token of another application", "login.example.com", []string{tok, both.Token(ada)}, 302},
		{"org token is no application token", "login.example.com", []string{jar, "CF_Authorization=" + e.Team().OrgToken(ada)}, 302},
		{"second cookie counts", "login.example.com", []string{jar, "CF_Authorization=stale; CF_Authorization=" + login.Token(ada)}, 200},
		{"damaged token", "login.example.com", []string{tok, login.Token(ada)[:80]}, 302},
		{"org token with the application's audience", "login.example.com", []string{tok, e.Team().Sign(map[string]any{"type": "org", "aud": []string{login.App().AUD},
			"iss": "https://team.cloudflareaccess.com", "exp": time.Now().Add(time.Hour).Unix(), "email": ada}, accesstest.Genuine)}, 302},
		{"signed by the team, and that is all it takes", "login.example.com", []string{tok, e.Team().Sign(map[string]any{"type": "app", "aud": []string{login.App().AUD},
			"iss": "https://team.cloudflareaccess.com", "exp": time.Now().Add(time.Hour).Unix(), "email": ada}, accesstest.Genuine)}, 200},
		{"forged: alg none", "login.example.com", []string{tok, e.Team().Sign(map[string]any{"aud": []string{login.App().AUD}}, accesstest.AlgNone)}, 302},
		{"XHR", "login.example.com", []string{"X-Requested-With", "XMLHttpRequest"}, 401},
		{"wants JSON", "login.example.com", []string{"Accept", "application/json"}, 302},

		{"path, outer token", "login.example.com/inner/x", []string{tok, login.Token(ada)}, 302},
		{"path, inner token", "login.example.com/inner/x", []string{tok, inner.Token(ada)}, 200},
		{"path begins alike", "login.example.com/innermost", []string{tok, login.Token(ada)}, 200},
		{"wildcard", "a.b.wild.example.com", []string{tok, wild.Token(ada)}, 200},
		{"wildcard without", "a.wild.example.com", nil, 302},
		{"exact before wildcard", "open.wild.example.com", nil, 200},
		{"wildcard is not its parent", "wild.example.com", nil, 404},
		{"host unknown", "unknown.example.com", nil, 404},
		{"nobody", "nobody.example.com", []string{tok, nobody.Token(ada)}, 403},
		{"bypass", "bypass.example.com", nil, 200},

		{"wrong service token beside a person's", "both.example.com", []string{id, svc.ID, secret, "wrong", tok, both.Token(ada)}, 200},
		{"strict: the same", "strict.example.com", []string{id, svc.ID, secret, "wrong", tok, strict.Token(ada)}, 401},
		{"strict: person alone", "strict.example.com", []string{tok, strict.Token(ada)}, 200},
		{"strict: both kinds of header", "strict.example.com", []string{id, svc.ID, secret, svc.Secret(), "X-Token", json1}, 401},
		{"strict: one header", "strict.example.com", []string{"X-Token", json1}, 200},
		{"strict: one header, incomplete", "strict.example.com", []string{"X-Token", `{"cf-access-client-id": "a"}`}, 401},
		{"strict: one header twice", "strict.example.com", []string{"X-Token", json1, "X-Token", json1}, 401},
		{"401 instead of 403", "redirect401.example.com", nil, 401},

		{"token given to a service token, no Allow: header", "only.example.com", []string{tok, given("only.example.com")}, 403},
		{"token given to a service token, no Allow: cookie", "only.example.com", []string{jar, "CF_Authorization=" + given("only.example.com")}, 403},
		{"token given to a service token, Allow: cookie", "both.example.com", []string{jar, "CF_Authorization=" + given("both.example.com")}, 200},
		{"token given to a service token, Allow: assertion", "both.example.com", []string{"Cf-Access-Jwt-Assertion", given("both.example.com")}, 200},
		{"person's token, no Allow", "only.example.com", []string{tok, only.Token(ada)}, 403},

		{"one header in Authorization", "single.example.com", []string{"Authorization", json1}, 200},
		{"Basic there is the origin's", "single.example.com", []string{"Authorization", "Basic YTpi"}, 302},
		{"JWT in Authorization", "single.example.com", []string{"Authorization", "Bearer " + single.Token(ada)}, 302},

		{"binding: header alone", "bound.example.com", []string{tok, bound.Token(ada)}, 302},
		{"binding: wrong", "bound.example.com", []string{jar, "CF_Authorization=" + bound.Token(ada) + "; CF_Binding=x"}, 302},
	} {
		link := "https://" + tc.url
		if !strings.Contains(tc.url, "/") {
			link += "/"
		}
		if resp, body := ask(t, c, "GET", link, tc.headers...); resp.StatusCode != tc.want {
			t.Errorf("%s: %s, want %d; %.300s", tc.name, resp.Status, tc.want, body)
		}
	}
}

func TestForbiddenAnswer(t *testing.T) {
	e, _, c := edge(t, nil)
	app := e.AddApp(accesstest.App{Host: host, Path: "/api", Services: []*accesstest.ServiceToken{e.Team().AddServiceToken("ci")}})
	resp, body := ask(t, c, "GET", "https://"+host+"/api/x")
	if resp.StatusCode != 403 || resp.Header.Get("cf-access-aud") != app.App().AUD || resp.Header.Get("cf-access-domain") != host+"/api" ||
		!strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || !strings.Contains(body, "<html") {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	resp, body = ask(t, c, "GET", "https://"+host+"/api/x", "Accept", "application/json")
	var told struct{ AUD string }
	if err := json.Unmarshal([]byte(body), &told); err != nil || resp.StatusCode != 403 || told.AUD != app.App().AUD {
		t.Errorf("JSON: %s %s %v", resp.Status, body, err)
	}
}

// TestOriginSees pins what is stripped on the way to the origin, and what not.
func TestOriginSees(t *testing.T) {
	e, _, c := edge(t, nil)
	svc := e.Team().AddServiceToken("ci")
	app := e.AddApp(accesstest.App{Host: host, Allow: true, Services: []*accesstest.ServiceToken{svc}, Origin: who})
	open := e.AddApp(accesstest.App{Host: "bypass.example.com", Bypass: true, Origin: who})
	_ = open
	for _, tc := range []struct {
		name, url      string
		headers        []string
		absent, intact []string // names; names of those that arrive as they were sent
	}{
		{"service token", "https://" + host + "/", []string{"CF-Access-Client-Id", svc.ID, "CF-Access-Client-Secret", svc.Secret(), "Authorization", "Basic YTpi", "Cookie", "a=b", "Cf-Access-Authenticated-User-Email", "root@example.com"},
			[]string{"Cf-Access-Client-Id", "Cf-Access-Client-Secret", "Cf-Access-Authenticated-User-Email"}, []string{"Authorization", "Cookie"}},
		{"token", "https://" + host + "/", []string{"cf-access-token", app.Token("ada@example.com"), "Cf-Access-Authenticated-User-Email", "root@example.com", "Authorization", "Basic YTpi"},
			[]string{"Cf-Access-Token"}, []string{"Authorization"}},
		{"session cookies", "https://" + host + "/", []string{"cf-access-token", app.Token("ada@example.com"), "Cookie", "CF_AppSession=1; CF_Binding=2"}, []string{"Cookie"}, nil},
		{"bypass", "https://bypass.example.com/", []string{"CF-Access-Client-Id", "x"}, []string{"Cf-Access-Jwt-Assertion"}, []string{"Cf-Access-Client-Id"}},
	} {
		resp, body := ask(t, c, "GET", tc.url, tc.headers...)
		var seen http.Header
		if err := json.Unmarshal([]byte(body), &seen); err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: %s %v", tc.name, resp.Status, err)
			continue
		}
		for _, name := range tc.absent {
			if seen.Get(name) != "" {
				t.Errorf("%s: the origin saw %s: %s", tc.name, name, seen.Get(name))
			}
		}
		for _, name := range tc.intact {
			want := ""
			for i := 0; i < len(tc.headers); i += 2 {
				if http.CanonicalHeaderKey(tc.headers[i]) == name {
					want = tc.headers[i+1]
				}
			}
			if seen.Get(name) != want {
				t.Errorf("%s: %s arrived as %q", tc.name, name, seen.Get(name))
			}
		}
		if email := seen.Get("Cf-Access-Authenticated-User-Email"); email == "root@example.com" {
			t.Errorf("%s: the client named the person", tc.name)
		}
	}
	resp, _ := ask(t, c, "GET", "https://bypass.example.com/", "cf-access-metadata-request", "true")
	if resp.Header.Get("cf-access-metadata") != "" {
		t.Error("metadata under Bypass")
	}
	// The assertion of a service token names it and nobody else.
	_, body := ask(t, c, "GET", "https://"+host+"/", "CF-Access-Client-Id", svc.ID, "CF-Access-Client-Secret", svc.Secret())
	var seen http.Header
	json.Unmarshal([]byte(body), &seen)
	claims := claimsOf(t, seen.Get("Cf-Access-Jwt-Assertion"))
	if claims["common_name"] != svc.ID || claims["sub"] != "" || claims["type"] != "app" {
		t.Errorf("assertion %v", claims)
	}
}

// TestEnds goes through everything that ends a credential while it runs.
func TestEnds(t *testing.T) {
	now := time.Now()
	e, _, c := edge(t, &accesstest.Options{Now: func() time.Time { return now }})
	svc := e.Team().AddServiceToken("ci")
	app := e.AddApp(accesstest.App{Host: host, Allow: true, Services: []*accesstest.ServiceToken{svc}, Origin: who, Session: time.Hour})
	other := e.AddApp(accesstest.App{Host: "other.example.com", Allow: true, Origin: who})
	person := func(tok string) int {
		resp, _ := ask(t, c, "GET", "https://"+host+"/", "cf-access-token", tok)
		return resp.StatusCode
	}
	service := func(secret string) int {
		resp, _ := ask(t, c, "GET", "https://"+host+"/", "CF-Access-Client-Id", svc.ID, "CF-Access-Client-Secret", secret)
		return resp.StatusCode
	}
	tok := app.Token("ada@example.com")
	check := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	check("fresh", person(tok), 200)
	e.Set(func(s *accesstest.Switches) { s.Skew = 2 * time.Hour })
	check("expired by a skewed clock", person(tok), 302)
	e.Set(func(s *accesstest.Switches) { s.Skew = 0 })

	e.Team().RotateKeys()
	check("signed by the old key", person(tok), 200)
	check("signed by the new key", person(app.Token("ada@example.com")), 200)
	e.Team().DropOldKeys()
	check("signed by a dropped key", person(tok), 302)

	tok, elsewhere := app.Token("ada@example.com"), other.Token("ada@example.com")
	app.Revoke()
	check("revoked at the application", person(tok), 302)
	resp, _ := ask(t, c, "GET", "https://other.example.com/", "cf-access-token", elsewhere)
	check("another application's token", resp.StatusCode, 200)
	check("given out after", person(app.Token("ada@example.com")), 200)

	tok, bob := app.Token("ada@example.com"), app.Token("bob@example.com")
	e.Team().RevokeUser("ada@example.com")
	check("revoked person", person(tok), 302)
	check("another person", person(bob), 200)
	check("logged in again", person(app.Token("ada@example.com")), 200)

	tok = app.Token("ada@example.com")
	ask(t, c, "GET", "https://"+host+"/cdn-cgi/access/logout", "Cookie", "CF_Authorization="+tok)
	check("logged out", person(tok), 302)

	tok = app.Token("ada@example.com")
	app.Move(e.AddTeam("evil"))
	check("application moved to another team", person(tok), 302)
	app.Move(e.Team())

	old := svc.Secret()
	check("service token", service(old), 200)
	svc.Rotate(time.Hour)
	check("old secret within its grace", service(old), 200)
	check("new secret", service(svc.Secret()), 200)
	now = now.Add(2 * time.Hour)
	check("old secret after its grace", service(old), 302)
	svc.Disable(true)
	check("disabled", service(svc.Secret()), 302)
	svc.Disable(false)
	svc.Expire(now)
	check("expired", service(svc.Secret()), 302)
	svc.Expire(now.Add(time.Second))
	check("expires soon", service(svc.Secret()), 200)
}

func TestBindingCookie(t *testing.T) {
	e, _, c := edge(t, nil)
	app := e.AddApp(accesstest.App{Host: host, Allow: true, BindingCookie: true, Origin: who})
	p := e.Person("ada@example.com")
	if err := p.Approve(t.Context(), "https://"+host+"/"); err != nil {
		t.Fatal(err)
	}
	page, err := p.Visit(t.Context(), "https://"+host+"/")
	if err != nil || page.Status != 200 || !strings.Contains(page.Body, "CF_Authorization=") || strings.Contains(page.Body, "CF_Binding=") {
		t.Errorf("browser with both cookies: %+v, %v", page, err)
	}
	// The transfer hands over the token alone: the trap of this setting.
	link, wait := transfer(t, c, app)
	if err := p.Approve(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	if resp, _ := ask(t, c, "GET", "https://"+host+"/", "cf-access-token", wait()["app_token"]); resp.StatusCode != 302 {
		t.Errorf("token without its binding: %s", resp.Status)
	}
}

func TestCookiePath(t *testing.T) {
	e, _, _ := edge(t, nil)
	for _, path := range []string{"/one", "/two"} {
		e.AddApp(accesstest.App{Host: host, Path: path, Allow: true, PathCookie: true, Origin: who})
	}
	p := e.Person("ada@example.com")
	for _, path := range []string{"/one/x", "/two/x"} {
		if err := p.Approve(t.Context(), "https://"+host+path); err != nil {
			t.Fatal(err)
		}
	}
	e.ClearLog()
	for _, path := range []string{"/one/x", "/two/x"} {
		if page, err := p.Visit(t.Context(), "https://"+host+path); err != nil || page.Status != 200 {
			t.Errorf("%s: %+v, %v", path, page, err)
		}
	}
	if n := len(e.Requests()); n != 2 {
		t.Errorf("%d requests for two pages with a session: the cookies overwrote each other", n)
	}
}
