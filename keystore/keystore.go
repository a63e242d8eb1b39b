// Package keystore keeps secrets at rest: in the keyring of the operating system where there is one that works, else in files of
// which only the user can read.
//
//	s, err := keystore.Open(ctx, nil)
//	…
//	err = s.Put(ctx, "session/git.example.com", token)
//	token, err := s.Get(ctx, "session/git.example.com") // errors.Is(err, keystore.ErrNotFound) if there is none
//
// What holds for every backend:
//
//   - A Put is whole or not at all, whatever is killed when, and nobody needs a lock to read.
//   - Every call ends: after three seconds if nobody is there to unlock a keyring (writes of files: thirty), and at the latest with its
//     context. A call that was given up on does not come back later to undo a newer one of this process.
//   - Nothing about a key can be read without unlocking its entry: backends know its hash.
//   - An entry of a newer version of this program is refused with a [NewerError] and left as it is.
//   - Importing the package opens nothing, runs nothing and waits for nothing.
//
// # Which store
//
// ACCESS_KEYSTORE (or [Options].Backend) names one, and Open fails if it cannot be used. Otherwise the first one that can write is
// taken, which a probe decides (one entry written, read and deleted within the deadline). The outcome is remembered for as long as the
// bus address stays the same, at most a day, and an hour if it was the last resort.
//
//	macOS    keychain, file
//	Windows  wincred, file
//	others   secret-service, file
//
// Two more are there only by name. The kernel keyring (keyctl, on Linux) forgets everything when the user logs out, and pass asks for
// the passphrase of a key: neither should happen to someone who did not ask for it.
//
// The file store keeps one file per entry, 0600 in 0700 folders. It is sealed (XChaCha20-Poly1305) if there is a key: the file named by
// ACCESS_KEYSTORE_KEY_FILE, the systemd credential "access-keystore-key", or a passphrase in ACCESS_KEYSTORE_PASSPHRASE. Else whoever
// reads the user's files or backups can read the secrets, and [Info] says so.
//
// # Errors
//
// Absence is [ErrNotFound], which matches [fs.ErrNotExist]. A store that refuses is a [*LockedError], [*TimeoutError] or
// [*UnusableError]; an entry that cannot be read is a [*SealedError], [*NewerError] or [*CorruptError]. None of them holds a value.
//
// # Sources
//
// Secret Service: https://specifications.freedesktop.org/secret-service-spec/latest/, spoken over D-Bus. Keychain: security(1), or
// Keychain Services where cgo is there. Windows: CredWriteW, whose blobs have at most 2560 bytes. Kernel keyring: keyrings(7).
package keystore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gitaccess/gitaccess/internal/lease"
	"github.com/gitaccess/gitaccess/internal/state"
	"github.com/gitaccess/gitaccess/keystore/internal/busguard"
)

func init() { busguard.Restore() }

// What a key and a value may be at most.
const (
	maxKey   = 1 << 10
	maxValue = 1 << 20
)

// slowDisk is by how much longer a write to files may take: there is nobody who might have to unlock them, a disk under load takes
// seconds to say that it has something for good, and what is lost with a write may be a session that was just renewed.
const slowDisk = 10

// Options configures Open. Nil is the same as the zero Options.
type Options struct {
	// Backend names the store, as ACCESS_KEYSTORE does, which it overrides. "": that variable, else the automatic order.
	Backend string
	// Dir is the folder of the file store, of leases and of what is remembered. "": the state folder of the user.
	Dir string
	// Getenv is asked for variables. Nil: os.Getenv.
	Getenv func(string) string
	// Timeout bounds each call, and ten times as long writes of files. 0: three seconds, or two minutes if Interactive.
	Timeout time.Duration
	// Interactive says that a person is there: a keyring may ask to be unlocked.
	Interactive bool
}

// Info says where secrets are, for people.
type Info struct {
	Backend  string // "secret-service"
	Location string // "Secret Service, collection login"
	Sealed   bool   // false: whoever can read this user's files can read the secrets
	Why      string // "named by ACCESS_KEYSTORE"
}

