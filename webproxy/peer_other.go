//go:build !linux

package webproxy

import "net"

// stranger is answered by Linux alone. Here the secret of the requests has to do.
func stranger(net.Conn) bool { return false }
