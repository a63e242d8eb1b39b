//go:build unix

package child

import (
	"os/exec"
	"syscall"
)

func askToEnd(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
}
