package main

import (
	"context"
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
				a.Origin = &origin.Git{Root: filepath.Join(w.Dir, "origin"), Redirect: map[string]string{
					"/moved": "https://open.example.com", "/renamed": "https://git.example.com",
				}}
			})
			// A server with a login of its own behind Managed OAuth.
			basic := w.Apps["basic.example.com"].App()
			w.Apps["oauth-basic.example.com"] = w.Edge.AddApp(accesstest.App{
				Host: "oauth-basic.example.com", Allow: true, Services: basic.Services, Origin: basic.Origin, OAuth: &accesstest.OAuth{},
			})
			return addPaths(w)
		},
	})
}

// addPaths gives a host three applications by path, each with a repository.
func addPaths(w *scripttest.World) error {
	root := filepath.Join(w.Dir, "origin")
	for path, oauth := range map[string]*accesstest.OAuth{"": nil, "/team": nil, "/agents": {RefuseJWT: true}} {
		w.Apps["paths.example.com"+path] = w.Edge.AddApp(accesstest.App{
			Host: "paths.example.com", Path: path, Allow: true, OAuth: oauth, Origin: &origin.Git{Root: root},
		})
		if _, err := origin.Init(context.Background(), root, filepath.Join(path, "paths.git"), nil); err != nil {
			return err
		}
	}
	return nil
}
