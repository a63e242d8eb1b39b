package accesstest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gitaccess/gitaccess/access/accesstest"
)

const sshHost = "ssh.example.com"

// relay starts an edge with a TCP origin that handle serves, and opens a
// WebSocket to it without any library.
func relay(t *testing.T, handle func(net.Conn), switches ...func(*accesstest.App)) (*accesstest.Edge, net.Conn, *bufio.Reader) {
	t.Helper()
	e, srv, _ := edge(t, nil)
	app := e.AddApp(accesstest.App{Host: sshHost, Allow: true, TCP: accesstest.DialTCP(tcpOrigin(t, handle))})
	for _, change := range switches {
		app.Set(change)
	}
	conn, br := rawUpgrade(t, srv, sshHost, http.Header{"Cf-Access-Token": {app.Token("ada@example.com")}})
	conn.SetDeadline(time.Now().Add(time.Minute)) // a broken edge fails instead of hanging
	return e, conn, br
}

// frame is a masked frame with a first byte of the caller's.
func frame(b0 byte, payload []byte, mask [4]byte) []byte {
	b := []byte{b0}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

// readFrame reads an unmasked frame.
func readFrame(t *testing.T, br *bufio.Reader) (b0 byte, payload []byte) {
	t.Helper()
	b0, payload, err := nextFrame(br)
	if err != nil {
		t.Fatalf("no frame: %v", err)
	}
	return b0, payload
}

func nextFrame(br *bufio.Reader) (byte, []byte, error) {
	var h [2]byte
	if _, err := io.ReadFull(br, h[:]); err != nil {
		return 0, nil, err
	}
	if h[1]&0x80 != 0 {
		return 0, nil, errors.New("masked frame from a server")
	}
	n := uint64(h[1])
	switch n {
	case 126:
		var b [2]byte
		if _, err := io.ReadFull(br, b[:]); err != nil {
			return 0, nil, err
		}
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		if _, err := io.ReadFull(br, b[:]); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(b[:])
	}
	payload := make([]byte, n)
	_, err := io.ReadFull(br, payload)
	return h[0], payload, err
}

// TestRelayFraming sends one stream cut into frames of all sizes, fragmented,
// with pings in between, and compares what the origin received.
func TestRelayFraming(t *testing.T) {
	got := make(chan []byte, 1)
	e, conn, br := relay(t, func(c net.Conn) {
		b, _ := io.ReadAll(c)
		got <- b
	})
	r := rand.New(rand.NewPCG(1, 2))
	var want, wire []byte
	pings := 0
	fresh := true // no message is open
	for range 400 {
		n := []int{0, 1, 5, 125, 126, 127, 4096, 65535, 65536, 70000}[r.IntN(10)]
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte(r.Uint32())
		}
		mask := [4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}
		op, fin := byte(0x0), r.IntN(2) == 0
		if fresh {
			op = 0x2
		}
		if fresh = fin; fin {
			op |= 0x80
		}
		wire = append(wire, frame(op, payload, mask)...)
		want = append(want, payload...)
		if r.IntN(4) == 0 {
			pings++
			wire = append(wire, frame(0x89, []byte("ping"), mask)...)
		}
	}
	if !fresh {
		wire = append(wire, frame(0x80, nil, [4]byte{})...)
	}
	wire = append(wire, frame(0x88, []byte{0x03, 0xe8}, [4]byte{9, 9, 9, 9})...)
	sent := make(chan error, 1)
	go func() {
		for rest := wire; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(50000))
			if _, err := conn.Write(rest[:n]); err != nil {
				sent <- err
				return
			}
			rest = rest[n:]
		}
		sent <- nil
	}()
	for range pings {
		if b0, payload := readFrame(t, br); b0 != 0x8A || string(payload) != "ping" {
			t.Fatalf("want a pong, got %#x %q", b0, payload)
		}
	}
	if b0, payload := readFrame(t, br); b0 != 0x88 || !bytes.Equal(payload, []byte{0x03, 0xe8}) {
		t.Errorf("want the close frame back, got %#x %x", b0, payload)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if b := <-got; !bytes.Equal(b, want) {
		t.Errorf("the origin received %d bytes, want %d, or others", len(b), len(want))
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("after the close frames: %v", err)
	}
	_ = e
}

