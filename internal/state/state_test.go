package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOpenFindsTheFolderOfEachSystem(t *testing.T) {
	abs := func(p string) string {
		if runtime.GOOS == "windows" {
			return `C:` + filepath.FromSlash(p)
		}
		return p
	}
	tests := []struct {
		name, goos string
		env        map[string]string
		want       string // "" is an error
	}{
		{"linux", "linux", map[string]string{"HOME": abs("/h")}, abs("/h/.local/state/gitaccess")},
		{"xdg", "linux", map[string]string{"HOME": abs("/h"), "XDG_STATE_HOME": abs("/s")}, abs("/s/gitaccess")},
		{"xdg relative is ignored", "linux", map[string]string{"HOME": abs("/h"), "XDG_STATE_HOME": "s"}, abs("/h/.local/state/gitaccess")},
		{"freebsd", "freebsd", map[string]string{"HOME": abs("/h")}, abs("/h/.local/state/gitaccess")},
		{"macos", "darwin", map[string]string{"HOME": abs("/h"), "XDG_STATE_HOME": abs("/s")}, abs("/h/Library/Application Support/gitaccess")},
		{"windows", "windows", map[string]string{"HOME": abs("/h"), "LocalAppData": abs("/l")}, abs("/l/gitaccess")},
		{"override", "linux", map[string]string{"ACCESS_STATE_DIR": abs("/x/y/"), "HOME": abs("/h")}, abs("/x/y")},
		{"override on windows", "windows", map[string]string{"ACCESS_STATE_DIR": abs("/x")}, abs("/x")},
		{"override must be absolute", "linux", map[string]string{"ACCESS_STATE_DIR": "x", "HOME": abs("/h")}, ""},
		{"nothing set", "linux", nil, ""},
		{"home relative", "darwin", map[string]string{"HOME": "."}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := open(tt.goos, func(k string) string { return tt.env[k] })
			if tt.want == "" {
				if err == nil {
					t.Fatalf("got %q, want an error", d.Path())
				}
				return
			}
			if err != nil || d.Path() != tt.want {
				t.Errorf("got %q, %v, want %q", d.Path(), err, tt.want)
			}
		})
	}
}

func TestPathKeepsEveryNameInsideAndApart(t *testing.T) {
	d := Dir{filepath.FromSlash("/r")}
	names := []string{
		"a", "A", "a/b", "a%2Fb", "a:b", "a b", "..", ".", "x/../../etc/passwd", ".hidden", "a.", "con", "CON", "con.txt", "com1", "lpt9.x",
		"git.example.com", "git.example.com:8443", "ünï", "\x00", `a\b`, strings.Repeat("l", 300), strings.Repeat("l", 301), "%63on",
	}
	seen := map[string]string{}
	for _, n := range names {
		p := d.Path(n)
		if rel, err := filepath.Rel(d.root, p); err != nil || !filepath.IsLocal(rel) {
			t.Errorf("%q: %q is outside", n, p)
		}
		if len(filepath.Base(p)) > 200 {
			t.Errorf("%q: %q is too long", n, p)
		}
		low := strings.ToLower(p) // as a file system may compare them
		if other, ok := seen[low]; ok {
			t.Errorf("%q and %q are both %q", n, other, p)
		}
		seen[low] = n
	}
	if got, want := d.Path("app", "git.example.com"), filepath.FromSlash("/r/app/git.example.com"); got != want {
		t.Errorf("got %q, want %q: plain names should stay readable", got, want)
	}
	if d.Path("a", "b") != d.Path("a/b") || d.Path() != d.root {
		t.Error("elements are not joined as in names")
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"a/b", "..", "/", "con.x", "%%", "0..0", "\xff"} {
		f.Add(s)
	}
	d := Dir{filepath.FromSlash("/r")}
	f.Fuzz(func(t *testing.T, name string) {
		p := d.Path(name)
		if p != d.root && !strings.HasPrefix(p, d.root+string(filepath.Separator)) {
			t.Errorf("%q: %q", name, p)
		}
		for e := range strings.SplitSeq(filepath.ToSlash(p), "/") {
			if len(e) > 200 || strings.HasSuffix(e, ".") || strings.HasPrefix(e, ".") {
				t.Errorf("%q: element %q", name, e)
			}
		}
	})
}

