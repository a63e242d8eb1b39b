//go:build unix

package caller

import (
	"context"
	"os"
	"time"
)

// waitForEnd waits until the process that started us has ended, or ctx has. An orphan has another parent.
func waitForEnd(ctx context.Context, parent int) bool {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
			if os.Getppid() != parent {
				return true
			}
		}
	}
}
