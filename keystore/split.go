package keystore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// Some backends take blobs of a bounded size only (2,560 bytes in Windows' Credential Manager, a command line of 4,096 in macOS'
// security tool, a quota in the kernel). There a value whose envelope is larger is kept in parts beside it:
//
//	NAME                    {"v":1,"key":"…","parts":{"generation":G,"count":n,"size":…,"sha256":…}}
//	NAME.G.0 … NAME.G.n-1   the bytes
//
// A write goes: announce G in the envelope that is there ("next"), write the parts of G, replace the envelope by the one above
// ("old" naming what it replaces), remove the old parts. So a reader, who takes no lock, finds the old value or the new one by its
// generation and checks what it put together; and whatever a killed writer leaves is named in the envelope for the next one to remove.
// Writers of one key take turns by a lease. Should one be without it (a state folder that cannot be written to), values stay whole
// all the same, since no two writers share a generation; only parts may then be left over.

const (
	// partSize is the most that a part holds: the smallest limit is 2,560 bytes, less what a backend wraps around a blob.
	partSize = 2500
	// announcement is the room that "next" needs in an envelope that holds its value.
	announcement = 200
)

// load reads the value that an envelope stands for.
func load(ctx context.Context, b backend, key string) ([]byte, error) {
	name := nameOf(key)
	var last string // the generation that could not be read
	for {
		e, err := getEnvelope(ctx, b, key)
		switch {
		case err != nil:
			return nil, err
		case e.empty():
			return nil, ErrNotFound
		case e.Value != nil:
			return *e.Value, nil
		}
		value, err := join(ctx, b, name, e.Parts)
		if err == nil || ctx.Err() != nil {
			return value, err
		}
		// A writer may have replaced the generation while we read it; then the envelope names another now. One that is still the same
		// is read once more, for a writer that put it back, and is damaged if that does not help.
		if e.Parts.Generation == last {
			return nil, &CorruptError{key, err}
		}
		last = e.Parts.Generation
	}
}

func getEnvelope(ctx context.Context, b backend, key string) (*envelope, error) {
	blob, err := b.get(ctx, nameOf(key))
	if err != nil {
		return nil, err
	}
	return decode(key, blob)
}

func join(ctx context.Context, b backend, name string, p *parts) ([]byte, error) {
	value := make([]byte, 0, max(p.Size, 0))
	for i := range p.Count {
		blob, err := b.get(ctx, p.name(name, i))
		if err != nil {
			return nil, fmt.Errorf("part %d of %d: %w", i+1, p.Count, err)
		}
		if len(value)+len(blob) > p.Size {
			return nil, errors.New("its parts are too long")
		}
		value = append(value, blob...)
	}
	if sum := sha256.Sum256(value); hex.EncodeToString(sum[:]) != p.SHA256 {
		return nil, errors.New("its parts do not fit together")
	}
	return value, nil
}

// store replaces the value of a key. An entry of a newer format is refused, a damaged one replaced.
func store(ctx context.Context, b backend, key string, value []byte) error {
	now, err := current(ctx, b, key)
	if err != nil {
		return err
	}
	if value == nil {
		value = []byte{}
	}
	next := &envelope{V: version, Key: key, Value: &value}
	blob, err := next.encode()
	if err != nil {
		return err
	}
	if b.limit() == 0 || len(blob) <= b.limit()-announcement {
		return replaceParts(ctx, b, now, next)
	}

	sum := sha256.Sum256(value)
	size := min(partSize, b.limit())
	p := &parts{Generation: randomHex(8), Count: (len(value) + size - 1) / size, Size: len(value), SHA256: hex.EncodeToString(sum[:])}
	if err := tidy(ctx, b, now); err != nil {
		return err
	}
	now.Next, now.Old = p, nil
	if err := set(ctx, b, now); err != nil {
		return err
	}
	for i := range p.Count {
		if err := b.set(ctx, p.name(nameOf(key), i), value[i*size:min(len(value), (i+1)*size)]); err != nil {
			return err
		}
	}
	now.Next = nil
	return replaceParts(ctx, b, now, &envelope{V: version, Key: key, Parts: p})
}

// replaceParts puts next in the place of now, then removes the parts that now had.
func replaceParts(ctx context.Context, b backend, now, next *envelope) error {
	if err := tidy(ctx, b, now); err != nil {
		return err
	}
	next.Old = now.Parts
	if err := set(ctx, b, next); err != nil {
		return err
	}
	if next.Old == nil {
		return nil
	}
	if err := removeParts(ctx, b, nameOf(next.Key), next.Old); err != nil {
		return err
	}
	next.Old = nil
	return set(ctx, b, next)
}

// erase removes a key. In between the envelope is empty, and names what is still to go.
func erase(ctx context.Context, b backend, key string) error {
	now, err := current(ctx, b, key)
	if err != nil {
		return err
	}
	if now.Parts != nil {
		if err := replaceParts(ctx, b, now, &envelope{V: version, Key: key}); err != nil {
			return err
		}
	} else if err := tidy(ctx, b, now); err != nil {
		return err
	}
	return b.remove(ctx, nameOf(key))
}

// current reads what a write is about to replace. Nothing, something damaged, or something whose key is lost is an empty envelope.
func current(ctx context.Context, b backend, key string) (*envelope, error) {
	e, err := getEnvelope(ctx, b, key)
	var corrupt *CorruptError
	var sealed *SealedError
	if errors.Is(err, ErrNotFound) || errors.As(err, &corrupt) || errors.As(err, &sealed) {
		return &envelope{V: version, Key: key}, nil
	}
	return e, err
}

// tidy removes what earlier writers left undone.
func tidy(ctx context.Context, b backend, now *envelope) error {
	return errors.Join(removeParts(ctx, b, nameOf(now.Key), now.Next), removeParts(ctx, b, nameOf(now.Key), now.Old))
}

func removeParts(ctx context.Context, b backend, name string, p *parts) error {
	if p == nil {
		return nil
	}
	var errs []error
	for i := range p.Count {
		errs = append(errs, b.remove(ctx, p.name(name, i)))
	}
	return errors.Join(errs...)
}

func set(ctx context.Context, b backend, e *envelope) error {
	blob, err := e.encode()
	if err != nil {
		return err
	}
	if b.limit() > 0 && len(blob) > b.limit() {
		return errors.New("the key is too long for this store")
	}
	return b.set(ctx, nameOf(e.Key), blob)
}

// all visits the envelopes of all entries that can be read.
func all(ctx context.Context, b backend, visit func(*envelope)) error {
	return b.each(ctx, func(name string, blob []byte) {
		e, err := decodeAny(bytes.TrimSpace(blob))
		if err == nil && !e.empty() && nameOf(e.Key) == name {
			visit(e)
		}
	})
}
