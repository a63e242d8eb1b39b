//go:build unix

package lease

import (
	"os"
	"syscall"
	"testing"
)

func stop(t *testing.T, p *os.Process) {
	must(t, p.Signal(syscall.SIGSTOP))
}
