package keystore

// The automatic order, and every store that can be named. keyctl and pass are not in the order: see the package comment.
var (
	order = []string{"secret-service", "file"}
	kinds = map[string]kind{
		"secret-service": {open: openSecretService, where: busAddress},
		"keyctl":         {open: openKeyctl},
		"pass":           {open: openPass, where: passDir},
		"file":           {open: openFile},
	}
)
