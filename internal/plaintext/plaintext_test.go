package plaintext

import (
	"strings"
	"testing"
	"unicode"
)

func TestLines(t *testing.T) {
	for in, want := range map[string]string{
		"":                           "",
		"grüße, 世界\n":                "grüße, 世界\n",
		"a\tb":                       "a b",
		"\x1b[2Jcleared\x07":         "\ufffd[2Jcleared\ufffd",
		"over\rwritten":              "over\ufffdwritten",
		"one\u0085two\u2028three":    "one\ufffdtwo\ufffdthree",
		"yes\u202eon\u2066\u2069":    "yes\ufffdon\ufffd\ufffd",
		"not UTF-8: \x9b31m\xff end": "not UTF-8: \ufffd31m\ufffd end",
	} {
		if got := Lines(in); got != want {
			t.Errorf("Lines(%q) = %q, want %q", in, got, want)
		}
	}
	if got := Line("one\ntwo"); got != "one\ufffdtwo" {
		t.Errorf("%q", got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("\x1b]0;title\x07\n\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := Line(s)
		if strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("%q", got)
		}
		if Line(got) != got {
			t.Errorf("%q is not the last word on %q", got, s)
		}
	})
}
