//go:build unix

package doc

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	threatPackage = regexp.MustCompile("^`([a-z0-9/-]+)` ")
	threatTest    = regexp.MustCompile(`^(Test|Fuzz)[A-Z]\w*$`)
)

// Each promise of the threat model names the tests that show it, and they exist.
func TestThreatModel(t *testing.T) {
	promises := 0
	for line := range strings.Lines(readDocument(t, "contrib/doc/threat-model.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 2 || strings.HasPrefix(line, "|---") || strings.Contains(cells[1], "shown by") {
			continue
		}
		promises++
		for _, group := range strings.Split(strings.TrimSpace(cells[1]), "; ") {
			m := threatPackage.FindStringSubmatch(group)
			if m == nil {
				t.Errorf("%q names no package: %s", strings.TrimSpace(cells[0]), group)
				continue
			}
			dir := filepath.Join(root, m[1])
			for _, name := range strings.Split(group[len(m[0]):], ", ") {
				if !hasTest(t, dir, strings.TrimSpace(name)) {
					t.Errorf("%q: %s has no test %q", strings.TrimSpace(cells[0]), m[1], name)
				}
			}
		}
	}
	if promises < 30 {
		t.Errorf("only %d promises were found", promises)
	}
}

// hasTest reports whether the package has a test function or a script of the name.
func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if path != dir && !strings.Contains(path, "testdata") {
				return fs.SkipDir // another package
			}
		case strings.HasSuffix(name, ".txtar"):
			found = found || d.Name() == name
		case threatTest.MatchString(name) && strings.HasSuffix(path, "_test.go"):
			b, err := os.ReadFile(path)
			found = found || strings.Contains(string(b), "\nfunc "+name+"(")
			return err
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return found
}
