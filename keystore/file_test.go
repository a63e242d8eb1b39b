package keystore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/keystore"
)

// files lists what lies below the store of a state folder, with contents.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(filepath.Join(dir, "keystore"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var b []byte
			b, err = os.ReadFile(path)
			all[filepath.Base(path)] = string(b)
		}
		return err
	}))
	return all
}

func TestFileSaysThatItIsNotSealed(t *testing.T) {
	dir := t.TempDir()
	s := openAs(t, "file", &keystore.Options{Dir: dir})
	want := keystore.Info{Backend: "file", Location: filepath.Join(dir, "keystore"), Why: "named by the caller"}
	if got := s.Info(); got != want {
		t.Errorf("%+v", got)
	}
	must(t, s.Put(t.Context(), "session/git.example.com", []byte("v")))
	for name := range files(t, dir) {
		if strings.Contains(name, "example") {
			t.Errorf("%q tells what it is about", name)
		}
	}
	if runtime.GOOS != "windows" {
		must(t, filepath.WalkDir(dir+"/keystore", func(path string, d os.DirEntry, err error) error {
			must(t, err)
			info, err := d.Info()
			must(t, err)
			if p := info.Mode().Perm(); d.IsDir() && p != 0o700 || !d.IsDir() && p != 0o600 {
				t.Errorf("%s: %v", path, info.Mode())
			}
			return nil
		}))
	}
}

