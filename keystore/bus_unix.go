//go:build unix && !darwin

package keystore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// busAddress is where the session bus is, or "": the variable, else the place where systemd and others put it. That place is looked at
// without XDG_RUNTIME_DIR too, so that cron finds the keyring of a user who is logged in. No bus is ever started for our sake.
func busAddress(c *config) string {
	if a := c.getenv("DBUS_SESSION_BUS_ADDRESS"); a != "" && a != "autolaunch:" {
		return a
	}
	dir := c.getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = "/run/user/" + strconv.Itoa(os.Geteuid())
	}
	path := filepath.Join(dir, "bus")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return ""
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return ""
	}
	return "unix:path=" + dbus.EscapeBusAddressValue(path)
}

// link is one connection to the bus.
type link struct {
	*dbus.Conn
	socket  net.Conn
	session dbus.ObjectPath // of the Secret Service; "" until it is opened
}

// dialBus connects to the first address that answers. Only unix sockets are tried: other transports would go over the network or run
// a program (https://dbus.freedesktop.org/doc/dbus-specification.html#addresses).
func dialBus(ctx context.Context, addresses string) (*link, error) {
	if addresses == "" {
		return nil, absent("there is no session bus")
	}
	var failed error
	for address := range strings.SplitSeq(addresses, ";") {
		path, err := socketPath(address)
		if err == nil {
			var l *link
			if l, err = dialSocket(ctx, path); err == nil {
				return l, nil
			}
		}
		failed = errors.Join(failed, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if errors.Is(failed, os.ErrDeadlineExceeded) { // the socket's deadline is the context's, and may come first
		return nil, context.DeadlineExceeded
	}
	return nil, absent("no session bus answers: %w", failed)
}

func socketPath(address string) (string, error) {
	keys, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return "", fmt.Errorf("address %q is not a unix socket", address)
	}
	for kv := range strings.SplitSeq(keys, ",") {
		k, v, _ := strings.Cut(kv, "=")
		v, err := url.PathUnescape(v)
		if err != nil {
			return "", fmt.Errorf("address %q: %w", address, err)
		}
		switch k {
		case "path":
			return v, nil
		case "abstract":
			return "@" + v, nil
		}
	}
	return "", fmt.Errorf("address %q names no socket", address)
}

// buffered spares a system call for each field of a message: the client reads byte by byte.
type buffered struct {
	*bufio.Reader
	io.WriteCloser
}

func dialSocket(ctx context.Context, path string) (*link, error) {
	var d net.Dialer
	socket, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	// The handshake knows no contexts: it ends with its socket.
	if t, ok := ctx.Deadline(); ok {
		socket.SetDeadline(t)
	}
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	conn, err := dbus.NewConn(buffered{bufio.NewReader(socket), socket})
	if err != nil {
		socket.Close()
		return nil, err
	}
	err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))})
	if err == nil {
		err = conn.Hello()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	socket.SetDeadline(time.Time{})
	return &link{Conn: conn, socket: socket}, nil
}

// start sends a call without waiting for the answer.
func (l *link) start(ctx context.Context, path dbus.ObjectPath, method string, args ...any) *dbus.Call {
	if t, ok := ctx.Deadline(); ok {
		l.socket.SetWriteDeadline(t) // a bus that does not read must not hold us
	}
	return l.Object(secretsName, path).GoWithContext(ctx, method, 0, make(chan *dbus.Call, 1), args...)
}

// wait stores the answer.
func wait(ctx context.Context, c *dbus.Call, into ...any) error {
	select {
	case <-c.Done:
		if c.Err != nil {
			return c.Err
		}
		return c.Store(into...)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *link) call(ctx context.Context, path dbus.ObjectPath, method string, args []any, into ...any) error {
	return wait(ctx, l.start(ctx, path, method, args...), into...)
}

// broken reports whether the connection, not what was asked of it, failed.
func broken(err error) bool {
	return errors.Is(err, dbus.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// errorName is the D-Bus name of an error, or "".
func errorName(err error) string {
	var e dbus.Error
	var p *dbus.Error
	switch {
	case errors.As(err, &e):
		return e.Name
	case errors.As(err, &p):
		return p.Name
	}
	return ""
}
