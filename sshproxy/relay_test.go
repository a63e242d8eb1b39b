package sshproxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gitaccess/gitaccess/sshproxy"
)

// After the input has ended, what the origin still sends is delivered, however
// slowly it comes, until it ends.
func TestRelayDeliversAfterInputEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := pipe(t, nil)
		go func() {
			f, _ := readClientFrame(s)
			go discardPings(s)
			for i := range 5 {
				time.Sleep(59 * time.Second)
				fmt.Fprintf(s, "%s", fin(opBinary, fmt.Appendf(nil, "%d:%s ", i, f.Payload)))
			}
			time.Sleep(59 * time.Second)
			s.Write(closeFrame(1000, ""))
		}()
		var out strings.Builder
		stats, err := sshproxy.Relay(t.Context(), c, strings.NewReader("hi"), &out, nil)
		want := sshproxy.Stats{Sent: 2, Received: 25, Duration: 6 * 59 * time.Second, End: sshproxy.EndOrigin}
		if err != nil || stats != want || out.String() != "0:hi 1:hi 2:hi 3:hi 4:hi " {
			t.Errorf("%q, %+v, %v", out.String(), stats, err)
		}
		s.Close()
	})
}

// discardPings answers pings and throws the rest away, until the client closes.
func discardPings(s net.Conn) {
	for {
		f, err := readClientFrame(s)
		if err != nil {
			return
		}
		if f.Op == opPing {
			s.Write(fin(opPong, f.Payload))
		}
		if f.Op == opClose {
			s.Write(fin(opClose, f.Payload))
			return
		}
	}
}

// An origin that keeps silent after the input has ended is waited for, but not for ever.
func TestRelayLinger(t *testing.T) {
	for _, tt := range []struct{ linger, want time.Duration }{
		{0, 10*time.Second + 60*time.Second},
		{3 * time.Second, 3 * time.Second},
		{-1, 10 * time.Hour}, // the origin ends it
	} {
		synctest.Test(t, func(t *testing.T) {
			c, s := pipe(t, nil)
			go discardPings(s)
			time.AfterFunc(10*time.Second, func() { s.Write(fin(opBinary, []byte("x"))) })
			over := time.AfterFunc(10*time.Hour, func() { s.Write(closeFrame(1000, "")) })
			defer over.Stop()
			stats, err := sshproxy.Relay(t.Context(), c, strings.NewReader(""), io.Discard, &sshproxy.RelayOptions{Linger: tt.linger})
			end := sshproxy.EndLinger
			if tt.linger < 0 {
				end = sshproxy.EndOrigin
			}
			if err != nil || stats.Duration != tt.want || stats.End != end {
				t.Errorf("linger %s: %+v, %v", tt.linger, stats, err)
			}
			s.Close()
		})
	}
}

// A silent connection is a cut that says how much went, and when.
func TestRelaySilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := pipe(t, nil)
		go func() {
			s.Write(fin(opBinary, []byte("some")))
			io.Copy(io.Discard, s)
		}()
		in, w := io.Pipe()
		go w.Write([]byte("hello"))
		stats, err := sshproxy.Relay(t.Context(), c, in, io.Discard, nil)
		const text = "sshproxy: connection cut after 5 bytes sent and 4 received in 1m30s: no sign of life for 1m30s: 2 pings without an answer"
		var cut *sshproxy.CutError
		if !errors.As(err, &cut) || cut.Stats != stats || stats.End != sshproxy.EndFailed || err.Error() != text {
			t.Errorf("%+v, %v", stats, err)
		}
		w.Close()
		s.Close()
	})
}

func TestRelayContext(t *testing.T) {
	cause := errors.New("hung up")
	synctest.Test(t, func(t *testing.T) {
		c, s := pipe(t, nil)
		go discardPings(s)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(cause) })
		in, w := io.Pipe()
		stats, err := sshproxy.Relay(ctx, c, in, io.Discard, nil)
		if !errors.Is(err, cause) || stats.End != sshproxy.EndContext || stats.Duration != time.Minute {
			t.Errorf("%+v, %v", stats, err)
		}
		w.Close()
		s.Close()
	})
}

