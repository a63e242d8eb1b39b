package main

import (
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// An administrator turns Managed OAuth on for an application that git has a session of. Access refuses the cookie with a 401 now, and
// the helper finds out in the middle of the same command.
func TestManagedOAuthIsTurnedOn(t *testing.T) {
	for _, g := range scripttest.Gits(t) {
		if !g.AtLeast(2, 46) {
			continue // it has no second round
		}
		t.Run(g.Name, func(t *testing.T) {
			w := scripttest.NewWorld(t, g)
			w.Set("ACCESS_INTERACTIVE=always")
			run := func(name string, args ...string) string {
				t.Helper()
				out, err := w.Command(t.Context(), name, args...).CombinedOutput()
				if err != nil {
					t.Fatalf("%s %q: %v\n%s", name, args, err, out)
				}
				return string(out)
			}
			run("access", "setup", "git", "git.example.com")
			w.Apps["git.example.com"].Set(func(a *accesstest.App) { a.OAuth = &accesstest.OAuth{RefuseJWT: true} })
			w.Edge.ClearLog()
			run("git", "ls-remote", "https://git.example.com/demo.git")
			var seen []string
			for _, r := range w.Edge.Requests(accesstest.ToHost("git.example.com"), accesstest.ToPath("/demo.git"), accesstest.ByProgram) {
				seen = append(seen, r.Method+" "+string(r.Credentials[0].Kind))
			}
			if got := strings.Join(seen, ", "); got != "GET CF_Authorization, GET bearer, POST bearer" {
				t.Errorf("git sent %s", got)
			}
			if n := len(w.Tabs()); n != 2 {
				t.Errorf("%d pages were opened", n)
			}
		})
	}
}
