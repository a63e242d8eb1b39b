package keystore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// kind is a backend that can be chosen. Which there are, and in which order, is in order_*.go.
type kind struct {
	open func(ctx context.Context, c *config) (backend, error)
	// where is what a remembered probe is good for: another bus is another keyring. Nil: it is the same everywhere.
	where func(c *config) string
}

// What was found out is remembered for this long. The last resort is looked beyond sooner.
const (
	rememberFor     = 24 * time.Hour
	rememberFileFor = time.Hour
	clockSkew       = time.Minute
)

// openNamed takes the store that someone named, or fails.
func (s *Store) openNamed(ctx context.Context, name, why string) error {
	k, ok := kinds[name]
	if !ok {
		return &UnusableError{name, fmt.Errorf("there is no such store on this system, only %s", strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))}
	}
	var b backend
	memory := s.memoryOf(name, k)
	probed := s.recall(memory).fresh(time.Now())
	err := s.bounded(ctx, func(ctx context.Context) (err error) {
		b, err = s.openProbed(ctx, name, k, probed)
		return err
	})
	switch e := err.(type) {
	case nil:
	case *LockedError:
		return e
	case *TimeoutError:
		e.Backend = name
		return e
	default:
		if ctx.Err() != nil {
			return fmt.Errorf("keystore: open %s: %w", name, err)
		}
		return &UnusableError{name, err}
	}
	if !probed {
		s.remember(memory, choice{Backend: name, Why: why})
	}
	s.use(b, nil, name, why)
	return nil
}

// choose takes the store that is remembered, else the first that can write.
func (s *Store) choose(ctx context.Context) error {
	return s.chooseKnowing(ctx, s.recall(s.autoMemory()))
}

func (s *Store) chooseKnowing(ctx context.Context, known choice) error {
	memory := s.autoMemory()
	fresh := known.fresh(time.Now())
	var failed []string
	for _, name := range order {
		k := kinds[name]
		if fresh && name != known.Backend {
			continue
		}
		var b backend
		err := s.bounded(ctx, func(ctx context.Context) (err error) {
			b, err = s.openProbed(ctx, name, k, fresh)
			return err
		})
		var locked *LockedError
		if errors.As(err, &locked) && known.Backend == name {
			// The secrets are in there: say that it is locked, rather than look for them elsewhere.
			err = s.bounded(ctx, func(ctx context.Context) (err error) {
				b, err = k.open(ctx, &s.c)
				return err
			})
			fresh = true
		}
		if ctx.Err() != nil {
			return fmt.Errorf("keystore: open: %w", context.Cause(ctx))
		}
		if err != nil {
			failed = append(failed, name+": "+reason(err))
			continue
		}
		why := known.Why
		if !fresh {
			why = "it can be written to"
			if name == "file" {
				why = "no keyring can be used"
				if len(failed) > 0 {
					why += " (" + strings.Join(failed, "; ") + ")"
				}
			}
			s.remember(memory, choice{Backend: name, Why: why})
		}
		s.use(b, s.behind(name), name, why)
		return nil
	}
	if fresh { // what was remembered does not open any more
		s.forget()
		return s.chooseKnowing(ctx, choice{})
	}
	return &UnusableError{"every store", errors.New(strings.Join(failed, "; "))}
}

// reason is an error in a sentence that has named the store.
func reason(err error) string {
	var locked *LockedError
	var timeout *TimeoutError
	switch {
	case errors.As(err, &locked):
		return "it is locked"
	case errors.As(err, &timeout):
		return fmt.Sprintf("it did not answer within %v", timeout.After)
	}
	return err.Error()
}

// rechoose is choose for a Store whose backend has gone away, unless someone else has done it meanwhile.
func (s *Store) rechoose(ctx context.Context, gone backend) error {
	s.choosing.Lock()
	defer s.choosing.Unlock()
	if b, _ := s.backends(); b != gone {
		return nil
	}
	return s.choose(ctx)
}

func (s *Store) use(b, below backend, name, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b, s.below = b, below
	s.info = Info{Backend: name, Location: b.location(), Sealed: b.sealed(), Why: why}
}

// behind opens the file store behind a keyring that was chosen automatically, if there is one: what was put there while the keyring
// could not be used is still found, and moves as it is written next.
func (s *Store) behind(name string) backend {
	if name == "file" {
		return nil
	}
	f := newFile(&s.c)
	if !f.exists() {
		return nil
	}
	return f
}

// openProbed opens a backend and, unless it is known to work, sees whether it does.
func (s *Store) openProbed(ctx context.Context, name string, k kind, known bool) (backend, error) {
	b, err := k.open(ctx, &s.c)
	if err != nil || known || name == "file" {
		// The file store shows what it can do when it is used, and may be read where it cannot be written.
		return b, err
	}
	if err := probe(ctx, b); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// probe writes, reads and deletes an entry that is none.
func probe(ctx context.Context, b backend) error {
	e := &envelope{V: version, Key: "probe " + randomHex(16)}
	name := nameOf(e.Key)
	if err := set(ctx, b, e); err != nil {
		return err
	}
	got, err := getEnvelope(ctx, b, e.Key)
	if err := b.remove(ctx, name); err != nil {
		return err
	}
	if errors.Is(err, ErrNotFound) || err == nil && !got.empty() {
		return errors.New("it does not give back what was put into it")
	}
	return err
}

// choice is what is remembered, in the state folder. It holds no secret.
type choice struct {
	V       int       `json:"v"`
	Backend string    `json:"backend"`
	Why     string    `json:"why"`
	At      time.Time `json:"at"`
}

// fresh reports whether c can be relied on. A time that is still to come says that a clock has jumped.
func (c choice) fresh(now time.Time) bool {
	limit := rememberFor
	if c.Backend == "file" {
		limit = rememberFileFor
	}
	_, known := kinds[c.Backend]
	age := now.Sub(c.At)
	return known && age > -clockSkew && age < limit
}

func (s *Store) memoryOf(name string, k kind) string {
	where := ""
	if k.where != nil {
		where = k.where(&s.c)
	}
	sum := sha256.Sum256([]byte(name + "\x00" + where))
	return "keystore-choice/" + hex.EncodeToString(sum[:8])
}

func (s *Store) autoMemory() string { return s.memoryOf("auto", kinds[order[0]]) }

func (s *Store) recall(memory string) choice {
	var c choice
	b, err := s.c.dir.Load(memory)
	if err != nil || json.Unmarshal(b, &c) != nil || c.V != 1 {
		return choice{}
	}
	return c
}

// remember may fail: then the next one has to find out for itself.
func (s *Store) remember(memory string, c choice) {
	c.V, c.At = 1, time.Now()
	if b, err := json.Marshal(c); err == nil {
		s.c.dir.Save(memory, b)
	}
}

func (s *Store) forget() { s.c.dir.Remove(s.autoMemory()) }
