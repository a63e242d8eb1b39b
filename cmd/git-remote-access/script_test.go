package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

func TestMain(m *testing.M) {
	scripttest.Main(m, map[string]func(){"git-remote-access": main}, "access", "git-credential-access")
}

func TestScripts(t *testing.T) {
	scripttest.Run(t, &scripttest.Options{
		Gits: scripttest.Gits(t),
		Setup: func(w *scripttest.World) error {
			root := filepath.Join(w.Dir, "origin")
			// Servers that moved a repository to another host and that have pages for people, behind Access.
			plain := &origin.Git{Root: root, Redirect: map[string]string{"/moved": "https://open.example.com"}}
			page := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "text/html; charset=utf-8")
				fmt.Fprint(rw, "<!doctype html>\n<html>\n<title>Sign in</title>\n<p>Your name, please.\n</html>\n")
			})
			w.Edge.Handle("sso.example.com", page)
			paths := http.NewServeMux()
			paths.Handle("/", plain)
			paths.Handle("/page/", page)
			paths.HandleFunc("/sso/", func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, "https://sso.example.com/sign-in?secret=state", http.StatusFound)
			})
			for _, host := range []string{"git.example.com", "ci.example.com", "oauth.example.com"} {
				w.Apps[host].Set(func(a *accesstest.App) { a.Origin = paths })
			}
			w.Apps["oauth.example.com"].Set(func(a *accesstest.App) { a.OAuth.RefuseJWT = true })
			return nil
		},
	})
}
