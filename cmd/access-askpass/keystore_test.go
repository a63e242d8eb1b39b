package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// What login.go looks for is what package keystore writes.
func TestSomethingKept(t *testing.T) {
	dir := t.TempDir()
	env := &cli.Env{Name: "access-askpass", Getenv: func(name string) string {
		return map[string]string{"ACCESS_STATE_DIR": dir, "DBUS_SESSION_BUS_ADDRESS": "unix:path=" + dir + "/none"}[name]
	}}
	d, err := door.Open(env, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &asked{env: env, door: d}
	if a.somethingKept() {
		t.Error("something is kept in an empty folder")
	}
	if _, err := d.Logins().Save(t.Context(), (githelper.Account{Protocol: "https", Host: "git.example.com", Username: "ada"}).Login(githelper.NewSecret("s"))); err != nil {
		t.Fatal(err)
	}
	if !a.somethingKept() {
		t.Error("what is kept is not looked for")
	}
}

// A machine with secrets of many servers, users and keys, for FuzzAnswers.
type machine struct {
	dir     string
	vars    map[string]string
	secrets map[string]string // secret → what must stand in the prompt that gets it
}

func newMachine(f testing.TB) *machine {
	f.Helper()
	dir := f.TempDir()
	m := &machine{dir: dir, secrets: map[string]string{}, vars: map[string]string{
		"ACCESS_STATE_DIR": filepath.Join(dir, "state"), "ACCESS_KEYSTORE": "file", "CI": "true",
		"ACCESS_ORIGIN_HOST": "job.example.com", "ACCESS_ORIGIN_USERNAME": "job", "ACCESS_ORIGIN_PASSWORD": "secret-of-job",
	}}
	d, err := door.Open(m.env(nil), nil)
	if err != nil {
		f.Fatal(err)
	}
	m.secrets["secret-of-job"] = "//job@job.example.com"
	for secret, a := range map[string]githelper.Account{
		"secret-of-ada":   {Protocol: "https", Host: "git.example.com", Username: "ada"},
		"secret-of-eve":   {Protocol: "https", Host: "git.example.com", Username: "eve"},
		"secret-of-port":  {Protocol: "https", Host: "git.example.com:8443", Username: "ada"},
		"secret-of-path":  {Protocol: "https", Host: "path.example.com", Path: "org/demo.git", Username: "ada"},
		"secret-of-plain": {Protocol: "http", Host: "plain.example.com", Username: "ada"},
	} {
		if _, err := d.Logins().Save(f.Context(), a.Login(githelper.NewSecret(secret))); err != nil {
			f.Fatal(err)
		}
		m.secrets[secret] = a.Protocol + "://" + a.Username + "@" + a.Host
	}
	for name, key := range sealedKeys {
		if err := os.WriteFile(filepath.Join(dir, name), key, 0o600); err != nil {
			f.Fatal(err)
		}
		m.secrets["secret-of-"+name] = name
	}
	m.keepPassphrases(f)
	return m
}

// keepPassphrases undoes that a prompt has made one forgotten.
func (m *machine) keepPassphrases(t testing.TB) {
	t.Helper()
	d, err := door.Open(m.env(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name := range sealedKeys {
		k, err := readKey([]string{filepath.Join(m.dir, name)})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Store.Put(t.Context(), k.store(), []byte("secret-of-"+name)); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *machine) env(out *strings.Builder) *cli.Env {
	return &cli.Env{
		Name: "access-askpass", Stdin: strings.NewReader(""), Stdout: out, Stderr: &strings.Builder{},
		Getenv: func(name string) string { return m.vars[name] }, Environ: func() []string { return nil },
	}
}

// Each of them does come out for the prompt that it belongs to.
func TestAnswers(t *testing.T) {
	m := newMachine(t)
	t.Chdir(m.dir)
	for _, tt := range [][2]string{
		// Another host, xn--git-9dc.example.com: first, since what was answered once is asked for the next time.
		{"Password for 'https://ada@g\u0130t.example.com': ", ""},
		{"Password for 'https://ada@g%C4%B0t.example.com': ", ""},
		{"Username for 'https://job.example.com': ", "job"},
		{"Password for 'https://job@job.example.com': ", "secret-of-job"},
		{"Password for 'https://ada@git.example.com': ", "secret-of-ada"},
		{"Password for 'https://eve@git.example.com': ", "secret-of-eve"},
		{`Password for "https://ada@git.example.com:8443"`, "secret-of-port"},
		{"Password for 'https://ada@path.example.com/org/demo.git': ", "secret-of-path"},
		{"Password for 'http://ada@plain.example.com': ", "secret-of-plain"},
		{"Enter passphrase for key 'id_one': ", "secret-of-id_one"},
		{"Enter passphrase for id_two: ", "secret-of-id_two"},
		{"Password for 'https://ada@path.example.com': ", ""},
		{"Password for 'https://ada@path.example.com/org/demo.git/x': ", ""},
		{"Password for 'https://git.example.com': ", ""},
		{"Password for 'https://bob@git.example.com': ", ""},
		{"Enter passphrase for id_three: ", ""},
		{"Enter passphrase for \"id_one\" (empty for no passphrase): ", ""},
		{"Bad passphrase, try again for id_two (will confirm each use): ", ""},
	} {
		prompt, want := tt[0], tt[1]
		var out strings.Builder
		env := m.env(&out)
		env.Args = []string{prompt}
		if err := run(t.Context(), env); strings.TrimSuffix(out.String(), "\n") != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", prompt, &out, err, want)
		}
	}
	// A file that fits in another reading: nobody knows which key it is about.
	os.RemoveAll(filepath.Join(m.vars["ACCESS_STATE_DIR"], "cache", "askpass"))
	m.keepPassphrases(t)
	if err := os.WriteFile("key 'id_one'", sealedKeys["id_two"], 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	env := m.env(&out)
	env.Args = []string{"Enter passphrase for key 'id_one': "}
	if err := run(t.Context(), env); err == nil || out.Len() > 0 {
		t.Errorf("%q, %v", &out, err)
	}
}

// lowerASCII leaves alone what strings.ToLower makes a letter of another host of.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c - 'A' + 'a'
		}
	}
	return string(b)
}

// No prompt makes the program give a secret to another host, user or key: whatever comes out stands, as a whole, for the place in the
// prompt that it belongs to.
func FuzzAnswers(f *testing.F) {
	m := newMachine(f)
	for _, row := range githelper.PromptTexts() {
		for _, v := range []string{"https://ada@git.example.com", "https://eve@git.example.com", "https://job@job.example.com", "https://ada@git.example.com:8443", "https://ada@path.example.com/org/demo.git", "id_one", "id_two", "http://ada@plain.example.com"} {
			f.Add(strings.ReplaceAll(row.Format, "…", v), "")
			f.Add(strings.ReplaceAll(row.Format, "…", `"`+v+`"`), "")
		}
	}
	f.Add("Password for 'https://ada@git.example.com@evil.example.com': ", "")
	f.Add("Password for 'https://git.example.com/@ada@evil.example.com': ", "")
	f.Add("Password for 'https://ada@git.example.com': ", "confirm")
	f.Add("Password for 'https://ada@g\u0130t.example.com': ", "")
	f.Fuzz(func(t *testing.T, prompt, hint string) {
		if strings.Contains(prompt, "\x00") {
			return // no argument
		}
		// Fuzzing wants to stay in its folder, so that the keys are named whole.
		prompt = strings.ReplaceAll(prompt, "id_", m.dir+"/id_")
		os.RemoveAll(filepath.Join(m.vars["ACCESS_STATE_DIR"], "cache", "askpass")) // each prompt is the first
		m.vars["SSH_ASKPASS_PROMPT"] = hint
		var out strings.Builder
		env := m.env(&out)
		env.Args = []string{prompt}
		err := run(t.Context(), env)
		answer := strings.TrimSuffix(out.String(), "\n")
		if strings.HasPrefix(prompt, "Bad passphrase") {
			m.keepPassphrases(t)
		}
		if (err == nil) != (out.Len() > 0) && !isFlag(prompt) {
			t.Fatalf("%q: %v with the output %q", prompt, err, &out)
		}
		if err != nil && strings.Contains(err.Error(), "secret-of") && !strings.Contains(prompt, "secret-of") {
			t.Fatalf("%q: an error tells a secret: %v", prompt, err)
		}
		place, ok := m.secrets[answer]
		switch {
		case answer == "" || !ok && !strings.Contains(answer, "secret-of"):
			return
		case !ok:
			t.Fatalf("%q is answered with a part of a secret: %q", prompt, answer)
		case hint == "confirm" || hint == "none" || strings.HasPrefix(prompt, "("):
			t.Fatalf("%q, %q is answered with %q", prompt, hint, answer)
		}
		// The place with nothing beside it that would make it another one: the quotation mark or the path ends a host.
		if !strings.HasPrefix(answer, "secret-of-id") {
			i := strings.Index(lowerASCII(prompt), place)
			rest := ""
			if i >= 0 {
				rest = strings.TrimPrefix(prompt[i+len(place):], ":443")
				rest = strings.TrimPrefix(rest, ":80")
			}
			plain := i >= 0 && (strings.HasPrefix(rest, "'") || strings.HasPrefix(rest, `"`) || strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, ":'") || strings.HasPrefix(rest, `:"`) || strings.HasPrefix(rest, ":/"))
			encoded := strings.ContainsAny(prompt, `%\`) // the same host or user in another spelling, which FuzzPromptOfServer looks at
			if !plain && !encoded || strings.LastIndex(prompt, "@") > i+len(place) {
				t.Fatalf("%q is answered with the secret of %s", prompt, place)
			}
			return
		}
		if !strings.Contains(prompt, place) {
			t.Fatalf("%q is answered with the passphrase of %s", prompt, place)
		}
	})
}
