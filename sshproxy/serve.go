package sshproxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// ServeOptions is how to serve. A nil *ServeOptions is all defaults.
type ServeOptions struct {
	// Relay is how each connection is relayed. Nil: all defaults.
	Relay *RelayOptions

	// Grace is how long connections may go on after ctx is done, before they are
	// cut. Zero: not at all. Negative: until they end.
	Grace time.Duration

	// Ended is told of each connection when it has ended, with the address of the
	// client; err is what Dial or Relay returned. It may be called by several
	// goroutines at once. Nil: nobody is told.
	Ended func(client net.Addr, stats Stats, err error)
}

// Serve dials d.URL for each connection that l accepts and relays between the two,
// until ctx is done or l fails. It closes l, and returns when all connections have
// ended: nil if that was for ctx, else what l failed with.
func Serve(ctx context.Context, l net.Listener, d *Dialer, o *ServeOptions) error {
	if o == nil {
		o = new(ServeOptions)
	}
	conns, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		if o.Grace >= 0 {
			time.AfterFunc(o.Grace, func() { cut(context.Cause(ctx)) })
		}
	})
	defer stop()

	var serving sync.WaitGroup
	err := accept(ctx, l, func(c net.Conn) {
		serving.Go(func() {
			defer c.Close()
			stats, err := serveConn(conns, c, d, o)
			if o.Ended != nil {
				o.Ended(c.RemoteAddr(), stats, err)
			}
		})
	})
	l.Close()
	serving.Wait()
	return err
}

func serveConn(ctx context.Context, c net.Conn, d *Dialer, o *ServeOptions) (Stats, error) {
	conn, err := d.Dial(ctx)
	if err != nil {
		return Stats{}, err
	}
	return Relay(ctx, conn, c, c, o.Relay)
}

// accept hands connections to serve until ctx is done (nil) or l fails for good.
func accept(ctx context.Context, l net.Listener, serve func(net.Conn)) error {
	pause := time.Duration(0)
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			serve(c)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed) || !temporary(err):
			return err
		}
		// Out of descriptors, most likely: some will be free when connections end.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}
