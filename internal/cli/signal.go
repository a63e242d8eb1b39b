package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// signalError is the cause of a context that a signal has ended.
type signalError struct{ sig os.Signal }

func (e signalError) Error() string { return fmt.Sprintf("ended by signal: %v", e.sig) }

func (e signalError) exitCode() int {
	if n, ok := e.sig.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return ExitFailed
}

// withSignals returns a context that ends with the first signal that asks us to end; the second ends the process. Signals that
// the caller had set to be ignored (nohup, a shell's background job) stay ignored. SIGPIPE keeps Go's rule: it ends the process
// that writes to a standard output or error without a reader, and is an error of the write everywhere else.
//
// The returned function ends the watch. It does not wait until that is done, since its caller is about to end the process.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	var want []os.Signal
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			want = append(want, s)
		}
	}
	watched, done := make(chan struct{}), make(chan struct{})
	go func() {
		got := make(chan os.Signal, 2)
		if len(want) > 0 { // Notify without signals means all of them
			signal.Notify(got, want...)
		}
		close(watched)
		defer signal.Stop(got)
		for first := true; ; first = false {
			select {
			case s := <-got:
				if !first {
					os.Exit(signalError{s}.exitCode())
				}
				cancel(signalError{s})
			case <-done:
				return
			}
		}
	}()
	return signalContext{ctx, watched}, func() {
		close(done)
		cancel(nil)
	}
}

// signalContext is watched by the time that somebody wants to know of its end. To install a handler takes a visit to another
// thread for each signal, a tenth of the life of a program that answers from what it has; until then a signal ends the process
// by itself, with nothing begun that would have to be put in order.
type signalContext struct {
	context.Context
	watched <-chan struct{}
}

func (c signalContext) Done() <-chan struct{} {
	<-c.watched
	return c.Context.Done()
}
