package door

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/lease"
)

// loginTurn is how long a change of stored logins waits for another process's.
const loginTurn = 10 * time.Second

// Logins are the logins of servers that are kept for git, in the keystore.
func (d *Door) Logins() *githelper.Logins {
	return &githelper.Logins{
		Store: d.Store,
		Lock: func(ctx context.Context, key string) (func(), error) {
			short, cancel := context.WithTimeout(ctx, loginTurn)
			defer cancel()
			sum := sha256.Sum256([]byte(key))
			held, err := lease.Acquire(short, d.State.Path("lease", "git-login-"+hex.EncodeToString(sum[:8])), nil)
			if err != nil {
				return nil, fmt.Errorf("wait for another process that stores logins: %w", err)
			}
			return func() { held.Release() }, nil
		},
	}
}
