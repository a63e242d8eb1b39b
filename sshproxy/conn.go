package sshproxy

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxBatch is the most payload that one Write to the connection beneath
	// carries, in messages of maxMessage. Measured: an upload costs a third less CPU
	// than with 64 KiB, and no less beyond 256 KiB.
	maxBatch = 256 << 10
	// closeWait bounds the close handshake.
	closeWait = time.Second
)

// Conn is a client's end of a WebSocket, used as a stream of bytes: each Write
// sends binary messages, and Read returns the payload of messages, be they binary
// or text, whatever their borders. It is a [net.Conn]; its methods may be called
// from several goroutines at once.
//
// While a Read waits and nothing has arrived for the time that
// [DialOptions.PingInterval] says, the peer is pinged; after two pings in a row
// without any sign of life, Read and Write fail with a [*PingError]. A Conn that
// nobody reads from is neither kept alive nor found dead.
//
// A Conn is to be closed, also after an error: it has a goroutine of its own.
type Conn struct {
	rw   io.ReadWriteCloser // the upgraded stream
	nc   net.Conn           // the connection beneath, for deadlines and addresses; nil: unknown
	raw  net.Conn           // beneath nc's TLS, to be closed when there is no time for alerts
	bulk *bulkConn          // raw, if it was dialled by NewTransport
	peer string

	readMu sync.Mutex
	r      reader

	writeLock chan struct{} // a token in it is the lock
	m         *masker
	wbuf      []byte
	werr      error // of an earlier write: what is on the wire cannot be mended
	deadline  writeDeadline

	keepalive
	closed  atomic.Bool
	failure atomic.Pointer[error] // why we gave the connection up
}

var _ net.Conn = (*Conn)(nil)

// newConn takes over an upgraded stream and begins to keep it alive.
func newConn(rw io.ReadWriteCloser, nc net.Conn, peer string, pingInterval time.Duration) *Conn {
	c := &Conn{rw: rw, nc: nc, raw: nc, peer: peer, m: newMasker(), writeLock: make(chan struct{}, 1)}
	if t, ok := nc.(*tls.Conn); ok {
		c.raw = t.NetConn()
	}
	if b, ok := c.raw.(*bulkConn); ok {
		c.bulk = b
		b.start()
	}
	c.r = reader{src: rw, control: c.onControl}
	c.startKeepalive(pingInterval)
	return c
}

// Read reads what the peer has sent. It returns as soon as there is something,
// with all that has arrived and fits.
//
// [io.EOF] means that the peer has ended the stream: by a close frame, or by ending
// its TLS in order, see [ErrNoCloseFrame]. Every other end is an error:
// [*CloseError], [*ProtocolError], [*PingError], [ErrNoCloseFrame],
// [io.ErrUnexpectedEOF] or one of the network's.
func (c *Conn) Read(p []byte) (int, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	c.waitBegins()
	n, err := c.r.Read(p)
	c.waitEnds(err == nil)
	if err == nil && n > 0 {
		n += c.readHeld(p[n:])
	}
	if n > 0 || err == nil {
		return n, nil
	}
	c.onReadError(err)
	if c.endedInOrder() {
		err = io.EOF
	}
	return 0, c.reason(err)
}

// readHeld reads what can be had without waiting, here and in the buffers of TLS,
// which do not tell what they hold. It saves the caller a write of his own for each
// TLS record and message.
func (c *Conn) readHeld(p []byte) int {
	if c.bulk == nil {
		return 0
	}
	c.bulk.hold(true)
	defer c.bulk.hold(false)
	n := 0
	for n < len(p) {
		k, err := c.r.Read(p[n:])
		n += k
		if err != nil {
			break // if it is more than errWouldBlock, the next Read meets it again
		}
	}
	return n
}

// endedInOrder reports whether the stream ended without a close frame, but by the
// peer's TLS, which said that nothing follows. The caller has readMu.
func (c *Conn) endedInOrder() bool {
	return errors.Is(c.r.err, ErrNoCloseFrame) && c.bulk != nil && c.bulk != c.nc && !c.bulk.eof
}

// withoutCloseFrame is endedInOrder for those who do not read at the moment.
func (c *Conn) withoutCloseFrame() bool {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	return c.endedInOrder()
}

