//go:build unix

package lease

import (
	"os"
	"syscall"
)

const (
	openFlags   = os.O_CREATE | os.O_RDWR | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	recordFlags = os.O_WRONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	readFlags   = os.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
)
