package main

import (
	"path/filepath"
	"testing"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

func TestMain(m *testing.M) {
	scripttest.Main(m, map[string]func(){"git-credential-access": main}, "access")
}

func TestScripts(t *testing.T) {
	scripttest.Run(t, &scripttest.Options{
		Gits: scripttest.Gits(t),
		Setup: func(w *scripttest.World) error {
			// A server that moved a repository to another host, as far as git can tell.
			w.Apps["git.example.com"].Set(func(a *accesstest.App) {
				a.Origin = &origin.Git{Root: filepath.Join(w.Dir, "origin"), Redirect: map[string]string{"/moved": "https://open.example.com"}}
			})
			// A server with a login of its own behind Managed OAuth.
			basic := w.Apps["basic.example.com"].App()
			w.Apps["oauth-basic.example.com"] = w.Edge.AddApp(accesstest.App{
				Host: "oauth-basic.example.com", Allow: true, Services: basic.Services, Origin: basic.Origin, OAuth: &accesstest.OAuth{},
			})
			return nil
		},
	})
}