// Write sends p. It returns when the connection beneath has taken all of it.
//
// If a deadline passes before that, n says how much was taken; the next Write, or
// Close, sends first what of it has not left yet. But where the connection beneath
// was not dialled by [NewTransport], such a deadline breaks off within a message,
// and all further Writes fail.
func (c *Conn) Write(p []byte) (n int, err error) {
	if err := c.beginWrite(); err != nil {
		return 0, c.reason(err)
	}
	defer c.endWrite()
	if err := c.flush(nil); err != nil {
		return 0, c.reason(err)
	}
	for n < len(p) {
		batch := p[n:min(len(p), n+maxBatch)]
		c.wbuf = slices.Grow(c.wbuf[:0], len(batch)+(len(batch)/maxMessage+1)*maxHeader)
		for rest := batch; len(rest) > 0; {
			k := min(len(rest), maxMessage)
			c.wbuf = c.m.appendFrame(c.wbuf, opBinary, rest[:k])
			rest = rest[k:]
		}
		err := c.flush(c.wbuf)
		if c.werr == nil {
			n += len(batch)
		}
		if err != nil {
			return n, c.reason(err)
		}
	}
	return n, nil
}

// flush writes frames to the connection beneath, after those that a deadline kept
// from being sent. After an error that is not in werr they will be sent later.
// The caller has the write lock.
func (c *Conn) flush(frames []byte) error {
	if c.werr != nil {
		return c.werr
	}
	if c.bulk == nil {
		if len(frames) > 0 {
			_, c.werr = c.rw.Write(frames)
		}
		return c.werr
	}
	c.bulk.cork(len(frames))
	if len(frames) > 0 {
		_, c.werr = c.rw.Write(frames)
	}
	err := c.bulk.uncork()
	if c.werr == nil && err != nil && !temporary(err) {
		c.werr = err
	}
	if c.werr != nil {
		return c.werr
	}
	return err
}

// writeControl sends a control frame. The caller has the write lock.
func (c *Conn) writeControl(opcode byte, payload []byte) {
	if c.werr != nil {
		return
	}
	c.wbuf = c.m.appendFrame(c.wbuf[:0], opcode, payload)
	c.flush(c.wbuf)
	if opcode == opClose && c.werr == nil {
		c.werr = net.ErrClosed // RFC 6455 section 5.5.1: nothing follows a close frame
	}
}

// Close ends the stream: it sends a close frame and waits for the peer's, for at
// most a second, whereby it discards what the peer has sent before. Calls of Read
// and Write return with [net.ErrClosed].
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	bound := time.AfterFunc(closeWait, c.abort)
	if c.failure.Load() != nil || !c.closeHandshake() {
		c.abort()
	}
	bound.Stop()
	c.rw.Close()
	c.stopKeepalive()
	return nil
}

// closeHandshake reports whether the peer has had the time to close, too.
func (c *Conn) closeHandshake() bool {
	c.lockWrite()
	c.writeControl(opClose, binary.BigEndian.AppendUint16(nil, closeNormal))
	ok := errors.Is(c.werr, net.ErrClosed)
	c.unlockWrite()
	if !ok {
		return false
	}
	if c.nc != nil {
		c.nc.SetReadDeadline(time.Unix(1, 0)) // sends the one who reads away
		c.readMu.Lock()
		c.nc.SetReadDeadline(time.Time{})
	} else if !c.readMu.TryLock() {
		return false
	}
	defer c.readMu.Unlock()
	for c.r.err == nil {
		var scrap [4 << 10]byte
		if _, err := c.r.Read(scrap[:]); err != nil && c.r.err == nil {
			return false
		}
	}
	return true
}

// fail gives the connection up. Reads and Writes under way return with err.
func (c *Conn) fail(err error) {
	if c.failure.CompareAndSwap(nil, &err) {
		c.abort()
	}
}

// abort closes without any ceremony, which wakes all who wait on the connection.
func (c *Conn) abort() {
	if c.raw != nil {
		c.raw.Close()
	}
	c.rw.Close()
}

// reason returns why a Read or Write failed, given what it met.
func (c *Conn) reason(err error) error {
	if f := c.failure.Load(); f != nil {
		return *f
	}
	if c.closed.Load() {
		return net.ErrClosed
	}
	return err
}

// LocalAddr returns the local address of the connection beneath.
func (c *Conn) LocalAddr() net.Addr {
	if c.nc == nil {
		return addr("local")
	}
	return c.nc.LocalAddr()
}

// RemoteAddr returns the remote address of the connection beneath: the edge's or a proxy's.
func (c *Conn) RemoteAddr() net.Addr {
	if c.nc == nil {
		return addr(c.peer)
	}
	return c.nc.RemoteAddr()
}

type addr string

func (addr) Network() string  { return "websocket" }
func (a addr) String() string { return string(a) }
