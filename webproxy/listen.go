package webproxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
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
		return listenUnix(ctx, path)
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

// listenUnix makes the socket in a folder that only we can enter and moves it to its
// place when its mode is set: at no time can another user connect.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("webproxy: %w", err)
	}
	if err := free(ctx, path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, fmt.Errorf("webproxy: %w", err)
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", made)
	if err != nil {
		return nil, fmt.Errorf("webproxy: %w", err)
	}
	u := l.(*net.UnixListener)
	u.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		return nil, fmt.Errorf("webproxy: %w", errors.Join(err, u.Close()))
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("webproxy: %w", errors.Join(err, u.Close()))
	}
	return &unixListener{UnixListener: u, path: path, info: info}, nil
}

// free refuses a path at which there is anything but a socket that nobody serves.
func free(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("webproxy: %w", err)
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("webproxy: %q is there and is no socket", path)
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil
	}
	c.Close()
	return fmt.Errorf("webproxy: somebody serves %q", path)
}

// unixListener takes its socket away when it is closed, unless another one has taken
// its place.
type unixListener struct {
	*net.UnixListener
	path string
	info fs.FileInfo
	once sync.Once
}

func (l *unixListener) Close() error {
	err := l.UnixListener.Close()
	l.once.Do(func() {
		if now, e := os.Lstat(l.path); e == nil && os.SameFile(now, l.info) {
			err = errors.Join(err, os.Remove(l.path))
		}
	})
	return err
}
