package webproxy

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/gitaccess/gitaccess/internal/socket"
)

// NotLoopbackError says that an address could be reached from other machines.
type NotLoopbackError struct{ Address string }

func (e *NotLoopbackError) Error() string {
	return fmt.Sprintf("webproxy: %q is no loopback address, and whoever reaches the proxy has the credential", e.Address)
}

// Listen listens at a loopback address, "127.0.0.1:0", or at a unix socket,
// "unix:/run/user/1000/git.sock", to which only this user can connect.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		l, err := socket.Listen(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("webproxy: %w", err)
		}
		return l, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("webproxy: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, &NotLoopbackError{address}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("webproxy: %w", err)
	}
	return l, nil
}

// A known listener closes the connections of other users, where the system tells.
type known struct{ net.Listener }

func (l known) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || !stranger(c) {
			return c, err
		}
		c.Close()
	}
}
