package door

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gitaccess/gitaccess/access"
)

// Each application has a file of its own, and unsetup finds all of them and no others.
func TestJars(t *testing.T) {
	env, _ := testEnv(t)
	d, err := Open(env, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]access.App{}
	write := func(o access.Origin, path string) string {
		app := access.App{Origin: o, Path: path}
		file := d.Jar(app).Path
		if other, taken := files[file]; taken {
			t.Errorf("%v and %v have the file %s", app, other, file)
		}
		files[file] = app
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, path := range []string{"", "/a", "/A", "/a/b", "/a:b", "/a%3Ab", "/a%2Fb", "/../x", "/ü b"} {
		write(host, path)
	}
	kept := []string{write(host+":8443", "/a"), write("https://git.example.com.evil.test", ""), write("https://it.example.com", "")}
	if err := d.RemoveJars(host); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(d.State.Path("jar"), "*"))
	if err != nil || len(left) != len(kept) {
		t.Errorf("%q are left, want %q", left, kept)
	}
	for _, f := range kept {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
}
