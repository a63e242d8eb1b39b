package access

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is read as the metadata of an authorization server is that of the issuer that
// was asked, and has everything at one host, over TLS, which is the issuer's or the
// team's; the login page gets our parameters and no others, the code goes where it
// came from.
func FuzzServerMetadata(f *testing.F) {
	const at = "https://kite.cloudflareaccess.com/cdn-cgi/access/oauth/"
	good := map[string]any{
		"issuer": "kite.cloudflareaccess.com", "authorization_endpoint": at + "authorization", "token_endpoint": at + "token",
		"registration_endpoint": at + "registration", "revocation_endpoint": at + "revoke", "response_types_supported": []string{"code"},
		"response_modes_supported": []string{"query"}, "grant_types_supported": []string{"authorization_code", "refresh_token"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post", "none"},
		"code_challenge_methods_supported":      []string{"S256"},
	}
	add := func(change map[string]any) {
		doc := map[string]any{}
		for k, v := range good {
			doc[k] = v
		}
		for k, v := range change {
			if doc[k] = v; v == nil {
				delete(doc, k)
			}
		}
		b, err := json.Marshal(doc)
		if err != nil {
			f.Fatal(err)
		}
		for i := range fuzzApps {
			f.Add(b, i%2 == 1, byte(i))
		}
	}
	add(nil)                                                           // as documented
	add(map[string]any{"issuer": "https://kite.cloudflareaccess.com"}) // as observed
	add(map[string]any{"issuer": "git.example.com"})                   // the application's own
	add(map[string]any{"issuer": "https://git.example.com:8443/"})     //
	add(map[string]any{"registration_endpoint": nil, "revocation_endpoint": nil, "grant_types_supported": nil})
	add(map[string]any{"authorization_response_iss_parameter_supported": true})
	for _, hostile := range []string{
		"https://evil.example.net/x", "http://kite.cloudflareaccess.com/x", "javascript:alert(1)", "https:///x", "/x", "https://kite.cloudflareaccess.com@evil.example.net/",
		"https://evil@kite.cloudflareaccess.com/", "https://k\u0130te.cloudflareaccess.com/", "https://\u212aite.cloudflareaccess.com/", "https://kite.cloudflareaccess.com:444/",
		"https://kite.cloudflareaccess.com:443/", "https://kite.cloudflareaccess.com./", "https://git.example.com/x", "https://g\u0130t.example.com/x",
		at + "x?resource=https://git.example.com", at + "x?redirect_uri=https://evil.example.net", at + "x?", at + "x#", at + "x\\", at + strings.Repeat("a", 4<<10), "https://git.example.com\\@kite.cloudflareaccess.com/", "",
	} {
		for _, name := range []string{"authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"} {
			add(map[string]any{name: hostile})
		}
		add(map[string]any{"authorization_endpoint": hostile, "token_endpoint": hostile, "registration_endpoint": hostile, "revocation_endpoint": hostile, "issuer": hostile})
	}
	// The application's host sends a person to the team and has the code for itself.
	add(map[string]any{"issuer": "https://git.example.com", "token_endpoint": "https://git.example.com/token"})
	add(map[string]any{"issuer": "https://evil.cloudflareaccess.com"})
	add(map[string]any{"code_challenge_methods_supported": nil})
	add(map[string]any{"code_challenge_methods_supported": []string{"plain"}})
	add(map[string]any{"token_endpoint_auth_methods_supported": []string{"client_secret_basic"}})
	add(map[string]any{"grant_types_supported": []string{"implicit"}})
	f.Fuzz(func(t *testing.T, doc []byte, own bool, which byte) {
		app := fuzzApps[int(which)%len(fuzzApps)]
		issuer := &url.URL{Scheme: "https", Host: fuzzTeam}
		if own {
			issuer.Host = app.Origin.Host()
		}
		m, err := decodeJSON[serverMetadata](document(doc), http.StatusOK)
		if err != nil || m.check(app, issuer) != nil {
			return
		}
		if got := strings.TrimPrefix(strings.TrimSuffix(m.Issuer, "/"), "https://"); got != issuer.Host {
			t.Errorf("issuer %q of %s", m.Issuer, issuer)
		}
		home := dialed(t, m.AuthorizationEndpoint)
		if home != dialed(t, issuer.String()) && home != "https://"+app.Team {
			t.Errorf("%q of issuer %s and team %q", m.AuthorizationEndpoint, issuer, app.Team)
		}
		for _, endpoint := range []string{m.TokenEndpoint, m.RegistrationEndpoint, m.RevocationEndpoint} {
			if endpoint != "" && (dialed(t, endpoint) != home || len(endpoint) > maxURL || strings.Contains(endpoint, "?")) {
				t.Errorf("the login is at %q and another endpoint at %q", m.AuthorizationEndpoint, endpoint)
			}
		}
		if !strings.HasPrefix(home, "https://") || m.TokenEndpoint == "" || !slices.Contains(m.ChallengeMethods, "S256") || !slices.Contains(m.AuthMethods, "none") ||
			len(m.GrantTypes) > 0 && !slices.Contains(m.GrantTypes, "authorization_code") {
			t.Errorf("accepted: %s", doc)
		}
		conf := (&Client{}).oauth("id", m)
		conf.RedirectURL = "http://localhost:1/callback"
		login, err := authorizationURL(conf, "state", "challenge", "https://git.example.com")
		if err != nil {
			t.Fatal(err)
		}
		want := url.Values{"client_id": {"id"}, "redirect_uri": {"http://localhost:1/callback"}, "response_type": {"code"}, "state": {"state"},
			"code_challenge": {"challenge"}, "code_challenge_method": {"S256"}, "resource": {"https://git.example.com"}}
		if d := cmp.Diff(want, login.Query()); d != "" || dialed(t, login.String()) != home {
			t.Errorf("a person is sent to %s\n%s", login, d)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeJSON[serverMetadata](document(b), http.StatusOK)
		if err != nil || again.check(app, issuer) != nil || !cmp.Equal(m, again) {
			t.Errorf("%s is read as %+v, then as %+v, %v", doc, m, again, err)
		}
	})
}

// The client id of an answer is one that addresses and terminals bear.
func FuzzClientID(f *testing.F) {
	for _, doc := range []string{
		`{"client_id":"9f1d5c0e-5a0e-4b2c-9a53-6f1f1f3b8f5d","redirect_uris":["http://localhost:1/callback"],"client_id_issued_at":1700000000,"registration_client_uri":"https://kite.cloudflareaccess.com/cdn-cgi/access/oauth/registration/x"}`,
		`{"client_id":"a b","client_secret":"s"}`, `{"client_id":"a\nb"}`, `{"client_id":"\u001b]0;x\u0007"}`, `{"client_id":"\u00fc"}`, `{"client_id":""}`, `{"client_id":7}`,
		`{"client_id":"` + strings.Repeat("a", 4<<10) + `"}`, `{"error":"invalid_client_metadata"}`, `[]`,
	} {
		f.Add([]byte(doc), http.StatusCreated)
		f.Add([]byte(doc), http.StatusFound)
	}
	f.Fuzz(func(t *testing.T, doc []byte, status int) {
		resp := document(doc)
		resp.StatusCode = status
		id, err := readClientID(resp)
		if err != nil {
			if id != "" {
				t.Errorf("%q beside an error", id)
			}
			return
		}
		if status/100 != 2 || id == "" || len(id) > 2048 || strings.ContainsFunc(id, func(r rune) bool { return r <= 0x20 || r > 0x7e }) {
			t.Errorf("%d %s: %q", status, doc, id)
		}
		var got map[string]any
		if err := json.Unmarshal(doc, &got); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(keysLike(got, "client_id"), func(v any) bool { return v == id }) {
			t.Errorf("%s: %q", doc, id)
		}
	})
}

// keysLike returns the values of the members that encoding/json takes for name.
func keysLike(doc map[string]any, name string) []any {
	var out []any
	for k, v := range doc {
		if strings.EqualFold(k, name) {
			out = append(out, v)
		}
	}
	return out
}
