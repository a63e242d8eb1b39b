package keystore_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/keystore"
)

func TestExport(t *testing.T) {
	dear, err := keystore.SealExport(nil, []byte("p"))
	must(t, err)
	if got, err := keystore.OpenExport(dear, []byte("p")); err != nil || len(got) != 0 || !bytes.Contains(dear, []byte("argon2id 3 65536 4 ")) {
		t.Errorf("%q, %v\n%s", got, err, dear)
	}
	keystore.CheapExports(t)
	secret := bytes.Repeat([]byte("a-secret-that-is-easy-to-find\n\x00"), 20)
	passphrase := []byte("correct horse battery staple")
	sealed, err := keystore.SealExport(secret, passphrase)
	must(t, err)
	if bytes.Contains(sealed, []byte("easy-to-find")) || bytes.ContainsFunc(sealed, func(r rune) bool { return r > '~' || r < ' ' && r != '\n' }) {
		t.Errorf("%q", sealed)
	}
	again, err := keystore.SealExport(secret, passphrase)
	must(t, err)
	if bytes.Equal(sealed, again) {
		t.Error("two exports are alike")
	}
	lines := strings.SplitAfter(string(sealed), "\n")
	text := string(sealed)
	change := func(i int, f func(string) string) string {
		l := append([]string(nil), lines...)
		l[i] = f(l[i])
		return strings.Join(l, "")
	}
	other := func(s string) string { // another letter in the midst
		b := []byte(s)
		if b[len(b)/2] == 'A' {
			b[len(b)/2] = 'B'
		} else {
			b[len(b)/2] = 'A'
		}
		return string(b)
	}
	for name, tt := range map[string]struct {
		text, passphrase string
		cause            keystore.ExportCause
	}{
		"as it is":                  {text, string(passphrase), ""},
		"mailed":                    {strings.ReplaceAll(text, "\n", "\r\n") + "\r\n\r\n", string(passphrase), ""},
		"wrong passphrase":          {text, "correct horse", keystore.WrongPassphrase},
		"no passphrase":             {text, "", keystore.WrongPassphrase},
		"without its end":           {strings.TrimSuffix(text, "end\n"), string(passphrase), keystore.CutExport},
		"cut in the midst":          {text[:len(text)/2], string(passphrase), keystore.CutExport},
		"cut after the first line":  {lines[0], string(passphrase), keystore.CutExport},
		"without a line":            {change(4, func(string) string { return "" }), string(passphrase), keystore.DamagedExport},
		"with another letter":       {change(3, other), string(passphrase), keystore.DamagedExport},
		"with something that is no": {change(3, func(string) string { return "%%%%\n" }), string(passphrase), keystore.DamagedExport},
		"empty":                     {"", string(passphrase), keystore.NotAnExport},
		"another file":              {"[user]\nname=x\n", string(passphrase), keystore.NotAnExport},
		"newer":                     {change(0, func(string) string { return "gitaccess-export 2\n" }), string(passphrase), keystore.NewerExport},
		"older than any":            {change(0, func(string) string { return "gitaccess-export 0\n" }), string(passphrase), keystore.NotAnExport},
		// Numbers that would keep whoever opens it busy, or its memory full.
		"many passes": {change(1, func(s string) string { return strings.Replace(s, " 1 ", " 4000000000 ", 1) }), string(passphrase), keystore.DamagedExport},
		"much memory": {change(1, func(s string) string { return strings.Replace(s, " 64 ", " 4000000000 ", 1) }), string(passphrase), keystore.DamagedExport},
		"no threads":  {change(1, func(s string) string { return strings.Replace(s, " 2 ", " 0 ", 1) }), string(passphrase), keystore.DamagedExport},
		"negative":    {change(1, func(s string) string { return strings.Replace(s, " 1 ", " -3 ", 1) }), string(passphrase), keystore.DamagedExport},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := keystore.OpenExport([]byte(tt.text), []byte(tt.passphrase))
			if tt.cause == "" {
				if err != nil || !bytes.Equal(got, secret) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				return
			}
			var e *keystore.ExportError
			if !errors.As(err, &e) || e.Cause != tt.cause || got != nil {
				t.Errorf("%q, %v; want %s", got, err, tt.cause)
			}
			if e != nil && tt.cause == keystore.NewerExport && (e.Version != 2 || !strings.Contains(e.Error(), "format 2")) {
				t.Errorf("%v", err)
			}
		})
	}
}

func FuzzOpenExport(f *testing.F) {
	sealed, err := keystore.SealExport([]byte("secret"), []byte("p"))
	must(f, err)
	f.Add(sealed)
	f.Add([]byte("gitaccess-export 1\nargon2id 1 8 1 AAAA AAAA AAAA\nAAAA\nend\n"))
	f.Add([]byte("gitaccess-export 9\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Contains(b, []byte("argon2id ")) && !bytes.Contains(b, []byte("argon2id 1 8 1 ")) {
			return // it costs what it is meant to cost
		}
		// Nobody without the passphrase makes one that opens.
		if got, err := keystore.OpenExport(b, []byte("another")); err == nil {
			t.Errorf("opened: %q", got)
		}
	})
}
