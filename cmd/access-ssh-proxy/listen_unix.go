//go:build unix

package main

import (
	"context"
	"net"
	"os"
	"syscall"
)

// listenPrivately sets the mask while the socket is made: between bind and chmod
// somebody else could connect.
func listenPrivately(ctx context.Context, lc *net.ListenConfig, path string) (net.Listener, error) {
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}
