package access

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestReadAnswer(t *testing.T) {
	const metadata = "https://git.example.com/.well-known/cloudflare-access-protected-resource/"
	tests := []struct {
		name   string
		status int
		header map[string]string
		body   string
		want   Answer
	}{
		{"the origin's own", 200, nil, "hello", Answer{}},
		{"login", 302, map[string]string{
			"Location":         "https://team.cloudflareaccess.com/cdn-cgi/access/login/git.example.com?kid=aud1&meta=x",
			"Www-Authenticate": `Cloudflare-Access resource_metadata="` + metadata + `"`,
		}, "", Answer{Kind: AnswerLogin, Audience: "aud1", Resource: metadata}},
		{"login at 307", 307, map[string]string{"Location": "/cdn-cgi/access/login/git.example.com"}, "", Answer{Kind: AnswerLogin}},
		{"another redirect", 302, map[string]string{"Location": "https://git.example.com/cdn-cgi/access/loginfoo"}, "", Answer{}},
		{"a path that climbs", 302, map[string]string{"Location": "/cdn-cgi/access/login/../../../evil"}, "", Answer{}},
		{"no Location", 302, nil, "", Answer{}},
		{"login for scripts in pages", 401, map[string]string{"Www-Authenticate": `Cloudflare-Access resource_metadata="` + metadata + `"`}, "<html>", Answer{Kind: AnswerLogin, Resource: metadata}},
		{"Managed OAuth", 401, map[string]string{
			"Www-Authenticate": `Bearer realm="OAuth", error="invalid_token", error_description="Missing or invalid access token", resource_metadata="` + metadata + `"`,
		}, "", Answer{Kind: AnswerOAuth, Resource: metadata, Detail: "Missing or invalid access token"}},
		{"Managed OAuth beside Basic", 401, map[string]string{
			"Www-Authenticate": `Basic realm="x, y", Bearer resource_metadata="` + metadata + `"`,
		}, "", Answer{Kind: AnswerOAuth, Resource: metadata}},
		{"Managed OAuth in the body", 401, map[string]string{"Content-Type": "application/json"},
			`{"error":"invalid_token","resource_metadata":"` + metadata + `"}`, Answer{Kind: AnswerOAuth, Resource: metadata}},
		{"the origin's Basic", 401, map[string]string{"Www-Authenticate": `Basic realm="git"`}, "", Answer{}},
		{"the origin's Bearer", 401, map[string]string{"Www-Authenticate": `Bearer realm="registry",service="x"`}, "", Answer{}},
		{"strict, without a challenge", 401, nil, "", Answer{Kind: AnswerUnauthorized}},
		{"service tokens only", 403, map[string]string{"Cf-Access-Aud": "aud2", "Cf-Access-Domain": "git.example.com"}, "<html>", Answer{Kind: AnswerServiceOnly, Audience: "aud2", Domain: "git.example.com"}},
		{"forbidden by Access", 403, nil, "<title>Forbidden - Cloudflare Access</title>", Answer{Kind: AnswerForbidden}},
		{"the origin's 403", 403, nil, "you may not push", Answer{}},
		{"firewall", 403, nil, "error code: 1010", Answer{Kind: AnswerBlocked, Detail: "error code 1010"}},
		{"challenge page", 403, map[string]string{"Cf-Mitigated": "challenge"}, "", Answer{Kind: AnswerBlocked, Detail: "cf-mitigated: challenge"}},
		{"tunnel down", 530, nil, "error code: 1033", Answer{Kind: AnswerTunnelDown, Detail: "error code 1033"}},
		{"origin down", 502, nil, "", Answer{Kind: AnswerOriginDown}},
		{"origin unreachable", 522, nil, "", Answer{Kind: AnswerOriginDown}},
		{"the origin's 500", 500, nil, "oops", Answer{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, _ := url.Parse("https://git.example.com/x")
			resp := &http.Response{StatusCode: tt.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(tt.body)), Request: &http.Request{URL: u}}
			for k, v := range tt.header {
				resp.Header.Set(k, v)
			}
			got := ReadAnswer(resp)
			tt.want.StatusCode = tt.status
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(Answer{}, "LoginURL")); diff != "" {
				t.Error(diff)
			}
			if (got.LoginURL != nil) != (tt.want.Kind == AnswerLogin && tt.status < 400) {
				t.Errorf("login URL %v", got.LoginURL)
			}
			if rest, _ := io.ReadAll(resp.Body); string(rest) != tt.body {
				t.Errorf("the body was not put back: %q", rest)
			}
		})
	}
}

