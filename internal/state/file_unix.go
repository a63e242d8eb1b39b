//go:build unix

package state

import (
	"io/fs"
	"os"
	"syscall"
)

func mkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

// checkOwner accepts root's files too: they come from the administrator (an image, a package), and root needs no such way in.
func checkOwner(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Uid != uint32(os.Geteuid()) && st.Uid != 0 {
		return &UnsafePathError{path, "belongs to another user"}
	}
	return nil
}

func checkMode(path string, info fs.FileInfo) error {
	if info.Mode().Perm()&0o022 != 0 {
		return &UnsafePathError{path, "can be written to by others"}
	}
	return nil
}

// syncDir makes the rename last. Some file systems cannot sync a folder; the file is whole all the same.
func syncDir(root *os.Root) {
	if d, err := root.Open("."); err == nil {
		d.Sync()
		d.Close()
	}
}
