package access

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http/httpguts"
)

const fuzzTeam = "kite.cloudflareaccess.com" // letters that other letters become in lower case

// fuzzApps are applications of all the shapes that documents are held against.
var fuzzApps = []App{
	{Origin: "https://git.example.com", Mode: ModeOAuth, Team: fuzzTeam},
	{Origin: "https://git.example.com", Mode: ModeOAuth, Team: fuzzTeam, Path: "/team"},
	{Origin: "https://git.example.com:8443", Mode: ModeOAuth, Team: fuzzTeam},
	{Origin: "https://git.example.com", Mode: ModeOAuth}, // no signed metadata
	{Origin: "http://127.0.0.1:8080", Mode: ModeOAuth, Team: fuzzTeam},
}

// document is an answer with a document.
func document(doc []byte) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(doc))),
		Request: &http.Request{URL: &url.URL{Scheme: "https", Host: "git.example.com"}},
	}
}

// dialed returns the URL of what net/http connects to for raw, without the scheme's
// own port and the dot that ends a full name. Nothing of this package is in it.
func dialed(t *testing.T, raw string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, raw, nil)
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	if req.URL.User != nil || strings.Contains(raw, "#") || req.URL.Opaque != "" {
		t.Fatalf("%q", raw)
	}
	host, err := httpguts.PunycodeHostPort(req.URL.Host)
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	host, port, _ := strings.Cut(strings.ToLower(host), ":")
	if port != "" && !(port == "443" && req.URL.Scheme == "https") && !(port == "80" && req.URL.Scheme == "http") {
		port = ":" + port
	} else {
		port = ""
	}
	return req.URL.Scheme + "://" + strings.TrimSuffix(host, ".") + port
}

// isTeam reports whether a root URL is a team's, whichever.
func isTeam(root string) bool {
	host := strings.TrimSuffix(strings.TrimPrefix(root, "https://"), ".cloudflareaccess.com")
	host = strings.TrimSuffix(host, ".fed")
	return strings.HasPrefix(root, "https://") && strings.HasSuffix(root, ".cloudflareaccess.com") && host != "" && !strings.Contains(host, ".")
}

// What is read as the protected-resource metadata of an application is of its host
// and for all of its paths, sends nobody to a server but the team's or the
// application's, and is the same when it is written and read again.
func FuzzResourceMetadata(f *testing.F) {
	const header = "/.well-known/cloudflare-access-protected-resource/"
	add := func(doc, challenge string) {
		for i := range fuzzApps {
			f.Add([]byte(doc), challenge, byte(i))
		}
	}
	for _, doc := range []string{ // as documented, as observed, of an MCP portal, and more
		`{"resource":"https://git.example.com/","authorization_servers":["https://kite.cloudflareaccess.com"],"authentication_method":"cloudflare-access"}`,
		`{"resource":"https://git.example.com","protected":true,"team_domain":"kite.cloudflareaccess.com","authorization_servers":["https://kite.cloudflareaccess.com"],"authentication_methods":[{"name":"cloudflared","url":"https://developers.cloudflare.com"}]}`,
		`{"resource":"https://git.example.com/team","authorization_servers":["https://git.example.com"]}`,
		`{"resource":"https://git.example.com:8443/","authorization_servers":["kite.cloudflareaccess.com"]}`,
		`{"resource":"http://127.0.0.1:8080","authorization_servers":["https://kite.cloudflareaccess.com/"]}`,
		`{"resource":"http://127.0.0.1:8080","authorization_servers":["http://127.0.0.1:8080"]}`,
		`{"resource":null,"authorization_servers":null}`, `{"RESOURCE":"https://git.example.com"}`, `[]`, `null`,
	} {
		add(doc, header)
	}
	for _, resource := range []string{
		"https://evil.example.net", "https://git.example.com@evil.example.net/", "https://evil@git.example.com/", "https://git.example.com#/team", "https://git.example.com/teammate",
		"https://git.example.com/team/../..", "https://g\u0130t.example.com", "https://git.example.com?" + strings.Repeat("a", 4<<10), "//git.example.com", "git.example.com", "https://git.example.com:444",
	} {
		add(`{"resource":"`+resource+`","authorization_servers":["https://kite.cloudflareaccess.com"]}`, header)
	}
	for _, server := range []string{
		"https://kite.cloudflareaccess.com@evil.example.net", "https://evil@kite.cloudflareaccess.com", "https://kite.cloudflareaccess.com#", "https://kite.cloudflareaccess.com/../x", "https://kite.cloudflareaccess.com/%2e%2e/x",
		"https://kite.cloudflareaccess.com?x", "https://k\u0130te.cloudflareaccess.com", "https://\u212aite.cloudflareaccess.com", "https://a.kite.cloudflareaccess.com", "https://kite.fed.cloudflareaccess.com",
		"https://kite.cloudflareaccess.com.evil.example.net", "http://kite.cloudflareaccess.com", "https://kite.cloudflareaccess.com:8443", "//kite.cloudflareaccess.com", "https://evil.cloudflareaccess.com", "https://git.example.com/a/b",
	} {
		add(`{"resource":"https://git.example.com","authorization_servers":["`+server+`"]}`, header)
	}
	for _, challenge := range []string{"https://git.example.com/.well-known/oauth-protected-resource/team", "https://u:p@git.example.com:443/x", "//evil.example.net/x", "http://git.example.com/x",
		"https://g\u0130t.example.com/x", "x", "https://git.example.com:8443", "http://127.0.0.1:8080/#x", "https://\x00", ""} {
		add(`{}`, challenge)
	}
	f.Fuzz(func(t *testing.T, doc []byte, challenge string, which byte) {
		app := fuzzApps[int(which)%len(fuzzApps)]
		app.Resource = challenge
		root := strings.TrimSuffix(app.Origin.URL().String(), "/")
		if u, err := resourceURL(app); err == nil {
			if sent, _, _ := strings.Cut(u.String(), "#"); dialed(t, sent) != root {
				t.Errorf("the document of %s is at %s", root, u)
			}
		}
		m, err := decodeJSON[resourceMetadata](document(doc), http.StatusOK)
		if err != nil || m.check(app) != nil {
			return
		}
		if dialed(t, m.Resource) != root || len(m.Resource) > maxURL {
			t.Errorf("resource %q for %s", m.Resource, root)
		}
		u, _ := url.Parse(m.Resource)
		if p := path.Clean("/" + u.Path); p != "/" && p != app.Path && !strings.HasPrefix(app.Path, p+"/") {
			t.Errorf("resource %q for %q", m.Resource, app.Path)
		}
		as, err := (&Client{}).authorizationServer(app, m)
		if err == nil {
			server := dialed(t, as.String())
			if server != "https://"+app.Team && server != root && (app.Team != "" || !isTeam(server)) || !strings.HasPrefix(server, "https://") {
				t.Errorf("authorization server %q for %s of %q", as, root, app.Team)
			}
			at := serverURL(as)
			if dialed(t, at.String()) != server || !strings.HasPrefix(path.Clean(at.Path), "/.well-known/oauth-authorization-server") || at.RawQuery != "" {
				t.Errorf("the document of %q is at %s", as, at)
			}
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeJSON[resourceMetadata](document(b), http.StatusOK)
		if err != nil || again.check(app) != nil || !cmp.Equal(m, again) {
			t.Errorf("%s is read as %+v, then as %+v, %v", doc, m, again, err)
		}
	})
}
