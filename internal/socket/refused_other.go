//go:build !windows

package socket

import "syscall"

// refused is what a socket says that nobody listens at.
const refused = syscall.ECONNREFUSED
