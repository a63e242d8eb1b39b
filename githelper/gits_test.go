package githelper

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// testGits returns the gits to test with.
func testGits(t *testing.T) []*Git {
	t.Helper()
	var all []*Git
	for _, g := range scripttest.Gits(t) {
		found, err := FindGit(t.Context(), g.Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found)
	}
	return all
}

// eachGit runs f once for each git, with a home and an environment of its own.
func eachGit(t *testing.T, f func(t *testing.T, g *Git)) {
	for _, g := range testGits(t) {
		t.Run(g.Version.String(), func(t *testing.T) {
			home := t.TempDir()
			g.Dir = home
			g.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool {
				return strings.HasPrefix(kv, "GIT_") || strings.HasPrefix(kv, "XDG_") || strings.HasPrefix(kv, "HTTP")
			}), "HOME="+home, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C")
			f(t, g)
		})
	}
}

func (g *Git) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := g.Output(t.Context(), args...)
	if err != nil {
		t.Fatalf("git %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}