func TestSealing(t *testing.T) {
	const secret = "a-secret-that-is-easy-to-find"
	keyFile := func(t *testing.T, content string) string {
		path := filepath.Join(t.TempDir(), "key")
		must(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	one, two := strings.Repeat("1", 32), strings.Repeat("2", 32)
	sources := map[string]func(t *testing.T, key string) map[string]string{
		"key file": func(t *testing.T, key string) map[string]string {
			return map[string]string{"ACCESS_KEYSTORE_KEY_FILE": keyFile(t, key)}
		},
		"passphrase": func(t *testing.T, key string) map[string]string {
			return map[string]string{"ACCESS_KEYSTORE_PASSPHRASE": key}
		},
		"systemd credential": func(t *testing.T, key string) map[string]string {
			dir := t.TempDir()
			must(t, os.WriteFile(dir+"/access-keystore-key", []byte(key+"\n"), 0o400))
			return map[string]string{"CREDENTIALS_DIRECTORY": dir}
		},
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			with := func(env map[string]string) *keystore.Store {
				return openAs(t, "file", &keystore.Options{Dir: dir, Getenv: func(k string) string { return env[k] }, Timeout: time.Minute})
			}
			s := with(source(t, one))
			if !s.Info().Sealed {
				t.Error("it says that it is not sealed")
			}
			must(t, s.Put(t.Context(), "k", []byte(secret)))
			must(t, s.Put(t.Context(), "other", []byte(secret)))
			for name, content := range files(t, dir) {
				if strings.Contains(content, secret) || strings.Contains(content, `"key"`) {
					t.Errorf("%s is readable: %q", name, content)
				}
			}
			if v, err := with(source(t, one)).Get(t.Context(), "k"); err != nil || string(v) != secret {
				t.Errorf("with the key: %q, %v", v, err)
			}
			var sealed *keystore.SealedError
			for name, s := range map[string]*keystore.Store{"no key": with(nil), "another key": with(source(t, two))} {
				if v, err := s.Get(t.Context(), "k"); !errors.As(err, &sealed) || sealed.Key != "k" {
					t.Errorf("%s: %q, %v", name, v, err)
				}
				for _, key := range []string{"k", "new"} { // nothing must get in that is not sealed like the rest
					if err := s.Put(t.Context(), key, []byte("unsealed")); !errors.As(err, &sealed) {
						t.Errorf("%s: put %q: %v", name, key, err)
					}
				}
				if _, err := s.List(t.Context(), ""); err != nil {
					t.Errorf("%s: list: %v", name, err)
				}
			}
			must(t, with(nil).Delete(t.Context(), "other")) // a logout needs no key

			// The files of two entries exchanged.
			s = with(source(t, one))
			must(t, s.Put(t.Context(), "k2", []byte("two")))
			path := func(key string) string { n := keystore.NameOf(key); return filepath.Join(dir, "keystore", n[:2], n) }
			b, err := os.ReadFile(path("k2"))
			must(t, err)
			must(t, os.WriteFile(path("k"), b, 0o600))
			var corrupt *keystore.CorruptError
			if v, err := s.Get(t.Context(), "k"); !errors.As(err, &corrupt) {
				t.Errorf("exchanged: %q, %v", v, err)
			}
			b[len(b)-1] ^= 1
			must(t, os.WriteFile(path("k2"), b, 0o600))
			if v, err := s.Get(t.Context(), "k2"); !errors.As(err, &corrupt) {
				t.Errorf("changed: %q, %v", v, err)
			}

			// Once all is gone, another key may begin.
			for _, k := range []string{"k", "k2"} {
				must(t, s.Delete(t.Context(), k))
			}
			must(t, with(source(t, two)).Put(t.Context(), "k", []byte(secret)))
			if _, err := s.Get(t.Context(), "k"); !errors.As(err, &sealed) {
				t.Errorf("the old key: %v", err)
			}
		})
	}

	t.Run("clear needs no key", func(t *testing.T) {
		dir := t.TempDir()
		env := sources["key file"](t, one)
		s := openAs(t, "file", &keystore.Options{Dir: dir, Getenv: func(k string) string { return env[k] }})
		for _, k := range []string{"a", "b"} {
			must(t, s.Put(t.Context(), k, []byte(secret)))
		}
		keystore.Plant(t, s, "newer", []byte(`{"v":2}`))
		s = openAs(t, "file", &keystore.Options{Dir: dir})
		must(t, s.Clear(t.Context()))
		if left := files(t, dir); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		must(t, s.Put(t.Context(), "a", []byte("unsealed, as there is nothing else")))
	})
	t.Run("many begin at once", func(t *testing.T) {
		// A passphrase needs a salt, and there can be only one.
		t.Setenv("ACCESS_KEYSTORE_PASSPHRASE", "correct horse battery staple")
		dir := t.TempDir()
		var stores []*keystore.Store
		for range 8 {
			stores = append(stores, openAs(t, "file", &keystore.Options{Dir: dir, Timeout: time.Minute}))
		}
		var wg sync.WaitGroup
		for i, s := range stores {
			wg.Go(func() {
				if err := s.Put(t.Context(), fmt.Sprint(i), []byte(secret)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		s := openAs(t, "file", &keystore.Options{Dir: dir, Timeout: time.Minute})
		if keys, err := s.List(t.Context(), ""); err != nil || len(keys) != 8 {
			t.Errorf("%q, %v", keys, err)
		}
	})
	t.Run("what was there before is still read", func(t *testing.T) {
		dir := t.TempDir()
		must(t, openAs(t, "file", &keystore.Options{Dir: dir}).Put(t.Context(), "k", []byte(secret)))
		env := sources["key file"](t, one)
		s := openAs(t, "file", &keystore.Options{Dir: dir, Getenv: func(k string) string { return env[k] }})
		v, err := s.Get(t.Context(), "k")
		if err != nil || string(v) != secret {
			t.Fatalf("%q, %v", v, err)
		}
		must(t, s.Put(t.Context(), "k", v))
		if strings.Contains(fmt.Sprint(files(t, dir)), `"key"`) {
			t.Error("it is still not sealed")
		}
	})
	t.Run("a newer seal", func(t *testing.T) {
		dir := t.TempDir()
		s := openAs(t, "file", &keystore.Options{Dir: dir})
		n := keystore.NameOf("k")
		must(t, os.MkdirAll(filepath.Join(dir, "keystore", n[:2]), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "keystore", n[:2], n), []byte("gitaccess-sealed-2\n…"), 0o600))
		var newer *keystore.NewerError
		if _, err := s.Get(t.Context(), "k"); !errors.As(err, &newer) {
			t.Errorf("get: %v", err)
		}
		if err := s.Put(t.Context(), "k", nil); !errors.As(err, &newer) {
			t.Errorf("put: %v", err)
		}
	})
	for name, content := range map[string]string{"short": "tooshort", "empty": "", "line feeds": strings.Repeat("\n", 64), "endless": strings.Repeat("endless ", 3<<20)} {
		t.Run("a key that is "+name, func(t *testing.T) {
			t.Setenv("ACCESS_KEYSTORE_KEY_FILE", keyFile(t, content))
			if _, err := tryOpen(t, "file", nil); err == nil || content != "" && strings.Contains(err.Error(), content) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("a key that is not there", func(t *testing.T) {
		t.Setenv("ACCESS_KEYSTORE_KEY_FILE", filepath.Join(t.TempDir(), "missing"))
		if s, err := tryOpen(t, "file", nil); err == nil {
			t.Errorf("got %+v", s.Info())
		}
	})
}

func TestFileFolders(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs symbolic links and modes")
	}
	elsewhere := t.TempDir()
	name := keystore.NameOf("k")
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string)
	}{
		{"state folder is a link", func(t *testing.T, dir string) {
			must(t, os.Rename(dir, elsewhere+"/1"))
			must(t, os.Symlink(elsewhere+"/1", dir))
		}},
		{"store is a link", func(t *testing.T, dir string) {
			must(t, os.Rename(dir+"/keystore", elsewhere+"/2"))
			must(t, os.Symlink(elsewhere+"/2", dir+"/keystore"))
		}},
		{"folder in it is a link", func(t *testing.T, dir string) {
			must(t, os.Rename(dir+"/keystore/"+name[:2], elsewhere+"/3"))
			must(t, os.Symlink(elsewhere+"/3", dir+"/keystore/"+name[:2]))
		}},
		{"entry is a link", func(t *testing.T, dir string) {
			path := dir + "/keystore/" + name[:2] + "/" + name
			must(t, os.Rename(path, elsewhere+"/4"))
			must(t, os.Symlink(elsewhere+"/4", path))
		}},
		{"others may write", func(t *testing.T, dir string) { must(t, os.Chmod(dir+"/keystore", 0o770)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			s := openAs(t, "file", &keystore.Options{Dir: dir})
			must(t, s.Put(t.Context(), "k", []byte("ours")))
			tt.spoil(t, dir)
			if v, err := s.Get(t.Context(), "k"); err == nil || errors.Is(err, keystore.ErrNotFound) {
				t.Errorf("get: %q, %v", v, err)
			}
			if err := s.Put(t.Context(), "k", []byte("new")); err == nil {
				t.Error("put: done")
			}
			if !strings.Contains(fmt.Sprint(s.Put(t.Context(), "k", nil)), "refusing") {
				t.Error("it does not say why")
			}
		})
	}
}

func TestFullDiskKeepsWhatWasThere(t *testing.T) {
	dir := tinyDisk(t)
	s := openAs(t, "file", &keystore.Options{Dir: dir, Timeout: time.Minute})
	must(t, s.Put(t.Context(), "k", []byte("old")))
	big := bytes.Repeat([]byte("x"), 600<<10)
	if err := s.Put(t.Context(), "k", big); err == nil {
		t.Fatal("600 KiB went onto a disk of 256 KiB")
	}
	if v, err := s.Get(t.Context(), "k"); err != nil || string(v) != "old" {
		t.Errorf("%q, %v", v, err)
	}
	must(t, s.Put(t.Context(), "k", []byte("new"))) // nothing is left that fills it
	if n := len(files(t, dir)); n != 1 {
		t.Errorf("%d files", n)
	}
}

func TestReadOnlyFolderCanBeRead(t *testing.T) {
	dir := tinyDisk(t)
	s := openAs(t, "file", &keystore.Options{Dir: dir, Timeout: time.Minute})
	must(t, s.Put(t.Context(), "k", []byte("v")))
	makeReadOnly(t, dir)
	for _, name := range []string{"file", ""} {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
		s := openAs(t, name, &keystore.Options{Dir: dir, Timeout: time.Minute})
		if v, err := s.Get(t.Context(), "k"); err != nil || string(v) != "v" {
			t.Errorf("%q, %v", v, err)
		}
		for _, err := range []error{s.Put(t.Context(), "k", nil), s.Put(t.Context(), "new", nil), s.Delete(t.Context(), "k")} {
			if err == nil || !strings.Contains(err.Error(), "read-only") {
				t.Errorf("got %v", err)
			}
		}
	}
}

// What is remembered may no longer open, and may be in a folder where it cannot be forgotten.
func TestMemoryThatIsWrongForGood(t *testing.T) {
	dir := tinyDisk(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
	openAs(t, "", &keystore.Options{Dir: dir, Timeout: time.Minute})
	makeReadOnly(t, dir)
	t.Setenv("ACCESS_KEYSTORE_KEY_FILE", "/nonexistent/key")
	var unusable *keystore.UnusableError
	if _, err := tryOpen(t, "", &keystore.Options{Dir: dir, Timeout: time.Minute}); !errors.As(err, &unusable) || !strings.Contains(err.Error(), "/nonexistent/key") {
		t.Errorf("got %v", err)
	}
}

// Entries beside it must not make an entry slow: what is done for one is counted in folder entries read, not in time.
func TestManyEntriesStayQuick(t *testing.T) {
	dir := t.TempDir()
	s := openAs(t, "file", &keystore.Options{Dir: dir, Timeout: time.Minute})
	const n = 5000
	must(t, s.Put(t.Context(), "0", nil))
	for i := range n { // as they are written, without the wait for the disk
		name := keystore.NameOf(fmt.Sprint(i))
		must(t, os.MkdirAll(filepath.Join(dir, "keystore", name[:2]), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "keystore", name[:2], name), fmt.Appendf(nil, `{"v":1,"key":"%d","value":"eA=="}`, i), 0o600))
	}
	most := 0
	shards, err := os.ReadDir(filepath.Join(dir, "keystore"))
	must(t, err)
	for _, d := range shards {
		entries, err := os.ReadDir(filepath.Join(dir, "keystore", d.Name()))
		must(t, err)
		most = max(most, len(entries))
	}
	if most > 100 {
		t.Errorf("a folder has %d entries: whoever writes one goes through all of them", most)
	}
	keys, err := s.List(t.Context(), "")
	if err != nil || len(keys) != n {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if v, err := s.Get(t.Context(), "4321"); err != nil || string(v) != "x" {
		t.Errorf("%q, %v", v, err)
	}
}

func BenchmarkFile(b *testing.B) {
	for _, n := range []int{5, 5000} {
		dir := b.TempDir()
		s := openAs(b, "file", &keystore.Options{Dir: dir, Timeout: time.Minute})
		must(b, s.Put(context.Background(), "0", nil))
		for i := range n {
			name := keystore.NameOf(fmt.Sprint(i))
			must(b, os.MkdirAll(filepath.Join(dir, "keystore", name[:2]), 0o700))
			must(b, os.WriteFile(filepath.Join(dir, "keystore", name[:2], name), fmt.Appendf(nil, `{"v":1,"key":"%d","value":"eA=="}`, i), 0o600))
		}
		b.Run(fmt.Sprintf("Get/%d", n), func(b *testing.B) {
			for b.Loop() {
				s.Get(context.Background(), "3")
			}
		})
		b.Run(fmt.Sprintf("Put/%d", n), func(b *testing.B) {
			for b.Loop() {
				s.Put(context.Background(), "3", []byte("x"))
			}
		})
	}
}

// Everything that was used with a state folder goes, whichever store is chosen now; also what cannot be read, and what killed writers left.
func TestClearAll(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
	t.Setenv("ACCESS_KEYSTORE_PASSPHRASE", "correct horse")
	s := openAs(t, "", &keystore.Options{Dir: dir, Timeout: time.Minute})
	must(t, s.Put(t.Context(), "k", []byte("v")))
	keystore.Plant(t, s, "newer", []byte(`{"v":2}`))
	n := keystore.NameOf("k")
	must(t, os.WriteFile(filepath.Join(dir, "keystore", n[:2], ".gitaccess-tmp-x"), []byte("a secret"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "beside"), nil, 0o600))
	t.Setenv("ACCESS_KEYSTORE_PASSPHRASE", "") // lost
	must(t, keystore.ClearAll(t.Context(), &keystore.Options{Dir: dir}))
	left, err := os.ReadDir(dir)
	must(t, err)
	if len(left) != 1 || left[0].Name() != "beside" {
		t.Errorf("left: %v", left)
	}
	must(t, keystore.ClearAll(t.Context(), &keystore.Options{Dir: dir})) // nothing there
	if err := keystore.ClearAll(t.Context(), &keystore.Options{Dir: dir, Backend: "nonsense"}); err == nil {
		t.Error("a store that there is not was cleared")
	}
}
