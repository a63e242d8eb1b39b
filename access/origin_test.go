package access

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/idna"
)

func TestOriginOf(t *testing.T) {
	for raw, want := range map[string]string{
		"https://git.example.com":             "https://git.example.com",
		"https://Git.EXAMPLE.com:443/x?y#z":   "https://git.example.com",
		"https://git.example.com./":           "https://git.example.com",
		"https://git.example.com:8443":        "https://git.example.com:8443",
		"https://user:pw@git.example.com":     "https://git.example.com",
		"https://bücher.example":              "https://xn--bcher-kva.example",
		"https://BÜCHER.example":              "https://xn--bcher-kva.example",
		"https://g\u0130t.example.com":        "https://xn--git-9dc.example.com", // to whom curl connects
		"https://my_g\u0130t.example.com":     "",                                // nothing for IDNA, so that nobody can say to whom
		"https://[2001:DB8::1]:443":           "https://[2001:db8::1]",
		"https://[2001:db8:0:0::1]:8443":      "https://[2001:db8::1]:8443",
		"https://my_host.example.com":         "https://my_host.example.com",
		"http://127.0.0.1:8080/":              "http://127.0.0.1:8080",
		"http://localhost:80/":                "http://localhost",
		"http://git.example.com":              "",
		"http://127.0.0.1.example.com":        "",
		"ssh://git.example.com":               "",
		"https:///path":                       "",
		"https://./":                          "",
		"//git.example.com":                   "",
		"https://git.example.com%2f.evil.net": "",
		"https://r3---sn-1.example.com":       "https://r3---sn-1.example.com",
		"https://$(id).example.com":           "",
		"https://a;id":                        "",
		"https://'a'":                         "",
		"https://-oProxyCommand=id":           "",
		"https://git..example.com":            "",
		"https://git.example.com..":           "",
		"https://.../":                        "",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", raw, err)
			}
			continue
		}
		got, err := OriginOf(u)
		if string(got) != want || (err != nil) != (want == "") {
			t.Errorf("OriginOf(%s) = %q, %v; want %q", raw, got, err, want)
		}
	}
	if _, err := OriginOf(nil); err == nil {
		t.Error("nil has an origin")
	}
}

// The host that is asked is the one that the origin is, however it was written.
func TestParseHost(t *testing.T) {
	for raw, want := range map[string]string{
		"git.example.com":                 "https://git.example.com",
		"BÜCHER.Example.COM.":             "https://xn--bcher-kva.example.com",
		"Git.Example.com:8443":            "https://git.example.com:8443",
		"https://git.example.com:443/A b": "https://git.example.com/A%20b",
		"[2001:DB8::1]":                   "https://[2001:db8::1]",
	} {
		o, u, err := ParseHost(raw)
		if err != nil || u.String() != want || !strings.HasPrefix(want, string(o)) {
			t.Errorf("ParseHost(%s) = %s, %s, %v; want %s", raw, o, u, err, want)
		}
	}
}

// An origin is a fixed point, names no user and no path, and no other host than the
// one that net/http connects to.
func FuzzOriginOf(f *testing.F) {
	for _, s := range []string{"https://git.example.com", "https://a@b:8443/c", "https://[::1]", "http://127.0.0.1:1", "https://a%2fb", "https://a\\b", "https://ａ.example", "https://a..",
		"https://g\u0130t.example", "https://a_\u0130.example", "https://a_\u212a.example", "https://xn--git-9dc.example", "https://$(id).example.com"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(raw)
		if err != nil {
			return
		}
		o, err := OriginOf(u)
		if err != nil {
			return
		}
		again, err := OriginOf(o.URL())
		if err != nil || again != o {
			t.Fatalf("%q → %q → %q, %v", raw, o, again, err)
		}
		// It stands in commands that people copy.
		if strings.Trim(o.Host(), "abcdefghijklmnopqrstuvwxyz0123456789-_.:[]") != "" {
			t.Fatalf("%q → %q", raw, o)
		}
		host, err := idna.Lookup.ToASCII(u.Hostname())
		if err != nil {
			host = u.Hostname()
		}
		if ip := net.ParseIP(host); ip != nil {
			host = ip.String()
		}
		if got := o.Hostname(); len(got) != len(strings.TrimSuffix(host, ".")) || !strings.EqualFold(got, strings.TrimSuffix(host, ".")) {
			t.Fatalf("%q → %q, and net/http connects to %q", raw, o, host)
		}
	})
}

