package accesstest

import (
	"bytes"
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
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// RFC 6455 on the server's side. Messages carry raw bytes and nothing else:
// "Nothing about the framing is Cloudflare-specific" ([client]).
const (
	wsGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA

	// relayBuffer holds one read of either side. TLS records are at most
	// 16 KiB; larger reads of the origin make fewer, larger frames.
	relayBuffer = 64 << 10
)

// A Relay is an open WebSocket with a TCP origin behind it.
type Relay struct {
	Host        string
	Destination string // Cf-Access-Jump-Destination without scheme and path
	Request     int64  // id in the request log

	edge   *Edge
	client net.Conn
	wire   *edgeConn // beneath client's TLS; nil if there is none
	origin net.Conn
	out    sync.Mutex // one frame at a time to the client
	ended  atomic.Bool
	thaw   chan struct{} // closed unless frozen
	mu     sync.Mutex    // of thaw

	messageLimit int // see App; zero: none
	noCloseFrame bool

	toOrigin, toClient, pings atomic.Int64
}

// Bytes returns how much the relay carried each way.
func (r *Relay) Bytes() (toOrigin, toClient int64) { return r.toOrigin.Load(), r.toClient.Load() }

// Pings returns how many pings came from the client.
func (r *Relay) Pings() int64 { return r.pings.Load() }

// Relays returns the relays that are open now.
func (e *Edge) Relays() []*Relay {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*Relay
	for r := range e.relays {
		all = append(all, r)
	}
	return all
}

// CutRelays resets the connection of every open relay, without a close frame,
// as when a machine of the service is restarted. It returns how many there were.
func (e *Edge) CutRelays() int {
	all := e.Relays()
	for _, r := range all {
		r.Cut()
	}
	return len(all)
}

// Cut resets the client's connection and closes the origin's.
func (r *Relay) Cut() {
	r.ended.Store(true)
	raw := r.client
	for {
		n, ok := raw.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		raw = n.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	raw.Close()
	r.origin.Close()
	r.Thaw()
}

// CloseWith sends a close frame with this code and ends the relay in order.
func (r *Relay) CloseWith(code uint16, reason string) {
	r.sendClose(code, reason)
	r.origin.Close()
}

// Ping sends a ping to the client.
func (r *Relay) Ping(payload string) error { return r.frame(opPing, []byte(payload)) }

// Freeze stops the relay both ways without closing anything, as when packets
// are lost on the way. Pings get no pong. Thaw ends it.
func (r *Relay) Freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.thaw:
		r.thaw = make(chan struct{})
	default:
	}
}

// Thaw ends a Freeze.
func (r *Relay) Thaw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.thaw:
	default:
		close(r.thaw)
	}
}

// flow waits while the relay is frozen.
func (r *Relay) flow() {
	r.mu.Lock()
	thaw := r.thaw
	r.mu.Unlock()
	<-thaw
}

