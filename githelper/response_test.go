package githelper

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func modern() *Request {
	return &Request{Capabilities: []string{"authtype", "state"}, Protocol: "https", Host: "h"}
}

func TestResponseWriteTo(t *testing.T) {
	for _, tt := range []struct {
		name string
		resp *Response
		want string
	}{
		{"nothing", &Response{}, ""},
		{"login", &Response{Login: &Login{"me", NewSecret("pw")}}, "username=me\npassword=pw\n"},
		{"empty login", &Response{Login: &Login{}}, "username=\npassword=\n"},
		{"quit", modern().Stop(), "quit=1\n"},
		{"all, in order", &Response{
			Request: modern(), Auth: &Auth{"Bearer", NewSecret("tok")}, Login: &Login{"me", NewSecret("pw")}, Ephemeral: new(true),
			Expiry: time.Unix(1700000000, 0), RefreshToken: NewSecret("r"), State: []string{"x:1", "x:2"}, Continue: true, Quit: true,
		}, "capability[]=authtype\ncapability[]=state\nauthtype=Bearer\ncredential=tok\nusername=me\npassword=pw\nephemeral=1\n" +
			"password_expiry_utc=1700000000\noauth_refresh_token=r\nstate[]=x:1\nstate[]=x:2\ncontinue=1\nquit=1\n"},
		{"cookie in jar, git from 2.46", modern().CookieInJar("x:jar", false),
			"capability[]=authtype\ncapability[]=state\nauthtype=\ncredential=\nephemeral=1\nstate[]=x:jar\ncontinue=1\n"},
		{"cookie in jar, git from 2.46, own login", modern().CookieInJar("x:jar", true),
			"capability[]=authtype\ncapability[]=state\nauthtype=\ncredential=\nephemeral=1\nstate[]=x:jar\ncontinue=1\n"},
		{"cookie in jar, git below 2.46", (&Request{}).CookieInJar("x:jar", false), "username=\npassword=\n"},
		{"cookie in jar, git below 2.46, own login", (&Request{}).CookieInJar("x:jar", true), ""},
		{"token", modern().BearerToken(NewSecret("tok"), time.Unix(1700000000, 0), "x:tok"), "capability[]=authtype\ncapability[]=state\n" +
			"authtype=Bearer\ncredential=tok\nephemeral=1\npassword_expiry_utc=1700000000\nstate[]=x:tok\ncontinue=1\n"},
		{"token, one round", (&Request{Capabilities: []string{CapabilityAuthType}}).BearerToken(NewSecret("tok"), time.Time{}, "x:tok"),
			"capability[]=authtype\nauthtype=Bearer\ncredential=tok\nephemeral=1\n"},
		{"next helper, git from 2.46", modern().NextHelper(), "capability[]=authtype\nephemeral=0\n"},
		{"next helper, git below 2.46", (&Request{}).NextHelper(), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			n, err := tt.resp.WriteTo(&b)
			if err != nil || b.String() != tt.want || n != int64(len(tt.want)) {
				t.Errorf("got %q, %d, %v; want %q", b.String(), n, err, tt.want)
			}
		})
	}
}

func TestResponseRefuses(t *testing.T) {
	if _, err := (&Request{}).BearerToken(NewSecret("tok"), time.Time{}, "x").WriteTo(io.Discard); err == nil {
		t.Error("a token for a git that would drop it")
	}
	only := func(c string) *Request { return &Request{Capabilities: []string{c}} }
	for _, tt := range []struct {
		name string
		resp *Response
	}{
		{"line feed", &Response{Login: &Login{"me\nhost=evil", Secret{}}}},
		{"carriage return", &Response{Login: &Login{"me", NewSecret("a\rb")}}},
		{"null byte", &Response{Request: modern(), State: []string{"x\x00"}}},
		{"line beyond the limit", &Response{Login: &Login{"me", NewSecret(strings.Repeat("x", maxLine))}}},
		{"authtype for nobody", &Response{Auth: &Auth{"Bearer", NewSecret("t")}}},
		{"authtype unannounced", &Response{Request: only("state"), Auth: &Auth{"Bearer", NewSecret("t")}}},
		{"ephemeral unannounced", &Response{Request: only("state"), Ephemeral: new(false)}},
		{"state unannounced", &Response{Request: only("authtype"), State: []string{"x"}}},
		{"continue unannounced", &Response{Request: only("authtype"), Continue: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if _, err := tt.resp.WriteTo(&b); err == nil || b.Len() != 0 {
				t.Errorf("got %q, %v; want nothing and an error", b.String(), err)
			}
		})
	}
}

