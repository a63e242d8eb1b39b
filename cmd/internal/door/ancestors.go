package door

import (
	"bytes"
	"path/filepath"
	"strings"
)

// isMaintenance reports whether a command line is that of git maintenance, or of
// gc, which it starts: "git maintenance run", "/usr/lib/git-core/git maintenance …".
func isMaintenance(args [][]byte) bool {
	if len(args) < 2 {
		return false
	}
	name := strings.TrimSuffix(filepath.Base(string(args[0])), ".exe")
	if name == "git-maintenance" {
		return true
	}
	if name != "git" {
		return false
	}
	for i := 1; i < len(args); i++ {
		switch a := args[i]; {
		case bytes.Equal(a, []byte("-c")), bytes.Equal(a, []byte("-C")):
			i++ // its value
		case bytes.HasPrefix(a, []byte("-")):
		default:
			return bytes.Equal(a, []byte("maintenance"))
		}
	}
	return false
}
