package githelper

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

func appending(s string) func([]byte) ([]byte, error) {
	return func(old []byte) ([]byte, error) { return append(old, s...), nil }
}

func TestEditConfig(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	check := func(want string) {
		t.Helper()
		b, err := os.ReadFile(path)
		if want == "" && errors.Is(err, os.ErrNotExist) {
			return
		}
		if err != nil || string(b) != want {
			t.Errorf("got %q, %v; want %q", b, err, want)
		}
	}
	if err := EditConfig(path, appending("a\n")); err != nil {
		t.Fatal(err)
	}
	check("a\n")
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := EditConfig(path, appending("b\n")); err != nil {
		t.Fatal(err)
	}
	check("a\nb\n")
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := EditConfig(path, func(old []byte) ([]byte, error) { return old, nil }); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Error("written though nothing changes")
	}

	no := errors.New("no")
	if err := EditConfig(path, func(old []byte) ([]byte, error) { return nil, no }); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	check("a\nb\n")

	if err := os.WriteFile(path+".lock", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if err := EditConfig(path, appending("c\n")); !errors.As(err, &locked) || locked.Lock != path+".lock" {
		t.Errorf("under somebody else's lock: %v", err)
	}
	if err := os.Remove(path + ".lock"); err != nil {
		t.Errorf("somebody else's lock was taken away: %v", err)
	}
	check("a\nb\n")

	if err := EditConfig(path, func([]byte) ([]byte, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	check("")
	if err := EditConfig(path, func([]byte) ([]byte, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// People keep ~/.gitconfig as a link into a folder of dotfiles.
func TestEditConfigFollowsLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege on Windows")
	}
	dir := t.TempDir()
	target, link := filepath.Join(dir, "dotfiles"), filepath.Join(dir, "link")
	if err := errors.Join(os.Symlink("dotfiles", filepath.Join(dir, "middle")), os.Symlink(filepath.Join(dir, "middle"), link)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // first without, then with the target
		if err := EditConfig(link, appending("a\n")); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(target); err != nil || string(b) != "a\na\n" {
		t.Errorf("got %q, %v", b, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	if err := EditConfig(loop, appending("a\n")); err == nil {
		t.Error("a loop of links")
	}
}

// git config and we take the same lock, so that no change is lost.
func TestEditConfigBesideGit(t *testing.T) {
	eachGit(t, func(t *testing.T, g *Git) {
		path := filepath.Join(g.Dir, ".gitconfig")
		var wg sync.WaitGroup
		const n = 10
		for range 2 {
			wg.Go(func() {
				for done := 0; done < n; {
					if _, err := g.Output(t.Context(), "config", "--global", "--add", "test.theirs", "x"); err == nil {
						done++
					}
				}
			})
			wg.Go(func() {
				for done := 0; done < n; {
					err := EditConfig(path, appending("[test]\n\tours = x\n"))
					var locked *LockedError
					switch {
					case err == nil:
						done++
					case !errors.As(err, &locked):
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		for _, key := range []string{"test.theirs", "test.ours"} {
			if got := len(g.must(t, "config", "--global", "--get-all", key)) / 2; got != 2*n {
				t.Errorf("%s: %d of %d changes are left", key, got, 2*n)
			}
		}
	})
}
