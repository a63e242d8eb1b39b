package sshproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// DefaultLinger is how long a relay waits for an origin that says nothing after
// the input has ended.
const DefaultLinger = 60 * time.Second

// RelayOptions is how to relay. A nil *RelayOptions is all defaults.
type RelayOptions struct {
	// Linger is how long the origin may be silent after the input has ended, before
	// the relay ends. Zero: DefaultLinger. Negative: for ever.
	Linger time.Duration
}

// Stats is what a relay has done.
type Stats struct {
	Sent     int64 // to the origin
	Received int64 // from the origin
	Duration time.Duration
	End      End
}

func (s Stats) String() string {
	return fmt.Sprintf("%d bytes sent and %d received in %s", s.Sent, s.Received, s.Duration.Round(time.Millisecond))
}

// End is why a relay ended.
type End int

// A relay ends because
const (
	EndFailed       End = iota // something failed: the error says what
	EndOrigin                  // the origin ended the stream with a close frame, and all of it was delivered
	EndNoCloseFrame            // the server ended its TLS in order, see ErrNoCloseFrame; all that came was delivered
	EndReader                  // the reader of the output went away
	EndLinger                  // the input had ended and the origin was silent for the time of Linger
	EndContext                 // the context was done
)

func (e End) String() string {
	switch e {
	case EndOrigin:
		return "origin ended"
	case EndNoCloseFrame:
		return "server ended without a close frame"
	case EndReader:
		return "reader of the output went away"
	case EndLinger:
		return "origin was silent after the end of the input"
	case EndContext:
		return "stopped"
	}
	return "failed"
}

// Relay sends what it reads from in to conn and writes what it reads from conn to
// out, until the origin ends the stream, and closes conn.
//
// The end of in is not the end of the relay, since a WebSocket has no half-close
// and to close it would throw away what the origin still sends. All of that is
// delivered until the origin ends, the reader of out goes away, nothing has come
// for the time of Linger, or ctx is done. These ends are without error, but for
// ctx, whose cause is returned. A connection that is lost before is a [*CutError].
//
// On Unix the reader's going is noticed without a write, if out is an *os.File or
// another [syscall.Conn] on a pipe, a socket or a terminal.
//
// When Relay returns it has ended all it has begun. A Read of in, or a Write to
// out, that is under way is woken if they have SetReadDeadline or SetWriteDeadline
// that work, and on Unix a Read of any *os.File is. One that cannot be woken stays
// behind in a goroutine of its own until it ends by itself; what it has read is
// lost. Relay does not close in and out.
func Relay(ctx context.Context, conn *Conn, in io.Reader, out io.Writer, o *RelayOptions) (Stats, error) {
	linger := DefaultLinger
	if o != nil && o.Linger != 0 {
		linger = o.Linger
	}
	r := &relay{conn: conn, in: openInput(in), out: openOutput(out), start: time.Now()}
	end, err := r.run(ctx, linger)
	stats := Stats{Sent: r.sent.Load(), Received: r.received.Load(), Duration: time.Since(r.start), End: end}
	if cut := (*CutError)(nil); errors.As(err, &cut) {
		cut.Stats = stats
	}
	return stats, err
}

type relay struct {
	conn  *Conn
	in    *input
	out   *output
	start time.Time

	sent, received atomic.Int64
	last           atomic.Int64 // when bytes came, since start
}

func (r *relay) run(ctx context.Context, linger time.Duration) (End, error) {
	up := make(chan error, 1)
	go func() { up <- r.up() }()
	type ending struct {
		end End
		err error
	}
	down := make(chan ending, 1)
	go func() {
		end, err := r.down()
		down <- ending{end, err}
	}()
	gone := make(chan struct{})
	var watch *watcher
	if !r.oneSocket() {
		watch = r.out.watch(gone)
	}

	var e ending
	var lingering <-chan time.Time
	upEnd := up
	for over := false; !over; {
		select {
		case err := <-upEnd:
			upEnd = nil
			if err != nil {
				e, over = ending{EndFailed, err}, true
				break
			}
			if watch == nil {
				watch = r.out.watch(gone)
			}
			if linger > 0 {
				lingering = time.After(linger)
			}
		case <-lingering:
			if left := linger - time.Since(r.start) + time.Duration(r.last.Load()); left > 0 {
				lingering = time.After(left)
				break
			}
			e, over = ending{end: EndLinger}, true
		case e = <-down:
			down, over = nil, true
		case <-gone:
			e, over = ending{end: EndReader}, true
		case <-ctx.Done():
			e, over = ending{EndContext, context.Cause(ctx)}, true
		}
	}

	// Wake and wait for all that can be woken.
	if watch != nil {
		watch.stop()
	}
	r.in.cancel()
	r.out.cancel()
	r.conn.Close()
	if upEnd != nil && r.in.cancelled() {
		<-up
	}
	if down != nil {
		var patience <-chan time.Time
		if !r.out.cancelled() { // but with conn closed it mostly is at its end
			patience = time.After(stuckWrite)
		}
		select {
		case <-down:
		case <-patience:
		}
	}
	r.in.release()
	r.out.release()
	return e.end, e.err
}

// oneSocket reports whether in and out are one connection, as for a listener. Its
// reading half tells when the other side is gone, until it has ended; a watcher
// costs a thread and two descriptors.
func (r *relay) oneSocket() bool {
	switch c := r.in.Reader.(type) {
	case *net.TCPConn:
		return r.out.Writer == io.Writer(c)
	case *net.UnixConn:
		return r.out.Writer == io.Writer(c)
	}
	return false
}

// up copies the input to the origin. It returns nil when the input has ended, or
// when the connection is lost: the other direction knows why.
func (r *relay) up() error {
	buf := make([]byte, minCopy)
	for {
		n, err := r.in.Read(buf)
		if n > 0 {
			k, werr := r.conn.Write(buf[:n])
			r.sent.Add(int64(k))
			if werr != nil {
				return nil
			}
			buf = r.in.grow(buf, n)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		case isGone(err):
			return nil // a socket that was reset: its other half tells the same
		default:
			return fmt.Errorf("sshproxy: read input: %w", err)
		}
	}
}

// down copies what the origin sends to the output.
func (r *relay) down() (End, error) {
	buf := make([]byte, minCopy)
	for {
		n, err := r.conn.Read(buf)
		if n > 0 {
			r.last.Store(int64(time.Since(r.start)))
			k, werr := r.out.Write(buf[:n])
			r.received.Add(int64(k))
			switch {
			case werr == nil:
			case isGone(werr):
				return EndReader, nil
			default:
				return EndFailed, fmt.Errorf("sshproxy: write output: %w", werr)
			}
			buf = r.out.grow(buf, n)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			if r.conn.withoutCloseFrame() {
				return EndNoCloseFrame, nil
			}
			return EndOrigin, nil
		default:
			return EndFailed, &CutError{Err: err}
		}
	}
}

const (
	// stuckWrite is how long a Write that cannot be woken is waited for at the end.
	stuckWrite = 200 * time.Millisecond

	minCopy = 32 << 10
	// maxCopy is the buffer of a relay's direction after a read has filled the first
	// one. Measured: 256 KiB carry a third more than 64 KiB. There are no steps in
	// between, which would be left to the garbage collector.
	maxCopy = maxBatch
)

// grown returns a large buffer if a read has filled buf.
func grown(buf []byte, n int) []byte {
	if n < len(buf) || len(buf) >= maxCopy {
		return buf
	}
	return make([]byte, maxCopy)
}

// isGone reports whether an error means that whoever read the output, or wrote the
// input, is not there any more.
func isGone(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) || isBrokenPipe(err)
}
