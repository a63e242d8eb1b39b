package main

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"time"
)

// stopSharing has shared connections take no further sessions; one ends with those that it has (mux.c, client_stop_mux). To which host
// it leads ssh does not tell, so that all of our folder are stopped: the next session to another host makes a new one.
func (c *configCommand) stopSharing(ctx context.Context) {
	programs := sshPrograms(c.env.Getenv)
	if c.ssh != "" {
		programs = []string{c.ssh}
	}
	entries, err := os.ReadDir(c.files.folder)
	if err != nil || len(programs) == 0 {
		return
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSocket == 0 {
			continue
		}
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		// In the folder, since ssh expands what is in a path. No host is connected to.
		cmd := exec.CommandContext(short, programs[0], "-F", os.DevNull, "-S", e.Name(), "-O", "stop", "gitaccess.invalid")
		cmd.Dir, cmd.Env = c.files.folder, c.env.Environ()
		_ = cmd.Run() // where nobody listens there is nothing to stop
		cancel()
	}
}