// TestOriginEnds: every byte of the origin, then a close frame, then the end,
// although the client goes on sending.
func TestOriginEnds(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	_, conn, br := relay(t, func(c net.Conn) { c.Write(data) }) // closed with unread input: a reset
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for {
			if _, err := conn.Write(frame(0x82, data[:4096], [4]byte{1, 2, 3, 4})); err != nil {
				return
			}
		}
	}()
	var got []byte
	for {
		b0, payload := readFrame(t, br)
		if b0 == 0x88 {
			break
		}
		if b0 != 0x82 {
			t.Fatalf("frame %#x", b0)
		}
		got = append(got, payload...)
	}
	// What a reset destroys at the origin's own socket is not the relay's to lose.
	if len(got) > len(data) || !bytes.Equal(got, data[:len(got)]) {
		t.Errorf("%d bytes, not a part of what was sent", len(got))
	}
	conn.Close()
	<-stop
}

func TestOriginEndsInOrder(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	_, conn, br := relay(t, func(c net.Conn) {
		c.Write(data)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	})
	var got []byte
	for {
		b0, payload := readFrame(t, br)
		if b0 == 0x88 {
			if binary.BigEndian.Uint16(payload) != 1000 {
				t.Errorf("close %x", payload)
			}
			break
		}
		got = append(got, payload...)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes before the close frame", len(got), len(data))
	}
	conn.Write(frame(0x88, []byte{0x03, 0xe8}, [4]byte{1}))
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("after the close frames: %v", err)
	}
}

// TestMessageLimit: what a message holds beyond the limit is gone, be it in one
// frame or in fragments, and nothing says so.
func TestMessageLimit(t *testing.T) {
	got := make(chan []byte, 1)
	_, conn, _ := relay(t, func(c net.Conn) {
		b, _ := io.ReadAll(c)
		got <- b
	}, func(a *accesstest.App) { a.MessageLimit = 1000 })
	mask := [4]byte{1, 2, 3, 4}
	a, b, c := bytes.Repeat([]byte("a"), 1000), bytes.Repeat([]byte("b"), 70000), bytes.Repeat([]byte("c"), 600)
	for _, f := range [][]byte{
		frame(0x82, a, mask), frame(0x82, b, mask), // 1000 of 70000
		frame(0x02, c, mask), frame(0x89, nil, mask), frame(0x00, c, mask), frame(0x80, c, mask), // 1000 of 1800
		frame(0x82, []byte("end"), mask), frame(0x88, nil, mask),
	} {
		if _, err := conn.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	want := string(a) + string(b[:1000]) + string(c) + string(c[:400]) + "end"
	if b := <-got; string(b) != want {
		t.Errorf("the origin received %d bytes, want %d, or others", len(b), len(want))
	}
}

// TestNoCloseFrame: every byte of the origin, then the end of TLS, in order, though
// the client goes on sending.
func TestNoCloseFrame(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	_, conn, br := relay(t, func(c net.Conn) {
		c.Write(data)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	}, func(a *accesstest.App) { a.NoCloseFrame = true })
	var got []byte
	for {
		b0, payload, err := nextFrame(br)
		if err == io.EOF { // crypto/tls: the peer said so; else io.ErrUnexpectedEOF
			break
		}
		if err != nil || b0 != 0x82 {
			t.Fatalf("frame %#x, %v", b0, err)
		}
		got = append(got, payload...)
		conn.Write(frame(0x82, payload[:1], [4]byte{1}))
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes before the end", len(got), len(data))
	}
}

func TestClientEnds(t *testing.T) {
	for name, end := range map[string]func(net.Conn){
		"close frame":    func(c net.Conn) { c.Write(frame(0x88, nil, [4]byte{1})) },
		"connection":     func(c net.Conn) { c.Close() },
		"in mid-frame":   func(c net.Conn) { c.Write(frame(0x82, make([]byte, 100), [4]byte{1})[:50]); c.Close() },
		"protocol error": func(c net.Conn) { c.Write([]byte{0xff, 0x80, 0, 0, 0, 0}) },
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			_, conn, _ := relay(t, func(c net.Conn) {
				io.Copy(io.Discard, c)
				close(ended)
			})
			end(conn)
			<-ended
		})
	}
}

