package accesstest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gitaccess/gitaccess/access/accesstest"
)

// verifyMetadata does what a careful client does, and returns the metadata.
func verifyMetadata(t *testing.T, c *http.Client, host string) (*accesstest.Metadata, error) {
	t.Helper()
	resp, _ := ask(t, c, "HEAD", "https://"+host+"/", "cf-access-metadata-request", "true")
	raw := resp.Header.Get("cf-access-metadata")
	if raw == "" {
		return nil, errors.New("absent")
	}
	if len(raw) > 8<<10 {
		return nil, errors.New("oversized")
	}
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, err
	}
	var m accesstest.Metadata
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &m); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(m.AuthDomain, ".cloudflareaccess.com") {
		return nil, errors.New("no team domain")
	}
	_, body := ask(t, c, "GET", "https://"+m.AuthDomain+"/cdn-cgi/access/certs")
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(body), &keys); err != nil {
		return nil, err
	}
	if _, err := jws.Verify(keys); err != nil {
		return nil, err
	}
	age := time.Since(time.Unix(m.IssuedAt, 0))
	switch {
	case m.Hostname != host:
		return nil, errors.New("other host")
	case m.Type != "match":
		return nil, errors.New("type")
	case m.AUD == "":
		return nil, errors.New("audience")
	case age > 24*time.Hour || age < -5*time.Minute:
		return nil, errors.New("age")
	}
	return &m, nil
}

func TestMetadataFaults(t *testing.T) {
	e, _, c := edge(t, nil)
	app := e.AddApp(accesstest.App{Host: host, Allow: true, OtherTeam: e.AddTeam("evil")})
	if m, err := verifyMetadata(t, c, host); err != nil || m.AUD != app.App().AUD {
		t.Fatalf("genuine: %+v, %v", m, err)
	}
	for _, f := range accesstest.MetadataFaults() {
		t.Run(f.String(), func(t *testing.T) {
			app.Set(func(a *accesstest.App) { a.Metadata = f })
			m, err := verifyMetadata(t, c, host)
			if f == accesstest.MetadataOtherTeam {
				// Anyone can register a team: only a pinned team tells.
				if err != nil || m.AuthDomain != "evil.cloudflareaccess.com" {
					t.Errorf("%+v, %v", m, err)
				}
				return
			}
			if err == nil {
				t.Errorf("passes for genuine: %+v", m)
			}
		})
	}
	// A test of a client is worth its forgeries: each fault must be refused for its own reason.
	want := map[accesstest.MetadataFault]string{
		accesstest.MetadataWrongKey: "go-jose/go-jose: error in cryptographic primitive", accesstest.MetadataAlgNone: "unexpected signature algorithm \"none\"",
		accesstest.MetadataHS256: "unexpected signature algorithm \"HS256\"", accesstest.MetadataExpired: "age", accesstest.MetadataFuture: "age",
		accesstest.MetadataOtherHost: "other host", accesstest.MetadataForeign: "no team domain",
	}
	for f, text := range want {
		app.Set(func(a *accesstest.App) { a.Metadata = f })
		if _, err := verifyMetadata(t, c, host); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %s", f, err, text)
		}
	}
	app.Set(func(a *accesstest.App) { a.Metadata = accesstest.MetadataGenuine })
	e.Team().RotateKeys()
	if _, err := verifyMetadata(t, c, host); err != nil {
		t.Errorf("after key rotation: %v", err)
	}
}

func TestFailures(t *testing.T) {
	e, _, c := edge(t, nil)
	app := e.AddApp(accesstest.App{Host: host, Allow: true, Origin: who})
	tok := app.Token("ada@example.com")
	get := func(link string) (int, string) {
		resp, body := ask(t, c, "GET", link, "cf-access-token", tok)
		return resp.StatusCode, body
	}
	for _, tc := range []struct {
		f    accesstest.Failure
		body string
	}{
		{accesstest.WAF1010, "error code: 1010"}, {accesstest.TunnelDown, "error code: 1033"}, {accesstest.BadGateway, "error code: 502"}, {accesstest.GatewayTimeout, "error code: 504"},
	} {
		e.Fail(host, 2, tc.f, nil)
		for range 2 {
			if status, body := get("https://" + host + "/"); status != tc.f.Status || body != tc.body {
				t.Errorf("%d %q, want %+v", status, body, tc.f)
			}
		}
		if status, _ := get("https://" + host + "/"); status != 200 {
			t.Errorf("third: %d", status)
		}
	}
	e.Fail(host, -1, accesstest.Unavailable, func(r *http.Request) bool { return r.URL.Path == "/only" })
	if status, _ := get("https://" + host + "/"); status != 200 {
		t.Errorf("a request that was not picked: %d", status)
	}
	if status, _ := get("https://" + host + "/only"); status != 503 {
		t.Errorf("a request that was picked: %d", status)
	}
	e.Heal(host)
	if status, _ := get("https://" + host + "/only"); status != 200 {
		t.Errorf("healed: %d", status)
	}
	for _, other := range []string{"team.cloudflareaccess.com", "login.cloudflareaccess.org"} {
		e.Fail(other, 1, accesstest.BadGateway, nil)
		if status, _ := get("https://" + other + "/cdn-cgi/access/certs"); status != 502 {
			t.Errorf("%s: %d", other, status)
		}
	}
	e.Fail(host, 1, accesstest.Aborted, nil)
	if resp, err := c.Get("https://" + host + "/"); err == nil {
		resp.Body.Close()
		t.Errorf("aborted: %s", resp.Status)
	}
}

