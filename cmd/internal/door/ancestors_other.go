//go:build !linux

package door

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"
)

// underMaintenance reports whether a git maintenance run is among our ancestors.
// git ≥ 2.47 says credential.interactive=false to its children; older ones are
// told only by their name. Windows shows no command lines without further
// interfaces; there only the configuration tells.
func underMaintenance(ctx context.Context) bool {
	if runtime.GOOS == "windows" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ps", "-ax", "-o", "pid=,ppid=,command=").Output()
	if err != nil {
		return false
	}
	parents, commands := map[int]int{}, map[int][][]byte{}
	for line := range bytes.Lines(out) {
		f := bytes.Fields(line)
		if len(f) < 3 {
			continue
		}
		pid, err1 := strconv.Atoi(string(f[0]))
		ppid, err2 := strconv.Atoi(string(f[1]))
		if err1 == nil && err2 == nil {
			parents[pid], commands[pid] = ppid, f[2:]
		}
	}
	pid := os.Getppid()
	for range 12 {
		if pid <= 1 {
			return false
		}
		if isMaintenance(commands[pid]) {
			return true
		}
		pid = parents[pid]
	}
	return false
}
