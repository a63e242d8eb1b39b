package sshproxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// HandshakeError says that an answer was not the WebSocket that was asked for.
// What it means is for the caller to read from the answer: Access, the edge, a
// proxy between and the origin each have their own ways to say no.
type HandshakeError struct {
	URL        string // without user, password and query
	StatusCode int
	Header     http.Header // may hold secrets in Set-Cookie: not for logs
	Body       []byte      // at most the first KiB
	Reason     string      // of an answer 101: what is wrong with it
}

func (e *HandshakeError) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("sshproxy: %s: bad upgrade to WebSocket: %s", e.URL, e.Reason)
	}
	text := http.StatusText(e.StatusCode)
	if text != "" {
		text = " " + text
	}
	return fmt.Sprintf("sshproxy: %s answered %d%s instead of a WebSocket", e.URL, e.StatusCode, text)
}

// ProtocolError says that the peer broke RFC 6455. The connection was closed with
// code 1002.
type ProtocolError struct {
	Reason string
}

func (e *ProtocolError) Error() string { return "sshproxy: peer broke RFC 6455: " + e.Reason }

// CloseError says that the peer closed the connection for another reason than
// that the stream had ended, which are code 1000 and a close frame without a code:
// those two read as [io.EOF].
type CloseError struct {
	Code   int    // RFC 6455 section 7.4
	Reason string // as the peer sent it: to be quoted where it is printed
}

func (e *CloseError) Error() string {
	name := closeNames[e.Code]
	if name != "" {
		name = " (" + name + ")"
	}
	if e.Reason != "" {
		return fmt.Sprintf("sshproxy: peer closed with code %d%s: %q", e.Code, name, e.Reason)
	}
	return fmt.Sprintf("sshproxy: peer closed with code %d%s", e.Code, name)
}

var closeNames = map[int]string{
	closeGoingAway:     "going away",
	closeProtocolError: "protocol error",
	1003:               "unsupported data",
	1007:               "invalid data",
	1008:               "policy violation",
	1009:               "message too big",
	1010:               "extension missing",
	1011:               "internal error",
	1012:               "service restart",
	1013:               "try again later",
	1014:               "bad gateway",
}

// ErrNoCloseFrame says that the connection ended between two messages and without
// a close frame, as a cut looks. It matches [io.ErrUnexpectedEOF]; an end within a
// message is that error alone.
//
// The end of an origin behind cloudflared has no close frame either, but it is
// passed on by the edge, whose TLS then says that nothing follows. Whoever only
// cuts the way cannot say so, and to Read that is io.EOF. It can be seen on
// connections by [NewTransport] alone.
var ErrNoCloseFrame = fmt.Errorf("sshproxy: connection ended without a close frame: %w", io.ErrUnexpectedEOF)

// PingError says that the peer has been silent although it was asked for a sign
// of life.
type PingError struct {
	Silence time.Duration
	Pings   int // sent and not answered
}

func (e *PingError) Error() string {
	return fmt.Sprintf("sshproxy: no sign of life for %s: %d pings without an answer", e.Silence.Round(time.Millisecond), e.Pings)
}

// Timeout reports true: PingError is a timeout in the sense of net.Error.
func (e *PingError) Timeout() bool { return true }

// Temporary reports false: the connection is gone.
func (e *PingError) Temporary() bool { return false }

// CutError says that a relayed connection was lost before the origin had ended it.
type CutError struct {
	Stats Stats
	Err   error // the cause
}

func (e *CutError) Error() string {
	cause := strings.TrimPrefix(e.Err.Error(), "sshproxy: ")
	return fmt.Sprintf("sshproxy: connection cut after %s: %s", e.Stats, cause)
}

func (e *CutError) Unwrap() error { return e.Err }

// errWouldBlock is what a bulkConn in hold mode answers when it has no bytes at
// hand. It is temporary, so crypto/tls keeps a partly read record and goes on later.
var errWouldBlock error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "sshproxy: no bytes at hand" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// temporary reports whether a read may be tried again on the same connection.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}
