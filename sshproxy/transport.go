package sshproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// NewTransport returns a copy of base (nil: http.DefaultTransport) whose
// connections serve a [Conn] better: it reads and writes many TLS records by one
// system call, can go on after a write deadline, and can tell whether the peer
// ended its TLS in order. Where base waits for an answer for ever, the copy waits
// for a minute: an edge answers sooner that the way to the origin is closed.
//
// It works with every proxy that base can use but those that are spoken to by
// TLS themselves; there, and where base has a DialTLSContext, connections are
// as base makes them.
func NewTransport(base *http.Transport) *http.Transport {
	if base == nil {
		base, _ = http.DefaultTransport.(*http.Transport)
	}
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 10 * time.Second}
	if base != nil {
		t = base.Clone()
	}
	dial := t.DialContext
	if dial == nil {
		dial = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	t.DialContext = bulkDial(dial)
	if t.ResponseHeaderTimeout == 0 {
		t.ResponseHeaderTimeout = answerTimeout
	}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = new(tls.Config)
	}
	// The small records with which Go begins each burst serve browsers, which can
	// show half a page. A relay only pays for them.
	t.TLSClientConfig.DynamicRecordSizingDisabled = true
	return t
}

func bulkDial(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &bulkConn{Conn: c}, nil
	}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

const (
	answerTimeout = time.Minute

	minReadBuffer = 16 << 10 // until a read has filled it
	maxReadBuffer = 256 << 10

	// recordOverhead is above what TLS adds to 16 KiB (RFC 8446 section 5.2).
	recordOverhead = 64
)

// bulkConn is the connection beneath TLS. Until start it does nothing of its own.
type bulkConn struct {
	net.Conn

	// Used by whoever reads from the TLS above.
	on   bool
	held bool // read from buf only
	eof  bool // the peer's FIN was read
	buf  []byte
	r, w int // buf[r:w] is unread

	wmu    sync.Mutex
	corked bool
	out    []byte
}

// start is called when the upgrade is done and nobody reads.
func (b *bulkConn) start() { b.on = true }

// hold makes Read return errWouldBlock where it would ask the network.
func (b *bulkConn) hold(on bool) { b.held = on }

func (b *bulkConn) Read(p []byte) (int, error) {
	if !b.on {
		return b.Conn.Read(p)
	}
	if b.r == b.w {
		if b.held {
			return 0, errWouldBlock
		}
		switch {
		case b.buf == nil:
			b.buf = make([]byte, minReadBuffer)
		case b.w == len(b.buf) && len(b.buf) < maxReadBuffer:
			b.buf = make([]byte, maxReadBuffer)
		}
		n, err := b.Conn.Read(b.buf)
		b.r, b.w = 0, n
		b.eof = b.eof || errors.Is(err, io.EOF)
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, b.buf[b.r:b.w])
	b.r += n
	return n, nil
}

// cork keeps what is written until uncork: n bytes, before TLS.
func (b *bulkConn) cork(n int) {
	b.wmu.Lock()
	b.corked = true
	b.out = slices.Grow(b.out, n+(n/(16<<10)+1)*recordOverhead)
	b.wmu.Unlock()
}

// uncork sends what was kept. What a deadline has kept from being sent stays for
// the next time: to TLS above it has been written, so a deadline does not break it.
func (b *bulkConn) uncork() error {
	b.wmu.Lock()
	defer b.wmu.Unlock()
	b.corked = false
	return b.flush()
}

func (b *bulkConn) Write(p []byte) (int, error) {
	b.wmu.Lock()
	defer b.wmu.Unlock()
	if !b.corked && len(b.out) == 0 {
		return b.Conn.Write(p)
	}
	b.out = append(b.out, p...)
	if b.corked {
		return len(p), nil
	}
	if err := b.flush(); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (b *bulkConn) flush() error {
	if len(b.out) == 0 {
		return nil
	}
	n, err := b.Conn.Write(b.out)
	b.out = b.out[:copy(b.out, b.out[n:])]
	return err
}
