package scripttest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/access/accesstest"
)

func TestMain(m *testing.M) { Main(m, nil) }

func TestScripts(t *testing.T) { Run(t, &Options{Gits: Gits(t)}) }

// What the machine presets must not reach the programs under test: CI forbids logins, CURL_CA_BUNDLE and its like hide the edge's CA.
func TestEnvironIsOurs(t *testing.T) {
	for _, name := range []string{"CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "HTTPS_PROXY", "CI", "GIT_DIR", "SSH_AUTH_SOCK", "DISPLAY"} {
		t.Setenv(name, "preset")
	}
	w := NewWorld(t, Git{})
	for _, kv := range w.Environ() {
		if strings.Contains(kv, "preset") {
			t.Error(kv)
		}
	}
	out, err := w.Command(t.Context(), "git", "ls-remote", "https://open.example.com/demo.git", "HEAD").Output()
	if err != nil || !strings.HasSuffix(string(out), "HEAD\n") {
		t.Errorf("%q, %v", out, err)
	}
}

// Two logins of one person: the second finds the session that the first has left.
func TestPerson(t *testing.T) {
	w := NewWorld(t, Git{})
	hosts := []string{"git.example.com", "basic.example.com"}
	for i, host := range hosts {
		if out, err := w.Command(t.Context(), browserProgram, "https://"+host+"/demo.git/HEAD").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got := len(w.Tabs()); got != i+1 {
			t.Errorf("%d tabs, want %d", got, i+1)
		}
	}
	passed := func(host string) bool {
		return slices.ContainsFunc(w.Edge.Requests(accesstest.ToHost(host)), func(r accesstest.Request) bool {
			return r.Person == Person && (r.Status == 200 || r.Status == 401) // 401: the origin's own
		})
	}
	for _, host := range hosts {
		if !poll(func() bool { return passed(host) }) {
			t.Errorf("the person did not get in to %s", host)
		}
	}
}

func TestGits(t *testing.T) {
	gits := Gits(t)
	if !slices.IsSortedFunc(gits, func(a, b Git) int { return slices.Compare(a.version[:], b.version[:]) }) {
		t.Errorf("not oldest first: %v", gits)
	}
	for line, want := range map[string]bool{
		"git version 2.46.0": true, "git version 2.47.3\n": true, "git version 2.9.1": false, "git version 3.0": true, "git version 1.99": false,
		"git version 2.39.5 (Apple Git-154)": false, "git version 2.55.0-rc1": true, "git version 2.47.1.windows.2": true,
	} {
		if g, err := parseVersion(line); err != nil || g.AtLeast(2, 46) != want {
			t.Errorf("%q at least 2.46: %t, %v", line, !want, err)
		}
	}
	t.Setenv("ACCESS_TEST_GITS", gits[0].Path)
	if one := Gits(t); len(one) != 1 || one[0].Path != gits[0].Path {
		t.Errorf("ACCESS_TEST_GITS=%s gives %v", gits[0].Path, one)
	}
}

// A program that another package had built would run in place of the one that a test plays.
func TestBuild(t *testing.T) {
	Build(t, "access-edge", "access")
	dir := Build(t, "access-edge")
	found, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(found) != 1 || !strings.HasPrefix(filepath.Base(found[0]), "access-edge") {
		t.Errorf("%v, %v", found, err)
	}
}
