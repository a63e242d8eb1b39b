package keystore

import "context"

// backend keeps small blobs under names. All that is said of values, keys, versions and sizes is done above it.
//
// A name is the hash of a key, perhaps with a suffix that begins with a dot: lower-case hexadecimal digits, dots and digits only.
// set replaces a blob as a whole; a reader meanwhile gets the old one or the new one. A missing one is ErrNotFound for get and nil for
// remove. Calls are safe for concurrent use. They may ignore ctx: the caller gives up waiting when it ends.
type backend interface {
	get(ctx context.Context, name string) ([]byte, error)
	set(ctx context.Context, name string, blob []byte) error
	remove(ctx context.Context, name string) error
	// each calls visit for each blob whose name has no suffix. What vanishes or cannot be read meanwhile is left out.
	each(ctx context.Context, visit func(name string, blob []byte)) error

	// clear removes every blob of ours, also what cannot be read.
	clear(ctx context.Context) error

	limit() int // bytes that a blob may have; 0: no limit that matters
	location() string
	sealed() bool // whether what lies on the disk cannot be read without a secret that is not beside it
	close()
}
