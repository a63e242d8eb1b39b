package access

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fuzzNow is the time of all that is signed in fuzz targets.
const fuzzNow = 1_700_000_000

// offline is a Client that knows the keys of fuzzTeam, has the time fuzzNow, and no
// network.
func offline(s *signer) *Client {
	now := time.Unix(fuzzNow, 0)
	c, err := New(&Config{Now: func() time.Time { return now }, Transport: noNetwork{}})
	if err != nil {
		panic(err)
	}
	c.keep(fuzzTeam, teamKeys{now, s.set})
	return c
}

type noNetwork struct{}

func (noNetwork) RoundTrip(req *http.Request) (*http.Response, error) {
	return nil, &net.DNSError{Err: "no such host", Name: req.URL.Host, IsNotFound: true}
}

var teamDomain = regexp.MustCompile(`^[a-z0-9-]{1,63}(\.fed)?\.cloudflareaccess\.com$`)

// Whatever a team signs: what is taken for the metadata of a host is that of this
// host, of a team by its domain, of today, and covers the path that was asked for.
func FuzzMetadata(f *testing.F) {
	s := newSigner(f)
	good := `{"type":"match","hostname":"git.example.com","app_hostname":"git.example.com/team","auth_domain":"kite.cloudflareaccess.com","aud":"4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2","iat":1700000000}`
	for _, change := range [][2]string{
		{"", ""}, {`"git.example.com"`, `"Git.Example.COM."`}, {`git.example.com/team`, `*.example.com`}, {`/team"`, `/te/../team/x"`}, {`"match"`, `"nomatch"`},
		{`"git.example.com"`, `"evil.example.net"`}, {`"git.example.com"`, `"g\u0130t.example.com"`}, {`"git.example.com"`, `["git.example.com"]`},
		{`kite.cloudflareaccess.com`, `https://kite.cloudflareaccess.com/`}, {`kite.cloudflareaccess.com`, `evil.example.net`}, {`kite.cloudflareaccess.com`, `k\u0130te.cloudflareaccess.com`},
		{`kite.cloudflareaccess.com`, `kite.cloudflareaccess.com.evil.example.net`}, {`kite.cloudflareaccess.com`, `a/kite.cloudflareaccess.com`}, {`kite.`, `.`}, {`kite.`, `a.kite.`}, {`kite.`, `evil.fed.`},
		{`1700000000`, `1699913599`}, {`1700000000`, `1700000301`}, {`1700000000`, `-9223372036854775808`}, {`1700000000`, `1e300`}, {`1700000000`, `"1700000000"`}, {`"iat":1700000000`, `"x":0`},
		{`"aud":"`, `"x":"`}, {`"aud":"4`, `"aud":"\n\u001b[2J`}, {`"aud":"`, `"aud":"","AUD":"`}, {`"type"`, `"type":"x","type"`}, {good, `null`}, {good, ``}, {good, `{"a":` + strings.Repeat("[", 1000)},
	} {
		f.Add([]byte(strings.Replace(good, change[0], change[1], 1)), "/team/demo.git", "RS256", false)
		f.Add([]byte(strings.Replace(good, change[0], change[1], 1)), "/", "none", true)
	}
	f.Fuzz(func(t *testing.T, claims []byte, asked, algorithm string, custom bool) {
		c := offline(s)
		if custom {
			c.team = fuzzTeam
		}
		const host = Origin("https://git.example.com")
		m, err := c.readMetadata(t.Context(), host, s.sign(algorithm, claims))
		if err != nil {
			if m != nil {
				t.Error("metadata beside an error")
			}
			return
		}
		if algorithm != "RS256" || m.AuthDomain != fuzzTeam || !teamDomain.MatchString(m.AuthDomain) {
			t.Errorf("by %q, %s is of team %q", algorithm, claims, m.AuthDomain)
		}
		if bare := strings.Trim(strings.ReplaceAll(m.Hostname, "https://", ""), "./ \t\r\n"); len(bare) != len("git.example.com") || !strings.EqualFold(bare, "git.example.com") {
			t.Errorf("%s is of %q", claims, m.Hostname)
		}
		if m.Type != "match" || !visible(m.Audience) || m.Audience == "" || len(m.Audience) > 256 || m.IssuedAt < fuzzNow-24*60*60 || m.IssuedAt > fuzzNow+5*60 {
			t.Errorf("%s is read as %+v", claims, m)
		}
		if p := m.path(asked); p != "" && (p != path.Clean(p) || path.Clean("/"+asked) != p && !strings.HasPrefix(path.Clean("/"+asked), p+"/")) {
			t.Errorf("path %q of %q for %q", p, m.AppHostname, asked)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := c.readMetadata(t.Context(), host, s.sign("RS256", b))
		if err != nil || *again != *m {
			t.Errorf("%s is read as %+v, then as %+v, %v", claims, m, again, err)
		}
	})
}

// Whatever a team signs: what is taken for a token of an application is one that is
// of the team, for the application, good now, and can be kept.
func FuzzTokenClaims(f *testing.F) {
	s := newSigner(f)
	good := `{"aud":["aud1"],"email":"ada@example.com","exp":1700086400,"iat":1700000000,"nbf":1700000000,"iss":"https://kite.cloudflareaccess.com","type":"app","identity_nonce":"x","sub":"7335d417","country":"PT"}`
	for _, change := range [][2]string{
		{"", ""}, {`["aud1"]`, `"aud1"`}, {`["aud1"]`, `["a","aud1"]`}, {`["aud1"]`, `["a"]`}, {`"aud":["aud1"]`, `"x":0`}, {`"app"`, `"org"`}, {`"type":"app",`, ``},
		{`1700086400`, `1700000000`}, {`1700086400`, `1e300`}, {`1700086400`, `253402300800`}, {`1700086400`, `-1`}, {`"exp":1700086400`, `"x":0`}, {`1700086400`, `1700000000.5`}, {`1700086400`, `"1700086400"`},
		{`"iat":1700000000`, `"iat":1700000301`}, {`"iat":1700000000`, `"iat":-1e18`}, {`https://kite`, `https://evil`}, {`https://kite`, `kite`}, {`.com","type`, `.com/","type`},
		{`ada@example.com`, `\u001b]0;x\u0007`}, {`"email":"ada@example.com"`, `"common_name":"x.access"`}, {good, `null`}, {good, ``},
	} {
		f.Add([]byte(strings.Replace(good, change[0], change[1], 1)), "app")
		f.Add([]byte(strings.Replace(good, change[0], change[1], 1)), "org")
	}
	f.Fuzz(func(t *testing.T, claims []byte, typ string) {
		if typ != "org" {
			typ = "app"
		}
		c := offline(s)
		got, err := c.verifyToken(t.Context(), s.sign("RS256", claims), fuzzTeam, typ, "aud1")
		if err != nil {
			if got != nil {
				t.Error("claims beside an error")
			}
			return
		}
		if got.Issuer != "https://"+fuzzTeam || got.Type != "" && got.Type != typ || typ == "app" && !strings.Contains(fmt.Sprintf("%q", got.Audience), `"aud1"`) {
			t.Errorf("%s is a token of type %q", claims, typ)
		}
		if got.ExpiresAt == nil || got.ExpiresAt.Unix() < fuzzNow || got.IssuedAt != nil && got.IssuedAt.Unix() > fuzzNow+5*60 {
			t.Errorf("%s is good at %d", claims, fuzzNow)
		}
		if name := got.account(); len(name) > 300 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("account %q", name)
		}
		app := App{Origin: "https://git.example.com", Team: fuzzTeam, Audience: "aud1", Mode: ModeLogin}
		if err := c.saveSession(t.Context(), app, session{Token: "t", Expiry: got.ExpiresAt.UTC(), Account: got.account()}); err != nil {
			t.Fatalf("%s cannot be kept: %v", claims, err)
		}
		if kept, err := c.loadSession(t.Context(), app); err != nil || !kept.Expiry.Equal(got.ExpiresAt.Time) {
			t.Errorf("%s was kept as %v, %v", claims, kept.Expiry, err)
		}
	})
}
