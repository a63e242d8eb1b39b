package sshproxy

import (
	"errors"
	"io"
)

// reader turns frames of a server into the bytes of their data messages. It keeps
// no bytes back: a payload goes from the source into the caller's buffer.
//
// Whatever happens, it can go on after a temporary error such as a deadline's.
type reader struct {
	src io.Reader
	// control is told of each ping, pong and close frame. Its argument is valid until it returns.
	control func(opcode byte, payload []byte)

	head  [maxHeader]byte // of the next frame, as far as it has been read
	nhead int
	left  int64 // of the payload of the current data frame
	open  bool  // a message has begun and its last frame has not

	inControl bool // the current frame is a control frame:
	cur       header
	ctl       [maxControl]byte // its payload
	nctl      int              // how much of that has been read

	err error // what ended the stream
}

// Read returns payload of one data frame. The error is io.EOF after a close frame
// that says that the stream has ended, else see ProtocolError, CloseError and
// ErrNoCloseFrame.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, r.err
	}
	for r.err == nil {
		if r.left > 0 {
			n, err := r.src.Read(p[:min(int64(len(p)), r.left)])
			r.left -= int64(n)
			if err != nil {
				err = r.failed(err)
			}
			if n > 0 {
				return n, nil
			}
			if err != nil {
				return 0, err
			}
			continue
		}
		var err error
		if r.inControl {
			err = r.readControl()
		} else {
			err = r.readHeader()
		}
		if err != nil {
			return 0, r.failed(err)
		}
	}
	return 0, r.err
}

// failed notes an error that ends the stream and returns what the caller is told.
func (r *reader) failed(err error) error {
	if temporary(err) {
		return err
	}
	if r.err == nil && errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
		if r.between() {
			err = ErrNoCloseFrame
		}
	}
	if r.err == nil {
		r.err = err
	}
	return r.err
}

// between reports whether the stream stands between two messages.
func (r *reader) between() bool {
	return r.left == 0 && r.nhead == 0 && !r.inControl && !r.open
}

// readHeader reads on in the header of the next frame: never beyond it, since what
// follows belongs into the caller's buffer.
func (r *reader) readHeader() error {
	need := 2
	if r.nhead >= 2 {
		need = headerLen(r.head[1])
	}
	if r.nhead < need {
		n, err := r.src.Read(r.head[r.nhead:need])
		r.nhead += n
		if r.nhead < need {
			return err
		}
	}
	h, n, err := parseHeader(r.head[:r.nhead])
	switch {
	case err != nil:
		return err
	case n == 0:
		return nil
	case h.masked:
		return protocolErrorf("masked frame from a server") // RFC 6455 section 5.1
	}
	if h.control() {
		r.nhead, r.cur, r.inControl, r.nctl = 0, h, true, 0
		if h.length == 0 {
			return r.endControl()
		}
		return nil
	}
	// RFC 6455 section 5.4.
	switch {
	case h.opcode == opContinuation && !r.open:
		return protocolErrorf("continuation of no message")
	case h.opcode != opContinuation && r.open:
		return protocolErrorf("new message within another")
	}
	r.nhead, r.left, r.open = 0, h.length, !h.fin
	return nil
}

func (r *reader) readControl() error {
	n, err := r.src.Read(r.ctl[r.nctl:r.cur.length])
	r.nctl += n
	if r.nctl < int(r.cur.length) {
		return err
	}
	return r.endControl()
}

// endControl acts on a control frame that has been read whole.
func (r *reader) endControl() error {
	r.inControl = false
	payload := r.ctl[:r.nctl]
	if r.cur.opcode != opClose {
		r.control(r.cur.opcode, payload)
		return nil
	}
	e, err := parseClose(payload)
	if err != nil {
		return err
	}
	r.err = e
	if e.Code == closeNormal || e.Code == closeNoStatus {
		r.err = io.EOF
		if r.open {
			r.err = io.ErrUnexpectedEOF // in the middle of a message
		}
	}
	r.control(opClose, payload)
	return r.err
}
