package scripttest

// leaveTerminal does nothing: a console is not found by opening a path.
func leaveTerminal() error { return nil }
