package scripttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Missing ends a test that cannot run without a part of the machine, and names the package that has it. It is a skip for people,
// and a failure with CI=true, where everything can be installed.
func Missing(t testing.TB, what, pkg string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(missing(what, pkg))
	}
	t.Skip(missing(what, pkg))
}

func missing(what, pkg string) string {
	return fmt.Sprintf("%s is missing: install %s (contrib/testbed/install)", what, pkg)
}

// Need returns the path of a program, or ends the test as Missing does.
func Need(t testing.TB, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil && program == "sshd" {
		path, err = exec.LookPath("/usr/sbin/sshd") // people's PATH has no sbin
	}
	if err != nil {
		Missing(t, program, pkg)
	}
	return path
}

// A Git is one to test with.
type Git struct {
	Name string // for subtests: git-2.47.3
	Path string

	version [3]int
}

// AtLeast says whether the git is of this version or later.
func (g Git) AtLeast(major, minor int) bool {
	return slices.Compare(g.version[:2], []int{major, minor}) >= 0
}

// Gits returns the gits to test with, oldest first: those in ACCESS_TEST_GITS (a list like PATH), else the machine's own and those
// that contrib/testbed/install has put beside it. One that could not be had is a subtest that says so.
func Gits(t *testing.T) []Git {
	t.Helper()
	paths := filepath.SplitList(os.Getenv("ACCESS_TEST_GITS"))
	if len(paths) == 0 {
		paths = append(paths, Need(t, "git", "git"))
		for _, suites := range [][]string{{"bullseye"}, {"trixie"}, {"sid", "forky"}} {
			path := ofSuite(suites)
			if path == "" {
				t.Run("git-of-"+suites[0], func(t *testing.T) { Missing(t, "the git of Debian "+suites[0], "it by contrib/testbed/newgit") })
				continue
			}
			paths = append(paths, path)
		}
	}
	var gits []Git
	for _, path := range paths {
		g, err := gitAt(path)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(gits, func(o Git) bool { return o.Name == g.Name }) {
			gits = append(gits, g)
		}
	}
	slices.SortFunc(gits, func(a, b Git) int { return slices.Compare(a.version[:], b.version[:]) })
	return gits
}

func gitAt(path string) (Git, error) {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return Git{}, fmt.Errorf("%s --version: %w", path, err)
	}
	g, err := parseVersion(string(out))
	g.Path = path
	return g, err
}

// GitOf is a git of this version that cannot be run, for tables of what holds for which.
func GitOf(version string) Git {
	g, err := parseVersion("git version " + version)
	if err != nil {
		panic(err)
	}
	return g
}

// parseVersion reads "git version 2.39.5 (Apple Git-154)" and its like.
func parseVersion(line string) (Git, error) {
	words := strings.Fields(line)
	var g Git
	if len(words) < 3 {
		return g, fmt.Errorf("git --version prints %q", line)
	}
	g.Name = "git-" + words[2]
	// The third number may be missing or be "0-rc1".
	if n, _ := fmt.Sscanf(words[2], "%d.%d.%d", &g.version[0], &g.version[1], &g.version[2]); n < 2 {
		return g, fmt.Errorf("git --version prints %q", line)
	}
	return g, nil
}

// ofSuite looks where contrib/testbed/install puts gits.
func ofSuite(suites []string) string {
	if runtime.GOOS != "linux" {
		return ""
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	for _, suite := range suites {
		for _, dir := range []string{"/opt", cache} {
			path := filepath.Join(dir, "gitaccess-testbed", "git-"+suite, "bin", "git")
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
	}
	return ""
}
