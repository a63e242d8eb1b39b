package githelper

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChallenges(t *testing.T) {
	for _, tt := range []struct {
		in   []string
		want []Challenge
	}{
		{nil, nil},
		{[]string{"Basic"}, []Challenge{{Scheme: "basic"}}},
		{[]string{`Basic realm="Gitea", charset="UTF-8"`}, []Challenge{{Scheme: "basic", Params: map[string]string{"realm": "Gitea", "charset": "UTF-8"}}}},
		{[]string{`Bearer realm="OAuth", error="invalid_token", resource_metadata="https://h/.well-known/x,y"`, "Basic realm=x"}, []Challenge{
			{Scheme: "bearer", Params: map[string]string{"realm": "OAuth", "error": "invalid_token", "resource_metadata": "https://h/.well-known/x,y"}},
			{Scheme: "basic", Params: map[string]string{"realm": "x"}},
		}},
		// RFC 9110 §11.6.1, the example of two challenges in one line.
		{[]string{`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`}, []Challenge{
			{Scheme: "basic", Params: map[string]string{"realm": "simple"}},
			{Scheme: "newauth", Params: map[string]string{"realm": "apps", "type": "1", "title": `Login to "apps"`}},
		}},
		{[]string{"Negotiate YII==, Basic realm=x, Negotiate"}, []Challenge{
			{Scheme: "negotiate", Token: "YII=="}, {Scheme: "basic", Params: map[string]string{"realm": "x"}}, {Scheme: "negotiate"},
		}},
		{[]string{`Cloudflare-Access resource_metadata = "https://h/x"`}, []Challenge{{Scheme: "cloudflare-access", Params: map[string]string{"resource_metadata": "https://h/x"}}}},
		{[]string{`Basic realm=a, realm=b`}, []Challenge{{Scheme: "basic", Params: map[string]string{"realm": "a"}}}},
		{[]string{`Basic realm="never closed, Bearer x=y`}, []Challenge{{Scheme: "basic"}}},
		{[]string{"", ",,", "=x", "realm=orphan", "(comment)"}, nil},
		{[]string{`Basic realm="a" trailing, Bearer x=y`}, []Challenge{{Scheme: "basic"}, {Scheme: "bearer", Params: map[string]string{"x": "y"}}}},
	} {
		got := (&Request{WWWAuth: tt.in}).Challenges()
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%q: -want +got\n%s", tt.in, d)
		}
	}
	r := &Request{WWWAuth: []string{`Bearer resource_metadata="m"`}}
	if c, ok := r.Wants("BEARER"); !ok || c.Params["resource_metadata"] != "m" {
		t.Errorf("Wants: %v, %v", c, ok)
	}
	if _, ok := r.Wants("basic"); ok {
		t.Error("Wants finds what is not there")
	}
}

// A challenge comes out of its own text only, and a second reading of what was read finds the same.
func FuzzChallenges(f *testing.F) {
	f.Add(`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`)
	f.Add(`Negotiate YII==,a="\`)
	f.Fuzz(func(t *testing.T, in string) {
		first := (&Request{WWWAuth: []string{in}}).Challenges()
		var again []string
		for _, c := range first {
			s := c.Scheme
			if c.Token != "" {
				s += " " + c.Token
			}
			sep := " "
			for k, v := range c.Params {
				s += sep + k + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
				sep = ", "
			}
			if c.Scheme != strings.ToLower(c.Scheme) || c.Scheme == "" {
				t.Fatalf("scheme %q", c.Scheme)
			}
			again = append(again, s)
		}
		second := (&Request{WWWAuth: again}).Challenges()
		if len(first) > 0 && !cmp.Equal(first, second) {
			t.Fatalf("%q read as %v, then as %v", in, first, second)
		}
	})
}