func TestResponseIsOneWrite(t *testing.T) {
	var n int
	w := writerFunc(func(p []byte) (int, error) { n++; return len(p), nil })
	if _, err := modern().CookieInJar("x", false).WriteTo(w); err != nil || n != 1 {
		t.Errorf("%d writes, %v", n, err)
	}
	full := errors.New("full")
	if _, err := modern().NextHelper().WriteTo(writerFunc(func([]byte) (int, error) { return 0, full })); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestCapabilities(t *testing.T) {
	var b bytes.Buffer
	if err := WriteCapabilities(&b); err != nil || b.String() != "version 0\ncapability authtype\ncapability state\n" {
		t.Errorf("got %q, %v", b.String(), err)
	}
}

// No key comes out that was not asked for, and each value comes out as it went in: a value can be no line of its own.
func FuzzResponse(f *testing.F) {
	f.Add("Bearer", "tok", "me", "pw", "s", int64(17), true, true, byte(0xff))
	f.Add("", "", "", "", "", int64(0), false, false, byte(3))
	f.Add("a\nhost=evil", "b\rc", "\x00", "=", "\n", int64(-1), true, false, byte(7))
	f.Fuzz(func(t *testing.T, authtype, credential, user, password, state string, expiry int64, ephemeral, cont bool, use byte) {
		resp := &Response{Request: modern(), Continue: cont}
		want := map[string]string{}
		if use&1 != 0 {
			resp.Auth = &Auth{authtype, NewSecret(credential)}
			want["authtype"], want["credential"] = authtype, credential
		}
		if use&2 != 0 {
			resp.Login = &Login{user, NewSecret(password)}
			want["username"], want["password"] = user, password
		}
		if use&4 != 0 {
			resp.Ephemeral = &ephemeral
			want["ephemeral"] = map[bool]string{true: "1", false: "0"}[ephemeral]
		}
		if use&8 != 0 {
			resp.State = []string{state}
			want["state[]"] = state
		}
		if use&16 != 0 {
			resp.Expiry = time.Unix(expiry, 0)
		}
		var b bytes.Buffer
		if _, err := resp.WriteTo(&b); err != nil {
			bad := false
			for _, v := range want {
				bad = bad || strings.ContainsAny(v, "\n\r\x00") || len(v) > maxLine-20
			}
			if !bad || b.Len() > 0 {
				t.Fatalf("%v, and %q was written", err, b.String())
			}
			return
		}
		capabilities := true
		for line := range strings.Lines(b.String()) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			switch key {
			case "capability[]":
				if !capabilities {
					t.Fatalf("a capability after other keys: %q", b.String())
				}
				continue
			case "continue":
				if !cont {
					t.Fatal("continue was not asked for")
				}
			case "password_expiry_utc":
				if use&16 == 0 {
					t.Fatal("expiry was not asked for")
				}
			default:
				v, ok := want[key]
				if !ok || v != value {
					t.Fatalf("%s=%q was not asked for", key, value)
				}
				delete(want, key)
			}
			capabilities = false
		}
		if len(want) > 0 {
			t.Fatalf("%v is missing in %q", want, b.String())
		}
	})
}
