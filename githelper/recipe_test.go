package githelper

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWithoutRecipes(t *testing.T) {
	const file = `[user]
	name = Ada
[http "https://git.example.com/"]
	extraHeader = cf-access-token: eyJ.a.b
[http "https://git.example.com"]
	extraheader = "CF-Access-Client-Id: 1.access" ; a comment
	extraHeader = CF-Access-Client-Secret: s#not the secret
	sslVerify = true
[http]
	extraHeader = X-Trace: 1
	extraHeader = Cookie: CF_Authorization=eyJ.c.d
	extraHeader = "Cookie: CF_Authorization=eyJ.e.f; other=1"
[http "https://other.example.com/"]
	extraHeader = cf-access-token: eyJ.g.h
[http "https://me@git.example.com:443/team"]
	extraHeader = "cf-access-token: eyJ.i.\
j"
	extraHeader = cf-access-token: eyJ.k.l
[remote "origin"]
	extraHeader = cf-access-token: eyJ.m.n
`
	for _, tt := range []struct {
		name string
		drop func(Recipe) bool
		want string
		n    int
	}{
		{"none", func(Recipe) bool { return false }, file, 0},
		{"for the host", func(r Recipe) bool { return r.For("https://git.example.com") }, `[user]
	name = Ada
[http "https://git.example.com"]
	sslVerify = true
[http]
	extraHeader = X-Trace: 1
	extraHeader = Cookie: CF_Authorization=eyJ.c.d
	extraHeader = "Cookie: CF_Authorization=eyJ.e.f; other=1"
[http "https://other.example.com/"]
	extraHeader = cf-access-token: eyJ.g.h
[http "https://me@git.example.com:443/team"]
	extraHeader = "cf-access-token: eyJ.i.\
j"
[remote "origin"]
	extraHeader = cf-access-token: eyJ.m.n
`, 4},
		{"sessions for all hosts", func(r Recipe) bool { return r.Session() && r.Section == "" }, `[user]
	name = Ada
[http "https://git.example.com/"]
	extraHeader = cf-access-token: eyJ.a.b
[http "https://git.example.com"]
	extraheader = "CF-Access-Client-Id: 1.access" ; a comment
	extraHeader = CF-Access-Client-Secret: s#not the secret
	sslVerify = true
[http]
	extraHeader = X-Trace: 1
	extraHeader = "Cookie: CF_Authorization=eyJ.e.f; other=1"
[http "https://other.example.com/"]
	extraHeader = cf-access-token: eyJ.g.h
[http "https://me@git.example.com:443/team"]
	extraHeader = "cf-access-token: eyJ.i.\
j"
	extraHeader = cf-access-token: eyJ.k.l
[remote "origin"]
	extraHeader = cf-access-token: eyJ.m.n
`, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, dropped := WithoutRecipes([]byte(file), tt.drop)
			if diff := cmp.Diff(tt.want, string(got)); diff != "" || len(dropped) != tt.n {
				t.Errorf("%d dropped\n%s", len(dropped), diff)
			}
		})
	}
	_, dropped := WithoutRecipes([]byte(file), func(r Recipe) bool { return r.Section == "https://git.example.com" })
	if len(dropped) != 2 || dropped[0].Value.Reveal() != "1.access" || dropped[1].Value.Reveal() != "s" || dropped[0].Session() {
		t.Errorf("%+v", dropped)
	}
}

func TestRecipeFor(t *testing.T) {
	const origin = "https://git.example.com"
	for section, want := range map[string]bool{
		"https://git.example.com": true, "https://git.example.com/": true, "https://GIT.example.com:443/team": true, "https://me@git.example.com/": true,
		"": false, "http://git.example.com/": false, "https://git.example.com:8443/": false, "https://*.example.com/": false,
		"https://git.example.com.evil.test/": false, "git.example.com": false,
		"https://g\u0130t.example.com/": false,
	} {
		if got := (Recipe{Section: section}).For(origin); got != want {
			t.Errorf("%q: %t", section, got)
		}
	}
}
