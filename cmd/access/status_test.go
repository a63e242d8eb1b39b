package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/internal/cli"
)

// The user name of a login may be out of anybody's URL.
func TestStatusSteersNoTerminal(t *testing.T) {
	var out bytes.Buffer
	r := &statusReport{Hosts: []statusHost{{Host: "a.example.com/\x1b[2J", Mode: modePassword, Account: "ada\x1b]0;x\a", Source: "keystore"}}}
	if err := r.print(&cli.Env{Stdout: &out}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\a") {
		t.Errorf("%q", out.String())
	}
}
