package githelper

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

func TestDiff(t *testing.T) {
	for _, tt := range []struct{ name, from, to, want string }{
		{"nothing", "a\nb\n", "a\nb\n", ""},
		{"added at the end", "a\nsecret\n", "a\nsecret\nx\ny\n", "--- f\n+++ f\n@@ -2,0 +3,2 @@\n+x\n+y\n"},
		{"no line feed", "a", "a\nx", "--- f\n+++ f\n@@ -1,1 +1,2 @@\n-a\n\\ No newline at end of file\n+a\n+x\n\\ No newline at end of file\n"},
		{"two places", "x\na\nb\nc\n", "a\nb\nc\ny\n", "--- f\n+++ f\n@@ -1,1 +0,0 @@\n-x\n@@ -4,0 +4,1 @@\n+y\n"},
	} {
		if d := cmp.Diff(tt.want, Diff("f", []byte(tt.from), []byte(tt.to))); d != "" {
			t.Errorf("%s: -want +got\n%s", tt.name, d)
		}
	}
	if d := cmp.Diff("--- /dev/null\n+++ f\n@@ -0,0 +1,1 @@\n+a\n", Diff("f", nil, []byte("a\n"))); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if d := cmp.Diff("--- f\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n", Diff("f", []byte("a\n"), nil)); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// patch(1) makes the one of the other by what Diff says.
func FuzzDiff(f *testing.F) {
	patch := scripttest.Need(f, "patch", "patch")
	f.Add("a\nb\nc\nd\n", "b\nc\nx\nd")
	f.Add("x\nx\ny\n", "y\nx\nx\n")
	f.Add("a", "a\n")
	f.Fuzz(func(t *testing.T, from, to string) {
		for _, s := range []string{from, to} {
			for i := range len(s) {
				if s[i] != '\n' && (s[i] < 'a' || s[i] > 'z') { // patch treats other bytes as it likes
					return
				}
			}
		}
		if from == "" || to == "" {
			return // patch removes an empty file
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, []byte(from), 0o600); err != nil {
			t.Fatal(err)
		}
		d := Diff("f", []byte(from), []byte(to))
		if (d == "") != (from == to) {
			t.Fatalf("%q, %q: diff %q", from, to, d)
		}
		if d == "" {
			return
		}
		if err := os.WriteFile(filepath.Join(dir, "d"), []byte(d), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(patch, "-s", "--no-backup-if-mismatch", path, filepath.Join(dir, "d")).CombinedOutput()
		got, _ := os.ReadFile(path)
		if err != nil || string(got) != to {
			t.Fatalf("%q to %q by %q: got %q, %v, %s", from, to, d, got, err, out)
		}
	})
}
