package door

import (
	"path/filepath"
	"strings"

	"github.com/gitaccess/gitaccess/internal/caller"
)

// underMaintenance reports whether a git maintenance run is among our ancestors.
// git ≥ 2.47 says credential.interactive=false to its children; older ones are
// told only by their name. Windows gives command lines as one text; there only the
// configuration tells.
func underMaintenance() bool {
	for p := range caller.Ancestors(12) {
		if isMaintenance(p.Args) {
			return true
		}
	}
	return false
}

// isMaintenance reports whether a command line is that of git maintenance, or of
// gc, which it starts: "git maintenance run", "/usr/lib/git-core/git maintenance …".
func isMaintenance(args []string) bool {
	if len(args) < 2 {
		return false
	}
	name := strings.TrimSuffix(filepath.Base(args[0]), ".exe")
	if name == "git-maintenance" {
		return true
	}
	if name != "git" {
		return false
	}
	for i := 1; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-c", a == "-C":
			i++ // its value
		case strings.HasPrefix(a, "-"):
		default:
			return a == "maintenance"
		}
	}
	return false
}
