package main

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"time"
)

// stopSharing tells the connections that sessions share to take no more of them: each ends with the sessions that it has (clientloop.c,
// client_stop_mux). ssh does not tell which host one leads to, so all in our folder are told: the next session to a host that stays
// makes a new connection.
func (c *configCommand) stopSharing(ctx context.Context) {
	programs := c.programs()
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
