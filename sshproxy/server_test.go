package sshproxy_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/sshproxy"
)

// What a server of RFC 6455 sends and understands, written from the RFC and not
// from the package under test.

const (
	opCont   = 0x0
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

// fin and more make a frame as a server sends it: the last of its message, and not.
func fin(op byte, payload []byte) []byte  { return rawFrame(0x80|op, payload) }
func more(op byte, payload []byte) []byte { return rawFrame(op, payload) }

func rawFrame(b0 byte, payload []byte) []byte {
	var head []byte
	switch n := len(payload); {
	case n < 126:
		head = []byte{b0, byte(n)}
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16([]byte{b0, 126}, uint16(n))
	default:
		head = binary.BigEndian.AppendUint64([]byte{b0, 127}, uint64(n))
	}
	return append(head, payload...)
}

func closeFrame(code uint16, reason string) []byte {
	return fin(opClose, append(binary.BigEndian.AppendUint16(nil, code), reason...))
}

// A clientFrame is a frame that the client sent, unmasked.
type clientFrame struct {
	Op      byte
	Payload []byte
}

func readClientFrame(r io.Reader) (clientFrame, error) {
	var h [14]byte
	if _, err := io.ReadFull(r, h[:2]); err != nil {
		return clientFrame{}, err
	}
	f := clientFrame{Op: h[0] & 0x0f}
	switch {
	case h[0]&0xf0 != 0x80:
		return f, fmt.Errorf("client sent first byte %#x: fragmented or with reserved bits", h[0])
	case h[1]&0x80 == 0:
		return f, errors.New("client sent an unmasked frame")
	}
	n := uint64(h[1] & 0x7f)
	switch n {
	case 126:
		io.ReadFull(r, h[:2])
		n = uint64(binary.BigEndian.Uint16(h[:]))
	case 127:
		io.ReadFull(r, h[:8])
		n = binary.BigEndian.Uint64(h[:])
	}
	var mask [4]byte
	if _, err := io.ReadFull(r, mask[:]); err != nil {
		return f, io.ErrUnexpectedEOF
	}
	f.Payload = make([]byte, n)
	if _, err := io.ReadFull(r, f.Payload); err != nil {
		return f, io.ErrUnexpectedEOF
	}
	for i := range f.Payload {
		f.Payload[i] ^= mask[i%4]
	}
	return f, nil
}

// collect reads frames of the client until the connection ends.
func collect(r io.Reader) []clientFrame {
	var all []clientFrame
	for {
		f, err := readClientFrame(r)
		if err != nil {
			return all
		}
		all = append(all, f)
	}
}

func upgradeAnswer(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
}

// pipe returns a Conn and the server's end of it, in memory: usable with synctest.
func pipe(t testing.TB, o *sshproxy.DialOptions) (*sshproxy.Conn, net.Conn) {
	t.Helper()
	client, server := net.Pipe()
	if o == nil {
		o = new(sshproxy.DialOptions)
	}
	options := *o
	options.Transport = answering(client)
	c, err := sshproxy.Dial(t.Context(), &url.URL{Scheme: "https", Host: "pipe.example.com"}, &options)
	if err != nil {
		t.Fatal(err)
	}
	return c, server
}

// answering is a RoundTripper that upgrades to stream.
func answering(stream io.ReadWriteCloser) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		h := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}
		h.Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
		return &http.Response{StatusCode: 101, Header: h, Body: stream, Request: req}, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A server upgrades each connection over TLS and hands it to serve, which runs in
// the test's time: the test ends when it has.
type server struct {
	*httptest.Server
	URL *url.URL
	wg  sync.WaitGroup
}

// A peer is a server's end of a connection.
type peer struct {
	net.Conn               // TLS
	r        *bufio.Reader // what the client sends
	raw      *net.TCPConn  // beneath TLS
}

func newServer(t testing.TB, serve func(p *peer)) *server {
	s := new(server)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.wg.Add(1)
		defer s.wg.Done()
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if _, err := io.WriteString(c, upgradeAnswer(r.Header.Get("Sec-WebSocket-Key"))); err != nil {
			return
		}
		p := &peer{Conn: c, r: rw.Reader}
		if tc, ok := c.(*tls.Conn); ok {
			p.raw, _ = tc.NetConn().(*net.TCPConn)
		}
		serve(p)
	}))
	s.Server.Config.ErrorLog = discardLog
	s.URL, _ = url.Parse(s.Server.URL)
	t.Cleanup(func() {
		s.Server.CloseClientConnections()
		s.Server.Close()
		s.wg.Wait()
	})
	return s
}

// transport returns what reaches the server, once as NewTransport makes it and
// once as net/http does.
func (s *server) transport(bulk bool) *http.Transport {
	base := s.Client().Transport.(*http.Transport).Clone()
	if bulk {
		return sshproxy.NewTransport(base)
	}
	return base
}

func (s *server) dial(t testing.TB, o *sshproxy.DialOptions) *sshproxy.Conn {
	t.Helper()
	if o == nil {
		o = new(sshproxy.DialOptions)
	}
	options := *o
	if options.Transport == nil {
		options.Transport = s.transport(true)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := sshproxy.Dial(ctx, s.URL, &options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
