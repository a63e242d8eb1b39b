//go:build linux || windows || (darwin && cgo)

package keystore

import (
	"context"
	"errors"

	"github.com/99designs/keyring"
)

// service is what our entries are filed under in every keyring.
const service = "gitaccess"

// ring is a keyring of the library. It knows no contexts: the deadline above it holds.
type ring struct {
	keyring.Keyring
	max   int
	where string
}

// retries is for the kernel's ring, where the library looks up a key and then asks for it by number: it may be deleted or replaced by
// others in between, and a list then fails as a whole.
const retries = 100

func openRing(c keyring.Config, max int, where string) (*ring, error) {
	c.ServiceName = service
	// Never its own choice: that takes whatever opens, down to files that it writes in place, without a word.
	k, err := keyring.Open(c)
	if errors.Is(err, keyring.ErrNoAvailImpl) {
		return nil, absent("there is none on this system")
	}
	if err != nil {
		return nil, err
	}
	return &ring{k, max, where}, nil
}

func (r *ring) get(_ context.Context, name string) ([]byte, error) {
	for try := 0; ; try++ {
		item, err := r.Get(name)
		if errors.Is(err, keyring.ErrKeyNotFound) {
			return nil, ErrNotFound
		}
		if !vanished(err) || try == retries {
			return item.Data, ringError(err)
		}
	}
}

func (r *ring) set(_ context.Context, name string, blob []byte) error {
	return ringError(r.Set(keyring.Item{Key: name, Data: blob, Label: service, Description: "kept by " + service}))
}

func (r *ring) remove(_ context.Context, name string) error {
	for try := 0; ; try++ {
		err := r.Remove(name)
		if errors.Is(err, keyring.ErrKeyNotFound) {
			return nil
		}
		if !vanished(err) || try == retries {
			return ringError(err)
		}
	}
}

func (r *ring) each(ctx context.Context, visit func(string, []byte)) error {
	names, err := r.keys()
	if err != nil {
		return ringError(err)
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !plainName(name) {
			continue
		}
		if item, err := r.Get(name); err == nil {
			visit(name, item.Data)
		}
	}
	return nil
}

func (r *ring) keys() (names []string, err error) {
	for range retries {
		if names, err = r.Keys(); !vanished(err) {
			break
		}
	}
	return names, err
}

func (r *ring) clear(ctx context.Context) error {
	names, err := r.keys()
	if err != nil {
		return ringError(err)
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (r *ring) limit() int       { return r.max }
func (r *ring) location() string { return r.where }
func (r *ring) sealed() bool     { return true }
func (r *ring) close()           {}
