//go:build !windows

package cli

// stdoutGone is for Windows: elsewhere a write to a standard output without a reader ends the process by SIGPIPE, also where the
// caller had SIGPIPE ignored, since Go's runtime installs its own handler (os/signal, "SIGPIPE").
func stdoutGone(error) bool { return false }
