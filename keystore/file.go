package keystore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/gitaccess/gitaccess/internal/state"
)

// file is our own store: one file per entry, in 256 folders so that no folder grows long, replaced by renames.
//
//	keystore/seal       says with which key entries are sealed, if they are (see seal.go)
//	keystore/3f/3fa9…   one entry: an envelope, or a sealed envelope
type file struct {
	dir  state.Dir
	keys keySource

	mu   sync.Mutex
	seal *sealer // once it is known
}

func newFile(c *config) *file {
	return &file{dir: c.dir, keys: keySource{c.getenv}}
}

func openFile(_ context.Context, c *config) (backend, error) {
	f := newFile(c)
	for _, dir := range []string{f.dir.Path(), f.location()} {
		if err := state.CheckDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if f.keys.given() { // a key that cannot be read is to be noticed now, not when a secret was written without it
		if _, err := f.sealer(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *file) exists() bool {
	_, err := os.Lstat(f.location())
	return err == nil
}

func entryPath(name string) string { return "keystore/" + name[:2] + "/" + name }

func (f *file) get(_ context.Context, name string) ([]byte, error) {
	blob, err := f.dir.Load(entryPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil || !isSealed(blob) {
		return blob, err
	}
	s, err := f.sealer()
	if err != nil {
		return nil, err
	}
	return s.open(name, blob)
}

func (f *file) set(ctx context.Context, name string, blob []byte) error {
	s, err := f.sealerFor(ctx)
	if err != nil {
		return err
	}
	return f.dir.Save(entryPath(name), s.seal(name, blob))
}

func (f *file) remove(_ context.Context, name string) error {
	return f.dir.Remove(entryPath(name))
}

func (f *file) each(ctx context.Context, visit func(string, []byte)) error {
	return f.names(func(name string) error {
		if blob, err := f.get(ctx, name); err == nil {
			visit(name, blob)
		}
		return ctx.Err()
	})
}

func (f *file) clear(ctx context.Context) error {
	err := f.names(func(name string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return f.remove(ctx, name)
	})
	if err != nil {
		return err
	}
	return f.dir.Remove(markerName) // with nothing left, any key may begin, or none
}

// names visits the names of all entries.
func (f *file) names(visit func(string) error) error {
	shards, err := os.ReadDir(f.location())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, shard := range shards {
		if len(shard.Name()) != 2 {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(f.location(), shard.Name()))
		if err != nil {
			continue // see get: a folder that is not ours is not read
		}
		for _, e := range entries {
			if !plainName(e.Name()) || e.Name()[:2] != shard.Name() {
				continue
			}
			if err := visit(e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *file) limit() int       { return 0 }
func (f *file) location() string { return f.dir.Path("keystore") }
func (f *file) sealed() bool     { return f.keys.given() }
func (f *file) close()           {}
