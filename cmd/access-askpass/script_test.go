package main

import (
	"path/filepath"
	"testing"

	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

func TestMain(m *testing.M) {
	scripttest.Main(m, map[string]func(){"access-askpass": main}, "access", "git-credential-access")
}

func TestScripts(t *testing.T) {
	scripttest.Run(t, &scripttest.Options{Setup: addServers})
}

// addServers gives a world two servers that want a login of their own, with large files, and no Access.
func addServers(w *scripttest.World) error {
	for _, host := range []string{"login.example.com", "other.example.com"} {
		w.Edge.Handle(host, &origin.Git{Root: filepath.Join(w.Dir, "origin"), Login: "ada:origin-password", LFS: true})
	}
	w.Set("GIT_ASKPASS=access-askpass")
	return nil
}
