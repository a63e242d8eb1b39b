package sshproxy_test

import (
	"io"
	"log"
)

// discardLog is for servers whose clients go away in the middle of things.
var discardLog = log.New(io.Discard, "", 0)
