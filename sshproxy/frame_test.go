package sshproxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"
)

func TestMask(t *testing.T) {
	m := newMasker()
	keys := make(map[[4]byte]bool)
	for n := range 3000 {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(i)
		}
		b := m.appendFrame([]byte("before"), opBinary, p)
		h, k, err := parseHeader(b[6:])
		if err != nil || !h.masked || !h.fin || h.length != int64(n) {
			t.Fatalf("%d bytes: header %+v, %v", n, h, err)
		}
		for i, c := range b[6+k:] {
			if got := c ^ h.mask[i%4]; got != byte(i) {
				t.Fatalf("%d bytes: byte %d is %d after unmasking", n, i, got)
			}
		}
		for i, c := range p {
			if c != byte(i) {
				t.Fatalf("%d bytes: the caller's byte %d was changed", n, i)
			}
		}
		keys[h.mask] = true
	}
	if len(keys) < 2990 {
		t.Errorf("%d different keys in 3000 frames", len(keys))
	}
}

// A header that is parsed serialises to the bytes that it was parsed from, and no
// bytes beyond it are looked at.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"\x82\x00", "\x82\x7e\x00\x7e", "\x02\x7f\x00\x00\x00\x00\x00\x01\x00\x00", "\x89\x80\x01\x02\x03\x04", "\x88\x7e\x00\x7e", "\xf2\x00",
		"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", "\x82\x7e\x00\x01", "\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00\x01\x02\x03\x04"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := parseHeader(b)
		if err != nil {
			var p *ProtocolError
			if !errors.As(err, &p) || n != 0 {
				t.Fatalf("error %v, length %d", err, n)
			}
			return
		}
		if n == 0 {
			if len(b) >= maxHeader {
				t.Fatalf("%d bytes are not enough for a header", len(b))
			}
			return
		}
		if h.length < 0 {
			t.Fatalf("length %d", h.length)
		}
		if again := appendHeader(nil, h); !bytes.Equal(again, b[:n]) {
			t.Fatalf("%x becomes %x", b[:n], again)
		}
		if other, k, err := parseHeader(b[:n]); other != h || k != n || err != nil {
			t.Fatalf("%x: other bytes behind it change it: %+v, %d, %v", b[:n], other, k, err)
		}
		for short := range n {
			if _, k, err := parseHeader(b[:short]); err == nil && k != 0 {
				t.Fatalf("%x is a header of %d bytes without its end", b[:short], k)
			}
		}
	})
}

// What a server sends means the same however it arrives: byte by byte or at once,
// with or without deadlines that pass in between. Payload that was delivered is
// what an independent reader finds.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x82\x05hello\x88\x02\x03\xe8"), []byte{1})
	f.Add([]byte("\x02\x03abc\x89\x04ping\x80\x02de\x8a\x00\x88\x00"), []byte{0, 2, 0, 3})
	f.Add([]byte("\x82\x7e\x01\x00"+string(bytes.Repeat([]byte("x"), 256))), []byte{7, 0, 200})
	f.Add([]byte("\x81\x02\xff\xfe\x80\x01a"), []byte{5})
	f.Add([]byte("\x82\x03ab"), []byte{})
	for _, broken := range []string{
		"\x82\x81\x01\x02\x03\x04a", "\xc2\x01a", "\x83\x01a", "\x80\x01a", "\x02\x01a\x82\x01b", "\x09\x01a", "\x89\x7e\x00\x7e", "\x82\x7e\x00\x01a", "\x88\x01\x03",
	} {
		f.Add([]byte("\x82\x01y"+broken+"\x82\x01n"), []byte{1, 3})
	}
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		whole, wholeCtl, wholeErr := readAll(bytes.NewReader(stream), 4096)
		parts, partsCtl, partsErr := readAll(&choppy{b: stream, cuts: cuts}, 1+len(cuts)%5)
		if !bytes.Equal(whole, parts) || wholeErr.Error() != partsErr.Error() || !bytes.Equal(wholeCtl, partsCtl) {
			t.Fatalf("at once:  %q, %v, control %q\nin parts: %q, %v, control %q", whole, wholeErr, wholeCtl, parts, partsErr, partsCtl)
		}
		if want := payloads(stream); !bytes.Equal(whole, want) {
			t.Fatalf("payload %q, want %q", whole, want)
		}
	})
}

