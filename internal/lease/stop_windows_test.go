package lease

import (
	"os"
	"testing"
)

func stop(*testing.T, *os.Process) {} // it holds the lease and does nothing, which is the same to a waiter
