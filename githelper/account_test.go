package githelper

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAccount(t *testing.T) {
	for _, tt := range []struct {
		request string
		want    Account
	}{
		{"protocol=https\nhost=Git.Example.com:443\nusername=ada", Account{"https", "git.example.com", "", "ada"}},
		{"protocol=http\nhost=[::1]:3000\npath=org/re po#1.git\nusername=a/b#c", Account{"http", "[::1]:3000", "org/re po#1.git", "a/b#c"}},
		{"protocol=https\nhost=git.example.com", Account{"https", "git.example.com", "", ""}},
	} {
		req, err := ReadRequest(strings.NewReader(tt.request))
		if err != nil {
			t.Fatal(err)
		}
		a, err := req.Account()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, a); diff != "" {
			t.Error(diff)
		}
		back := a.Request()
		if again, err := back.Account(); err != nil || again != a || back.Has("username") != (a.Username != "") || back.Can(CapabilityAuthType) {
			t.Errorf("%+v comes back as %+v, %v", a, again, err)
		}
		if l := a.Login(NewSecret("s")); l.Password.Reveal() != "s" || !l.Has("username") || !l.Has("password") || l.Host != a.Host {
			t.Errorf("%+v has the login %+v", a, l)
		}
	}
	if _, err := (&Request{Protocol: "https", Host: "git.example.com/x@evil"}).Account(); err == nil {
		t.Error("a host with a slash has an account")
	}
}
