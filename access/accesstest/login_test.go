package accesstest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
)

// start begins a login as a browser does and returns the login URL and the
// session cookie of the application.
func start(t *testing.T, c *http.Client, link string) (login *url.URL, session string) {
	t.Helper()
	resp, _ := ask(t, c, "GET", link)
	u, err := resp.Location()
	if err != nil || resp.StatusCode != 302 {
		t.Fatalf("%s, %v", resp.Status, err)
	}
	return u, cookie(resp, "CF_AppSession").String()
}

func TestLoginWantsClick(t *testing.T) {
	e, _, c := edge(t, nil)
	e.AddApp(accesstest.App{Host: host, Allow: true, Origin: who})
	login, _ := start(t, c, "https://"+host+"/")
	// git with a cookie file follows redirects and keeps cookies, as this
	// client does. However often it comes, it must end at the page.
	p := e.Person("git")
	for range 3 {
		page, err := p.Visit(t.Context(), "https://"+host+"/")
		if err != nil || page.URL.Host != login.Host || page.Status != 200 {
			t.Fatalf("%+v, %v", page, err)
		}
	}
	for _, r := range e.Requests(accesstest.ToHost(host)) {
		if r.Status == 200 {
			t.Errorf("let in without a click: %s", r)
		}
	}
}

func TestLoginIsTiedToItsBrowser(t *testing.T) {
	e, _, c := edge(t, nil)
	e.AddApp(accesstest.App{Host: host, Allow: true, Origin: who})
	neighbour := e.AddApp(accesstest.App{Host: host, Path: "/other", Allow: true, Origin: who})
	org := "CF_Authorization=" + e.Team().OrgToken("ada@example.com")
	login, session := start(t, c, "https://"+host+"/")
	_, foreign := start(t, c, "https://"+host+"/")
	authorized := func() string {
		t.Helper()
		resp, _ := ask(t, c, "GET", login.String(), "Cookie", org)
		if resp.StatusCode != 302 {
			t.Fatal(resp.Status)
		}
		return resp.Header.Get("Location")
	}
	for _, tc := range []struct {
		name, cookie string
		want         int
	}{
		{"none", "", 400}, {"another browser's", foreign, 400}, {"its own", session, 302},
	} {
		resp, _ := ask(t, c, "GET", authorized(), "Cookie", tc.cookie)
		if resp.StatusCode != tc.want || (cookie(resp, "CF_Authorization") != nil) != (tc.want == 302) {
			t.Errorf("%s: %s", tc.name, resp.Status)
		}
	}
	change := func(param, value string) string {
		u := *login
		q := u.Query()
		q.Set(param, value)
		u.RawQuery = q.Encode()
		return u.String()
	}
	for _, tc := range []struct {
		name, link string
		want       int
	}{
		{"no meta", change("meta", ""), 400},
		{"meta of nobody", change("meta", e.Team().Sign(map[string]any{"type": "meta"}, accesstest.WrongKey)), 400},
		{"an application token as meta", change("meta", e.Team().OrgToken("ada@example.com")), 400},
		{"another application of the host", change("kid", neighbour.App().AUD), 400},
		{"meta of another type", change("meta", e.Team().Sign(map[string]any{"type": "app", "aud": login.Query().Get("kid"), "hostname": host, "exp": time.Now().Add(time.Hour).Unix()}, accesstest.Genuine)), 400},
		{"meta that is over", change("meta", e.Team().Sign(map[string]any{"type": "meta", "aud": login.Query().Get("kid"), "hostname": host, "exp": time.Now().Unix() - 1}, accesstest.Genuine)), 400},
		{"another application", change("kid", strings.Repeat("0", 64)), 400},
		{"another host", strings.Replace(login.String(), "/login/"+host, "/login/other.example.com", 1), 400},
	} {
		if resp, body := ask(t, c, "GET", tc.link, "Cookie", org); resp.StatusCode != tc.want {
			t.Errorf("%s: %s %.200s", tc.name, resp.Status, body)
		}
	}
	for _, back := range []string{"//evil.example.org/", `/\evil.example.org/`, "https://evil.example.org/"} {
		resp, _ := ask(t, c, "GET", change("redirect_url", back), "Cookie", org)
		resp, _ = ask(t, c, "GET", resp.Header.Get("Location"), "Cookie", session)
		if u, err := resp.Location(); err != nil || u.Host != host || u.Path != "/" {
			t.Errorf("sent back to %q: %v %v", back, u, err)
		}
	}
}

