package keystore

import (
	"context"
	"errors"
	"fmt"

	"github.com/99designs/keyring"
	"golang.org/x/sys/unix"

	"github.com/gitaccess/gitaccess/internal/lease"
)

// openKeyctl opens a ring of our name in the user's kernel keyring (keyrings(7), user-keyring(7)). It is never on a disk, is shared by
// all of the user's sessions, and is gone when the last of them ends. Its quota is 200 keys and 20,000 bytes for a user but root.
func openKeyctl(ctx context.Context, c *config) (backend, error) {
	// Two that make the ring at once make two, and what is in the first is lost: one at a time, if there is none.
	if _, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, "keyring", service, 0); err != nil {
		if errors.Is(err, unix.ENOSYS) {
			return nil, absent("the kernel has none")
		}
		if l, err := lease.Acquire(ctx, c.dir.Path("keystore-lease", "keyctl"), nil); err == nil {
			defer l.Release()
		} else if ctx.Err() != nil {
			return nil, err
		}
	}
	r, err := openRing(keyring.Config{
		AllowedBackends: []keyring.BackendType{keyring.KeyCtlBackend},
		KeyCtlScope:     "user",
	}, partSize, "kernel keyring @u, ring "+service)
	if errors.Is(err, errAbsent) {
		// The library tells no reason; this is the one there is.
		_, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, "keyring", service, 0)
		return nil, ringError(err)
	}
	return r, err
}

// vanished knows the errors for a key that was there a moment ago. EACCES is among them: a key that is no longer in a ring of ours may
// not be read. Where it means what it says it stays, however often one asks.
func vanished(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOKEY) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EKEYREVOKED) || errors.Is(err, unix.EKEYEXPIRED)
}

func ringError(err error) error {
	switch {
	case errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("the user's quota in the kernel is used up (/proc/sys/kernel/keys/maxbytes, maxkeys): %w", err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("this session may not use the user's keyring, as after su; log in anew, or link it with `keyctl link @u @s`: %w", err)
	}
	return err
}
