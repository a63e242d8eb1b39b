package gogit

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/access"
)

func TestHosts(t *testing.T) {
	h, err := parseHosts([]string{"git.example.com", "Other.Example.com:8443", "*.ci.example.com", "https://paths.example.com/team/", "*.ports.example.com:8443"})
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]bool{
		"https://git.example.com/demo.git":             true,
		"https://GIT.example.com:443/demo.git":         true,
		"https://git.example.com./demo.git":            true,
		"http://git.example.com/demo.git":              false,
		"https://git.example.com:8443/demo.git":        false,
		"https://a.git.example.com/demo.git":           false,
		"https://example.com/demo.git":                 false,
		"https://git.example.com.evil.example/":        false,
		"https://git.example.com@evil.example/":        false,
		"https://other.example.com:8443/":              true,
		"https://other.example.com/":                   false,
		"https://a.ci.example.com/":                    true,
		"https://a.b.ci.example.com/":                  false,
		"https://ci.example.com/":                      false,
		"https://.ci.example.com/":                     false,
		"https://a.ci.example.com:8443/":               false,
		"http://a.ci.example.com/":                     false,
		"https://paths.example.com/team":               true,
		"https://paths.example.com/team/demo.git":      true,
		"https://paths.example.com/teams/demo.git":     false,
		"https://paths.example.com/":                   false,
		"https://a.ports.example.com:8443/":            true,
		"https://a.ports.example.com/":                 false,
		"ssh://git.example.com/":                       false,
		"https:///":                                    false,
		"https://git.example.com%2eevil.example/x":     false,
		"https://xn--git-.example.com/":                false,
		"https://evil.example/https://git.example.com": false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			if want {
				t.Error(err)
			}
			continue
		}
		if got := h.covers(u); got != want {
			t.Errorf("%s: %v, want %v", raw, got, want)
		}
	}
	for name, want := range map[string]string{
		"git.example.com": "https://git.example.com/", "GIT.example.com": "https://git.example.com/", "other.example.com": "https://other.example.com:8443/",
		"a.ci.example.com": "https://a.ci.example.com/", "a.ports.example.com": "https://a.ports.example.com:8443/", "paths.example.com": "https://paths.example.com/team",
		"evil.example": "", "a.b.ci.example.com": "", "": "", "git.example.com@evil.example": "", "git.example.com/": "", "127.0.0.1": "",
	} {
		got := ""
		if u, ok := h.application(name); ok {
			got = u.String()
		}
		if got != want {
			t.Errorf("ssh to %q by %q, want %q", name, got, want)
		}
	}
}

// No URL gets a credential unless its origin is one that was named.
func FuzzHosts(f *testing.F) {
	h, err := parseHosts([]string{"git.example.com", "*.ci.example.com"})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"https://git.example.com/x", "https://a.ci.example.com", "https://git.example.com@evil.example", "https://evil.example\\@git.example.com", "https://git.example.com:443"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil || !h.covers(u) {
			return
		}
		o, err := access.OriginOf(u)
		if err != nil {
			t.Fatal(err)
		}
		label, isCI := strings.CutSuffix(string(o), ".ci.example.com")
		label = strings.TrimPrefix(label, "https://")
		if o != "https://git.example.com" && (!isCI || label == "" || strings.Contains(label, ".")) {
			t.Errorf("%q has the origin %s", s, o)
		}
	})
}
