package githelper

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newJar(t *testing.T) *Jar {
	return &Jar{Path: filepath.Join(t.TempDir(), "a", "b", "jar"), Host: "git.example.com"}
}

var later = time.Unix(4102444800, 0) // 2100

func TestJarSave(t *testing.T) {
	j := newJar(t)
	if _, err := j.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a missing jar: %v", err)
	}
	cookies := []Cookie{
		{Name: "CF_Authorization", Value: NewSecret("eyJ.a-b_c.d"), Path: "/", Expires: later, HTTPOnly: true},
		{Name: "other", Value: NewSecret("a=b"), Path: "/team"},
	}
	if err := j.Save(cookies); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(j.Path)
	if err != nil {
		t.Fatal(err)
	}
	want := "# Netscape HTTP Cookie File\n" +
		"#HttpOnly_git.example.com\tFALSE\t/\tTRUE\t4102444800\tCF_Authorization\teyJ.a-b_c.d\n" +
		"git.example.com\tFALSE\t/team\tTRUE\t0\tother\ta=b\n"
	if string(b) != want {
		t.Errorf("the file has %q", b)
	}
	if runtime.GOOS != "windows" {
		for path, mode := range map[string]fs.FileMode{j.Path: 0o600, filepath.Dir(j.Path): 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: %v, %v", path, info.Mode(), err)
			}
		}
	}
	got, err := j.Load()
	if d := cmp.Diff(cookies, got); err != nil || d != "" {
		t.Errorf("%v; -want +got\n%s", err, d)
	}
	if err := j.Remove(); err != nil {
		t.Error(err)
	}
	if err := j.Remove(); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(j.Path)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestJarLoadSkipsWhatIsNotForTheHost(t *testing.T) {
	j := newJar(t)
	cookies := []Cookie{
		{Name: "a", Value: NewSecret("1"), Expires: time.Unix(1000, 0)}, // expired
		{Name: "b", Value: NewSecret("2")},
	}
	if err := j.Save(cookies); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(j.Path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"other.example.com\tFALSE\t/\tTRUE\t0\tc\t3",
		".git.example.com\tTRUE\t/\tTRUE\t0\td\t4",
		"git.example.com\tTRUE\t/\tTRUE\t0\te\t5",
		"git.example.com\tFALSE\t/\tFALSE\t0\tf\t6",
		"git.example.com\tFALSE\t/\tTRUE\tnever\tg\t7",
		"git.example.com\tFALSE\t/\tTRUE\t0\th",
		"git.example.com\tFALSE\t/\tTRUE\t0\ti\t8\t9",
		"# comment", "", "\t\t\t\t\t\t",
		"git.example.com\tFALSE\t/\tTRUE\t0\tj\t10\r",
	} {
		if _, err := f.WriteString(line + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	got, err := j.Load()
	var names []string
	for _, c := range got {
		names = append(names, c.Name)
	}
	if d := cmp.Diff([]string{"b", "j"}, names); err != nil || d != "" {
		t.Errorf("%v; -want +got\n%s", err, d)
	}
}

func TestJarSaveRefuses(t *testing.T) {
	ok := Cookie{Name: "a", Value: NewSecret("1")}
	for _, tt := range []struct {
		name, host string
		c          Cookie
	}{
		{"tab in the value", "h", Cookie{Name: "a", Value: NewSecret("1\t2")}},
		{"line feed in the value", "h", Cookie{Name: "a", Value: NewSecret("1\nevil\tTRUE\t/\tTRUE\t0\tx\ty")}},
		{"separator in the value", "h", Cookie{Name: "a", Value: NewSecret("1; b=2")}},
		{"no value", "h", Cookie{Name: "a"}},
		{"no name", "h", Cookie{Value: NewSecret("1")}},
		{"equals sign in the name", "h", Cookie{Name: "a=b", Value: NewSecret("1")}},
		{"relative path", "h", Cookie{Name: "a", Value: NewSecret("1"), Path: "x"}},
		{"tab in the path", "h", Cookie{Name: "a", Value: NewSecret("1"), Path: "/\tx"}},
		{"no host", "", ok},
		{"all subdomains", ".h", ok},
		{"host that is a comment", "#h", ok},
		{"longer than curl takes", "h", Cookie{Name: "a", Value: NewSecret(strings.Repeat("x", 4096))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := newJar(t)
			j.Host = tt.host
			err := j.Save([]Cookie{tt.c})
			if err == nil || (!tt.c.Value.Empty() && len(tt.c.Value.Reveal()) > 1 && strings.Contains(err.Error(), tt.c.Value.Reveal())) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(j.Path); err == nil {
				t.Error("a file was written")
			}
		})
	}
}

// A link in the place of the file is not followed: it is not read, not even where it leads to a file like ours, and a file takes its place.
func TestJarIsNoLink(t *testing.T) {
	j, theirs := newJar(t), newJar(t)
	cookies := []Cookie{{Name: "a", Value: NewSecret("1")}}
	if err := theirs.Save(cookies); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(j.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(theirs.Path, j.Path); err != nil {
		t.Skipf("needs symbolic links: %v", err)
	}
	j.Host = theirs.Host
	if got, err := j.Load(); len(got) > 0 {
		t.Errorf("read through a link: %v, %v", got, err)
	}
	if err := j.Save(cookies); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(j.Path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestJarSaveLeavesAnEqualFileAlone(t *testing.T) {
	j := newJar(t)
	cookies := []Cookie{{Name: "a", Value: NewSecret("1")}}
	if err := j.Save(cookies); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(j.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Save(cookies); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(j.Path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was written again: %v", err)
	}
}

// A file that others may read, or that is a link to somewhere else, is replaced, not trusted and not written through.
func TestJarSaveReplacesAnOpenFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are of Unix; on Windows the folder of the profile keeps others out")
	}
	cookies := []Cookie{{Name: "a", Value: NewSecret("1")}}
	for _, tt := range []struct {
		name string
		make func(t *testing.T, j *Jar)
	}{
		{"mode 0644 with the same content", func(t *testing.T, j *Jar) {
			if err := errors.Join(j.Save(cookies), os.Chmod(j.Path, 0o644)); err != nil {
				t.Fatal(err)
			}
		}},
		{"symbolic link", func(t *testing.T, j *Jar) {
			elsewhere := filepath.Join(t.TempDir(), "elsewhere")
			if err := errors.Join(os.MkdirAll(filepath.Dir(j.Path), 0o700), os.WriteFile(elsewhere, []byte("mine"), 0o600), os.Symlink(elsewhere, j.Path)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if b, err := os.ReadFile(elsewhere); err != nil || string(b) != "mine" {
					t.Errorf("written through the link: %q, %v", b, err)
				}
			})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := newJar(t)
			tt.make(t, j)
			if got, err := j.Load(); err == nil {
				t.Errorf("an open file was read: %v", got)
			}
			if err := j.Save(cookies); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Lstat(j.Path); err != nil || info.Mode() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestJarReadersSeeOldOrNew(t *testing.T) {
	j := newJar(t)
	value := func(i int) Secret { return NewSecret(strings.Repeat(string(rune('a'+i%26)), 2000)) }
	if err := j.Save([]Cookie{{Name: "a", Value: value(0)}}); err != nil {
		t.Fatal(err)
	}
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range 4 {
		writers.Go(func() {
			for i := range 100 {
				if err := j.Save([]Cookie{{Name: "a", Value: value(w + i)}}); err != nil {
					t.Error(err)
				}
			}
		})
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				got, err := j.Load()
				if err != nil || len(got) != 1 || got[0].Value.Reveal() != strings.Repeat(got[0].Value.Reveal()[:1], 2000) {
					t.Errorf("a torn jar: %d cookies, %v", len(got), err)
					return
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if left, _ := os.ReadDir(filepath.Dir(j.Path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// What Save wrote, Load reads; and whatever is in a file, what Load made of it can be saved and is read the same.
func FuzzJar(f *testing.F) {
	f.Add([]byte(jarHeader+"#HttpOnly_git.example.com\tFALSE\t/\tTRUE\t4102444800\tCF_Authorization\teyJ.a-b_c.d\n"), "n", "v", "/", int64(4102444800))
	f.Add([]byte("git.example.com\tFALSE\t/\tTRUE\t0\ta\tb\r\n\n#x\n"), "n", "v\t", "/a b", int64(0))
	f.Fuzz(func(t *testing.T, file []byte, name, value, path string, expires int64) {
		j := &Jar{Path: filepath.Join(t.TempDir(), "jar"), Host: "git.example.com"}
		if err := os.WriteFile(j.Path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		first, err := j.Load()
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Save(first); err != nil {
			t.Fatalf("what was read cannot be saved: %v", err)
		}
		second, err := j.Load()
		if d := cmp.Diff(first, second); err != nil || d != "" {
			t.Fatalf("%v; -first +second\n%s", err, d)
		}
		c := Cookie{Name: name, Value: NewSecret(value), Path: path}
		if expires != 0 {
			c.Expires = time.Unix(expires, 0)
		}
		if j.Save([]Cookie{c}) != nil {
			return
		}
		got, err := j.Load()
		if err != nil {
			t.Fatal(err)
		}
		if !c.Expires.IsZero() && !time.Now().Before(c.Expires) {
			if len(got) != 0 {
				t.Fatalf("an expired cookie came back: %v", got)
			}
			return
		}
		if c.Path == "" {
			c.Path = "/"
		}
		if d := cmp.Diff([]Cookie{c}, got); d != "" {
			t.Fatalf("-saved +read\n%s", d)
		}
	})
}
