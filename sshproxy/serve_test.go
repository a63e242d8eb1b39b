package sshproxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/sshproxy"
)

// serve runs Serve for the test and returns what it returns when the test says stop.
func serve(t *testing.T, l net.Listener, s *server, o *sshproxy.ServeOptions) (stop context.CancelCauseFunc, result <-chan error) {
	t.Helper()
	d := &sshproxy.Dialer{URL: s.URL, Options: &sshproxy.DialOptions{Transport: s.transport(true)}}
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- sshproxy.Serve(ctx, l, d, o) }()
	t.Cleanup(func() { cancel(nil) })
	return cancel, done
}

func listen(t *testing.T, network string) net.Listener {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Two hundred clients at once, each of which gets its own bytes back.
func TestServe(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			s := newServer(t, echo)
			l := listen(t, network)
			var ended, bytesBack atomic.Int64
			stop, result := serve(t, l, s, &sshproxy.ServeOptions{
				Ended: func(client net.Addr, stats sshproxy.Stats, err error) {
					if err != nil {
						t.Errorf("%v: %v, %v", client, stats, err)
					}
					ended.Add(1)
					bytesBack.Add(stats.Received)
				},
				Relay: &sshproxy.RelayOptions{Linger: 10 * time.Millisecond},
				Grace: -1,
			})
			var clients sync.WaitGroup
			for i := range 200 {
				clients.Go(func() {
					c, err := net.Dial(network, l.Addr().String())
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					mine := bytes.Repeat(fmt.Appendf(nil, "client %d ", i), 1000)
					go c.Write(mine)
					got := make([]byte, len(mine))
					if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, mine) {
						t.Errorf("client %d: %v", i, err)
					}
				})
			}
			clients.Wait()
			stop(nil)
			if err := <-result; err != nil {
				t.Error(err)
			}
			if ended.Load() != 200 || bytesBack.Load() == 0 {
				t.Errorf("%d of 200 connections ended, %d bytes", ended.Load(), bytesBack.Load())
			}
			if _, err := net.Dial(network, l.Addr().String()); err == nil {
				t.Error("the listener is still open")
			}
		})
	}
}

// A stop lets what is under way end by itself for the time of Grace, and cuts it then.
func TestServeGrace(t *testing.T) {
	stopped := errors.New("stopped")
	for _, tt := range []struct {
		name  string
		grace time.Duration
		cut   bool
	}{
		{"none", 0, true},
		{"passes", 20 * time.Millisecond, true},
		{"is enough", time.Hour, false},
		{"no end", -1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, echo)
			l := listen(t, "tcp")
			ended := make(chan error, 1)
			stop, result := serve(t, l, s, &sshproxy.ServeOptions{
				Grace: tt.grace,
				Ended: func(_ net.Addr, _ sshproxy.Stats, err error) { ended <- err },
				Relay: &sshproxy.RelayOptions{Linger: time.Millisecond},
			})
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			roundTrip(t, c, []byte("before"))
			stop(stopped)
			if !tt.cut {
				roundTrip(t, c, []byte("after"))
				c.Close()
			} else if _, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Error(err)
			}
			if err := <-ended; tt.cut != errors.Is(err, stopped) || !tt.cut && err != nil {
				t.Errorf("ended with %v", err)
			}
			if err := <-result; err != nil {
				t.Error(err)
			}
		})
	}
}

// A connection that cannot be made is told, and the next one is tried.
func TestServeDialFails(t *testing.T) {
	refused := errors.New("refused")
	d := &sshproxy.Dialer{URL: mustURL(t, "https://h/"), Options: &sshproxy.DialOptions{
		Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, refused }),
	}}
	l := listen(t, "tcp")
	ctx, cancel := context.WithCancel(t.Context())
	ended, result := make(chan error, 2), make(chan error, 1)
	go func() {
		result <- sshproxy.Serve(ctx, l, d, &sshproxy.ServeOptions{Ended: func(_ net.Addr, _ sshproxy.Stats, err error) { ended <- err }})
	}()
	for range 2 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, refused) {
			t.Error(err)
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("the client got %d bytes, %v", n, err)
		}
		c.Close()
	}
	cancel()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// A listener that is short of descriptors for a while is not given up; one that
// breaks is, and its error told.
func TestServeListenerErrors(t *testing.T) {
	broken := errors.New("broken")
	l := &badListener{errs: []error{syscall.EMFILE, syscall.ENFILE, broken}}
	if err := sshproxy.Serve(t.Context(), l, &sshproxy.Dialer{}, nil); !errors.Is(err, broken) || len(l.errs) != 0 {
		t.Errorf("%v, and %d errors were not met", err, len(l.errs))
	}
}

type badListener struct{ errs []error }

func (l *badListener) Accept() (net.Conn, error) {
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, &net.OpError{Op: "accept", Err: err}
}
func (l *badListener) Close() error   { return nil }
func (l *badListener) Addr() net.Addr { return nil }