// Whatever a server answers: the body stays whole for the caller, what is shown of it
// is short, a login page is one of Access's, and the URL of metadata is in the answer.
func FuzzReadAnswer(f *testing.F) {
	const resource = "https://git.example.com/.well-known/cloudflare-access-protected-resource/"
	for _, s := range []string{
		"200 OK\r\n\r\nhello",
		"302 Found\r\nLocation: https://kite.cloudflareaccess.com/cdn-cgi/access/login/git.example.com?kid=aud1&meta=x\r\nWWW-Authenticate: Cloudflare-Access resource_metadata=\"" + resource + "\"\r\n\r\n",
		"302 Found\r\nLocation: /cdn-cgi/access/login/../../../evil\r\n\r\n", "302 Found\r\nLocation: //%zz\r\n\r\n",
		"302 Found\r\nLocation: /cdn-cgi/access/login/%2e%2e/%2e%2e/%2e%2e/evil\r\n\r\n",
		"401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"OAuth\", error=\"invalid_token\", error_description=\"" + strings.Repeat("long ", 100) + "\", resource_metadata=\"" + resource + "\"\r\n\r\n",
		"401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n", "401 Unauthorized\r\nX-A: b\r\n\r\n",
		"401 Unauthorized\r\nContent-Type: application/json\r\n\r\n{\"error\":\"invalid_token\",\"resource_metadata\":\"" + resource + "\"}",
		"403 Forbidden\r\nCf-Access-Aud: a\r\nCf-Access-Domain: git.example.com\r\n\r\n<html>", "403 Forbidden\r\n\r\nerror code: 1010", "403 Forbidden\r\nCf-Mitigated: " + strings.Repeat("c", 500) + "\r\n\r\n",
		"530 \r\n\r\nerror code: 1033", "502 Bad Gateway\r\n\r\n", "403 Forbidden\r\nContent-Length: 9\r\n\r\nshort", "503 x\r\n\r\n" + strings.Repeat("x", answerBody+1),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		read := func() *http.Response {
			u := &url.URL{Scheme: "https", Host: "git.example.com", Path: "/x"}
			resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 "), bytes.NewReader(answer))), &http.Request{Method: http.MethodGet, URL: u})
			if err != nil {
				return nil
			}
			return resp
		}
		resp := read()
		if resp == nil {
			return
		}
		a := ReadAnswer(resp)
		got, gotErr := io.ReadAll(resp.Body)
		want, wantErr := io.ReadAll(read().Body)
		if !bytes.Equal(got, want) || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("a body of %d bytes (%v) became one of %d (%v)", len(want), wantErr, len(got), gotErr)
		}
		if a.StatusCode != resp.StatusCode || len(a.Detail) > 250 {
			t.Errorf("status %d, %d bytes to show", a.StatusCode, len(a.Detail))
		}
		status := map[AnswerKind]func(int) bool{
			AnswerLogin:        func(n int) bool { return n/100 == 3 || n == 401 },
			AnswerOAuth:        func(n int) bool { return n == 401 && a.Resource != "" },
			AnswerUnauthorized: func(n int) bool { return n == 401 },
			AnswerServiceOnly:  func(n int) bool { return n == 403 && a.Audience+a.Domain != "" },
			AnswerForbidden:    func(n int) bool { return n == 403 },
			AnswerBlocked:      func(n int) bool { return n == 403 },
			AnswerTunnelDown:   func(n int) bool { return n >= 500 },
			AnswerOriginDown:   func(n int) bool { return n >= 500 },
		}[a.Kind]
		if status != nil && !status(a.StatusCode) || a.Kind == AnswerOther && a.Resource+a.Audience+a.Domain != "" {
			t.Errorf("%+v", a)
		}
		if a.LoginURL != nil && (a.Kind != AnswerLogin || !strings.HasPrefix(path.Clean(a.LoginURL.Path)+"/", "/cdn-cgi/access/login/")) {
			t.Errorf("login at %s", a.LoginURL)
		}
		text := string(answer)
		if !strings.ContainsAny(text, "\\") && !strings.Contains(text, "\n ") && !strings.Contains(text, "\n\t") && utf8.ValidString(text) && !strings.Contains(text, a.Resource) {
			t.Errorf("metadata at %q", a.Resource)
		}
	})
}

// Whatever a server sends, parsing ends, names schemes in lower case, and finds
// again what it wrote itself.
func FuzzChallenges(f *testing.F) {
	for _, s := range []string{
		`Bearer realm="OAuth", error="invalid_token", resource_metadata="https://a/b"`, `Basic`, `Negotiate abc==, Basic realm="a\"b"`,
		`Cloudflare-Access resource_metadata="https://h/x"`, `,,, =`, `a b=c d e="f`, "\x00\xff", `Bearer =x`, `Digest a=1,a=2`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first := parseChallenges([]string{s})
		for _, c := range first {
			if c.scheme == "" || c.scheme != strings.ToLower(c.scheme) {
				t.Fatalf("scheme %q", c.scheme)
			}
			line := c.scheme
			var params []string
			for name, v := range c.params {
				if name == "" || name != strings.ToLower(name) {
					t.Fatalf("parameter %q", name)
				}
				params = append(params, name+`="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v)+`"`)
			}
			again := parseChallenges([]string{line + " " + strings.Join(params, ", ")})
			if len(again) != 1 || !cmp.Equal(again[0].params, c.params) || again[0].scheme != c.scheme {
				t.Fatalf("%q was read as %v and then as %v", s, c, again)
			}
		}
	})
}