// Errors of the two streams are told as what they are.
func TestRelayStreamErrors(t *testing.T) {
	broken := errors.New("disk full")
	for _, tt := range []struct {
		name string
		in   io.Reader
		out  io.Writer
		end  sshproxy.End
		text string
	}{
		{"input", io.MultiReader(strings.NewReader("x"), failing{broken}), io.Discard, sshproxy.EndFailed, "sshproxy: read input: disk full"},
		{"output", strings.NewReader(""), failing{broken}, sshproxy.EndFailed, "sshproxy: write output: disk full"},
		{"output closed", strings.NewReader(""), failing{syscall.EPIPE}, sshproxy.EndReader, ""},
		{"output pipe closed", strings.NewReader(""), failing{io.ErrClosedPipe}, sshproxy.EndReader, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, func(p *peer) {
				p.Write(fin(opBinary, []byte("hello")))
				discardPings(p)
			})
			stats, err := sshproxy.Relay(t.Context(), s.dial(t, nil), tt.in, tt.out, nil)
			if text := fmt.Sprint(err); stats.End != tt.end || err != nil && text != tt.text || err == nil && tt.text != "" {
				t.Errorf("%+v, %v", stats, err)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

// What is typed is sent at once, and not kept until more comes.
func TestRelaySendsKeystrokes(t *testing.T) {
	s := newServer(t, echo)
	in, keys := io.Pipe()
	screen, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := sshproxy.Relay(t.Context(), s.dial(t, nil), in, out, nil)
		done <- err
	}()
	for _, key := range []byte("ls -l\n") {
		keys.Write([]byte{key})
		got := make([]byte, 1)
		if _, err := io.ReadFull(screen, got); err != nil || got[0] != key {
			t.Fatalf("%q: %q, %v", key, got, err)
		}
	}
	screen.Close() // noticed with the next write
	keys.Write([]byte("x"))
	keys.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// An end without a close frame is what cloudflared makes of an origin that ends,
// and what a cut looks like. Only if TLS was ended in order it is taken for the former.
func TestRelayEndWithoutCloseFrame(t *testing.T) {
	reply := bytes.Repeat([]byte("reply "), 100000)
	for _, tt := range []struct {
		name      string
		inputEnds bool
		bulk      bool
		end       func(p *peer)
		whole     bool
	}{
		{"in order, input at its end", true, true, func(p *peer) { p.Close() }, true},
		{"in order, input open", false, true, func(p *peer) { p.Close() }, true},
		{"FIN", true, true, func(p *peer) { p.raw.Close() }, false},
		{"RST", true, true, func(p *peer) { p.raw.SetLinger(0); p.raw.Close() }, false},
		{"in order, but within a message", true, true, func(p *peer) { p.Write([]byte{0x82, 5, 'x'}); p.Close() }, false},
		{"nobody can tell", true, false, func(p *peer) { p.Close() }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, func(p *peer) {
				readClientFrame(p.r)
				for rest := reply; len(rest) > 0; {
					n := min(len(rest), 16384)
					p.Write(fin(opBinary, rest[:n]))
					rest = rest[n:]
				}
				tt.end(p)
			})
			in, w := io.Pipe()
			defer w.Close()
			go func() {
				w.Write([]byte("request"))
				if tt.inputEnds {
					w.Close()
				}
			}()
			var out bytes.Buffer
			c := s.dial(t, &sshproxy.DialOptions{Transport: s.transport(tt.bulk)})
			stats, err := sshproxy.Relay(t.Context(), c, in, &out, nil)
			if tt.whole && (err != nil || stats.End != sshproxy.EndNoCloseFrame || !bytes.Equal(out.Bytes(), reply)) {
				t.Errorf("%+v, %v", stats, err)
			}
			var cut *sshproxy.CutError
			if !tt.whole && !errors.As(err, &cut) {
				t.Errorf("no cut: %+v, %v", stats, err)
			}
		})
	}
}

// A hundred cuts at random points: each is told as one, and what was delivered
// before is what was sent.
func TestCutsAreTold(t *testing.T) {
	const size = 300000
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	srv := newServer(t, func(p *peer) {
		gone := make(chan struct{})
		go func() { collect(p.r); close(gone) }()
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1+rand.IntN(40000))
			if _, err := p.Write(fin(opBinary, rest[:n])); err != nil {
				break
			}
			rest = rest[n:]
		}
		p.Write(closeFrame(1000, ""))
		<-gone
	})
	ways := map[string]func(*net.TCPConn){
		"RST": func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"FIN": func(c *net.TCPConn) { c.Close() },
	}
	var wg sync.WaitGroup
	limit := make(chan struct{}, 4)
	for i := range 100 {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			how := []string{"RST", "FIN"}[i%2]
			at := 4000 + rand.IntN(size-5000)
			proxy := cuttingProxy(t, srv.Listener.Addr().String(), at, ways[how])
			u := *srv.URL
			u.Host = proxy
			c, err := sshproxy.Dial(t.Context(), &u, &sshproxy.DialOptions{Transport: srv.transport(i%3 != 0)})
			if err != nil {
				t.Errorf("cut after %d bytes is too early: %v", at, err)
				return
			}
			in := io.Reader(strings.NewReader("the end"))
			if i%4 < 2 {
				r, w := io.Pipe()
				defer w.Close()
				in = r
			}
			var out bytes.Buffer
			stats, err := sshproxy.Relay(t.Context(), c, in, &out, nil)
			var cut *sshproxy.CutError
			if !errors.As(err, &cut) || stats.End != sshproxy.EndFailed || stats.Received != int64(out.Len()) {
				t.Errorf("%s after %d bytes, input open %t: %+v, %v", how, at, i%4 < 2, stats, err)
			}
			if !bytes.HasPrefix(data, out.Bytes()) {
				t.Errorf("%s after %d bytes: what was delivered is not what was sent", how, at)
			}
		})
	}
	wg.Wait()
}

