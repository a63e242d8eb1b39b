//go:build unix

package term

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// suspension is what to do around a stop by Ctrl-Z.
var suspension struct {
	watch         sync.Once
	mu            sync.Mutex
	before, after func()
}

// ignoreOutputStops lets us put the terminal right when it is no longer ours. Ctrl-C and Ctrl-Z reach git as well as us, and as soon as
// git has ended or stopped, the shell takes the terminal back: a change of its settings by us would then stop us, or fail, unless
// SIGTTOU is ignored (tcsetattr(3p)). It stays so, as with SIGTSTP below.
var ignoreOutputStops = sync.OnceFunc(func() { signal.Ignore(syscall.SIGTTOU) })

// onSuspend sets what to do when the terminal suspends us, and when we go on.
//
// The first call makes us responsible for Ctrl-Z until the process ends: once os/signal has caught SIGTSTP, the runtime keeps its
// handler, and neither Stop nor Reset bring back the system's own way to stop (runtime.sigdisable, go 1.26).
func onSuspend(before, after func()) {
	s := &suspension
	s.mu.Lock()
	s.before, s.after = before, after
	s.mu.Unlock()
	if before == nil || signal.Ignored(syscall.SIGTSTP) {
		return
	}
	s.watch.Do(func() {
		stops := make(chan os.Signal, 1)
		signal.Notify(stops, syscall.SIGTSTP)
		go func() {
			for range stops {
				s.mu.Lock()
				if s.before != nil {
					s.before()
				}
				stopSelf()
				if s.after != nil {
					s.after()
				}
				s.mu.Unlock()
			}
		}()
	})
}

// stopSelf stops the process until somebody lets it go on. In the session leader's own group there is no shell above us with job
// control who would; there the system ignores Ctrl-Z, and so do we.
func stopSelf() {
	if sid, err := unix.Getsid(0); err != nil || sid == unix.Getpgrp() {
		return
	}
	on := make(chan os.Signal, 1)
	signal.Notify(on, syscall.SIGCONT)
	defer signal.Stop(on)
	if syscall.Kill(syscall.Getpid(), syscall.SIGSTOP) == nil {
		<-on
	}
}
