//go:build unix && !darwin

package keystore

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
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

// handshake is a connection whose authentication takes no time: it is sent together with the first message, and the answer is looked at
// before the answer to that. The client library would wait for each of its four lines. What it says meanwhile is answered here.
// systemd's clients send it ahead like this (bus_socket_start_auth_client in src/libsystemd/sd-bus/bus-socket.c), so every bus takes it.
type handshake struct {
	net.Conn
	in       *bufio.Reader // also spares a system call for each field of a message: the library reads byte by byte
	answer   []byte        // to what the library said last
	begun    bool          // the library thinks that it is through
	ahead    []byte        // to send before the first message
	accepted bool          // the bus has let us in
	refused  atomic.Bool   // or it has not
}

var errRefused = errors.New("the bus does not let us in")

func newHandshake(c net.Conn) *handshake { return &handshake{Conn: c, in: bufio.NewReader(c)} }

func (h *handshake) Write(p []byte) (int, error) {
	switch {
	case h.begun && h.ahead == nil:
		return h.Conn.Write(p)
	case h.begun:
		n, err := h.Conn.Write(append(h.ahead, p...))
		n = max(n-len(h.ahead), 0)
		h.ahead = nil
		return n, err
	}
	switch strings.TrimRight(string(p), "\r\n") {
	case "\x00":
	case "AUTH":
		h.answer = []byte("REJECTED EXTERNAL\r\n")
	case "AUTH EXTERNAL":
		h.answer = []byte("OK 00000000000000000000000000000000\r\n")
	case "BEGIN":
		uid := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
		h.ahead = []byte("\x00AUTH EXTERNAL " + uid + "\r\nBEGIN\r\n")
		h.begun = true
	default:
		return 0, fmt.Errorf("authentication says %q", p)
	}
	return len(p), nil
}

func (h *handshake) Read(p []byte) (int, error) {
	if !h.begun {
		n := copy(p, h.answer)
		h.answer = h.answer[n:]
		return n, nil
	}
	if !h.accepted {
		line, err := h.in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		if !strings.HasPrefix(line, "OK ") {
			h.refused.Store(true)
			return 0, errRefused
		}
		h.accepted = true
	}
	return h.in.Read(p)
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
	h := newHandshake(socket)
	conn, err := dbus.NewConn(h)
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
		if h.refused.Load() {
			return nil, errRefused
		}
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