// cuttingProxy hands one connection to addr and ends it after it carried n bytes to the client.
func cuttingProxy(t *testing.T, addr string, n int, cut func(*net.TCPConn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer l.Close()
		down, err := l.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		wg.Go(func() { io.Copy(up, down) })
		io.CopyN(down, up, int64(n))
		cut(down.(*net.TCPConn))
		up.Close()
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// A relay of much data keeps little of it.
func TestRelayMemory(t *testing.T) {
	const size = 64 << 20
	s := newServer(t, func(p *peer) {
		block := fin(opBinary, make([]byte, 32<<10))
		for range size / (32 << 10) {
			if _, err := p.Write(block); err != nil {
				return
			}
		}
		p.Write(closeFrame(1000, ""))
		io.Copy(io.Discard, p.r)
	})
	before := allocated()
	in, w := io.Pipe()
	stats, err := sshproxy.Relay(t.Context(), s.dial(t, nil), in, io.Discard, nil)
	w.Close()
	if err != nil || stats.Received != size {
		t.Fatal(stats, err)
	}
	// It is below 2 MiB, but the race detector lets pools of crypto/tls forget at random.
	if got := allocated() - before; got > size/4 {
		t.Errorf("%d bytes allocated to relay %d", got, size)
	}
}

// No frame costs an allocation, through TLS, Conn and Relay: half a million of them
// make fewer than the TLS records that they come in, which are crypto/tls's.
func TestRelayAllocations(t *testing.T) {
	const frames, blocks = 10000, 50
	block := bytes.Repeat(fin(opBinary, make([]byte, 100)), frames)
	s := newServer(t, func(p *peer) {
		for range blocks {
			if _, err := p.Write(block); err != nil {
				return
			}
		}
		p.Write(closeFrame(1000, ""))
		io.Copy(io.Discard, p.r)
	})
	c := s.dial(t, nil)
	in, w := io.Pipe()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stats, err := sshproxy.Relay(t.Context(), c, in, io.Discard, nil)
	runtime.ReadMemStats(&after)
	w.Close()
	if err != nil || stats.Received != 100*frames*blocks {
		t.Fatal(stats, err)
	}
	if n := after.Mallocs - before.Mallocs; n > frames*blocks/10 {
		t.Errorf("%d allocations for %d frames", n, frames*blocks)
	} else {
		t.Logf("%d allocations for %d frames in %d TLS records", n, frames*blocks, blocks*len(block)/(16<<10))
	}
}

// Real servers close by themselves after a handler returns; whoever is behind a
// plain http:// on loopback is relayed, too.
func TestRelayWithoutTLS(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, upgradeAnswer(r.Header.Get("Sec-WebSocket-Key")))
		f, _ := readClientFrame(rw)
		c.Write(fin(opBinary, f.Payload))
		c.Write(closeFrame(1000, ""))
		readClientFrame(rw)
	}))
	defer s.Close()
	for _, tr := range []http.RoundTripper{nil, &http.Transport{}} {
		c, err := sshproxy.Dial(t.Context(), mustURL(t, s.URL), &sshproxy.DialOptions{Transport: tr})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		stats, err := sshproxy.Relay(t.Context(), c, strings.NewReader("hello"), &out, nil)
		if err != nil || out.String() != "hello" || stats.End != sshproxy.EndOrigin {
			t.Errorf("%q, %+v, %v", out.String(), stats, err)
		}
	}
}
