// Package origin has servers to put behind an emulated Access edge: git over
// HTTP and git over SSH, both by the git of the machine. Like the edge they
// are for tests and for trying things out.
package origin

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Git serves the repositories below Root by git http-backend. Bodies stream
// both ways.
type Git struct {
	// Root holds the repositories: /demo.git is Root/demo.git.
	Root string
	// Login is the user:password wanted by Basic, empty for none.
	Login string
	// LoginFor limits Login to some requests, such as those by POST; nil
	// means all.
	LoginFor func(*http.Request) bool
	// Redirect answers paths with this prefix by a 302 to the URL and the
	// rest of the path.
	Redirect map[string]string
	// LFS serves the large files of the repositories, too, and their locks.
	LFS bool
	// Program is the git to run. Default: "git" of PATH.
	Program string
}

// ServeHTTP serves a git client.
func (g *Git) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for prefix, to := range g.Redirect {
		if rest, ok := strings.CutPrefix(r.URL.RequestURI(), prefix); ok {
			http.Redirect(w, r, to+rest, http.StatusFound)
			return
		}
	}
	if g.Login != "" && (g.LoginFor == nil || g.LoginFor(r)) {
		user, password, _ := r.BasicAuth()
		if subtle.ConstantTimeCompare([]byte(user+":"+password), []byte(g.Login)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="origin"`)
			http.Error(w, "log in to the origin", http.StatusUnauthorized)
			return
		}
	}
	if g.LFS && g.serveLFS(w, r) {
		return
	}
	program, err := exec.LookPath(program(g.Program))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	root, err := filepath.Abs(g.Root)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	user, _, _ := r.BasicAuth()
	if user == "" {
		user = "git" // http-backend lets nobody push without a name
	}
	env := append(environ(), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER="+user,
		// git < 2.34 does not read HTTP_GIT_PROTOCOL itself.
		"GIT_PROTOCOL="+r.Header.Get("Git-Protocol"),
		"GIT_CONFIG_COUNT=3",
		"GIT_CONFIG_KEY_0=http.receivepack", "GIT_CONFIG_VALUE_0=true",
		"GIT_CONFIG_KEY_1=uploadpack.allowFilter", "GIT_CONFIG_VALUE_1=true",
		"GIT_CONFIG_KEY_2=safe.directory", "GIT_CONFIG_VALUE_2=*")
	h := cgi.Handler{Path: program, Args: []string{"http-backend"}, Root: "/", Env: env, Stderr: io.Discard, Logger: log.New(io.Discard, "", 0)}
	// net/http/cgi refuses a chunked body, which git sends for every pack
	// above http.postBuffer; http-backend reads such a body to its end.
	r = r.Clone(r.Context())
	r.TransferEncoding = nil
	// Programs read the header as CONTENT_LENGTH, git its own environment.
	h.ServeHTTP(flushing{w, http.NewResponseController(w)}, r)
}

// flushing passes progress on as it comes.
type flushing struct {
	http.ResponseWriter
	rc *http.ResponseController
}

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.ResponseWriter.Write(b)
	if err == nil {
		err = f.rc.Flush()
		if errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
	}
	return n, err
}

func (f flushing) Unwrap() http.ResponseWriter { return f.ResponseWriter }

func program(p string) string {
	if p == "" {
		return "git"
	}
	return p
}

// environ is the environment of a git that serves: nobody's configuration.
func environ() []string {
	env := []string{"HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0"}
	for _, name := range []string{"PATH", "SYSTEMROOT", "TMPDIR", "TMP", "TEMP"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// Init makes the bare repository root/name with one commit on branch main
// that has these files, or a README if there are none. It returns its path.
func Init(ctx context.Context, root, name string, files map[string][]byte) (string, error) {
	dir := filepath.Join(root, name)
	if files == nil {
		files = map[string][]byte{"README.md": []byte("# " + strings.TrimSuffix(name, ".git") + "\n\nA repository behind an emulated Access edge.\n")}
	}
	if err := git(ctx, nil, "init", "-q", "--bare", dir); err != nil {
		return "", err
	}
	if err := git(ctx, nil, "-C", dir, "symbolic-ref", "HEAD", "refs/heads/main"); err != nil {
		return "", err
	}
	var in bytes.Buffer
	const message = "first commit\n"
	fmt.Fprintf(&in, "commit refs/heads/main\ncommitter Ada <ada@example.com> 1790000000 +0000\ndata %d\n%s", len(message), message)
	for path, content := range files {
		fmt.Fprintf(&in, "M 100644 inline %s\ndata %d\n", path, len(content))
		in.Write(content)
		in.WriteByte('\n')
	}
	if err := git(ctx, &in, "-C", dir, "fast-import", "--quiet"); err != nil {
		return "", err
	}
	return dir, nil
}

func git(ctx context.Context, in io.Reader, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = environ()
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args, err, bytes.TrimSpace(out))
	}
	return nil
}
