package githelper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var ignoreGiven = cmpopts.IgnoreUnexported(Request{})

func TestReadRequest(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     *Request
	}{
		{"git 2.39", "protocol=https\nhost=git.example.com\n\n", &Request{Protocol: "https", Host: "git.example.com"}},
		{"git 2.55 after a 401", "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=git.example.com:8443\n" +
			"wwwauth[]=Bearer realm=\"x\"\nwwwauth[]=Basic realm=\"y\"\n",
			&Request{
				Capabilities: []string{"authtype", "state"}, Protocol: "https", Host: "git.example.com:8443",
				WWWAuth: []string{`Bearer realm="x"`, `Basic realm="y"`},
			}},
		{"store", "capability[]=authtype\nauthtype=Bearer\ncredential=a=b==\nephemeral=1\nprotocol=https\nhost=h\nusername=\n" +
			"password_expiry_utc=1700000000\noauth_refresh_token=r\nstate[]=x:1\n",
			&Request{
				Capabilities: []string{"authtype"}, AuthType: "Bearer", Credential: NewSecret("a=b=="), Ephemeral: true,
				Protocol: "https", Host: "h", PasswordExpiry: time.Unix(1700000000, 0), RefreshToken: NewSecret("r"),
				State: []string{"x:1"},
			}},
		{"what follows the blank line is not ours", "host=a\n\nhost=b\n", &Request{Host: "a"}},
		{"no line feed at the end", "host=a", &Request{Host: "a"}},
		{"nothing", "", &Request{}},
		{"unknown keys and capabilities", "host=a\nwhat=ever\nlist[]=x\ncapability[]=telepathy\n=\n",
			&Request{Host: "a", Capabilities: []string{"telepathy"}}},
		{"the last one holds", "host=a\nhost=b\n", &Request{Host: "b"}},
		{"an empty value empties the list", "wwwauth[]=A\nwwwauth[]=B\nwwwauth[]=\nwwwauth[]=C\n", &Request{WWWAuth: []string{"C"}}},
		{"keys have a case", "Host=a\n", &Request{}},
		{"expiry that is no number", "password_expiry_utc=soon\n", &Request{}},
		{"url forgets what was said", "capability[]=state\nusername=x\npath=p\nwwwauth[]=A\nurl=https://me%40x:p%3aw@h:1/a%20b/c//\n",
			&Request{Protocol: "https", Host: "h:1", Username: "me@x", Password: NewSecret("p:w"), Path: "a b/c"}},
		{"url first, then more", "url=https://h/r.git\nusername=x\n", &Request{Protocol: "https", Host: "h", Path: "r.git", Username: "x"}},
		{"url with a query right after the host", "url=https://h?x@y\n", &Request{Protocol: "https", Host: "h", Path: "?x@y"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []func(string) (*Request, error){
				func(s string) (*Request, error) { return ReadRequest(strings.NewReader(s)) },
				func(s string) (*Request, error) { return ReadRequest(iotest.OneByteReader(strings.NewReader(s))) },
			} {
				got, err := r(tt.in)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(tt.want, got, ignoreGiven); d != "" {
					t.Errorf("-want +got\n%s", d)
				}
			}
		})
	}
}