// Store is an open keystore. It is safe for concurrent use, also by any number of processes on the same backend.
type Store struct {
	c       config
	timeout time.Duration

	choosing sync.Mutex
	mu       sync.Mutex
	b        backend
	below    backend // the file store, read behind a keyring that was chosen automatically; may be nil
	info     Info
	auto     bool
	writes   map[string]chan struct{} // one place per key, held while a write is under way
}

// config is what backends are opened with.
type config struct {
	dir         state.Dir
	getenv      func(string) string
	interactive bool
}

// Open chooses a store. It reads a small file, and contacts a keyring only if nothing is remembered.
func Open(ctx context.Context, o *Options) (*Store, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	s, err := prepare(&opts)
	if err != nil {
		return nil, err
	}
	name, why := opts.Backend, "named by the caller"
	if name == "" {
		name, why = s.c.getenv("ACCESS_KEYSTORE"), "named by ACCESS_KEYSTORE"
	}
	if name != "" {
		err = s.openNamed(ctx, name, why)
	} else {
		s.auto = true
		err = s.choose(ctx)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// prepare returns a Store that has chosen nothing yet.
func prepare(opts *Options) (*Store, error) {
	s := &Store{timeout: opts.Timeout, writes: map[string]chan struct{}{}}
	s.c.interactive = opts.Interactive
	s.c.getenv = opts.Getenv
	if s.c.getenv == nil {
		s.c.getenv = os.Getenv
	}
	if s.timeout == 0 {
		s.timeout = 3 * time.Second
		if opts.Interactive {
			s.timeout = 2 * time.Minute
		}
	}
	var err error
	if s.c.dir, err = state.Open(func(name string) string {
		if name == state.EnvDir && opts.Dir != "" {
			return opts.Dir
		}
		return s.c.getenv(name)
	}); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return s, nil
}

// Info says which store this is.
func (s *Store) Info() Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info
}

// Close lets go of what connects to the backend. The Store can be used again all the same.
func (s *Store) Close() error {
	b, below := s.backends()
	b.close()
	if below != nil {
		below.close()
	}
	return nil
}

// Get returns the value of a key: the caller's own copy, and never nil without an error. If there is none, the error is ErrNotFound.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	var value []byte
	err := s.call(ctx, "get", key, func(ctx context.Context) (err error) {
		b, below := s.backends()
		v, err := load(ctx, b, key)
		if errors.Is(err, ErrNotFound) && below != nil {
			if old, oldErr := load(ctx, below, key); oldErr == nil { // what cannot be read there must not stand in the way
				v, err = old, nil
			}
		}
		value = v
		return err
	})
	if err != nil {
		return nil, err // value may still be written to
	}
	return value, nil
}

// Put replaces the value of a key, which has at most 1 MiB. Keys are UTF-8, of 1 to 1024 bytes. The value is copied.
func (s *Store) Put(ctx context.Context, key string, value []byte) error {
	if len(value) > maxValue {
		return fmt.Errorf("keystore: put %q: a value of %d bytes is over the limit of %d", key, len(value), maxValue)
	}
	value = slices.Clone(value)
	return s.write(ctx, "put", key, func(ctx context.Context, b, below backend) error {
		err := store(ctx, b, key, value)
		if err == nil && below != nil {
			erase(ctx, below, key) // if it stays, it is not looked at: the keyring has the key now
		}
		return err
	})
}

// Delete removes a key. It is no error if there is none.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.write(ctx, "delete", key, func(ctx context.Context, b, below backend) error {
		err := erase(ctx, b, key)
		if below != nil {
			err = errors.Join(err, erase(ctx, below, key))
		}
		return err
	})
}

