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

func openRing(c keyring.Config, max int, where string) (*ring, error) {
	c.ServiceName = service
	// Never its own choice: it takes whatever opens, without a word (see the note on its file backend in file.go).
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
	item, err := r.Get(name)
	if errors.Is(err, keyring.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	return item.Data, ringError(err)
}

func (r *ring) set(_ context.Context, name string, blob []byte) error {
	return ringError(r.Set(keyring.Item{Key: name, Data: blob, Label: service, Description: "kept by " + service}))
}

func (r *ring) remove(_ context.Context, name string) error {
	err := r.Remove(name)
	if errors.Is(err, keyring.ErrKeyNotFound) {
		return nil
	}
	return ringError(err)
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

// keys asks a few times: the kernel's ring fails as a whole if one key vanishes while it is listed.
func (r *ring) keys() (names []string, err error) {
	for range 20 {
		if names, err = r.Keys(); err == nil {
			return names, nil
		}
	}
	return nil, err
}

func (r *ring) limit() int       { return r.max }
func (r *ring) location() string { return r.where }
func (r *ring) sealed() bool     { return true }
func (r *ring) close()           {}