func TestClicks(t *testing.T) {
	e, _, c := edge(t, nil)
	e.AddApp(accesstest.App{Host: host, Allow: true, Users: []string{"ada@example.com"}, Origin: who})
	ctx := t.Context()
	refused := func(what string, err error, want string) {
		t.Helper()
		var r *accesstest.RefusedError
		if !errors.As(err, &r) || !strings.Contains(r.Page.Title, want) || r.Page.URL.Host != "team.cloudflareaccess.com" {
			t.Errorf("%s: %v, want a page %q", what, err, want)
		}
	}
	refused("someone who is not admitted", e.Person("eve@example.org").Approve(ctx, "https://"+host+"/"), "Forbidden")
	refused("no address", e.Person("eve").Approve(ctx, "https://"+host+"/"), "Unable")
	e.Team().Set(func(s *accesstest.TeamSettings) { s.Deny = true })
	refused("denied by the identity provider", e.Person("ada@example.com").Approve(ctx, "https://"+host+"/"), "refused")
	e.Team().Set(func(s *accesstest.TeamSettings) { s.Deny = false })

	p := e.Person("ada@example.com")
	page, err := p.Visit(ctx, "https://"+host+"/")
	if err != nil {
		t.Fatal(err)
	}
	if next, err := p.Click(ctx, page, "cancel"); err != nil || next.Status != 403 {
		t.Errorf("cancelled: %+v, %v", next, err)
	}
	if next, err := p.Click(ctx, page, "login"); err != nil || next.Status != 400 {
		t.Errorf("the same page again: %+v, %v", next, err)
	}

	// A form of another site must not click for anyone.
	page, err = p.Visit(ctx, "https://"+host+"/")
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`name="form" value="([^"]*)"`).FindStringSubmatch(page.Body)[1]
	req, _ := http.NewRequestWithContext(ctx, "POST", page.URL.String(), strings.NewReader(url.Values{"form": {form}, "answer": {"login"}, "email": {"ada@example.com"}}.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 403 {
		t.Errorf("click from another site: %s", resp.Status)
	}

	e.Team().Set(func(s *accesstest.TeamSettings) { s.ApproveAnyone = "ada@example.com" })
	if page, err := e.Person("git").Visit(ctx, "https://"+host+"/"); err != nil || page.URL.Host != host {
		t.Errorf("ApproveAnyone: %+v, %v", page, err)
	}
}

// TestPages pins what every page of the edge keeps to: no script, nothing from
// elsewhere, a name, a label for each field.
func TestPages(t *testing.T) {
	e, _, c := edge(t, nil)
	app := e.AddApp(accesstest.App{Host: host, Name: `<b>"demo"</b>`, Allow: true, Origin: who, OAuth: &accesstest.OAuth{Browser: func(*http.Request) bool { return true }}})
	login, _ := start(t, c, "https://"+host+"/")
	link, _ := transfer(t, c, app)
	id := e.Team().AddOAuthClient("http://localhost:1/cb")
	consent := "https://team.cloudflareaccess.com/cdn-cgi/access/oauth/authorization?" + url.Values{"client_id": {id}, "redirect_uri": {"http://localhost:1/cb"}, "response_type": {"code"},
		"code_challenge": {strings.Repeat("a", 43)}, "code_challenge_method": {"S256"}, "resource": {"https://" + host}}.Encode()
	person := "CF_Authorization=" + app.Token("ada@example.com")
	org := "CF_Authorization=" + e.Team().OrgToken("ada@example.com")
	for _, tc := range []struct{ name, link, cookie, title, target string }{
		{"login", login.String(), "", "Log in to", "https://" + host},
		{"approve", link, person, "Approve", "'self'"},
		{"consent", consent, org, "Allow", "http://localhost:1"},
		{"error", "https://" + host + "/cdn-cgi/access/authorized", "", "Unable", "'none'"},
		{"logout", "https://" + host + "/cdn-cgi/access/logout", "", "Logged out", "'none'"},
	} {
		resp, body := ask(t, c, "GET", tc.link, "Cookie", tc.cookie)
		csp := resp.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: CSP %q lacks %s", tc.name, csp, want)
			}
		}
		if m := regexp.MustCompile(`form-action ([^;]*)`).FindStringSubmatch(csp); m == nil || !strings.Contains(m[1], tc.target) {
			t.Errorf("%s: form-action of %q lacks %s", tc.name, csp, tc.target)
		}
		if !strings.Contains(body, `<html lang="en">`) || !regexp.MustCompile(`<h1>[^<]*`+tc.title).MatchString(body) {
			t.Errorf("%s: %s", tc.name, body)
		}
		if m := regexp.MustCompile(`(?i)<script|<link|<img|src=|url\(|@import|<b>`).FindString(body); m != "" {
			t.Errorf("%s has %s", tc.name, m)
		}
		if strings.Count(body, "<label for=") != strings.Count(body, `type="email"`) {
			t.Errorf("%s: a field without a label", tc.name)
		}
		if resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", tc.name, resp.Header)
		}
	}
}

