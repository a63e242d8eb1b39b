package sshproxy_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/sshproxy"
	"golang.org/x/net/nettest"
)

// A pair of Conns whose servers hand each other what they receive must behave as
// any net.Conn does, by the suite of golang.org/x/net.
func TestNetConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		ends := make(chan *peer, 2)
		over := make(chan struct{})
		s := newServer(t, func(p *peer) { ends <- p; <-over })
		a := s.dial(t, nil)
		pa := <-ends
		b := s.dial(t, nil)
		pb := <-ends
		var wg sync.WaitGroup
		wg.Go(func() { pump(pa, pb) })
		wg.Go(func() { pump(pb, pa) })
		return a, b, func() {
			a.Close()
			b.Close()
			pa.Close()
			pb.Close()
			wg.Wait()
			close(over)
		}, nil
	})
}

// pump hands messages on, and a close frame to both, since a WebSocket has no half-close.
func pump(from, to *peer) {
	for {
		f, err := readClientFrame(from.r)
		if err != nil {
			to.Close()
			return
		}
		to.Write(fin(f.Op, f.Payload))
		if f.Op == opClose {
			from.Write(fin(opClose, f.Payload))
			return
		}
	}
}

// A read deadline that passes in the middle of anything loses nothing.
func TestReadDeadlineKeepsTheStream(t *testing.T) {
	payload := make([]byte, 70000)
	rand.Read(payload)
	wire := bytes.Join([][]byte{more(opBinary, payload[:100]), fin(opPing, []byte("x")), more(opCont, payload[100:300]), fin(opCont, payload[300:]), closeFrame(1000, "")}, nil)
	steps := make(chan int)
	s := newServer(t, func(p *peer) {
		rest := wire
		for n := range steps {
			p.Write(rest[:n])
			rest = rest[n:]
			steps <- 0
		}
		collect(p.r)
	})
	c := s.dial(t, nil)
	var got []byte
	buf := make([]byte, 1<<16)
	for left := len(wire); left > 0; {
		// Single bytes where headers are, larger pieces within the payload.
		n := 1
		if sent := len(wire) - left; sent > 500 && left > 100 {
			n = min(left-50, 5000)
		}
		steps <- n
		<-steps
		left -= n
		for {
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if left == 0 {
				c.SetReadDeadline(time.Time{})
			}
			k, err := c.Read(buf)
			got = append(got, buf[:k]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("after %d bytes: %v", len(got), err)
				}
				break
			}
		}
	}
	close(steps)
	if !bytes.Equal(got, payload) {
		t.Fatalf("%d bytes of %d, or not the same", len(got), len(payload))
	}
}

// A write deadline that has passed before a Write does no harm, neither to it nor
// to pongs.
func TestWriteDeadlineThatHasPassed(t *testing.T) {
	frames := make(chan clientFrame, 10)
	s := newServer(t, func(p *peer) {
		for range 2 {
			p.Write(fin(opPing, []byte("hello")))
			f, _ := readClientFrame(p.r)
			frames <- f
		}
		f, _ := readClientFrame(p.r)
		frames <- f
	})
	for _, bulk := range []bool{true, false} {
		c := s.dial(t, &sshproxy.DialOptions{Transport: s.transport(bulk)})
		reading := make(chan struct{})
		go func() {
			c.Read(make([]byte, 10))
			close(reading)
		}()
		c.SetWriteDeadline(time.Unix(1, 0))
		for range 2 {
			if f := <-frames; f.Op != opPong || string(f.Payload) != "hello" {
				t.Fatalf("frame %v, want a pong", f)
			}
		}
		if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("late write: %d, %v", n, err)
		}
		c.SetWriteDeadline(time.Now().Add(time.Hour))
		if _, err := c.Write([]byte("y")); err != nil {
			t.Errorf("write in time: %v", err)
		}
		if f := <-frames; f.Op != opBinary || string(f.Payload) != "y" {
			t.Errorf("frame %v", f)
		}
		c.Close()
		<-reading
	}
}

// A deadline that passes within a Write wakes it, and a second Write that waits
// behind it. What they said to have sent arrives, and so does what follows.
func TestWriteDeadlineThatPasses(t *testing.T) {
	unblock, got := make(chan struct{}), make(chan int, 1)
	s := newServer(t, func(p *peer) {
		<-unblock
		sum := 0
		for _, f := range collect(p.r) {
			if f.Op == opBinary {
				sum += len(f.Payload)
			}
		}
		got <- sum
	})
	c := s.dial(t, nil)
	var sent atomic.Int64
	var writers sync.WaitGroup
	var once sync.Once
	cut := make(chan struct{})
	big := make([]byte, 64<<20) // more than all buffers on the way
	for range 2 {
		writers.Go(func() {
			for !closed(cut) { // a deadline may meet a Write before it has begun
				n, err := c.Write(big)
				sent.Add(int64(n))
				var timeout net.Error
				if !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("write that nobody reads: %d, %v", n, err)
				}
				if n > 0 {
					once.Do(func() { close(cut) })
				}
			}
		})
	}
	for !closed(cut) {
		c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		select {
		case <-cut:
		case <-time.After(100 * time.Millisecond):
		}
	}
	writers.Wait()
	if n, err := c.Write([]byte("z")); n != 0 || err == nil {
		t.Errorf("after the deadline: %d, %v", n, err)
	}
	close(unblock)
	c.SetWriteDeadline(time.Time{})
	n, err := c.Write(make([]byte, 100000))
	if sent.Add(int64(n)); err != nil {
		t.Errorf("the Write after the deadline: %v", err)
	}
	c.Close()
	if sum := <-got; sum != int(sent.Load()) {
		t.Errorf("%d bytes arrived of %d", sum, sent.Load())
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Without NewTransport, a deadline that passes within a Write breaks TLS, and all
// Writes after it say so.
func TestWriteDeadlineWithoutNewTransport(t *testing.T) {
	unblock := make(chan struct{})
	s := newServer(t, func(p *peer) { <-unblock })
	defer close(unblock)
	c := s.dial(t, &sshproxy.DialOptions{Transport: s.transport(false)})
	big := make([]byte, 64<<20)
	for range 100 {
		c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := c.Write(big); n == len(big) || err == nil {
			t.Fatalf("write that nobody reads: %d, %v", n, err)
		}
		c.SetWriteDeadline(time.Time{})
		if _, err := c.Write([]byte("z")); err != nil {
			return
		}
		// The deadline had passed before the Write began.
	}
	t.Error("a Write after a part of a message succeeded")
}

// Close wakes whoever reads or writes, also where nobody reads at the other end,
// and twice is an error.
func TestCloseWakes(t *testing.T) {
	unblock := make(chan struct{})
	s := newServer(t, func(p *peer) { <-unblock })
	defer close(unblock)
	c := s.dial(t, nil)
	errs := make(chan error, 2)
	go func() {
		_, err := c.Read(make([]byte, 10))
		errs <- err
	}()
	go func() {
		_, err := c.Write(make([]byte, 64<<20))
		errs <- err
	}()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, net.ErrClosed) {
			t.Errorf("error %v", err)
		}
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if _, err := c.Write(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
	if err := c.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SetDeadline after Close: %v", err)
	}
}

