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
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	got := make(chan os.Signal, 2)
	var want []os.Signal
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			want = append(want, s)
		}
	}
	if len(want) > 0 { // Notify without signals means all of them
		signal.Notify(got, want...)
	}
	done := make(chan struct{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
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
	return ctx, func() {
		signal.Stop(got)
		close(done)
		<-gone
		cancel(nil)
	}
}
