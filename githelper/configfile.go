package githelper

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// LockedError says that another program, such as git config, is writing the configuration file, or that one was killed while it did.
type LockedError struct {
	Lock string // the file whose presence is the lock
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("githelper: the configuration is being changed by another program: %q exists", e.Lock)
}

// EditConfig changes a configuration file of git in one step, under the lock that git itself takes (the file "PATH.lock", made
// exclusively and renamed). edit gets nil for a missing file; a nil result removes the file. A symbolic link stays and the file that it
// names is changed; the mode stays. Nothing is written if edit changes nothing. Another program's lock is not waited for: the error is a
// [*LockedError] then.
func EditConfig(path string, edit func(old []byte) ([]byte, error)) error {
	path, err := followLinks(path)
	if err != nil {
		return fmt.Errorf("githelper: %w", err)
	}
	lock := path + ".lock"
	f, err := os.OpenFile(lock, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return &LockedError{lock}
	}
	if err != nil {
		return fmt.Errorf("githelper: lock configuration: %w", err)
	}
	renamed := false
	defer func() {
		if !renamed {
			f.Close()
			os.Remove(lock)
		}
	}()
	old, err := ReadConfig(path)
	if err != nil {
		return err
	}
	changed, err := edit(old)
	if err != nil {
		return err
	}
	switch {
	case changed == nil && old == nil, changed != nil && old != nil && bytes.Equal(old, changed):
		return nil
	case changed == nil:
		err = os.Remove(path)
	default:
		if err = replace(f, path, changed); err == nil {
			renamed = true
		}
	}
	if err != nil {
		return fmt.Errorf("githelper: write configuration: %w", err)
	}
	return nil
}

// ReadConfig reads a file for [EditConfig]'s edit, to see what it would do; nil means that the file is missing.
func ReadConfig(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("githelper: read configuration: %w", err)
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

func replace(f *os.File, path string, content []byte) error {
	if info, err := os.Stat(path); err == nil {
		if err := f.Chmod(info.Mode().Perm()); err != nil {
			return err
		}
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return rename(f.Name(), path)
}

// followLinks returns the file that path names through symbolic links, whether or not it exists (lockfile.c, resolve_symlink).
func followLinks(path string) (string, error) {
	for range 5 {
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link; what else is wrong shows when the file is opened
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", fmt.Errorf("%q is a chain of too many symbolic links", path)
}
