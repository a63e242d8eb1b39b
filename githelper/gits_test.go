package githelper

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// testGits returns the gits to test with: those in ACCESS_TEST_GITS, else the machine's own and those of the test bed.
func testGits(t *testing.T) []*Git {
	t.Helper()
	var paths []string
	if list := os.Getenv("ACCESS_TEST_GITS"); list != "" {
		paths = filepath.SplitList(list)
	} else {
		if own, err := exec.LookPath("git"); err == nil {
			paths = append(paths, own)
		}
		more, _ := filepath.Glob("/opt/gitaccess-testbed/git-*/bin/git")
		paths = append(paths, more...)
	}
	var all []*Git
	for _, path := range paths {
		g, err := FindGit(t.Context(), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	if len(all) == 0 {
		t.Skip("there is no git: install the package git")
	}
	slices.SortFunc(all, func(a, b *Git) int {
		return (a.Version.Major-b.Version.Major)*1000 + a.Version.Minor - b.Version.Minor
	})
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
