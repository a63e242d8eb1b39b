package sshproxy

import (
	"encoding/binary"
	"fmt"
)

// Opcodes of RFC 6455 section 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// Close codes of RFC 6455 section 7.4.1.
const (
	closeNormal        = 1000
	closeGoingAway     = 1001
	closeProtocolError = 1002
	closeNoStatus      = 1005 // never on the wire: a close frame without a code
)

const (
	// maxControl is the longest payload of a control frame, RFC 6455 section 5.5.
	maxControl = 125
	// maxHeader is two bytes, eight of extended length, four of masking key.
	maxHeader = 14
	// maxMessage bounds the payload of the messages we send. The package comment says why.
	maxMessage = 16 << 10
)

// header is a frame's header.
type header struct {
	fin    bool
	opcode byte
	masked bool
	mask   [4]byte
	length int64
}

// control reports whether the frame is a control frame, RFC 6455 section 5.5.
func (h *header) control() bool { return h.opcode&0x8 != 0 }

// headerLen returns how long the header is whose second byte is b1.
func headerLen(b1 byte) int {
	n := 2
	switch b1 & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if b1&0x80 != 0 {
		n += 4
	}
	return n
}

// parseHeader reads a header off the front of b and returns its length, zero if b
// holds only a part of it. A header that no peer may send, whatever its role, is a
// *ProtocolError.
func parseHeader(b []byte) (h header, n int, err error) {
	if len(b) < 2 {
		return h, 0, nil
	}
	h.fin, h.opcode, h.masked = b[0]&0x80 != 0, b[0]&0x0f, b[1]&0x80 != 0
	if b[0]&0x70 != 0 {
		return h, 0, protocolErrorf("reserved bits %#x set, though no extension was agreed on", b[0]&0x70)
	}
	switch h.opcode {
	case opContinuation, opText, opBinary, opClose, opPing, opPong:
	default:
		return h, 0, protocolErrorf("unknown opcode %#x", h.opcode)
	}
	short := b[1] & 0x7f
	if h.control() {
		switch {
		case !h.fin:
			return h, 0, protocolErrorf("fragmented control frame")
		case short > maxControl:
			return h, 0, protocolErrorf("control frame longer than %d bytes", maxControl)
		}
	}
	n = headerLen(b[1])
	if len(b) < n {
		return h, 0, nil
	}
	b = b[2:n]
	switch short {
	case 126:
		h.length = int64(binary.BigEndian.Uint16(b))
		b = b[2:]
		if h.length < 126 {
			return h, 0, protocolErrorf("length %d not in its shortest form", h.length)
		}
	case 127:
		v := binary.BigEndian.Uint64(b)
		b = b[8:]
		switch {
		case v>>63 != 0:
			return h, 0, protocolErrorf("length with its highest bit set")
		case v <= 0xffff:
			return h, 0, protocolErrorf("length %d not in its shortest form", v)
		}
		h.length = int64(v)
	default:
		h.length = int64(short)
	}
	if h.masked {
		copy(h.mask[:], b)
	}
	return h, n, nil
}

// appendHeader is the inverse of parseHeader.
func appendHeader(b []byte, h header) []byte {
	b0, b1 := h.opcode, byte(0)
	if h.fin {
		b0 |= 0x80
	}
	if h.masked {
		b1 = 0x80
	}
	switch {
	case h.length < 126:
		b = append(b, b0, b1|byte(h.length))
	case h.length <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, b0, b1|126), uint16(h.length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, b0, b1|127), uint64(h.length))
	}
	if h.masked {
		b = append(b, h.mask[:]...)
	}
	return b
}

// parseClose reads the payload of a close frame, RFC 6455 section 5.5.1.
func parseClose(p []byte) (*CloseError, error) {
	switch len(p) {
	case 0:
		return &CloseError{Code: closeNoStatus}, nil
	case 1:
		return nil, protocolErrorf("close frame with half a code")
	}
	e := &CloseError{Code: int(binary.BigEndian.Uint16(p)), Reason: string(p[2:])}
	if !sendableCode(e.Code) {
		return nil, protocolErrorf("close code %d, which may not be sent", e.Code)
	}
	return e, nil
}

// sendableCode reports whether a close code may be on the wire: RFC 6455 section 7.4
// and the registry at https://www.iana.org/assignments/websocket.
func sendableCode(code int) bool {
	switch {
	case code >= 1000 && code <= 1014:
		return code != 1004 && code != 1005 && code != 1006
	default:
		return code >= 3000 && code <= 4999
	}
}

func protocolErrorf(format string, args ...any) error {
	return &ProtocolError{Reason: fmt.Sprintf(format, args...)}
}
