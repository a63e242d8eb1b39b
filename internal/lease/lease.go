// Package lease lets one process at a time do a thing (a login, a refresh) and lets those that wait see who does it.
//
//	l, err := lease.Acquire(ctx, dir.Path("lease", name), func(h lease.Holder) { fmt.Fprintf(stderr, "waiting for process %d\n", h.PID) })
//	defer l.Release()
//	l.Note("https://…") // waiters see it at once
//
// It is a lock of the operating system on a file (flock, LockFileEx): when its holder dies, however it dies, the next one has it.
// The file stays and says nothing by being there; deleting it is harmless. A holder that is stopped keeps the lease, so a wait
// is bounded by its context and ends in a [HeldError] that says who holds it.
package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/gitaccess/gitaccess/internal/state"
)

// Holder is what the one that has a lease tells the others.
type Holder struct {
	PID   int
	Note  string // what it is about, for people; "" until there is something to say; one line, no control characters
	Since time.Time
}

// HeldError says that the wait for a lease ended first. It unwraps to the error of the context.
type HeldError struct {
	Holder Holder // zero if the holder had not yet said who it is
	Err    error
}

func (e *HeldError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("lease: held by another process: %v", e.Err)
	}
	return fmt.Sprintf("lease: held by process %d since %s: %v", e.Holder.PID, e.Holder.Since.Format(time.RFC3339), e.Err)
}

func (e *HeldError) Unwrap() error { return e.Err }

// Lease is held until Release or the end of the process. It is safe for concurrent use.
type Lease struct {
	mu     sync.Mutex
	lock   *flock.Flock // nil once released
	record *os.File
	holder Holder
}

// Waiters look again after a tenth of the time that they have waited, between minPoll and maxPoll, give or take a half: a lock that is
// waited for in the kernel could not be given up when ctx ends. A short wait ends at once, and hundreds of waiters leave the machine to
// the one who has the lease; one that comes free is taken within 750 ms.
const (
	minPoll = 10 * time.Millisecond
	maxPoll = 500 * time.Millisecond
)

// Acquire waits until the lease is ours or ctx ends; then the error is a *HeldError. If the lease is not free at once, waiting (which may
// be nil) is called with the holder, and again whenever the holder or its note changes. The folder of path is created if need be.
//
// Leases of one process exclude one another too, but for memory a mutex is still needed: the Go memory model does not know of this lock.
func Acquire(ctx context.Context, path string, waiting func(Holder)) (*Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := state.MkdirAll(filepath.Dir(path)); err != nil {
		return nil, err
	}
	var told bool
	var last Holder
	began := time.Now()
	for {
		l, err := try(path)
		if l != nil || err != nil {
			return l, err
		}
		if h, ok := read(path); waiting != nil && ok && (!told || h != last) {
			waiting(h)
			told, last = true, h
		}
		pause := min(max(time.Since(began)/10, minPoll), maxPoll)
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			h, _ := read(path)
			return nil, &HeldError{h, ctx.Err()}
		}
	}
}

// try returns nothing if another holds the lease.
func try(path string) (*Lease, error) {
	for range 10 {
		lock := flock.New(path, flock.SetFlag(openFlags), flock.SetPermissions(0o600))
		ok, err := lock.TryLock()
		if err != nil {
			return nil, fmt.Errorf("lease: %w", err)
		}
		if !ok {
			return nil, nil
		}
		l := &Lease{lock: lock, holder: Holder{PID: os.Getpid(), Since: time.Now().Truncate(time.Second)}}
		if l.record, err = os.OpenFile(path, recordFlags, 0); err == nil {
			err = l.sameFile(path)
		}
		if err == nil {
			err = write(l.record, l.holder)
		}
		if err == nil {
			return l, nil
		}
		l.Release()
		if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("lease: %w", err)
		}
	}
	return nil, fmt.Errorf("lease: %q is deleted again and again", path)
}

// sameFile makes sure that what we locked is still what others will find: whoever deletes the file (a logout, a cleaner of old files)
// must not make two holders of two files of one name.
func (l *Lease) sameFile(path string) error {
	locked, err := l.lock.Stat()
	if err != nil {
		return err
	}
	ours, err := l.record.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(locked, now) || !os.SameFile(ours, now) {
		return os.ErrNotExist
	}
	return nil
}

// Note tells those that wait what is going on. It must hold no secret: the file outlives a killed holder.
func (l *Lease) Note(text string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock == nil {
		return errors.New("lease: note after release")
	}
	l.holder.Note = text
	if err := write(l.record, l.holder); err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	return nil
}

// Release lets the next one in. Only the first call does anything.
func (l *Lease) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock == nil {
		return nil
	}
	if l.record != nil {
		clearRecord(l.record) // nobody should be told of us once we are gone
		l.record.Close()
	}
	err := l.lock.Unlock()
	l.lock, l.record = nil, nil
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	return nil
}
