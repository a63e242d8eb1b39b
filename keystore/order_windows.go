package keystore

// The automatic order, and every store that can be named.
var (
	order = []string{"wincred", "file"}
	kinds = map[string]kind{
		"wincred": {open: openWincred},
		"file":    {open: openFile},
	}
)
