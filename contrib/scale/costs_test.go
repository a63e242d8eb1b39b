package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

func TestMain(m *testing.M) {
	scripttest.Main(m, nil, "access", "git-credential-access")
}

// What the simulation reckons with is what the programs ask.
func TestCosts(t *testing.T) {
	w := scripttest.NewWorld(t, scripttest.Git{})
	w.Set("ACCESS_INTERACTIVE=always")
	count := func(name string, want cost, do func()) {
		t.Helper()
		w.Edge.ClearLog()
		do()
		got := cost{}
		for _, r := range w.Edge.Requests(accesstest.ByProgram) {
			switch {
			case r.Host == w.Team.Domain() || r.Host == "login.cloudflareaccess.org":
				got.Identity++
			default:
				got.Edge++
			}
		}
		if got != want {
			t.Errorf("%s: %+v, the table says %+v", name, got, want)
			for _, r := range w.Edge.Requests(accesstest.ByProgram) {
				t.Logf("  %v", r)
			}
		}
	}
	run := func(stdin string, args ...string) func() {
		return func() {
			t.Helper()
			cmd := w.Command(t.Context(), args[0], args[1:]...)
			cmd.Stdin = strings.NewReader(stdin)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, out)
			}
		}
	}
	get := func(host string) func() {
		return run("capability[]=authtype\ncapability[]=state\nprotocol=https\nhost="+host+"\n\n", "git-credential-access", "get")
	}
	count("first login", firstLogin, run("", "access", "login", "git.example.com"))
	count("next application", nextApp, run("", "access", "token", "basic.example.com"))
	w.Apps["oauth.example.com"].Set(func(a *accesstest.App) { a.OAuth.AccessLifetime = time.Second })
	count("OAuth login", oauthLogin, run("", "access", "login", "oauth.example.com"))
	time.Sleep(2 * time.Second) // the token's life
	w.Apps["oauth.example.com"].Set(func(a *accesstest.App) { a.OAuth.AccessLifetime = 0 })
	count("OAuth refresh", oauthRefresh, run("", "access", "token", "oauth.example.com"))
	run("", "access", "setup", "git", "git.example.com")()
	count("warm", warm, get("git.example.com"))
}

// The table in the document is the program's.
func TestDocument(t *testing.T) {
	var out strings.Builder
	if err := table(&out, large); err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../doc/scale.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), "```\n"+out.String()+"```") {
		t.Errorf("contrib/doc/scale.md has another table than:\n%s", &out)
	}
	for _, row := range []struct {
		event string
		cost
	}{
		{"a person's first login", firstLogin}, {"each further application", nextApp}, {"a login with Managed OAuth", oauthLogin}, {"an access token that has ended", oauthRefresh},
		{"a session that was not tried", check}, {"any other command", warm}, {"a job of CI", serviceToken},
	} {
		want := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %s[^|]* \| %d \| %d \|$`, row.event, row.Edge, row.Identity))
		if !want.Match(doc) {
			t.Errorf("contrib/doc/scale.md does not say that %q costs %+v", row.event, row.cost)
		}
	}
}