func TestEndlessAndOversized(t *testing.T) {
	e, _, c := edge(t, nil)
	app := e.AddApp(accesstest.App{Host: host, Allow: true, EndlessRedirects: true})
	follow := &http.Client{Transport: c.Transport}
	e.Team().Set(func(s *accesstest.TeamSettings) { s.EndlessRedirects = true })
	for _, link := range []string{"https://" + host + "/", "https://team.cloudflareaccess.com/cdn-cgi/access/certs"} {
		resp, err := follow.Get(link)
		if err == nil || !strings.Contains(err.Error(), "stopped after 10 redirects") {
			t.Errorf("%s: %v", link, err)
		}
		if resp != nil {
			resp.Body.Close()
		}
	}
	app.Set(func(a *accesstest.App) {
		a.EndlessRedirects, a.OversizedDocuments, a.OAuth = false, true, &accesstest.OAuth{}
	})
	e.Team().Set(func(s *accesstest.TeamSettings) {
		*s = accesstest.TeamSettings{OversizedCerts: true, OAuthServer: accesstest.OAuthServer{Oversized: true}}
	})
	for _, link := range []string{"https://" + host + "/.well-known/cloudflare-access-protected-resource/",
		"https://team.cloudflareaccess.com/.well-known/oauth-authorization-server", "https://team.cloudflareaccess.com/cdn-cgi/access/certs"} {
		if _, body := ask(t, c, "GET", link); len(body) < 10<<20 {
			t.Errorf("%s: %d bytes", link, len(body))
		}
	}
}

// TestDelay runs in a bubble of fake time: the edge has no clock but the one it is given.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := accesstest.New(nil)
		defer e.Close()
		app := e.AddApp(accesstest.App{Host: host, Bypass: true, Origin: who, Delay: time.Minute})
		e.Set(func(s *accesstest.Switches) { s.Delay = time.Hour })
		began := time.Now()
		if page, err := e.Person("ada@example.com").Visit(t.Context(), app.URL()+"/"); err != nil || page.Status != 200 {
			t.Fatalf("%+v %v", page, err)
		}
		if took := time.Since(began); took != time.Hour+time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// TestPollTimeout is the poll that nobody answers.
func TestPollTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := accesstest.New(nil)
		defer e.Close()
		began := time.Now()
		page, err := e.Person("ada@example.com").Visit(t.Context(), "https://login.cloudflareaccess.org/transfer/"+strings.Repeat("A", 43)+"=")
		if took := time.Since(began); err != nil || page.Status != 404 || took != 50*time.Second {
			t.Errorf("%+v %v after %v", page, err, took)
		}
	})
}

func TestLogKeepsSecretsToItself(t *testing.T) {
	e, srv, c := edge(t, nil)
	svc := e.Team().AddServiceToken("ci")
	app := e.AddApp(accesstest.App{Host: host, Allow: true, Services: []*accesstest.ServiceToken{svc}, Origin: who})
	secret, tok := svc.Secret(), app.Token("ada@example.com")
	_ = srv
	ask(t, c, "GET", "https://"+host+"/?q="+secret, "CF-Access-Client-Id", svc.ID, "CF-Access-Client-Secret", secret, "Cookie", "CF_Authorization="+tok)
	for _, r := range e.Requests() {
		for _, s := range []string{r.String(), fmt.Sprintf("%v %+v %#v %s", r, r, r, r)} {
			if strings.Contains(s, secret) || strings.Contains(s, tok) {
				t.Errorf("printed: %s", s)
			}
		}
	}
}