func open1(t *testing.T) Dir {
	t.Helper()
	d, err := Open(func(string) string { return filepath.Join(t.TempDir(), "deep", "er") })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSaveLoadRemove(t *testing.T) {
	d := open1(t)
	if _, err := d.Load("a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("before anything was saved: %v", err)
	}
	if err := d.Remove("a/b"); err != nil {
		t.Fatalf("remove of nothing: %v", err)
	}
	for _, want := range []string{"one", "", strings.Repeat("x", 1<<20), "two"} {
		if err := d.Save("a/b", []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Load("a/b"); err != nil || string(got) != want {
			t.Fatalf("got %d bytes, %v, want %d", len(got), err, len(want))
		}
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]fs.FileMode{d.Path("a/b"): 0o600, d.Path("a"): 0o700 | fs.ModeDir, d.Path(): 0o700 | fs.ModeDir} {
			if info, err := os.Stat(path); err != nil || info.Mode() != want {
				t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
			}
		}
	}
	if left, _ := os.ReadDir(d.Path("a")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if err := d.Remove("a/b"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load("a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("after remove: %v", err)
	}
	for _, name := range []string{"", "/", "//"} {
		if err := d.Save(name, nil); err == nil {
			t.Errorf("name %q was taken for a file", name)
		}
	}
}

func TestRefusesWhatIsNotOurs(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs symbolic links and modes; Windows is covered by its access lists")
	}
	elsewhere := t.TempDir()
	tests := []struct {
		name  string
		spoil func(t *testing.T, d Dir)
	}{
		{"file is a link", func(t *testing.T, d Dir) {
			must(t, os.Remove(d.Path("a/b")))
			must(t, os.WriteFile(elsewhere+"/target", []byte("planted"), 0o600))
			must(t, os.Symlink(elsewhere+"/target", d.Path("a/b")))
		}},
		{"file is a link into the same folder", func(t *testing.T, d Dir) {
			must(t, os.Rename(d.Path("a/b"), d.Path("a/c")))
			must(t, os.Symlink("c", d.Path("a/b")))
		}},
		{"folder is a link", func(t *testing.T, d Dir) {
			must(t, os.Rename(d.Path("a"), elsewhere+"/a"))
			must(t, os.Symlink(elsewhere+"/a", d.Path("a")))
		}},
		{"our folder is a link", func(t *testing.T, d Dir) {
			must(t, os.Rename(d.Path(), elsewhere+"/root"))
			must(t, os.Symlink(elsewhere+"/root", d.Path()))
		}},
		{"file is a pipe", func(t *testing.T, d Dir) {
			must(t, os.Remove(d.Path("a/b")))
			must(t, mkfifo(d.Path("a/b")))
		}},
		{"folder can be written to by others", func(t *testing.T, d Dir) { must(t, os.Chmod(d.Path(), 0o777)) }},
		{"folder belongs to another user", func(t *testing.T, d Dir) {
			if os.Geteuid() != 0 {
				t.Skip("needs root to give a folder away")
			}
			must(t, os.Chown(d.Path("a"), 12345, -1))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := open1(t)
			must(t, d.Save("a/b", []byte("ours")))
			tt.spoil(t, d)
			var unsafe *UnsafePathError
			if b, err := d.Load("a/b"); !errors.As(err, &unsafe) {
				t.Errorf("load: %q, %v", b, err)
			}
			if err := d.Save("a/b", []byte("new")); !errors.As(err, &unsafe) {
				t.Errorf("save: %v", err)
			}
			if b, _ := os.ReadFile(elsewhere + "/target"); len(b) > 0 && string(b) != "planted" {
				t.Errorf("written through the link: %q", b)
			}
		})
	}
}

func TestReadersNeverSeeHalfAWrite(t *testing.T) {
	d := open1(t)
	content := func(i int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("%04d", i)), 5000) }
	must(t, d.Save("f", content(0)))
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				b, err := d.Load("f")
				if err != nil || len(b) != 20000 || !bytes.Equal(b, bytes.Repeat(b[:4], 5000)) {
					t.Errorf("%d bytes, %v", len(b), err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
		writers.Go(func() {
			for i := range 50 {
				if err := d.Save("f", content(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

func TestWriteSweepsWhatKilledWritersLeft(t *testing.T) {
	d := open1(t)
	must(t, d.Save("f", nil))
	old, young := d.Path()+"/"+tempPrefix+"old", d.Path()+"/"+tempPrefix+"young"
	must(t, os.WriteFile(old, []byte("secret"), 0o600))
	must(t, os.WriteFile(young, nil, 0o600))
	must(t, os.Chtimes(old, time.Time{}, time.Now().Add(-2*tempAge)))
	must(t, d.Save("f", nil))
	if _, err := os.Lstat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old one is still there: %v", err)
	}
	if _, err := os.Lstat(young); err != nil {
		t.Errorf("another writer's file was taken away: %v", err)
	}
}

func TestWriteFileKeepsTheModeAskedFor(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes on Windows")
	}
	path := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(path, []byte("wide open"), 0o666))
	must(t, os.Chmod(path, 0o666))
	for _, perm := range []fs.FileMode{0o600, 0o644} {
		must(t, WriteFile(path, nil, perm))
		if info, err := os.Stat(path); err != nil || info.Mode() != perm {
			t.Errorf("%v, %v, want %v", info.Mode(), err, perm)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