func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// relay upgrades the request and carries bytes between client and TCP origin
// until one of them ends.
func (a *Application) relay(w http.ResponseWriter, r *http.Request, app App, destination string, rec *entry) {
	key := r.Header.Get("Sec-Websocket-Key")
	if nonce, err := base64.StdEncoding.DecodeString(key); err != nil || len(nonce) != 16 || r.Method != http.MethodGet ||
		r.Header.Get("Sec-Websocket-Version") != "13" || !strings.Contains(strings.ToLower(r.Header.Get("Connection")), "upgrade") {
		w.Header().Set("Sec-Websocket-Version", "13")
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	destination = jumpDestination(destination)
	origin, err := app.TCP(r.Context(), destination)
	if err != nil {
		BadGateway.write(w)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		origin.Close()
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	client.SetDeadline(time.Time{})
	sum := sha1.Sum([]byte(key + wsGUID))
	head := w.Header().Clone()
	head.Set("Upgrade", "websocket")
	head.Set("Connection", "Upgrade")
	head.Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
	var answer strings.Builder
	answer.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	head.Write(&answer)
	answer.WriteString("\r\n")

	re := &Relay{Host: hostname(r.Host), Destination: destination, Request: rec.req.ID, edge: a.edge, client: client, origin: origin,
		thaw: make(chan struct{}), messageLimit: app.MessageLimit, noCloseFrame: app.NoCloseFrame}
	close(re.thaw)
	if t, ok := client.(*tls.Conn); ok {
		if re.wire, ok = t.NetConn().(*edgeConn); ok {
			re.wire.widen(2 * relayBuffer)
		}
	}
	e := a.edge
	e.mu.Lock()
	e.relays[re] = struct{}{}
	e.mu.Unlock()
	e.work.Add(1)
	defer e.work.Done()
	defer func() {
		e.mu.Lock()
		delete(e.relays, re)
		e.mu.Unlock()
	}()
	select {
	case <-e.done:
		re.Cut()
	default:
	}
	if _, err := io.WriteString(client, answer.String()); err != nil {
		re.Cut()
		return
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	re.run(append([]byte(nil), early...))
}

// jumpDestination is what a connector makes of the header: host and port,
// without scheme and path. [client]
func jumpDestination(s string) string {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	s, _, _ = strings.Cut(s, "/")
	return s
}

// run carries bytes until one side ends. Everything that the origin sent
// reaches the client before the close frame; a client that ends, by close
// frame or without, ends the origin.
func (r *Relay) run(early []byte) {
	up := make(chan error, 1)
	go func() {
		err := r.fromClient(early)
		// WebSocket has no half-close: whoever closes is gone both ways.
		r.origin.Close()
		up <- err
	}()
	r.fromOrigin()
	// The client answers with its own close frame, or not at all.
	r.client.SetReadDeadline(time.Now().Add(5 * time.Second))
	<-up
	r.client.Close()
	r.origin.Close()
}

// fromOrigin sends the origin's bytes as binary messages, one frame each, and
// the close frame at its end.
func (r *Relay) fromOrigin() {
	buf := make([]byte, headerRoom+relayBuffer)
	for {
		n, err := r.origin.Read(buf[headerRoom:])
		r.flow()
		if n > 0 {
			r.toClient.Add(int64(n))
			if r.send(opBinary, buf, n) != nil {
				r.client.Close()
				return
			}
		}
		if err != nil {
			if r.noCloseFrame {
				r.endTLS()
				return
			}
			code, reason := uint16(1000), ""
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				code, reason = 1011, "origin failed"
			}
			r.sendClose(code, reason)
			return
		}
	}
}

// headerRoom is the largest header of an unmasked frame.
const headerRoom = 10

// send writes the n payload bytes behind buf's headerRoom as one frame.
func (r *Relay) send(op byte, buf []byte, n int) error {
	start := headerRoom
	switch {
	case n < 126:
		start -= 2
		buf[start+1] = byte(n)
	case n < 1<<16:
		start -= 4
		buf[start+1] = 126
		binary.BigEndian.PutUint16(buf[start+2:], uint16(n))
	default:
		start -= 10
		buf[start+1] = 127
		binary.BigEndian.PutUint64(buf[start+2:], uint64(n))
	}
	buf[start] = 0x80 | op
	r.out.Lock()
	defer r.out.Unlock()
	if r.wire == nil {
		_, err := r.client.Write(buf[start : headerRoom+n])
		return err
	}
	r.wire.hold()
	_, err := r.client.Write(buf[start : headerRoom+n])
	return errors.Join(err, r.wire.release())
}

// frame sends a short frame.
func (r *Relay) frame(op byte, payload []byte) error {
	buf := make([]byte, headerRoom+len(payload))
	copy(buf[headerRoom:], payload)
	return r.send(op, buf, len(payload))
}

// sendClose sends a close frame, once.
func (r *Relay) sendClose(code uint16, reason string) {
	if r.ended.Swap(true) {
		return
	}
	r.frame(opClose, append(binary.BigEndian.AppendUint16(nil, code), reason...))
}

// endTLS says that nothing follows, by TLS and not by a close frame.
func (r *Relay) endTLS() {
	if r.ended.Swap(true) {
		return
	}
	r.out.Lock()
	defer r.out.Unlock()
	if c, ok := r.client.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
}

// fromClient unmasks the client's frames and writes their payload to the
// origin as it comes, without waiting for a frame to be complete.
func (r *Relay) fromClient(early []byte) error {
	in := frameReader{src: io.MultiReader(bytes.NewReader(early), r.client), buf: make([]byte, relayBuffer)}
	if len(early) == 0 {
		in.src = r.client
	}
	message := false // a message has begun and is not complete
	gone := false    // the origin takes no more
	got := uint64(0) // of the message
	limit := ^uint64(0)
	if r.messageLimit > 0 {
		limit = uint64(r.messageLimit)
	}
	for {
		h, err := in.header()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				r.fail(err)
			}
			return err
		}
		r.flow()
		switch {
		case h.op >= opClose:
			var payload [125]byte
			p := payload[:h.length]
			if err := in.full(p, h.mask); err != nil {
				return err
			}
			switch h.op {
			case opPing:
				r.pings.Add(1)
				r.frame(opPong, p)
			case opClose:
				code := uint16(1000)
				if len(p) >= 2 {
					code = binary.BigEndian.Uint16(p)
				}
				r.sendClose(code, "")
				return nil
			}
			continue
		case (h.op == opContinuation) != message:
			r.fail(protocolError("unexpected continuation"))
			return io.ErrUnexpectedEOF
		}
		if !message {
			got = 0
		}
		message = !h.fin
		for left, at := h.length, uint32(0); left > 0; {
			chunk, err := in.some(left)
			if err != nil {
				return err
			}
			unmask(chunk, h.mask, at)
			at += uint32(len(chunk))
			left -= uint64(len(chunk))
			r.flow()
			kept := min(uint64(len(chunk)), limit-min(limit, got))
			got += uint64(len(chunk))
			if chunk = chunk[:kept]; gone || kept == 0 {
				continue
			}
			// Counted first: an echo may be quicker than this goroutine.
			r.toOrigin.Add(int64(len(chunk)))
			if _, err := r.origin.Write(chunk); err != nil {
				// The origin reads no more, but what it sent must still reach
				// the client: closing with unread bytes would reset the
				// connection. fromOrigin sees the end and says so.
				gone = true
				continue
			}
		}
	}
}