// readAll reads a stream with buffers of size bytes.
func readAll(src io.Reader, size int) (data, control []byte, err error) {
	r := reader{src: src}
	r.control = func(op byte, p []byte) { control = append(append(control, op, byte(len(p))), p...) }
	buf := make([]byte, size)
	for {
		n, err := r.Read(buf)
		data = append(data, buf[:n]...)
		if err != nil && !temporary(err) {
			return data, control, err
		}
	}
}

// choppy gives as many bytes as each of cuts says; none is a deadline that has passed.
type choppy struct {
	b, cuts []byte
	n       int
}

func (c *choppy) Read(p []byte) (int, error) {
	k := 1
	if len(c.cuts) > 0 {
		k = int(c.cuts[c.n%len(c.cuts)])
		if c.n++; k == 0 && c.n < 10*len(c.cuts) {
			return 0, errWouldBlock
		}
	}
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	k = copy(p, c.b[:min(max(k, 1), len(c.b))])
	c.b = c.b[k:]
	return k, nil
}

// payloads is a second, simple reader: data payload until the first thing that is
// not right.
func payloads(b []byte) (data []byte) {
	open := false
	for len(b) >= 2 {
		op, fin, n := b[0]&15, b[0]&128 != 0, int(b[1]&127)
		if b[0]&0x70 != 0 || b[1]&128 != 0 || op > 10 || op > 2 && op < 8 || op >= 8 && (!fin || n > 125) {
			return data
		}
		b = b[2:]
		switch {
		case n == 126 && len(b) >= 2 && binary.BigEndian.Uint16(b) >= 126:
			n, b = int(binary.BigEndian.Uint16(b)), b[2:]
		case n == 127 && len(b) >= 8 && binary.BigEndian.Uint64(b)>>63 == 0 && binary.BigEndian.Uint64(b) >= 1<<16:
			n, b = int(binary.BigEndian.Uint64(b)), b[8:]
		case n >= 126:
			return data
		}
		if op == 8 || op < 8 && (op == 0) != open {
			return data
		}
		if op < 8 {
			open = !fin
			data = append(data, b[:min(n, len(b))]...)
		}
		if n > len(b) {
			return data
		}
		b = b[n:]
	}
	return data
}

// Sending and receiving allocate nothing per frame.
func TestNoAllocations(t *testing.T) {
	c := &Conn{rw: null{}, m: newMasker(), writeLock: make(chan struct{}, 1)}
	for _, size := range []int{1, 100, maxMessage, maxBatch} {
		p := make([]byte, size)
		c.Write(p)
		if n := testing.AllocsPerRun(100, func() { c.Write(p) }); n != 0 {
			t.Errorf("Write of %d bytes: %v allocations", size, n)
		}
	}
	frame := appendHeader(nil, header{fin: true, opcode: opBinary, length: 20000})
	frame = append(frame, make([]byte, 20000)...)
	frame = append(frame, "\x89\x01x"...) // a ping after each
	src := &endless{b: frame}
	c.r = reader{src: src, control: c.onControl}
	c.start, c.due = time.Now(), make(chan struct{}, 1)
	p := make([]byte, 1<<14)
	if n := testing.AllocsPerRun(1000, func() {
		if n, err := c.Read(p); n == 0 || err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("Read: %v allocations", n)
	}
}

type null struct{}

func (null) Read([]byte) (int, error)    { select {} }
func (null) Write(p []byte) (int, error) { return len(p), nil }
func (null) Close() error                { return nil }

// endless gives b again and again.
type endless struct {
	b  []byte
	at int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.b[e.at:])
	e.at = (e.at + n) % len(e.b)
	return n, nil
}
