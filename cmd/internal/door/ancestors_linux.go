package door

import (
	"bytes"
	"context"
	"os"
	"strconv"
)

// underMaintenance reports whether a git maintenance run is among our ancestors.
// git ≥ 2.47 says credential.interactive=false to its children; older ones are
// told only by their name.
func underMaintenance(context.Context) bool {
	pid := os.Getppid()
	for range 12 {
		if pid <= 1 {
			return false
		}
		dir := "/proc/" + strconv.Itoa(pid)
		cmdline, err := os.ReadFile(dir + "/cmdline")
		if err != nil {
			return false
		}
		if isMaintenance(bytes.Split(bytes.TrimRight(cmdline, "\x00"), []byte{0})) {
			return true
		}
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			return false
		}
		// "pid (name) state ppid …"; the name may hold spaces and parentheses.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 2 {
			return false
		}
		if pid, err = strconv.Atoi(string(fields[1])); err != nil {
			return false
		}
	}
	return false
}
