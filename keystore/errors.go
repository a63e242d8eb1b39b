package keystore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// ErrNotFound says that there is nothing under a key. It matches fs.ErrNotExist too.
var ErrNotFound error = notFound{}

type notFound struct{}

func (notFound) Error() string        { return "no such entry" }
func (notFound) Is(target error) bool { return target == fs.ErrNotExist }

// UnusableError says that the store that was asked for cannot be used at all.
type UnusableError struct {
	Backend string
	Err     error
}

func (e *UnusableError) Error() string {
	return fmt.Sprintf("keystore: %s cannot be used: %v", e.Backend, e.Err)
}

func (e *UnusableError) Unwrap() error { return e.Err }

// LockedError says that a keyring is locked and that nobody is there to unlock it, or that they would not.
type LockedError struct {
	Backend string
	Err     error // what the keyring said; may be nil
}

func (e *LockedError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("keystore: %s is locked", e.Backend)
	}
	return fmt.Sprintf("keystore: %s is locked: %v", e.Backend, e.Err)
}

func (e *LockedError) Unwrap() error { return e.Err }

// TimeoutError says that a store did not answer in time. It unwraps to context.DeadlineExceeded.
type TimeoutError struct {
	Backend string
	After   time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("keystore: %s did not answer within %v", e.Backend, e.After)
}

func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// NewerError says that an entry was written by a newer version of this program. It is left as it is: neither read, replaced nor deleted.
type NewerError struct {
	Key     string
	Version int
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("keystore: %q was written by a newer version of this program (format %d)", e.Key, e.Version)
}

// SealedError says that an entry of the file store cannot be opened with the key at hand.
type SealedError struct {
	Key    string
	Reason string // "it is sealed and there is no key"
}

func (e *SealedError) Error() string {
	return fmt.Sprintf("keystore: cannot open %q: %s", e.Key, e.Reason)
}

// CorruptError says that an entry is there but is not what was written. A Put replaces it.
type CorruptError struct {
	Key string
	Err error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("keystore: %q is damaged: %v", e.Key, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// errAbsent is what a backend says when there is nothing to talk to any more: no bus, no service, no program.
var errAbsent = errors.New("not there")

type absentError struct{ err error }

func (e *absentError) Error() string        { return e.err.Error() }
func (e *absentError) Unwrap() error        { return e.err }
func (e *absentError) Is(target error) bool { return target == errAbsent }

func absent(format string, args ...any) error { return &absentError{fmt.Errorf(format, args...)} }
