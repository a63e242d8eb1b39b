package state

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// UnsafePathError says that a file or folder is not one that we may trust to be ours.
type UnsafePathError struct {
	Path   string
	Reason string // "is a symbolic link"
}

func (e *UnsafePathError) Error() string {
	return fmt.Sprintf("state: refusing %q: it %s", e.Path, e.Reason)
}

// maxFile bounds what ReadFile takes into memory; nothing that we keep comes near.
const maxFile = 16 << 20

// tempPrefix marks what a killed writer may leave behind. Whatever has it and is old is nobody's any more.
const (
	tempPrefix = ".gitaccess-tmp-"
	tempAge    = time.Hour
)

// MkdirAll makes a folder that only this user may enter, with the folders above it, and checks it like [CheckDir] if it exists.
func MkdirAll(dir string) error {
	if err := mkdirAll(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return CheckDir(dir)
}

// CheckDir refuses a folder that is a symbolic link, that belongs to another user or that others may write to.
// A missing one matches fs.ErrNotExist.
func CheckDir(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	switch {
	case info.Mode()&(fs.ModeSymlink|fs.ModeIrregular) != 0:
		return &UnsafePathError{dir, "is a symbolic link"}
	case !info.IsDir():
		return &UnsafePathError{dir, "is not a folder"}
	}
	if err := checkOwner(dir, info); err != nil {
		return err
	}
	return checkMode(dir, info)
}

func checkFile(path string, info fs.FileInfo) error {
	switch {
	case info.Mode()&(fs.ModeSymlink|fs.ModeIrregular) != 0:
		return &UnsafePathError{path, "is a symbolic link"}
	case !info.Mode().IsRegular():
		return &UnsafePathError{path, "is not a regular file"}
	}
	return checkOwner(path, info)
}

// ReadFile reads a file of ours. It refuses a symbolic link, anything but a regular file, and a file that belongs to another user
// (root excepted) or that others may write to. It does not look at the folder: [Dir.Load] does.
func ReadFile(path string) ([]byte, error) {
	// Opened through the folder, since on Windows only os.Root opens a file in a way that lets a writer replace it meanwhile.
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	base := filepath.Base(path)
	info, err := root.Lstat(base)
	if err != nil {
		return nil, err
	}
	if err := checkFile(path, info); err != nil {
		return nil, err
	}
	if err := checkMode(path, info); err != nil {
		return nil, err
	}
	f, err := root.Open(base)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("state: %q is larger than %d bytes", path, maxFile)
	}
	return b, nil
}

// WriteFile replaces a file as a whole: whoever reads it, also after a crash or a full disk, gets the old content or the new.
// The folder must exist and pass [CheckDir]; what stands at path, if anything, must be a regular file of this user.
func WriteFile(path string, b []byte, perm fs.FileMode) error {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	dir = filepath.Clean(dir)
	if err := CheckDir(dir); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	info, err := root.Lstat(base)
	if err == nil {
		err = checkFile(path, info)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The second time is for a clock that jumped: a neighbour then took our temporary file for an old one.
	for try := 0; ; try++ {
		err = replace(root, base, b, perm)
		if try > 0 || !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	sweep(root)
	if err != nil {
		return fmt.Errorf("state: write %q: %w", path, err)
	}
	return nil
}

func replace(root *os.Root, base string, b []byte, perm fs.FileMode) (err error) {
	temp := tempPrefix + rand.Text()
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			root.Remove(temp)
		}
	}()
	if _, err := f.Write(b); err != nil {
		return err
	}
	if perm != 0o600 { // the umask has no say in what the caller asked for
		if err := f.Chmod(perm); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil { // else a crash may leave an empty file under the new name
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := root.Rename(temp, base); err != nil {
		return err
	}
	syncDir(root)
	return nil
}

// sweep removes what killed writers left in the folder, since it may hold a secret. Errors do not matter: the next write tries again.
func sweep(root *os.Root) {
	d, err := root.Open(".")
	if err != nil {
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, name := range names {
		if !strings.HasPrefix(name, tempPrefix) {
			continue
		}
		if info, err := root.Lstat(name); err == nil && time.Since(info.ModTime()) > tempAge {
			root.Remove(name)
		}
	}
}