type protocolError string

func (e protocolError) Error() string { return "websocket: " + string(e) }

// fail closes with 1002 after a protocol error.
func (r *Relay) fail(err error) {
	var p protocolError
	if errors.As(err, &p) {
		r.sendClose(1002, string(p))
	}
}

type frameHeader struct {
	op     byte
	fin    bool
	length uint64
	mask   uint32 // little endian, as it lies in memory
}

// frameReader reads frames out of one buffer that it never grows.
type frameReader struct {
	src        io.Reader
	buf        []byte
	start, end int
}

// fill makes at least n bytes ready; n is a header's size at most.
func (f *frameReader) fill(n int) error {
	if len(f.buf)-f.start < n || f.start == f.end {
		f.end = copy(f.buf, f.buf[f.start:f.end])
		f.start = 0
	}
	for f.end-f.start < n {
		k, err := f.src.Read(f.buf[f.end:])
		f.end += k
		if err != nil && f.end-f.start < n {
			if f.end > f.start && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

func (f *frameReader) header() (frameHeader, error) {
	var h frameHeader
	if err := f.fill(2); err != nil {
		return h, err
	}
	b0, b1 := f.buf[f.start], f.buf[f.start+1]
	h.fin, h.op, h.length = b0&0x80 != 0, b0&0x0f, uint64(b1&0x7f)
	size := 2 + 4
	switch {
	case b0&0x70 != 0:
		return h, protocolError(fmt.Sprintf("reserved bits %#x", b0&0x70))
	case b1&0x80 == 0:
		return h, protocolError("unmasked frame")
	case h.op > opBinary && h.op < opClose || h.op > opPong:
		return h, protocolError("unknown opcode")
	case h.op >= opClose && (h.length > 125 || !h.fin):
		return h, protocolError("control frame too long or fragmented")
	case h.length == 126:
		size += 2
	case h.length == 127:
		size += 8
	}
	if err := f.fill(size); err != nil {
		return h, err
	}
	b := f.buf[f.start : f.start+size]
	switch h.length {
	case 126:
		h.length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		h.length = binary.BigEndian.Uint64(b[2:])
		if h.length>>63 != 0 {
			return h, protocolError("length")
		}
	}
	h.mask = binary.LittleEndian.Uint32(b[size-4:])
	f.start += size
	return h, nil
}

// some returns the next bytes of a payload, at most limit of them.
func (f *frameReader) some(limit uint64) ([]byte, error) {
	if err := f.fill(1); err != nil {
		return nil, unexpected(err)
	}
	n := min(limit, uint64(f.end-f.start))
	chunk := f.buf[f.start : f.start+int(n)]
	f.start += int(n)
	return chunk, nil
}

func (f *frameReader) full(p []byte, mask uint32) error {
	for done := 0; done < len(p); {
		chunk, err := f.some(uint64(len(p) - done))
		if err != nil {
			return err
		}
		unmask(chunk, mask, uint32(done))
		done += copy(p[done:], chunk)
	}
	return nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unmask undoes the mask of payload bytes that begin at this offset.
func unmask(b []byte, mask, offset uint32) {
	shift := offset % 4 * 8
	m := uint64(mask>>shift | mask<<(32-shift))
	m |= m << 32
	for len(b) >= 32 {
		p := b[:32:32]
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^m)
		binary.LittleEndian.PutUint64(p[8:], binary.LittleEndian.Uint64(p[8:])^m)
		binary.LittleEndian.PutUint64(p[16:], binary.LittleEndian.Uint64(p[16:])^m)
		binary.LittleEndian.PutUint64(p[24:], binary.LittleEndian.Uint64(p[24:])^m)
		b = b[32:]
	}
	for i := range b {
		b[i] ^= byte(m >> (i % 8 * 8))
	}
}

// DialTCP is an App.TCP that connects to one address whatever the client's
// destination says.
func DialTCP(addr string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
}
