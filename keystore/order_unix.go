//go:build unix && !linux && !darwin

package keystore

// The automatic order, and every store that can be named. pass is not in the order: see the package comment.
var (
	order = []string{"secret-service", "file"}
	kinds = map[string]kind{
		"secret-service": {open: openSecretService, where: busAddress},
		"pass":           {open: openPass, where: passDir},
		"file":           {open: openFile},
	}
)
