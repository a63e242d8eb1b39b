package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// Clients of many kinds: git-lfs, package managers, the go command.
func TestClients(t *testing.T) {
	scripttest.Run(t, &scripttest.Options{Dir: filepath.Join("testdata", "clients"), Setup: addServers})
}

// addServers puts servers of many kinds behind pkg.example.com, one that wants a service token strictly and one with Managed OAuth
// that has the same ones, and storage.example.com beside them: a host of somebody else to which they redirect.
func addServers(w *scripttest.World) error {
	services := []*accesstest.ServiceToken{w.Service}
	h := watched(w, servers(w))
	for _, a := range []accesstest.App{
		{Host: "pkg.example.com", Allow: true, Services: services, Origin: h},
		{Host: "strict.example.com", Services: services, Strict: true, Origin: h},
		{Host: "oauth-pkg.example.com", Allow: true, Services: services, OAuth: &accesstest.OAuth{}, Origin: h},
	} {
		w.Apps[a.Host] = w.Edge.AddApp(a)
	}
	w.Edge.Handle("storage.example.com", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.ServeFile(rw, r, filepath.Join(w.Dir, "origin", "demo.git", "lfs", filepath.Base(r.URL.Path)))
	}))
	return nil
}

func servers(w *scripttest.World) http.Handler {
	repositories := &origin.Git{Root: filepath.Join(w.Dir, "origin"), LFS: true}
	mux := http.NewServeMux()
	mux.Handle("/", repositories)
	// A server whose files are elsewhere.
	mux.HandleFunc("GET /demo.git/info/lfs/objects/", func(rw http.ResponseWriter, r *http.Request) {
		if _, err := os.Stat(filepath.Join(w.Dir, "files-elsewhere")); err != nil {
			repositories.ServeHTTP(rw, r)
			return
		}
		http.Redirect(rw, r, "https://storage.example.com/"+filepath.Base(r.URL.Path), http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/ws", func(rw http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(rw, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, msg, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, msg) != nil {
				return
			}
		}
	})
	mux.HandleFunc("/echo", func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "%s %s", r.Method, b)
	})
	tarball := npmPackage()
	mux.HandleFunc("GET /npm/left", func(rw http.ResponseWriter, r *http.Request) {
		sum := sha512.Sum512(tarball)
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(map[string]any{
			"name": "left", "dist-tags": map[string]string{"latest": "1.0.0"},
			"versions": map[string]any{"1.0.0": map[string]any{"name": "left", "version": "1.0.0", "dist": map[string]string{
				"tarball":   "https://" + r.Host + "/npm/left/-/left-1.0.0.tgz",
				"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
			}}},
		})
	})
	mux.HandleFunc("GET /npm/left/-/left-1.0.0.tgz", func(rw http.ResponseWriter, r *http.Request) { _, _ = rw.Write(tarball) })
	const module = "/goproxy/example.net/private/@v/"
	mux.HandleFunc("GET "+module+"list", func(rw http.ResponseWriter, r *http.Request) { fmt.Fprintln(rw, "v1.0.0") })
	mux.HandleFunc("GET "+module+"v1.0.0.info", func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, `{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}`)
	})
	mux.HandleFunc("GET "+module+"v1.0.0.mod", func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, goMod) })
	mux.HandleFunc("GET "+module+"v1.0.0.zip", func(rw http.ResponseWriter, r *http.Request) { _, _ = rw.Write(goModule()) })
	mux.HandleFunc("GET /elsewhere/", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "https://storage.example.com"+strings.TrimPrefix(r.URL.Path, "/elsewhere"), http.StatusFound)
	})
	return mux
}

// watched looks at the command lines of the machine during each request, since every other user can: what they must not have goes
// into the file argv-leaks.
func watched(w *scripttest.World, h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, name := range lines {
			b, _ := os.ReadFile(name) // it may have ended
			for _, secret := range []string{w.Service.Secret(), "Access-Proxy-Token", "CF_Authorization=", "oauth:"} {
				if bytes.Contains(b, []byte(secret)) {
					_ = os.WriteFile(filepath.Join(w.Dir, "argv-leaks"), b, 0o600)
				}
			}
		}
		h.ServeHTTP(rw, r)
	})
}

func npmPackage() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for name, text := range map[string]string{"package/package.json": `{"name":"left","version":"1.0.0"}`, "package/index.js": "module.exports = 1\n"} {
		_ = t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))})
		_, _ = io.WriteString(t, text)
	}
	_ = t.Close()
	_ = z.Close()
	return b.Bytes()
}

const goMod = "module example.net/private\n\ngo 1.24\n"

func goModule() []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{"go.mod": goMod, "private.go": "package private\n"} {
		f, err := z.Create("example.net/private@v1.0.0/" + name)
		if err == nil {
			_, _ = io.WriteString(f, text)
		}
	}
	_ = z.Close()
	return b.Bytes()
}
