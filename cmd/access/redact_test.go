package main

import (
	"bytes"
	"strings"
	"testing"
)

func FuzzRedactor(f *testing.F) {
	f.Add("> cookie: CF_Authorization=eyJx.secret.y\r\n", 3)
	f.Add("* h2h3 [cf-access-client-secret: secret]\n> x", 7)
	f.Add("< set-cookie: CF_Authorization=abc; Path=/\n", 1)
	f.Add("Enter host password for user 'ada':", 5)
	f.Add("*sec", 4)
	f.Fuzz(func(t *testing.T, s string, step int) {
		var out bytes.Buffer
		r := &redactor{w: &out, secrets: [][]byte{[]byte("secret")}}
		step = min(max(step, 1), 64)
		verbose := true // each line is one of curl's own words
		for l := range strings.Lines(strings.ReplaceAll(s, "\r", "\n")) {
			verbose = verbose && strings.Contains("*><", l[:1])
		}
		for rest := s; rest != ""; {
			n := min(step, len(rest))
			if m, err := r.Write([]byte(rest[:n])); m != n || err != nil {
				t.Fatal(m, err)
			}
			rest = rest[n:]
		}
		r.end()
		if verbose && strings.Contains(out.String(), "secret") {
			t.Errorf("%q gave %q", s, out.String())
		}
		if !strings.Contains(s, "secret") && !strings.Contains(s, "CF_") && !credentialHeaders().MatchString(s) && out.String() != s {
			t.Errorf("%q gave %q", s, out.String())
		}
	})
}

func TestRedactor(t *testing.T) {
	var out bytes.Buffer
	r := &redactor{w: &out, secrets: [][]byte{[]byte("hunter2")}}
	r.Write([]byte("Enter host password:"))
	if out.String() != "Enter host password:" {
		t.Errorf("a question waits: %q", out.String())
	}
	r.Write([]byte("\n> x: hun"))
	r.Write([]byte("ter2\r\n< set-cookie: CF_Authorization=abc.def; Secure\n* done"))
	r.end()
	if want := "Enter host password:\n> x: [redacted]\r\n< set-cookie: CF_Authorization=[redacted]; Secure\n* done"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}

// curl writes the time before a line, and cuts a line that is long.
func TestRedactorOfOddLines(t *testing.T) {
	var out bytes.Buffer
	r := &redactor{w: &out, secrets: [][]byte{[]byte("oauth:hunter2")}}
	for _, s := range []string{"03:50:01.123456 > x: oauth:hun", "ter2\r\n* h2 [authorization: Bearer oauth:hunt...\n", "* [cf-access-client-secret: hun]\n"} {
		r.Write([]byte(s))
	}
	r.end()
	want := "03:50:01.123456 > x: [redacted]\r\n* h2 [authorization: Bearer [redacted]\n* [cf-access-client-secret: [redacted]]\n"
	if out.String() != want {
		t.Errorf("%q", out.String())
	}
}
