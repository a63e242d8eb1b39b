package main

import (
	"testing"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

func TestMain(m *testing.M) {
	scripttest.Main(m, map[string]func(){"access": main}, "git-credential-access", "access-ssh-proxy")
}

func TestScripts(t *testing.T) { scripttest.Run(t, nil) }
