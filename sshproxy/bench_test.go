package sshproxy_test

import (
	"bufio"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"

	"github.com/gitaccess/gitaccess/sshproxy"
)

// Relay between a server over TLS and a pipe, as under ssh, beside the least that
// anybody could do: crypto/tls, a frame header read or a frame masked, and a write,
// in a loop of 64 KiB. The server, the relay and whoever is at the pipe share the
// process, so the ratio of the two figures is what counts.
//
//	go test ./sshproxy -run xxx -bench . -count 6 | benchstat -col /by -
func BenchmarkDown(b *testing.B) {
	for _, by := range []string{"bare", "relay"} {
		b.Run("by="+by, func(b *testing.B) {
			const block = 1 << 20
			begin := make(chan struct{})
			s := newServer(b, func(p *peer) {
				<-begin
				frame := fin(opBinary, make([]byte, 16<<10))
				for range b.N * block / (16 << 10) {
					if _, err := p.Write(frame); err != nil {
						return
					}
				}
				p.Write(closeFrame(1000, ""))
				io.Copy(io.Discard, p.r)
			})
			r, w, err := os.Pipe()
			if err != nil {
				b.Fatal(err)
			}
			var sink sync.WaitGroup
			sink.Go(func() {
				buf := make([]byte, 64<<10)
				for {
					if _, err := r.Read(buf); err != nil {
						return
					}
				}
			})
			b.SetBytes(block)
			b.ReportAllocs()
			run := func() { bareDown(b, s, w) }
			if by == "relay" {
				c := s.dial(b, nil)
				in, inW, err := os.Pipe()
				if err != nil {
					b.Fatal(err)
				}
				defer inW.Close()
				defer in.Close()
				run = func() {
					if _, err := sshproxy.Relay(b.Context(), c, in, w, nil); err != nil {
						b.Error(err)
					}
				}
			}
			b.ResetTimer()
			close(begin)
			run()
			b.StopTimer()
			w.Close()
			sink.Wait()
			r.Close()
		})
	}
}

func BenchmarkUp(b *testing.B) {
	for _, by := range []string{"bare", "relay"} {
		b.Run("by="+by, func(b *testing.B) {
			const block = 1 << 20
			s := newServer(b, func(p *peer) {
				r := bufio.NewReaderSize(p.Conn, 64<<10)
				for left := b.N * block; left > 0; {
					n, err := discardFrame(r)
					if err != nil {
						return
					}
					left -= n
				}
				p.Write(closeFrame(1000, ""))
				io.Copy(io.Discard, p.Conn)
			})
			r, w, err := os.Pipe()
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(block)
			b.ReportAllocs()
			run := func() { bareUp(b, s, r) }
			if by == "relay" {
				c := s.dial(b, nil)
				run = func() {
					if _, err := sshproxy.Relay(b.Context(), c, r, io.Discard, nil); err != nil {
						b.Error(err)
					}
				}
			}
			var source sync.WaitGroup
			b.ResetTimer()
			source.Go(func() {
				buf := make([]byte, 64<<10)
				for range b.N * block / len(buf) {
					if _, err := w.Write(buf); err != nil {
						return
					}
				}
				w.Close()
			})
			run()
			b.StopTimer()
			r.Close()
			source.Wait()
		})
	}
}

// discardFrame reads a client's frame and returns how long its payload was.
func discardFrame(r *bufio.Reader) (int, error) {
	h, err := r.Peek(10)
	if err != nil {
		return 0, err
	}
	head, n := 2+4, int(h[1]&0x7f)
	switch n {
	case 126:
		head, n = 4+4, int(binary.BigEndian.Uint16(h[2:]))
	case 127:
		head, n = 10+4, int(binary.BigEndian.Uint64(h[2:]))
	}
	_, err = r.Discard(head + n)
	return n, err
}

// BenchmarkKeystroke is one byte there and its echo back, through two pipes.
func BenchmarkKeystroke(b *testing.B) {
	s := newServer(b, echo)
	in, keys, _ := os.Pipe()
	screen, out, _ := os.Pipe()
	done := make(chan struct{})
	c := s.dial(b, nil)
	go func() {
		sshproxy.Relay(b.Context(), c, in, out, nil)
		close(done)
	}()
	key := []byte{'x'}
	for b.Loop() {
		keys.Write(key)
		screen.Read(key)
	}
	screen.Close()
	<-done
	keys.Close()
	in.Close()
	out.Close()
}

// bareDial makes a TLS connection to s and upgrades it.
func bareDial(b *testing.B, s *server) *tls.Conn {
	c, err := tls.Dial("tcp", s.URL.Host, s.Client().Transport.(*http.Transport).TLSClientConfig)
	if err != nil {
		b.Fatal(err)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
	if err != nil || resp.StatusCode != 101 {
		b.Fatal(err)
	}
	return c
}

func bareDown(b *testing.B, s *server, w io.Writer) {
	c := bareDial(b, s)
	defer c.Close()
	buf := make([]byte, 64<<10)
	var h [2]byte
	for {
		if _, err := io.ReadFull(c, h[:]); err != nil || h[0] == 0x88 {
			return
		}
		io.ReadFull(c, h[:]) // all messages have 16 bits of length
		for left := int(binary.BigEndian.Uint16(h[:])); left > 0; {
			n, err := c.Read(buf[:left])
			if err != nil {
				b.Error(err)
				return
			}
			w.Write(buf[:n])
			left -= n
		}
	}
}

func bareUp(b *testing.B, s *server, r io.Reader) {
	c := bareDial(b, s)
	defer c.Close()
	const head = 14
	buf := make([]byte, head+64<<10)
	key := make([]byte, 1<<10)
	rand.Read(key[:4])
	for n := 4; n < len(key); n *= 2 {
		copy(key[n:], key[:n])
	}
	for {
		n, err := r.Read(buf[head:])
		if err != nil {
			break
		}
		binary.BigEndian.PutUint64(buf[2:], uint64(n))
		buf[0], buf[1] = 0x82, 0xff
		copy(buf[10:], key[:4])
		for p := buf[head : head+n]; len(p) > 0; {
			p = p[subtle.XORBytes(p, p, key):]
		}
		if _, err := c.Write(buf[:head+n]); err != nil {
			b.Fatal(err)
		}
	}
	io.ReadFull(c, make([]byte, 4)) // the server's close frame: it has all
}
