package githelper

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shown is a login in a line, secrets included.
func shown(s StoredLogin) string {
	return fmt.Sprintf("%s://%s/%s %q %q", s.Protocol, s.Host, s.Path, *s.Username, s.Password.Reveal())
}

func checkLogins(t *testing.T, logins []StoredLogin, skipped []LineError, want []string, wantSkipped []LineError) {
	t.Helper()
	var got []string
	for _, s := range logins {
		got = append(got, shown(s))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(wantSkipped, skipped); d != "" {
		t.Error(d)
	}
}

func TestReadCredentialStore(t *testing.T) {
	for name, tt := range map[string]struct {
		file    string
		want    []string
		skipped []LineError
	}{
		"empty":       {"", nil, nil},
		"one":         {"https://ada:secret@github.com\n", []string{`https://github.com/ "ada" "secret"`}, nil},
		"unended":     {"https://ada:secret@github.com", []string{`https://github.com/ "ada" "secret"`}, nil},
		"escaped":     {"https://a%40b:p%3A%2F%25%20%c3%a9@Host.tld%3a8443/org/r%20.git\n", []string{`https://host.tld:8443/org/r .git "a@b" "p:/% é"`}, nil},
		"its port":    {"https://u:p@h.tld:443/\nhttp://u:p@h.tld\n", []string{`https://h.tld/ "u" "p"`, `http://h.tld/ "u" "p"`}, nil},
		"Windows":     {"https://u:p@h.tld\r\n\r\n# comment\r\n", []string{`https://h.tld/ "u" "p"`}, nil},
		"in order":    {"https://a:1@h.tld\nhttps://b:2@h.tld\n", []string{`https://h.tld/ "a" "1"`, `https://h.tld/ "b" "2"`}, nil},
		"empty parts": {"https://:@h.tld\n", []string{`https://h.tld/ "" ""`}, nil},
		"cert":        {"cert://:p@/home/me/c.pem\n", []string{`cert:///home/me/c.pem "" "p"`}, nil},
		"hostile": {
			"https://u:p@h.tld%0ahost=evil\nhttps://u:p%00q@h.tld\nhttps://u:p@h%0d.tld\nno url\nhttps://u@h.tld\nhttps://h.tld\n" +
				"https://u:p@\nhttps://u:p%zz@h.tld\n://u:p@h.tld\nhttps://u:p@good.tld\nhttps://u:p\r@h.tld\n" + "https://u:" + strings.Repeat("x", 70000) + "@h.tld\n",
			[]string{`https://good.tld/ "u" "p"`},
			[]LineError{
				{1, "the URL hides a line break or a null byte"}, {2, "the URL hides a line break or a null byte"}, {3, "the URL hides a line break or a null byte"},
				{4, "the URL has no scheme"}, {5, "it has no user name with a password"}, {6, "it has no user name with a password"},
				{7, "it names no host"}, {8, "the URL has a bad escape"}, {9, "the URL has no scheme"},
				{11, "it contains a carriage return or a null byte"}, {12, "it is too long"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			logins, skipped := ReadCredentialStore([]byte(tt.file))
			checkLogins(t, logins, skipped, tt.want, tt.skipped)
		})
	}
}

func TestReadNetrc(t *testing.T) {
	for name, tt := range map[string]struct {
		file    string
		want    []string
		skipped []LineError
	}{
		"empty":                          {"", nil, nil},
		"one line":                       {"machine h.tld login ada password secret\n", []string{`https://h.tld/ "ada" "secret"`}, nil},
		"many lines":                     {"machine\n  H.tld\n\tlogin ada\n  password secret\nmachine g.tld login b password c", []string{`https://h.tld/ "ada" "secret"`, `https://g.tld/ "b" "c"`}, nil},
		"port":                           {"machine h.tld:8443 login a password b\nmachine h.tld port 8444 protocol http login a password b", []string{`https://h.tld:8443/ "a" "b"`, `http://h.tld:8444/ "a" "b"`}, nil},
		"quoted":                         {`machine h.tld login "a b" password "p\"q\\r\tx # y"` + "\n", []string{`https://h.tld/ "a b" "p\"q\\r\tx # y"`}, nil},
		"comments":                       {"# machine no.tld login a password b\n  # more\nmachine h.tld login a password #notacomment\n", []string{`https://h.tld/ "a" "#notacomment"`}, nil},
		"macros":                         {"machine h.tld login a password b\nmacdef init\nmachine no.tld login x password y\n\nmachine g.tld account z login c password d\n", []string{`https://h.tld/ "a" "b"`, `https://g.tld/ "c" "d"`}, nil},
		"a login that is called machine": {"machine h.tld login machine password default\n", []string{`https://h.tld/ "machine" "default"`}, nil},
		"not taken": {
			"machine h.tld login a\nmachine g.tld password b\ndefault login anonymous password me@\nmachine bad/host login a password b\nmachine\n",
			nil,
			[]LineError{
				{1, "it has no login with a password"}, {2, "it has no login with a password"},
				{3, "it is for every host, which git's helpers know nothing of"}, {4, "it names no host"},
				{5, "it is for every host, which git's helpers know nothing of"},
			},
		},
		"hostile": {
			"machine h.tld login a password \"b\\nhost=evil\"\nmachine i.tld login a password \"open\nmachine j.tld login a password b surprise\nmachine k.tld login a password b\n",
			[]string{`https://k.tld/ "a" "b"`},
			[]LineError{
				{2, "it has an open quotation mark"},
				{1, "it has a line break, a null byte or a length that git does not take"},
				{2, "it has a line break, a null byte or a length that git does not take"},
				{3, "it has a word that netrc files do not have"},
				{3, "it is mixed with words that netrc files do not have"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			logins, skipped := ReadNetrc([]byte(tt.file))
			checkLogins(t, logins, skipped, tt.want, tt.skipped)
		})
	}
}

// Whatever is in a file: what is taken can be told to git, as it is, and no message repeats a secret.
func FuzzLoginFiles(f *testing.F) {
	f.Add([]byte("https://ada:secret@github.com/a.git\nhttps://u%0a:p@h\n"))
	f.Add([]byte("machine h.tld login a password \"b\\nhost=evil.tld\"\n"))
	f.Add([]byte("machine h.tld login \"a\\\"\" password b\ndefault login x password y\nmacdef z\nq\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, read := range []func([]byte) ([]StoredLogin, []LineError){ReadCredentialStore, ReadNetrc} {
			logins, skipped := read(b)
			for _, s := range logins {
				l := &Logins{Store: &loginMemory{m: map[string][]byte{}}}
				if _, err := l.Add(t.Context(), s, false); err != nil {
					t.Fatalf("%s: %v", shown(s), err)
				}
				r := &Request{Protocol: s.Protocol, Host: s.Host, Path: s.Path, Username: *s.Username, given: map[string]bool{"username": true}}
				a, err := l.Get(t.Context(), r)
				if err != nil || a == nil || a.Login.Username != *s.Username || !a.Login.Password.Equal(*s.Password) {
					t.Fatalf("%s comes back as %v, %v", shown(s), a, err)
				}
				if _, err := a.encode(); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range skipped {
				if s.Line < 1 || s.Problem == "" {
					t.Errorf("%+v", s)
				}
			}
		}
	})
}
