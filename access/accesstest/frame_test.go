package accesstest

import (
	"bytes"
	"encoding/binary"
	"testing"
	"testing/iotest"
)

// FuzzFrameReader: however the reads fall, the same payload comes out, and an
// unmask in pieces is the unmask of the whole.
func FuzzFrameReader(f *testing.F) {
	f.Add([]byte("hello"), uint32(0x01020304), uint16(3))
	f.Add(bytes.Repeat([]byte("x"), 300), uint32(0xffffffff), uint16(1))
	f.Fuzz(func(t *testing.T, payload []byte, mask uint32, buffer uint16) {
		masked := bytes.Clone(payload)
		key := binary.LittleEndian.AppendUint32(nil, mask)
		for i := range masked {
			masked[i] ^= key[i%4]
		}
		wire := []byte{0x82}
		switch n := len(payload); {
		case n < 126:
			wire = append(wire, 0x80|byte(n))
		case n < 1<<16:
			wire = binary.BigEndian.AppendUint16(append(wire, 0xfe), uint16(n))
		default:
			wire = binary.BigEndian.AppendUint64(append(wire, 0xff), uint64(n))
		}
		wire = append(append(wire, key...), masked...)
		for _, src := range []*frameReader{
			{src: bytes.NewReader(wire), buf: make([]byte, 14+int(buffer))},
			{src: iotest.OneByteReader(bytes.NewReader(wire)), buf: make([]byte, 14+int(buffer))},
			{src: iotest.HalfReader(bytes.NewReader(wire)), buf: make([]byte, 14+int(buffer))},
		} {
			h, err := src.header()
			if err != nil || h.length != uint64(len(payload)) || h.op != opBinary || !h.fin {
				t.Fatalf("%+v %v", h, err)
			}
			var got []byte
			for left, at := h.length, uint32(0); left > 0; {
				chunk, err := src.some(left)
				if err != nil {
					t.Fatal(err)
				}
				unmask(chunk, h.mask, at)
				at += uint32(len(chunk))
				left -= uint64(len(chunk))
				got = append(got, chunk...)
			}
			if !bytes.Equal(got, payload) {
				t.Fatal("other bytes")
			}
		}
	})
}

// FuzzFrameHeader: no input makes the reader panic, or take more than it was given.
func FuzzFrameHeader(f *testing.F) {
	f.Add([]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4})
	f.Add([]byte{0x89, 0x80, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, wire []byte) {
		in := frameReader{src: bytes.NewReader(wire), buf: make([]byte, 64)}
		taken := uint64(0)
		for {
			h, err := in.header()
			if err != nil {
				return
			}
			for left := h.length; left > 0; {
				chunk, err := in.some(left)
				if err != nil {
					return
				}
				left -= uint64(len(chunk))
				taken += uint64(len(chunk))
			}
			if taken > uint64(len(wire)) {
				t.Fatal("more than there was")
			}
		}
	})
}