func TestProtocolErrors(t *testing.T) {
	mask := [4]byte{1, 2, 3, 4}
	for name, wire := range map[string][]byte{
		"reserved bits":        frame(0xC2, []byte("x"), mask),
		"unmasked":             {0x82, 0x01, 'x'},
		"unknown opcode":       frame(0x83, nil, mask),
		"unknown control":      frame(0x8B, nil, mask),
		"long ping":            frame(0x89, make([]byte, 126), mask),
		"fragmented ping":      frame(0x09, nil, mask),
		"continuation of none": frame(0x80, []byte("x"), mask),
		"message in a message": append(frame(0x02, []byte("x"), mask), frame(0x82, []byte("y"), mask)...),
		"negative length":      {0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4},
	} {
		t.Run(name, func(t *testing.T) {
			_, conn, br := relay(t, func(c net.Conn) { io.Copy(io.Discard, c) })
			conn.Write(wire)
			b0, payload := readFrame(t, br)
			if b0 != 0x88 || binary.BigEndian.Uint16(payload) != 1002 {
				t.Errorf("%#x %x, want close 1002", b0, payload)
			}
		})
	}
}

func TestRelaySwitches(t *testing.T) {
	e, conn, br := relay(t, func(c net.Conn) { io.Copy(c, c) })
	mask := [4]byte{1, 2, 3, 4}
	conn.Write(frame(0x82, []byte("hello"), mask))
	if _, payload := readFrame(t, br); string(payload) != "hello" {
		t.Fatalf("%q", payload)
	}
	r := e.Relays()[0]
	if up, down := r.Bytes(); up != 5 || down != 5 || r.Host != sshHost {
		t.Errorf("%d up, %d down, %s", up, down, r.Host)
	}

	r.Freeze()
	conn.Write(frame(0x89, []byte("a"), mask))
	conn.Write(frame(0x82, []byte("b"), mask))
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, _, err := nextFrame(br); err == nil {
		t.Error("a frozen relay answers")
	}
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	r.Thaw()
	if b0, payload := readFrame(t, br); b0 != 0x8A || string(payload) != "a" {
		t.Errorf("after the thaw: %#x %q, want the pong", b0, payload)
	}
	if _, payload := readFrame(t, br); string(payload) != "b" {
		t.Errorf("after the thaw: %q", payload)
	}
	if r.Pings() != 1 {
		t.Errorf("%d pings", r.Pings())
	}
}

func TestCutAndClose(t *testing.T) {
	t.Run("cut", func(t *testing.T) {
		e, conn, br := relay(t, func(c net.Conn) { io.Copy(c, c) })
		conn.Write(frame(0x82, []byte("x"), [4]byte{}))
		readFrame(t, br)
		if n := e.CutRelays(); n != 1 {
			t.Errorf("cut %d", n)
		}
		if b0, _, err := nextFrame(br); err == nil || err == io.EOF {
			t.Errorf("after a cut: frame %#x, %v; want a reset", b0, err)
		}
		if _, err := e.Await(t.Context(), func(r accesstest.Request) bool { return r.WebSocket && r.Done }); err != nil {
			t.Error(err)
		}
		if len(e.Relays()) != 0 {
			t.Error("a relay is left")
		}
	})
	t.Run("close with a code", func(t *testing.T) {
		e, conn, br := relay(t, func(c net.Conn) { io.Copy(c, c) })
		conn.Write(frame(0x82, []byte("x"), [4]byte{}))
		readFrame(t, br)
		e.Relays()[0].Ping("hm")
		if b0, payload := readFrame(t, br); b0 != 0x89 || string(payload) != "hm" {
			t.Errorf("%#x %q", b0, payload)
		}
		e.Relays()[0].CloseWith(1012, "restart")
		if b0, payload := readFrame(t, br); b0 != 0x88 || binary.BigEndian.Uint16(payload) != 1012 || string(payload[2:]) != "restart" {
			t.Errorf("%#x %q", b0, payload)
		}
	})
}

