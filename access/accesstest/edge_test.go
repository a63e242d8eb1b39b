package accesstest_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/nacl/box"

	"github.com/gitaccess/gitaccess/access/accesstest"
)

const host = "git.example.com"

// edge starts an edge and returns a client that follows no redirect.
func edge(t *testing.T, o *accesstest.Options) (*accesstest.Edge, *accesstest.Server, *http.Client) {
	t.Helper()
	e := accesstest.New(o)
	srv, err := e.Start()
	if err != nil {
		t.Fatal(err)
	}
	tr := srv.Transport()
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		e.Close()
	})
	return e, srv, &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// ask sends a request with headers, given as name and value in turn.
func ask(t *testing.T, c *http.Client, method, link string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// who is an origin that tells what reached it.
var who = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	json.NewEncoder(w).Encode(r.Header)
})

func cookie(resp *http.Response, name string) *http.Cookie {
	for _, c := range resp.Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// transfer does what the public client does to log in: the link for the
// browser, then the poll.
func transfer(t *testing.T, c *http.Client, app *accesstest.Application) (link string, wait func() map[string]string) {
	t.Helper()
	pub, priv, err := box.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := base64.URLEncoding.EncodeToString(pub[:])
	q := url.Values{"token": {key}, "aud": {app.App().AUD}}
	q.Set("redirect_url", app.URL()+"?"+q.Encode())
	q.Set("send_org_token", "true")
	q.Set("edge_token_transfer", "true")
	return "https://" + host + "/cdn-cgi/access/cli?" + q.Encode(), func() map[string]string {
		t.Helper()
		resp, body := ask(t, c, "GET", "https://login.cloudflareaccess.org/transfer/"+key)
		if resp.StatusCode != 200 {
			t.Fatalf("transfer: %s", resp.Status)
		}
		sealed, err := base64.StdEncoding.DecodeString(body)
		if err != nil {
			t.Fatal(err)
		}
		service, err := base64.URLEncoding.DecodeString(resp.Header.Get("service-public-key"))
		if err != nil || len(service) != 32 {
			t.Fatalf("service key %q: %v", service, err)
		}
		plain, ok := box.Open(nil, sealed[24:], (*[24]byte)(sealed[:24]), (*[32]byte)(service), priv)
		if !ok {
			t.Fatal("box does not open")
		}
		var tokens map[string]string
		if err := json.Unmarshal(plain, &tokens); err != nil {
			t.Fatal(err)
		}
		return tokens
	}
}

func TestLoginByTransfer(t *testing.T) {
	e, _, c := edge(t, nil)
	app := e.AddApp(accesstest.App{Host: host, Allow: true, Origin: who})

	resp, _ := ask(t, c, "GET", "https://"+host+"/repo?x=1")
	to, err := resp.Location()
	if err != nil || resp.StatusCode != 302 {
		t.Fatalf("%s, %v", resp.Status, err)
	}
	if to.Host != "team.cloudflareaccess.com" || to.Path != "/cdn-cgi/access/login/"+host || to.Query().Get("kid") != app.App().AUD ||
		to.Query().Get("redirect_url") != "/repo?x=1" {
		t.Errorf("login redirect to %s", to)
	}
	if got, want := resp.Header.Get("WWW-Authenticate"), `Cloudflare-Access resource_metadata="https://git.example.com/.well-known/cloudflare-access-protected-resource/repo"`; got != want {
		t.Errorf("challenge %s, want %s", got, want)
	}
	if cookie(resp, "CF_AppSession") == nil {
		t.Error("no CF_AppSession")
	}

	link, wait := transfer(t, c, app)
	if err := e.Person("ada@example.com").Approve(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	tokens := wait()
	for _, tc := range []struct{ name, header, value string }{
		{"header", "cf-access-token", tokens["app_token"]},
		{"cookie", "Cookie", "other=1; CF_Authorization=" + tokens["app_token"]},
		{"assertion", "Cf-Access-Jwt-Assertion", tokens["app_token"]},
	} {
		resp, body := ask(t, c, "GET", "https://"+host+"/", tc.header, tc.value)
		var seen http.Header
		if err := json.Unmarshal([]byte(body), &seen); resp.StatusCode != 200 || err != nil {
			t.Errorf("%s: %s %s", tc.name, resp.Status, body)
			continue
		}
		if seen.Get("Cf-Access-Jwt-Assertion") != tokens["app_token"] || seen.Get("Cf-Access-Authenticated-User-Email") != "ada@example.com" || seen.Get("Cf-Access-Token") != "" {
			t.Errorf("%s: the origin saw %v", tc.name, seen)
		}
	}
	if resp, _ := ask(t, c, "GET", "https://"+host+"/", "Authorization", "Bearer "+tokens["app_token"]); resp.StatusCode != 302 {
		t.Errorf("JWT in Authorization: %s", resp.Status)
	}

	// Single sign-on with the org token, as the public client goes about it.
	resp, _ = ask(t, c, "HEAD", "https://"+host+"/")
	session := cookie(resp, "CF_AppSession")
	resp, _ = ask(t, c, "HEAD", resp.Header.Get("Location"), "Cookie", "CF_Authorization="+tokens["org_token"])
	authorized := resp.Header.Get("Location")
	if u, _ := url.Parse(authorized); resp.StatusCode != 302 || u.Path != "/cdn-cgi/access/authorized" {
		t.Fatalf("login with an org token: %s to %s", resp.Status, authorized)
	}
	resp, _ = ask(t, c, "HEAD", authorized, "Cookie", session.String())
	fresh := cookie(resp, "CF_Authorization")
	if resp.StatusCode != 302 || fresh == nil || !fresh.Expires.After(time.Now()) {
		t.Fatalf("authorized: %s %v", resp.Status, fresh)
	}
	if fresh.Value == tokens["app_token"] {
		t.Error("the same token again")
	}
	if resp, _ := ask(t, c, "HEAD", authorized, "Cookie", session.String()); resp.StatusCode != 400 {
		t.Errorf("authorized twice: %s", resp.Status)
	}
}

func TestMetadataVerifies(t *testing.T) {
	e, _, c := edge(t, nil)
	e.AddApp(accesstest.App{Host: host, Allow: true})
	resp, _ := ask(t, c, "HEAD", "https://"+host+"/", "cf-access-metadata-request", "true")
	jws, err := jose.ParseSignedCompact(resp.Header.Get("cf-access-metadata"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	_, body := ask(t, c, "GET", "https://team.cloudflareaccess.com/cdn-cgi/access/certs")
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(body), &keys); err != nil {
		t.Fatal(err)
	}
	claims, err := jws.Verify(keys)
	if err != nil {
		t.Fatal(err)
	}
	var m accesstest.Metadata
	if err := json.Unmarshal(claims, &m); err != nil || m.Type != "match" || m.Hostname != host || m.AuthDomain != "team.cloudflareaccess.com" {
		t.Errorf("%s %v", claims, err)
	}
}

func TestServiceTokens(t *testing.T) {
	e, _, c := edge(t, nil)
	good, other := e.Team().AddServiceToken("ci"), e.Team().AddServiceToken("other")
	services := []*accesstest.ServiceToken{good}
	e.AddApp(accesstest.App{Host: "only.example.com", Services: services, Origin: who})
	e.AddApp(accesstest.App{Host: "both.example.com", Services: services, Allow: true, Origin: who})
	e.AddApp(accesstest.App{Host: "strict.example.com", Services: services, Allow: true, Strict: true, Origin: who})
	const id, secret = "CF-Access-Client-Id", "CF-Access-Client-Secret"
	for _, tc := range []struct {
		name               string
		only, both, strict int
		headers            []string
	}{
		{"none", 403, 302, 302, nil},
		{"right", 200, 200, 200, []string{id, good.ID, secret, good.Secret()}},
		{"wrong secret", 403, 302, 401, []string{id, good.ID, secret, "wrong"}},
		{"not admitted", 403, 302, 403, []string{id, other.ID, secret, other.Secret()}},
		{"no secret", 403, 302, 401, []string{id, good.ID}},
		{"twice", 200, 200, 401, []string{id, good.ID, secret, good.Secret(), secret, good.Secret()}},
	} {
		for host, want := range map[string]int{"only.example.com": tc.only, "both.example.com": tc.both, "strict.example.com": tc.strict} {
			resp, _ := ask(t, c, "GET", "https://"+host+"/", tc.headers...)
			if resp.StatusCode != want {
				t.Errorf("%s at %s: %s, want %d", tc.name, host, resp.Status, want)
			}
			if got := cookie(resp, "CF_Authorization") != nil; got != (want == 200 && host != "strict.example.com") {
				t.Errorf("%s at %s: cookie %v", tc.name, host, got)
			}
		}
	}
	if leaks := e.Leaks(good.Secret(), "only.example.com", "both.example.com"); len(leaks) != 3 {
		t.Errorf("leaks outside of the two: %v", leaks)
	}
}

func TestTCPByWebSocket(t *testing.T) {
	e, srv, c := edge(t, nil)
	origin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer origin.Close()
	go func() {
		for {
			conn, err := origin.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, io.LimitReader(conn, 1<<20))
			}()
		}
	}()
	app := e.AddApp(accesstest.App{Host: "ssh.example.com", Allow: true, TCP: accesstest.DialTCP(origin.Addr().String())})
	_ = srv
	ws, _, err := websocket.Dial(t.Context(), "https://ssh.example.com/", &websocket.DialOptions{HTTPClient: c,
		HTTPHeader: http.Header{"Cf-Access-Token": {app.Token("ada@example.com")}}})
	if err != nil {
		t.Fatal(err)
	}
	conn := websocket.NetConn(context.Background(), ws, websocket.MessageBinary)
	sent := make([]byte, 1<<20)
	rand.Read(sent)
	go conn.Write(sent)
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != string(sent) {
		t.Fatalf("%d bytes back, %v", len(got), err)
	}
}

// claimsOf decodes a JWT without a look at its signature.
func claimsOf(t *testing.T, tok string) map[string]any {
	t.Helper()
	parts := strings.Split(tok, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %q", tok)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(b, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
