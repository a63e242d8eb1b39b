package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// ClearAll deletes every entry of every store that was used with the state folder, and what is remembered of them: of a keyring as much
// as of the files behind it, and of one that was named yesterday. It deletes what cannot be read, too, see [Store.Clear]. A store that
// cannot be reached now (the keyring of a desktop, from elsewhere) is an error, and remembered for the next time.
func ClearAll(ctx context.Context, o *Options) error {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Timeout == 0 {
		opts.Timeout = 2 * time.Minute // there may be thousands
	}
	s, err := prepare(&opts)
	if err != nil {
		return err
	}
	used, memories := s.used()
	names := map[string]bool{"file": true} // what is left of it, if anything
	for _, name := range used {
		names[name] = true
	}
	if name := opts.Backend; name != "" {
		names[name] = true
	} else if name := s.c.getenv("ACCESS_KEYSTORE"); name != "" {
		names[name] = true
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(names)) {
		k, ok := kinds[name]
		if !ok {
			errs = append(errs, &UnusableError{name, errors.New("there is no such store on this system")})
			continue
		}
		errs = append(errs, s.clear(ctx, name, k))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, memory := range memories {
		errs = append(errs, s.c.dir.Remove(memory))
	}
	for _, folder := range []string{"keystore", "keystore-choice", "keystore-lease"} {
		errs = append(errs, os.RemoveAll(s.c.dir.Path(folder))) // folders, and what killed writers left in them
	}
	return errors.Join(errs...)
}

func (s *Store) clear(ctx context.Context, name string, k kind) error {
	err := s.bounded(ctx, func(ctx context.Context) error {
		if name == "file" { // without a look at its key, which may be lost
			f := newFile(&s.c)
			if !f.exists() {
				return nil
			}
			return f.clear(ctx)
		}
		b, err := k.open(ctx, &s.c)
		if err != nil {
			return err
		}
		defer b.close()
		return b.clear(ctx)
	})
	var locked *LockedError
	var late *TimeoutError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &locked):
		return locked
	case errors.As(err, &late):
		late.Backend = name
		return late
	}
	return fmt.Errorf("keystore: what was kept in %s could not be erased: %w", name, err)
}

// used returns the stores that are remembered, and the names under which they are.
func (s *Store) used() (names, memories []string) {
	const folder = "keystore-choice"
	files, err := os.ReadDir(s.c.dir.Path(folder))
	if err != nil {
		return nil, nil
	}
	for _, f := range files {
		memory := folder + "/" + f.Name()
		b, err := s.c.dir.Load(memory)
		var c choice
		if strings.HasPrefix(f.Name(), ".") || err != nil || json.Unmarshal(b, &c) != nil || c.Backend == "" {
			continue
		}
		names, memories = append(names, c.Backend), append(memories, memory)
	}
	return names, memories
}