func TestReadRequestRefuses(t *testing.T) {
	long := "wwwauth[]=" + strings.Repeat("x", maxLine)
	for _, tt := range []struct {
		name, in string
		line     int
	}{
		{"carriage return at the end", "protocol=https\r\nhost=h\r\n", 1},
		// CVE-2024-50338: a reader that takes CR for a line end sees host=evil.
		{"carriage return inside a value", "protocol=https\nhost=good\rhost=evil\n", 2},
		{"null byte", "host=good\x00.evil\n", 1},
		{"null byte in an unknown key", "x\x00=1\n", 1},
		{"no equals sign", "protocol=https\nhost\n", 2},
		{"line beyond the limit", "host=h\n" + long + "\n", 2},
		{"line beyond the limit without an end", long, 1},
		{"endless request", strings.Repeat("wwwauth[]=x\n", maxRequest/12+1), maxRequest/12 + 1},
		{"url without a scheme", "url=//h/p\n", 1},
		{"url with a hidden line feed", "url=https://h%0ahost=evil/\n", 1},
		{"url with a hidden carriage return", "url=https://h/p%0d\n", 1},
		{"url with a bad escape", "url=https://h%zz/\n", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadRequest(strings.NewReader(tt.in))
			var e *SyntaxError
			if !errors.As(err, &e) || e.Line != tt.line || got != nil {
				t.Errorf("got %+v, %v; want a SyntaxError for line %d", got, err, tt.line)
			}
		})
	}
	broken := errors.New("broken pipe")
	if _, err := ReadRequest(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error of the reader became %v", err)
	}
}

func TestLongestLine(t *testing.T) {
	in := "wwwauth[]=" + strings.Repeat("x", maxLine-len("wwwauth[]=")-1) + "\n"
	if req, err := ReadRequest(strings.NewReader(in)); err != nil || len(req.WWWAuth[0]) != maxLine-11 {
		t.Errorf("a line of exactly %d bytes: %v", len(in), err)
	}
}

