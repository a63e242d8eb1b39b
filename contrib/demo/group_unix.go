//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// inGroup puts a command and what it starts (git starts ssh, ssh its proxy) into a group of their own, which the end of the context
// ends as a whole.
func inGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}
