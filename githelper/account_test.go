package githelper

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAccount(t *testing.T) {
	for _, tt := range []struct {
		request string
		key     string
	}{
		{"protocol=https\nhost=Git.Example.com:443\nusername=ada", "origin/https://git.example.com/#ada"},
		{"protocol=https\nhost=git.example.com:8443\nusername=ada@example.com", "origin/https://git.example.com:8443/#ada@example.com"},
		{"protocol=http\nhost=[::1]:3000\npath=org/re po#1.git\nusername=a/b#c", "origin/http://[::1]:3000/org/re%20po%231.git#a%2Fb%23c"},
		{"protocol=https\nhost=git.example.com", "origin/https://git.example.com/#"},
	} {
		req, err := ReadRequest(strings.NewReader(tt.request))
		if err != nil {
			t.Fatal(err)
		}
		a, err := req.Account()
		if err != nil {
			t.Fatal(err)
		}
		if a.Key() != tt.key {
			t.Errorf("%+v: key %q, want %q", a, a.Key(), tt.key)
		}
		if back, err := ParseAccountKey(a.Key()); err != nil || back != a {
			t.Errorf("%q is %+v, %v; want %+v", a.Key(), back, err, a)
		}
	}
	if _, err := (&Request{Protocol: "https", Host: "git.example.com/x@evil"}).Account(); err == nil {
		t.Error("a host with a slash has an account")
	}
	for _, bad := range []string{"", "origin/", "session/https://h/#a", "origin/https://h/", "origin/https://h/%zz#a", "origin/https://h/a%2Fb#a", "origin/https://h/#a#b"} {
		if a, err := ParseAccountKey(bad); err == nil {
			t.Errorf("%q is %+v", bad, a)
		}
	}
}

// No two accounts share a key, and the prefix of one place is not that of another.
func FuzzAccountKey(f *testing.F) {
	f.Add("https", "git.example.com", "", "ada", "https", "git.example.com", "ada", "")
	f.Add("https", "h", "a/b", "c", "https", "h", "a", "b#c")
	f.Add("https", "h", "a%2Fb", "", "https", "h", "a/b", "")
	f.Fuzz(func(t *testing.T, p1, h1, path1, u1, p2, h2, path2, u2 string) {
		a, err1 := (&Request{Protocol: p1, Host: h1, Path: path1, Username: u1}).Account()
		b, err2 := (&Request{Protocol: p2, Host: h2, Path: path2, Username: u2}).Account()
		if err1 != nil || err2 != nil || strings.ContainsAny(a.Protocol+b.Protocol, ":/#") {
			return
		}
		if (a.Key() == b.Key()) != (a == b) {
			t.Errorf("%+v and %+v: keys %q and %q", a, b, a.Key(), b.Key())
		}
		samePlace := a.Protocol == b.Protocol && a.Host == b.Host && a.Path == b.Path
		if strings.HasPrefix(b.Key(), a.Prefix()) != samePlace {
			t.Errorf("%q begins with %q", b.Key(), a.Prefix())
		}
		if back, err := ParseAccountKey(a.Key()); err != nil || back != a {
			t.Errorf("%q is %+v, %v; want %+v", a.Key(), back, err, a)
		}
	})
}

func TestStoredLogin(t *testing.T) {
	l := &StoredLogin{
		Password: NewSecret("pass \"wort\""), Expiry: time.Unix(2e9, 0), RefreshToken: NewSecret("refresh"), AuthType: "Bearer", Credential: NewSecret("cred"),
	}
	if s := fmt.Sprintf("%+v %#v", l, *l); strings.Contains(s, "wort") || strings.Contains(s, "refresh\"") || strings.Contains(s, "cred\"") {
		t.Errorf("prints %s", s)
	}
	b, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeLogin(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l, back, cmp.Comparer(Secret.Equal)); diff != "" {
		t.Error(diff)
	}
	if l.Expired(time.Unix(2e9-1, 0)) || !l.Expired(time.Unix(2e9, 0)) || (&StoredLogin{}).Expired(time.Now()) {
		t.Error("expiry")
	}
	if _, err := DecodeLogin([]byte(`{"password":"secret`)); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}
