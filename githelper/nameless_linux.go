package githelper

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// nameless returns an open file with the content that has no name in any folder and is in no page cache of a disk.
func nameless(content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("git-remote-access", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	_, err = f.Write(content)
	if err == nil {
		// A sandbox may lack /proc, by which the child opens it again.
		_, err = os.Stat(fmt.Sprintf("/proc/self/fd/%d", fd))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
