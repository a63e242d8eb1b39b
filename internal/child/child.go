// Package child is about programs that ours start.
package child

import "os/exec"

// AskToEnd has the end of cmd's context ask the program to end, so that it can put a terminal right and remove its temporary files. Windows
// has no way to ask a program without a window: there it is ended, as [exec.CommandContext] does. WaitDelay, which bounds how long an answer
// is waited for, is the caller's.
func AskToEnd(cmd *exec.Cmd) { askToEnd(cmd) }