// List returns the keys that begin with prefix, sorted. It opens every entry, since keys are known from the inside only: one exchange
// with a Secret Service, one small file each in the file store, one run of gpg each with pass. Entries that cannot be read are left out.
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	err := s.call(ctx, "list", prefix, func(ctx context.Context) error {
		var found []string
		visit := func(e *envelope) {
			if strings.HasPrefix(e.Key, prefix) {
				found = append(found, e.Key)
			}
		}
		b, below := s.backends()
		err := all(ctx, b, visit)
		if err == nil && below != nil {
			err = all(ctx, below, visit)
		}
		slices.Sort(found)
		keys = slices.Compact(found)
		return err
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// Clear deletes every entry, also those that cannot be read: of newer versions, damaged, sealed with a key that is lost. It is for a
// person who wants every trace gone.
func (s *Store) Clear(ctx context.Context) error {
	return s.call(ctx, "clear", "", func(ctx context.Context) error {
		b, below := s.backends()
		err := b.clear(ctx)
		if below != nil {
			err = errors.Join(err, below.clear(ctx))
		}
		return err
	})
}

func (s *Store) backends() (b, below backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b, s.below
}

// write runs a change of one key, one at a time: in this process by a place that is held until the work has really ended, also when
// its caller gave up long before, and between processes by a lease where values come in parts.
func (s *Store) write(ctx context.Context, op, key string, work func(ctx context.Context, b, below backend) error) error {
	return s.call(ctx, op, key, func(ctx context.Context) error {
		s.mu.Lock()
		place := s.writes[key]
		if place == nil {
			place = make(chan struct{}, 1)
			s.writes[key] = place
		}
		s.mu.Unlock()
		select {
		case place <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { <-place }()
		b, below := s.backends()
		if b.limit() > 0 {
			l, err := lease.Acquire(ctx, s.c.dir.Path("keystore-lease", nameOf(key)), nil)
			var held *lease.HeldError
			if errors.As(err, &held) {
				return err
			}
			if err == nil {
				defer l.Release()
			} // else: see split.go
		}
		if ctx.Err() != nil { // nobody waits for this any more
			return ctx.Err()
		}
		return work(ctx, b, below)
	})
}

// call runs work with the deadline. What was chosen automatically and has gone away since is chosen anew.
func (s *Store) call(ctx context.Context, op, key string, work func(ctx context.Context) error) error {
	if err := checkKey(key); err != nil && op != "list" && op != "clear" {
		return fmt.Errorf("keystore: %s %q: %w", op, key, err)
	}
	b, _ := s.backends()
	timeout := s.timeout
	if _, files := b.(*file); files && (op == "put" || op == "delete") {
		timeout *= slowDisk
	}
	err := s.boundedBy(ctx, timeout, work)
	if s.auto && errors.Is(err, errAbsent) {
		s.forget()
		if s.rechoose(ctx, b) == nil {
			err = s.bounded(ctx, work)
		}
	}
	if err == nil {
		return nil
	}
	switch e := err.(type) {
	case *UnusableError, *LockedError, *TimeoutError:
		return err
	case *NewerError: // the file store does not know keys
		e.Key = key
		return e
	case *SealedError:
		e.Key = key
		return e
	case *CorruptError:
		e.Key = key
		return e
	}
	return fmt.Errorf("keystore: %s %q: %w", op, key, err)
}

// bounded waits for work until the deadline. What does not end by then goes on by itself: it may be stuck in a system call. It is
// then nobody's but its own, so nothing that it shares with the caller may be read after an error.
func (s *Store) bounded(ctx context.Context, work func(ctx context.Context) error) error {
	return s.boundedBy(ctx, s.timeout, work)
}

func (s *Store) boundedBy(ctx context.Context, timeout time.Duration, work func(ctx context.Context) error) error {
	within, cancel := context.WithTimeout(ctx, timeout)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- work(within)
	}()
	var err error
	select {
	case err = <-done:
	case <-within.Done():
		select {
		case err = <-done: // both at once
		default:
			err = within.Err()
		}
	}
	late := errors.Is(err, context.DeadlineExceeded) || within.Err() == context.DeadlineExceeded
	if late && ctx.Err() == nil && !ours(err) {
		return &TimeoutError{s.Info().Backend, timeout}
	}
	return err
}

// ours reports whether an error says more than that time was up, or is none.
func ours(err error) bool {
	switch err.(type) {
	case nil, notFound, *UnusableError, *LockedError, *TimeoutError, *NewerError, *SealedError, *CorruptError:
		return true
	}
	return false
}

func checkKey(key string) error {
	switch {
	case key == "":
		return errors.New("an empty key")
	case len(key) > maxKey:
		return fmt.Errorf("a key of %d bytes is over the limit of %d", len(key), maxKey)
	case !utf8.ValidString(key):
		return errors.New("a key must be UTF-8")
	}
	return nil
}