// The close handshake: what was written before arrives, then a close frame, and
// what the server still sent does not reset the connection under it.
func TestCloseHandshake(t *testing.T) {
	got := make(chan []clientFrame, 1)
	s := newServer(t, func(p *peer) {
		p.Write(fin(opBinary, make([]byte, 1<<20))) // which the client never reads
		frames := collect(io.TeeReader(p.r, closeAnswer{p}))
		got <- frames
	})
	c := s.dial(t, nil)
	for range 100 {
		if _, err := c.Write(make([]byte, 10000)); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	frames := <-got
	sum := 0
	for _, f := range frames {
		if f.Op == opBinary {
			sum += len(f.Payload)
		}
	}
	last := frames[len(frames)-1]
	if sum != 1000000 || last.Op != opClose || !bytes.Equal(last.Payload, []byte{3, 0xe8}) {
		t.Errorf("%d bytes, then %v", sum, last)
	}
}

// closeAnswer answers once the client's close frame has come by, which ends what it sends.
type closeAnswer struct{ p *peer }

func (a closeAnswer) Write(b []byte) (int, error) {
	if len(b) == 2 && binary.BigEndian.Uint16(b)&0xff00 == 0x8800 {
		a.p.Write(closeFrame(1000, ""))
	}
	return len(b), nil
}

// No message is longer than what cloudflared reads of one: see the package comment.
func TestMessagesFitTheConnector(t *testing.T) {
	sizes := make(chan int, 1000)
	s := newServer(t, func(p *peer) {
		for _, f := range collect(p.r) {
			if f.Op == opBinary {
				sizes <- len(f.Payload)
			}
		}
		close(sizes)
	})
	c := s.dial(t, nil)
	want := 0
	for _, n := range []int{0, 1, 16383, 16384, 16385, 32768, 100000, 300000, 1 << 20} {
		if k, err := c.Write(make([]byte, n)); k != n || err != nil {
			t.Fatal(k, err)
		}
		want += n
	}
	c.Close()
	sum := 0
	for n := range sizes {
		if n > 16384 || n == 0 {
			t.Errorf("message of %d bytes", n)
		}
		sum += n
	}
	if sum != want {
		t.Errorf("%d bytes of %d", sum, want)
	}
}

// What one Write is given leaves by one system call, however many messages and TLS
// records it makes: a keystroke at once, and bulk in few large pieces.
func TestWriteCoalesces(t *testing.T) {
	s := newServer(t, func(p *peer) {
		for {
			if f, err := readClientFrame(p.r); err != nil || f.Op == opClose {
				return
			}
		}
	})
	var calls, size atomic.Int64
	base := s.transport(false)
	dial := (&net.Dialer{}).DialContext
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return &countedConn{c, &calls, &size}, err
	}
	c := s.dial(t, &sshproxy.DialOptions{Transport: sshproxy.NewTransport(base)})
	for _, n := range []int{1, 100, 16384, 100000, 256 << 10} {
		calls.Store(0)
		size.Store(0)
		if _, err := c.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if calls.Load() != 1 || size.Load() <= int64(n) {
			t.Errorf("%d bytes: %d writes of %d bytes together", n, calls.Load(), size.Load())
		}
	}
}

// countedConn counts what is written.
type countedConn struct {
	net.Conn
	calls, size *atomic.Int64
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.calls.Add(1)
	c.size.Add(int64(len(p)))
	return c.Conn.Write(p)
}

// One read gives all that has come, so that a relay need not write each message by itself.
func TestReadCoalesces(t *testing.T) {
	sent := make(chan struct{})
	s := newServer(t, func(p *peer) {
		p.Write(fin(opBinary, []byte("begin")))
		for range 100 {
			p.Write(fin(opBinary, make([]byte, 100)))
		}
		close(sent)
		p.Write(fin(opBinary, []byte("x")))
		collect(p.r)
	})
	c := s.dial(t, nil)
	buf := make([]byte, 1<<20)
	if n, err := io.ReadFull(c, buf[:5]); err != nil || string(buf[:n]) != "begin" {
		t.Fatal(n, err)
	}
	<-sent
	reads, sum := 0, 0
	for ; sum < 10001; reads++ {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if reads > 10 {
		t.Errorf("%d reads for 101 messages", reads)
	}
}
