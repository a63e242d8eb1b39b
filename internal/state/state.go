// Package state keeps small files that are nobody's secret (caches, choices, leases) in the one folder of a user that is
// meant for them, and holds the one atomic write that everything here uses, secrets included.
//
//	dir, err := state.Open(os.Getenv)
//	err = dir.Save("app/git.example.com", b) // whole or not at all, 0600 in 0700
//	b, err := dir.Load("app/git.example.com")
//
// Rules:
//   - A file is replaced by a rename, so that a reader needs no lock and never sees half of a write.
//   - Nothing is read or written through a symbolic link that stands where our folder or file should, nor in a folder that belongs
//     to someone else or that others may write to. Links in the path that leads to our folder are the user's own affair.
//   - Names may be anything. What a file system could take amiss is escaped (see [Dir.Path]).
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// EnvDir names the environment variable that overrides where the folder is.
const EnvDir = "ACCESS_STATE_DIR"

// Dir is the state folder of one user. It is a value and safe for concurrent use, also between processes.
// The zero Dir is of no use.
type Dir struct{ root string }

// Open says where the folder is; it is created by the first Save. getenv nil means os.Getenv.
//
//   - ACCESS_STATE_DIR, wherever it is set; it must be an absolute path
//   - Windows: %LocalAppData%\gitaccess
//   - macOS: ~/Library/Application Support/gitaccess
//   - elsewhere: $XDG_STATE_HOME/gitaccess, else ~/.local/state/gitaccess
//     (https://specifications.freedesktop.org/basedir-spec/latest/: a relative path is to be ignored)
func Open(getenv func(string) string) (Dir, error) {
	if getenv == nil {
		getenv = os.Getenv
	}
	return open(runtime.GOOS, getenv)
}

func open(goos string, getenv func(string) string) (Dir, error) {
	if d := getenv(EnvDir); d != "" {
		if !filepath.IsAbs(d) {
			return Dir{}, fmt.Errorf("state: %s is not an absolute path: %q", EnvDir, d)
		}
		return Dir{filepath.Clean(d)}, nil
	}
	base := func(env string, below ...string) (Dir, error) {
		d := getenv(env)
		if d == "" {
			return Dir{}, fmt.Errorf("state: no folder to keep state in: neither %s nor %s is set", EnvDir, env)
		}
		if !filepath.IsAbs(d) {
			return Dir{}, fmt.Errorf("state: %s is not an absolute path: %q", env, d)
		}
		return Dir{filepath.Join(append([]string{d}, below...)...)}, nil
	}
	switch goos {
	case "windows":
		return base("LocalAppData", "gitaccess")
	case "darwin", "ios":
		return base("HOME", "Library", "Application Support", "gitaccess")
	}
	if d := getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return Dir{filepath.Join(d, "gitaccess")}, nil
	}
	return base("HOME", ".local", "state", "gitaccess")
}

// Path is where the file of a name is, whether it exists or not; without elements, the folder itself.
// Elements are joined by slashes first, as names given to Load and Save are written. In each element every byte but a-z, 0-9, '-', '_'
// and '.' becomes %XX: no name can leave the folder, and none depends on the case, the reserved names or the separators of a file
// system. An element that is too long for one ends in a hash instead.
func (d Dir) Path(elem ...string) string {
	return filepath.Join(d.root, escape(elem...))
}

// Load reads a file. A missing one matches fs.ErrNotExist.
func (d Dir) Load(name string) ([]byte, error) {
	if err := d.check(name); err != nil {
		return nil, err
	}
	return ReadFile(d.Path(name))
}

// Save writes a file, whole or not at all, and the folders that lead to it.
func (d Dir) Save(name string, b []byte) error {
	if err := d.check(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	path := d.Path(name)
	if err := d.mkdirs(filepath.Dir(path)); err != nil {
		return err
	}
	return WriteFile(path, b, 0o600)
}

// Remove deletes a file. A missing one is no error.
func (d Dir) Remove(name string) error {
	err := d.check(name)
	if err == nil {
		err = os.Remove(d.Path(name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// check looks at each folder between ours and that of the file. Whoever may change one of them decides what the file is.
func (d Dir) check(name string) error {
	if d.root == "" {
		return errors.New("state: no folder")
	}
	if escape(name) == "." {
		return fmt.Errorf("state: %q names no file", name)
	}
	for _, dir := range d.between(filepath.Dir(d.Path(name))) {
		if err := CheckDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (d Dir) mkdirs(last string) error {
	for _, dir := range d.between(last) {
		if err := MkdirAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// between lists the folders from ours down to last.
func (d Dir) between(last string) []string {
	if last == d.root {
		return []string{d.root}
	}
	return append(d.between(filepath.Dir(last)), last)
}