func TestUpgradeAnswers(t *testing.T) {
	e, _, c := edge(t, nil)
	var asked []string
	app := e.AddApp(accesstest.App{Host: sshHost, Allow: true, TCP: func(_ context.Context, destination string) (net.Conn, error) {
		asked = append(asked, destination)
		return nil, errors.New("no such origin")
	}})
	tok := app.Token("ada@example.com")
	upgrade := []string{"cf-access-token", tok, "Upgrade", "websocket", "Connection", "keep-alive, Upgrade", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
	for _, tc := range []struct {
		name    string
		headers []string
		want    int
	}{
		{"origin down", upgrade, 502},
		{"no upgrade", upgrade[:2], 400},
		{"no key", upgrade[:8], 400},
		{"not admitted", upgrade[2:], 302},
		{"old version", append(upgrade[:6:6], "Sec-WebSocket-Version", "8", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), 400},
		{"jump", append(upgrade[:len(upgrade):len(upgrade)], "Cf-Access-Jump-Destination", "ssh://10.0.0.1:22/path"), 502},
		{"jump without scheme", append(upgrade[:len(upgrade):len(upgrade)], "Cf-Access-Jump-Destination", "db.internal:5432"), 502},
	} {
		if resp, _ := ask(t, c, "GET", "https://"+sshHost+"/", tc.headers...); resp.StatusCode != tc.want {
			t.Errorf("%s: %s, want %d", tc.name, resp.Status, tc.want)
		}
	}
	if got := strings.Join(asked, ","); got != ",10.0.0.1:22,db.internal:5432" {
		t.Errorf("destinations %q", got)
	}
	app.Set(func(a *accesstest.App) { a.WebSocketsOff = true })
	if resp, _ := ask(t, c, "GET", "https://"+sshHost+"/", upgrade...); resp.StatusCode != 400 {
		t.Errorf("WebSockets off: %s", resp.Status)
	}
}

// TestOtherServer has the edge as the handler of a server that is not its own,
// which ends no connection that was upgraded.
func TestOtherServer(t *testing.T) {
	e := accesstest.New(nil)
	ended := make(chan struct{})
	e.AddApp(accesstest.App{Host: "127.0.0.1", Bypass: true, TCP: accesstest.DialTCP(tcpOrigin(t, func(c net.Conn) {
		io.Copy(c, c)
		close(ended)
	}))})
	srv := httptest.NewTLSServer(e)
	defer srv.Close()
	ws, _, err := websocket.Dial(t.Context(), srv.URL, &websocket.DialOptions{HTTPClient: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	if err := ws.Write(t.Context(), websocket.MessageBinary, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, b, err := ws.Read(t.Context()); err != nil || string(b) != "x" {
		t.Fatalf("%q %v", b, err)
	}
	e.Close()
	<-ended
}

// TestManyRelays is 100 at once by a library that is not ours.
func TestManyRelays(t *testing.T) {
	e, _, c := edge(t, nil)
	svc := e.Team().AddServiceToken("ci")
	e.AddApp(accesstest.App{Host: sshHost, Services: []*accesstest.ServiceToken{svc}, TCP: accesstest.DialTCP(tcpOrigin(t, func(c net.Conn) { io.Copy(c, c) }))})
	errs := make(chan error)
	const n = 100
	for i := range n {
		go func() {
			errs <- func() error {
				ws, resp, err := websocket.Dial(t.Context(), "https://"+sshHost+"/", &websocket.DialOptions{HTTPClient: c, HTTPHeader: svc.Header()})
				if err != nil {
					return err
				}
				defer ws.CloseNow()
				if cookie(resp, "CF_Authorization") == nil {
					return errors.New("no cookie on the 101")
				}
				ws.SetReadLimit(1 << 20)
				sent := bytes.Repeat([]byte{byte(i)}, 10000+i)
				if err := ws.Write(t.Context(), websocket.MessageBinary, sent); err != nil {
					return err
				}
				var got []byte
				for len(got) < len(sent) {
					_, b, err := ws.Read(t.Context())
					if err != nil {
						return err
					}
					got = append(got, b...)
				}
				if !bytes.Equal(got, sent) {
					return errors.New("other bytes")
				}
				return ws.Close(websocket.StatusNormalClosure, "")
			}()
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := len(e.Connections(sshHost)); got != n {
		t.Errorf("%d connections", got)
	}
}