func TestRequestHas(t *testing.T) {
	req, err := ReadRequest(strings.NewReader("username=\nhost=h\nwhat=x\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !req.Has("username") || !req.Has("host") || req.Has("password") || req.Has("what") {
		t.Errorf("given: %v", req.given)
	}
}

func TestRequestURL(t *testing.T) {
	for _, tt := range []struct{ protocol, host, path, want string }{
		{"https", "git.example.com", "", "https://git.example.com/"},
		{"https", "Git.Example.COM", "Team/r.git", "https://git.example.com/Team/r.git"},
		{"https", "git.example.com:443", "", "https://git.example.com/"},
		{"https", "git.example.com:", "", "https://git.example.com/"},
		{"https", "git.example.com:80", "", "https://git.example.com:80/"},
		{"http", "git.example.com:80", "", "http://git.example.com/"},
		{"https", "git.example.com:8443", "", "https://git.example.com:8443/"},
		{"https", "[::1]:8443", "", "https://[::1]:8443/"},
		{"https", "[::1]:443", "", "https://[::1]/"},
		{"HTTPS", "h", "a b?c", "https://h/a%20b%3Fc"},
		{"https", "h", "/x", "https://h/x"},
		{"", "h", "", ""},
		{"https", "", "", ""},
		{"https", "git.example.com/evil", "", ""}, // from https://git.example.com%2fevil/
		{"https", "git.example.com@evil", "", ""},
		{"https", "git.example.com#evil", "", ""},
		{"https", "git.example.com?evil", "", ""},
		{"https", "git.example.com evil", "", ""},
		{"https", "git.example.com\\evil", "", ""},
		{"https", "h:1:2", "", ""},
		{"https", "h:0", "", ""},
		{"https", "h:65536", "", ""},
		{"https", "h:x", "", ""},
		{"https", "[::1", "", ""},
		{"https", "[evil]", "", ""},
		{"https", "[::1]evil", "", ""},
		{"https", "gİt.example.com", "", ""}, // another host, in Punycode xn--git-9dc.example.com
		{"https", "\u212aate.example.com", "", ""},
		{"https", "bücher.example", "", ""}, // git sends the name as it stands, and so would we: to a name nobody can own
	} {
		r := &Request{Protocol: tt.protocol, Host: tt.host, Path: tt.path}
		u, err := r.URL()
		if tt.want == "" {
			if err == nil {
				t.Errorf("%q %q: got %v, want an error", tt.protocol, tt.host, u)
			}
			continue
		}
		if err != nil || u.String() != tt.want {
			t.Errorf("%q %q: got %v, %v; want %v", tt.protocol, tt.host, u, err, tt.want)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	req, err := ReadRequest(strings.NewReader("password=hunter2\ncredential=hunter2\noauth_refresh_token=hunter2\nhost=h\n"))
	if err != nil {
		t.Fatal(err)
	}
	var hidden struct {
		req  *Request
		pass Secret
		resp Response
	}
	hidden.req, hidden.pass, hidden.resp = req, req.Password, Response{Login: &Login{Password: req.Password}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", req)
		fmt.Fprintf(&out, verb+"\n", *req)
		fmt.Fprintf(&out, verb+"\n", hidden)
		fmt.Fprintf(&out, verb+"\n", req.Password)
		fmt.Fprintf(&out, verb+"\n", &Response{Login: &Login{Password: req.Password}, Auth: &Auth{Credential: req.Credential}})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "req", req, "secret", req.Credential)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "req", req, "secret", req.Credential)
	if err := json.NewEncoder(&out).Encode(req); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "hunter2") || strings.Contains(s, "68756e74657232") {
		t.Errorf("a secret was printed:\n%s", s)
	}
	if req.Password.Reveal() != "hunter2" || !(Secret{}).Empty() || NewSecret("").String() != "" {
		t.Error("Reveal or Empty is wrong")
	}
}

// write is the test's own rendering of a request, in the order of git's credential_write.
func write(r *Request) string {
	var b strings.Builder
	put := func(key, value string) {
		if value != "" {
			b.WriteString(key + "=" + value + "\n")
		}
	}
	for _, v := range r.Capabilities {
		put("capability[]", v)
	}
	put("authtype", r.AuthType)
	put("credential", r.Credential.Reveal())
	if r.Ephemeral {
		put("ephemeral", "1")
	}
	put("protocol", r.Protocol)
	put("host", r.Host)
	put("path", r.Path)
	put("username", r.Username)
	put("password", r.Password.Reveal())
	put("oauth_refresh_token", r.RefreshToken.Reveal())
	if !r.PasswordExpiry.IsZero() {
		put("password_expiry_utc", fmt.Sprint(r.PasswordExpiry.Unix()))
	}
	for _, v := range r.WWWAuth {
		put("wwwauth[]", v)
	}
	for _, v := range r.State {
		put("state[]", v)
	}
	return b.String()
}

// beyondASCII reports what no host is named by here: curl would look for it by its name in Punycode.
func beyondASCII(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// What was read and written again reads the same: no byte of a value turned into a key, no list lost its order. No value holds what
// would let it.
func FuzzReadRequest(f *testing.F) {
	f.Add([]byte("capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=h\nwwwauth[]=Basic\n\n"))
	f.Add([]byte("url=https://u:p%2f@h:1/p?q\nusername=x\npassword_expiry_utc=17\nephemeral=on\n"))
	f.Add([]byte("wwwauth[]=a\nwwwauth[]=\nwwwauth[]=b\nstate[]=x\ncredential==\n"))
	f.Add([]byte("host=a\rhost=b\n"))
	f.Add([]byte("protocol=https\nhost=g\u0130t.example.com\n\n"))
	f.Add([]byte("url=https://g%C4%B0t.example.com/\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		first, err := ReadRequest(bytes.NewReader(in))
		if err != nil {
			if first != nil {
				t.Fatal("a request beside an error")
			}
			return
		}
		text := write(first)
		if strings.ContainsAny(text, "\r\x00") {
			t.Fatalf("a value holds a forbidden byte: %q", text)
		}
		second, err := ReadRequest(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%v for what was written: %q", err, text)
		}
		if d := cmp.Diff(first, second, ignoreGiven); d != "" {
			t.Fatalf("-first +second\n%s", d)
		}
		if u, err := first.URL(); err == nil && (u.User != nil || beyondASCII(first.Host) || !strings.EqualFold(strings.SplitN(u.Host, ":", 2)[0], strings.SplitN(first.Host, ":", 2)[0])) {
			t.Fatalf("%q became %v", first.Host, u)
		}
		_ = first.Challenges()
	})
}
