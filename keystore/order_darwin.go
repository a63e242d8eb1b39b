package keystore

// The automatic order, and every store that can be named. pass is not in the order: see the package comment.
var (
	order = []string{"keychain", "file"}
	kinds = map[string]kind{
		"keychain": {open: openKeychain},
		"pass":     {open: openPass, where: passDir},
		"file":     {open: openFile},
	}
)