func TestBoundTo(t *testing.T) {
	tests := []struct {
		pattern, origin string
		want            bool
	}{
		{"git.example.com", "https://git.example.com", true},
		{" GIT.example.com. ", "https://git.example.com", true},
		{"git.example.com:443", "https://git.example.com", true},
		{"git.example.com", "https://git.example.com:8443", false},
		{"git.example.com:8443", "https://git.example.com:8443", true},
		{"*.example.com", "https://git.example.com", true},
		{"*.example.com", "https://a.git.example.com", false},
		{"*.example.com", "https://example.com", false},
		{"*.example.com", "https://git.example.com:8443", false},
		{"*.example.com", "https://git.example.com.evil.net", false},
		{"*.com", "https://example.com", false}, // a whole top-level domain is no binding
		{"*", "https://git.example.com", false},
		{"", "https://git.example.com", false},
		{"example.com", "https://git.example.com", false},
	}
	for _, tt := range tests {
		if got := boundTo([]string{tt.pattern}, Origin(tt.origin)); got != tt.want {
			t.Errorf("boundTo(%q, %s) = %v", tt.pattern, tt.origin, got)
		}
	}
}

func TestCheckServiceToken(t *testing.T) {
	good := "cfast_" + strings.Repeat("a", 48)
	for _, tt := range []struct {
		id, secret string
		ok         bool
	}{
		{"abc.access", good, true},
		{"abc.access", strings.Repeat("0f", 32), true},
		{"abc.access", "some-form-of-the-future", true},
		{good, "abc.access", false},
		{"abc.access", "", false},
		{"", good, false},
		{"abc.access", good + "\n", false},
		{"abc.access", good[:50], false},
	} {
		if err := CheckServiceToken(tt.id, NewSecret(tt.secret)); (err == nil) != tt.ok {
			t.Errorf("%q %q: %v", tt.id, tt.secret, err)
		} else if err != nil && tt.secret != "" && strings.Contains(err.Error(), tt.secret) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

func TestSecretPrintsNothing(t *testing.T) {
	const hidden = "cfast_topsecret"
	s := NewSecret(hidden)
	cr := Credential{Kind: ServiceToken, clientID: "id", secret: s, token: s}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "credential", cr)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "credential", cr)
	js, _ := json.Marshal(map[string]any{"s": s, "c": cr})
	out := log.String() + string(js)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		out += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, &s) + fmt.Sprintf(verb, cr) + fmt.Sprintf(verb, &cr) + fmt.Sprintf(verb, BoundServiceToken{Secret: s})
	}
	if strings.Contains(out, "topsecret") || strings.Contains(out, fmt.Sprintf("%x", "topsecret")) {
		t.Errorf("shown: %s", out)
	}
}

func TestCredentialCovers(t *testing.T) {
	cr := Credential{Kind: JWT, App: App{Origin: "https://git.example.com", Path: "/team"}, token: NewSecret("t")}
	for raw, want := range map[string]bool{
		"https://git.example.com/team":          true,
		"https://git.example.com/team/x":        true,
		"https://git.example.com/team/../x":     false,
		"https://git.example.com/teammate":      false,
		"https://git.example.com/":              false,
		"https://git.example.com:8443/team":     false,
		"http://git.example.com/team":           false,
		"https://git.example.com.evil.net/team": false,
	} {
		req, err := http.NewRequest(http.MethodGet, raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := cr.Apply(req); got != want || (len(req.Header) > 0) != want {
			t.Errorf("%s: %v, headers %v", raw, got, req.Header)
		}
	}
}

func TestPKCEChallengeBeginsWithALetterOrDigit(t *testing.T) {
	for range 1000 {
		if _, c := pkce(); c[0] == '-' || c[0] == '_' || len(c) != 43 {
			t.Fatal(c)
		}
	}
}
