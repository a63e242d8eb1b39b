package sshproxy_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/gitaccess/gitaccess/sshproxy"
)

// coderServer serves WebSockets by a library that is not ours.
func coderServer(t *testing.T, serve func(ctx context.Context, c *websocket.Conn)) *httptest.Server {
	var wg sync.WaitGroup
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wg.Add(1)
		defer wg.Done()
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		serve(r.Context(), c)
	}))
	s.Config.ErrorLog = discardLog
	t.Cleanup(func() {
		s.Close()
		wg.Wait()
	})
	return s
}

func dialCoder(t *testing.T, s *httptest.Server) *sshproxy.Conn {
	t.Helper()
	tr := sshproxy.NewTransport(s.Client().Transport.(*http.Transport))
	c, err := sshproxy.Dial(t.Context(), mustURL(t, s.URL), &sshproxy.DialOptions{Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Both directions at once, in messages of all sizes and fragmented as it pleases the
// peer, with pings in between.
func TestPeerBothWays(t *testing.T) {
	const total = 8 << 20
	down := make([]byte, total)
	rand.Read(down)
	upSum := make(chan [32]byte, 1)
	s := coderServer(t, func(ctx context.Context, c *websocket.Conn) {
		up := make(chan [32]byte, 1)
		go func() {
			h := sha256.New()
			for n := 0; n < total; {
				_, b, err := c.Read(ctx)
				if err != nil {
					t.Error(err)
					break
				}
				n += len(b)
				h.Write(b)
			}
			up <- [32]byte(h.Sum(nil))
		}()
		for rest := down; len(rest) > 0; {
			w, err := c.Writer(ctx, []websocket.MessageType{websocket.MessageBinary, websocket.MessageText}[mrand.IntN(2)])
			if err != nil {
				t.Error(err)
				return
			}
			for range mrand.IntN(4) { // fragments
				n := min(len(rest), mrand.IntN(100000))
				w.Write(rest[:n])
				rest = rest[n:]
			}
			w.Close()
		}
		sum := <-up
		closed := make(chan struct{})
		go func() {
			c.Read(ctx) // reads the pong, and in the end the close frame
			close(closed)
		}()
		if err := c.Ping(ctx); err != nil {
			t.Errorf("ping: %v", err)
		}
		c.Write(ctx, websocket.MessageText, []byte("over"))
		<-closed
		upSum <- sum
	})
	c := dialCoder(t, s)
	up := make([]byte, total)
	rand.Read(up)
	go func() {
		for rest := up; len(rest) > 0; {
			n := min(len(rest), 1+mrand.IntN(100000))
			c.Write(rest[:n])
			rest = rest[n:]
		}
	}()
	got := make([]byte, total)
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, down) {
		t.Fatalf("download: %v", err)
	}
	over := make([]byte, 4)
	if _, err := io.ReadFull(c, over); err != nil || string(over) != "over" {
		t.Errorf("%q, %v", over, err)
	}
	c.Close()
	if sum := <-upSum; sum != sha256.Sum256(up) {
		t.Error("upload is not what was sent")
	}
}

func TestPeerSeesOurClose(t *testing.T) {
	seen := make(chan error, 1)
	s := coderServer(t, func(ctx context.Context, c *websocket.Conn) {
		for {
			if _, _, err := c.Read(ctx); err != nil {
				seen <- err
				return
			}
		}
	})
	c := dialCoder(t, s)
	c.Write([]byte("x"))
	c.Close()
	if err := <-seen; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the server saw %v", err)
	}
}

// The peer closes: it gets our answer, and we get its code.
func TestPeerCloses(t *testing.T) {
	for code, want := range map[websocket.StatusCode]error{
		websocket.StatusNormalClosure: io.EOF,
		websocket.StatusGoingAway:     &sshproxy.CloseError{Code: 1001, Reason: "bye"},
		websocket.StatusInternalError: &sshproxy.CloseError{Code: 1011, Reason: "bye"},
	} {
		closed := make(chan error, 1)
		s := coderServer(t, func(ctx context.Context, c *websocket.Conn) { closed <- c.Close(code, "bye") })
		c := dialCoder(t, s)
		_, err := c.Read(make([]byte, 1))
		if err == nil || err.Error() != want.Error() || errors.Is(want, io.EOF) != errors.Is(err, io.EOF) {
			t.Errorf("%v: error %v, want %v", code, err, want)
		}
		if err := <-closed; err != nil {
			t.Errorf("%v: the server's close handshake: %v", code, err)
		}
	}
}
