package sshproxy

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	mrand "math/rand/v2"
	"slices"
)

// keyBlock is how much of a repeated masking key XORBytes gets at once: long
// enough for its wide loops, short enough to be filled anew for each frame.
const keyBlock = 1 << 10

// masker builds masked frames. It is not safe for concurrent use.
type masker struct {
	// RFC 6455 section 5.3 wants keys that cannot be predicted; ChaCha8 gives them
	// without a system call for each frame.
	keys  *mrand.ChaCha8
	block [keyBlock]byte
}

func newMasker() *masker {
	var seed [32]byte
	rand.Read(seed[:])
	return &masker{keys: mrand.NewChaCha8(seed)}
}

// appendFrame appends one unfragmented frame that holds a masked copy of payload.
// It does not allocate if b has room.
func (m *masker) appendFrame(b []byte, opcode byte, payload []byte) []byte {
	h := header{fin: true, opcode: opcode, masked: true, length: int64(len(payload))}
	binary.NativeEndian.PutUint32(h.mask[:], uint32(m.keys.Uint64()))
	b = slices.Grow(b, maxHeader+len(payload))
	b = appendHeader(b, h)
	at := len(b)
	b = b[:at+len(payload)]
	m.xor(b[at:], payload, h.mask)
	return b
}

// xor sets dst to p masked with key, RFC 6455 section 5.3. dst may be p.
func (m *masker) xor(dst, p []byte, key [4]byte) {
	block := m.block[:min(len(p), keyBlock)]
	for n := copy(block, key[:]); n < len(block); n *= 2 {
		copy(block[n:], block[:n])
	}
	for len(p) > 0 {
		n := subtle.XORBytes(dst, p, block)
		dst, p = dst[n:], p[n:]
	}
}