func TestTransferSwitches(t *testing.T) {
	e, _, c := edge(t, &accesstest.Options{PollTimeout: time.Millisecond})
	app := e.AddApp(accesstest.App{Host: host, Allow: true, Origin: who})
	ctx := t.Context()

	link, _ := transfer(t, c, app)
	if err := e.Person("ada@example.com").Refuse(ctx, link); err != nil {
		t.Fatal(err)
	}
	key := func(link string) string { u, _ := url.Parse(link); return u.Query().Get("token") }
	if resp, _ := ask(t, c, "GET", "https://login.cloudflareaccess.org/transfer/"+key(link)); resp.StatusCode != 404 {
		t.Errorf("poll after a denial: %s", resp.Status)
	}
	if resp, _ := ask(t, c, "GET", "https://login.cloudflareaccess.org/transfer/short"); resp.StatusCode != 404 {
		t.Errorf("poll for no key: %s", resp.Status)
	}

	person := e.Person("ada@example.com")
	link, wait := transfer(t, c, app)
	if err := person.Approve(ctx, link); err != nil {
		t.Fatal(err)
	}
	tokens := wait()
	if app, org := claimsOf(t, tokens["app_token"]), claimsOf(t, tokens["org_token"]); app["type"] != "app" || org["type"] != "org" || org["aud"] == nil || app["email"] != "ada@example.com" {
		t.Errorf("%v %v", app, org)
	}
	if resp, _ := ask(t, c, "GET", "https://login.cloudflareaccess.org/transfer/"+key(link)); resp.StatusCode != 404 {
		t.Errorf("the blob again: %s", resp.Status)
	}

	clicks := func(link string) int {
		n := len(e.Requests(func(r accesstest.Request) bool { return r.Method == "POST" }))
		if err := person.Approve(ctx, link); err != nil {
			t.Fatal(err)
		}
		return len(e.Requests(func(r accesstest.Request) bool { return r.Method == "POST" })) - n
	}
	link, _ = transfer(t, c, app)
	if n := clicks(link); n != 1 {
		t.Errorf("%d clicks with an org session, want the approval alone", n)
	}
	e.Team().Set(func(s *accesstest.TeamSettings) { s.AutoApprove = true })
	link, wait = transfer(t, c, app)
	if n := clicks(link); n != 0 {
		t.Errorf("%d clicks with AutoApprove", n)
	}
	wait()

	link, _ = transfer(t, c, app)
	for name, change := range map[string]func(url.Values){
		"another application": func(q url.Values) { q.Set("aud", strings.Repeat("0", 64)) },
		"no public key":       func(q url.Values) { q.Set("token", "AAAA") },
		"another site":        func(q url.Values) { q.Set("redirect_url", "https://evil.example.org/") },
	} {
		u, _ := url.Parse(link)
		q := u.Query()
		change(q)
		u.RawQuery = q.Encode()
		if page, err := person.Visit(ctx, u.String()); err != nil || page.Status != 400 {
			t.Errorf("%s: %+v, %v", name, page, err)
		}
	}

	var seen []byte
	e.Set(func(s *accesstest.Switches) {
		s.Transfer = func(k string, body []byte, service string) ([]byte, string) {
			seen = bytes.Clone(body)
			return []byte("tampered"), service
		}
	})
	link, _ = transfer(t, c, app)
	if err := person.Approve(ctx, link); err != nil {
		t.Fatal(err)
	}
	if _, body := ask(t, c, "GET", "https://login.cloudflareaccess.org/transfer/"+key(link)); body != "tampered" || len(seen) == 0 {
		t.Errorf("%q", body)
	}
}

