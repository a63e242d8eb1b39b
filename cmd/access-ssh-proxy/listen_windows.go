package main

import (
	"context"
	"net"
)

// listenPrivately relies on the access rights of the folder, which a socket
// inherits on Windows.
func listenPrivately(ctx context.Context, lc *net.ListenConfig, path string) (net.Listener, error) {
	return lc.Listen(ctx, "unix", path)
}