// TestPollIsHeld pins the long poll: asked before the approval, answered by it.
func TestPollIsHeld(t *testing.T) {
	e, _, c := edge(t, nil)
	app := e.AddApp(accesstest.App{Host: host, Allow: true, Origin: who})
	link, wait := transfer(t, c, app)
	person := e.Person("ada@example.com")
	approved := make(chan error, 1)
	go func() {
		if _, err := e.Await(t.Context(), accesstest.ToHost("login.cloudflareaccess.org"), accesstest.ByProgram); err != nil {
			approved <- err
			return
		}
		approved <- person.Approve(t.Context(), link)
	}()
	tokens := wait()
	if err := <-approved; err != nil || tokens["app_token"] == "" {
		t.Errorf("%v %v", tokens, err)
	}
}

func TestIdentityAndLogout(t *testing.T) {
	e, _, c := edge(t, nil)
	svc := e.Team().AddServiceToken("ci")
	app := e.AddApp(accesstest.App{Host: host, Allow: true, Services: []*accesstest.ServiceToken{svc}, Origin: who})
	resp, _ := ask(t, c, "GET", "https://"+host+"/", "CF-Access-Client-Id", svc.ID, "CF-Access-Client-Secret", svc.Secret())
	ofService := cookie(resp, "CF_Authorization").Value
	for _, tc := range []struct {
		name, link, tok string
		want            int
		key, value      string
	}{
		{"application", "https://" + host, app.Token("ada@example.com"), 200, "email", "ada@example.com"},
		{"team", "https://team.cloudflareaccess.com", e.Team().OrgToken("ada@example.com"), 200, "email", "ada@example.com"},
		{"service token", "https://" + host, ofService, 200, "common_name", svc.ID},
		{"application token at the team", "https://team.cloudflareaccess.com", app.Token("ada@example.com"), 400, "err", "no app token set"},
		{"none", "https://" + host, "", 400, "err", "no app token set"},
	} {
		resp, body := ask(t, c, "GET", tc.link+"/cdn-cgi/access/get-identity", "Cookie", "CF_Authorization="+tc.tok)
		var got map[string]any
		json.Unmarshal([]byte(body), &got)
		if resp.StatusCode != tc.want || got[tc.key] != tc.value {
			t.Errorf("%s: %s %s", tc.name, resp.Status, body)
		}
	}
	for _, at := range []string{"https://" + host, "https://team.cloudflareaccess.com"} {
		p := e.Person("ada@example.com")
		if err := p.Approve(t.Context(), "https://"+host+"/"); err != nil {
			t.Fatal(err)
		}
		if page, err := p.Visit(t.Context(), at+"/cdn-cgi/access/logout"); err != nil || page.Status != 200 {
			t.Fatalf("%+v %v", page, err)
		}
		if page, err := p.Visit(t.Context(), "https://"+host+"/"); err != nil || page.URL.Host == host {
			t.Errorf("after a logout at %s: %+v %v", at, page, err)
		}
	}
}

// TestBrowser is the hook that client tests use.
func TestBrowser(t *testing.T) {
	e, _, c := edge(t, nil)
	app := e.AddApp(accesstest.App{Host: host, Allow: true, Origin: who})
	open, done := e.Person("ada@example.com").Browser(context.Background())
	link, wait := transfer(t, c, app)
	if err := open(link); err != nil {
		t.Fatal(err)
	}
	if wait()["app_token"] == "" {
		t.Error("no token")
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	open("https://" + host + "/cdn-cgi/access/cli")
	if err := done(); err == nil {
		t.Error("a damaged link went through")
	}
}
