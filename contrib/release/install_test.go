//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// The whole of it for one system: two builds that are the same, a package that
// lintian finds no error in, and a fresh Debian that installs it and clones.
func TestRelease(t *testing.T) {
	if !full() {
		t.Log("only with ACCESS_TEST_FULL=1")
		return
	}
	lintian := scripttest.Need(t, "lintian", "lintian")
	dist := filepath.Join(t.TempDir(), "dist")
	if err := run(t.Context(), []string{"-o", dist, "-only", "linux/amd64"}); err != nil {
		t.Fatal(err)
	}
	runTool(t, dist, "sha256sum", "--check", "--strict", "SHA256SUMS")
	deb := one(t, dist, "*.deb")
	t.Log(runTool(t, dist, lintian, "--allow-root", "--fail-on", "error", deb))
	rpm := scripttest.Need(t, "rpm", "rpm")
	root := t.TempDir()
	runTool(t, dist, rpm, "--root", root, "--install", "--nodeps", "--nosignature", one(t, dist, "*.rpm"))
	runTool(t, dist, rpm, "--root", root, "--verify", "gitaccess")
	if _, err := os.Stat(filepath.Join(root, "usr/share/man/man1/access.1.gz")); err != nil {
		t.Errorf("rpm: %v", err)
	}
	info := runTool(t, dist, "tar", "--warning=no-unknown-keyword", "-xzOf", one(t, dist, "*.apk"), ".PKGINFO")
	for line := range strings.Lines(info) {
		if !regexp.MustCompile(`^(#|[a-z]+ = )`).MatchString(line) {
			t.Errorf("apk: .PKGINFO has the line %q", line)
		}
	}
	bill := one(t, dist, "*.cdx.json")
	validate(t, bill)
	b, err := os.ReadFile(bill)
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range []string{"pkg:golang/github.com/urfave/cli/v2@", "pkg:golang/golang.org/x/crypto@", "pkg:golang/std@1."} {
		if !bytes.Contains(b, []byte(module)) {
			t.Errorf("the bill of materials has no %s", module)
		}
	}
	if bytes.Contains(b, []byte("testscript")) || bytes.Contains(b, []byte("go-git")) {
		t.Error("the bill of materials lists what is in no program")
	}
	installs(t, deb)
}

func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s in %s: %q, %v", pattern, dir, found, err)
	}
	return found[0]
}

// installs makes a fresh Debian of nothing but its smallest set of packages, and
// does in it what the Containerfile does.
func installs(t *testing.T, deb string) {
	debootstrap := scripttest.Need(t, "/usr/sbin/debootstrap", "debootstrap")
	bwrap := scripttest.Need(t, "bwrap", "bubblewrap")
	if os.Geteuid() != 0 {
		scripttest.Missing(t, "root, for debootstrap", "sudo")
	}
	mirror := strings.TrimSpace(runTool(t, "", "../testbed/mirror"))
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	runTool(t, dir, debootstrap, "--variant=minbase", "bookworm", root, mirror)

	steps := containerfile(t)
	if err := os.MkdirAll(filepath.Join(root, "tmp", "gitaccess"), 0o755); err != nil {
		t.Fatal(err)
	}
	copyFile(t, deb, filepath.Join(root, "tmp", "gitaccess", filepath.Base(deb)))
	for _, name := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		if _, err := os.Stat(name); err == nil {
			os.Remove(filepath.Join(root, name))
			copyFile(t, name, filepath.Join(root, name))
		}
	}
	inside := func(env []string, user string, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		as := []string{"--bind", root, "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/run", "--die-with-parent"}
		if user != "" {
			as = append(as, "--chdir", "/home/ci", "setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs")
		}
		cmd := exec.CommandContext(ctx, bwrap, append(as, args...)...)
		cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/home/ci", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}, env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	before := megabytes(t, root)
	for _, step := range steps {
		if out, err := inside([]string{"HOME=/root"}, "", "/bin/sh", "-c", step); err != nil {
			t.Fatalf("RUN %s: %v\n%s", step, err, out)
		}
	}
	if out, err := inside(nil, "", "dpkg", "--verify", "gitaccess"); err != nil || out != "" {
		t.Errorf("dpkg --verify: %v\n%s", err, out)
	}
	for _, path := range []string{"usr/share/man/man1/access.1.gz", "usr/share/doc/gitaccess/NOTICES", "usr/share/bash-completion/completions/access"} {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			t.Error(err)
		}
	}
	after := megabytes(t, root)
	t.Logf("Debian alone has %d MB, with git, ssh and gitaccess it has %d", before, after)
	if after-before > 160 {
		t.Errorf("the recipe adds %d MB", after-before)
	}

	// An edge of ours on this machine's loopback, which the root shares.
	w := scripttest.NewWorld(t, scripttest.Git{})
	authority := filepath.Join(root, "edge.pem")
	if err := os.WriteFile(authority, w.Server.CAPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"HTTPS_PROXY=" + w.Server.ProxyURL(), "SSL_CERT_FILE=/edge.pem", "SSL_CERT_DIR=/nonexistent", "GIT_SSL_CAINFO=/edge.pem",
		"CI=true", "ACCESS_INTERACTIVE=never",
		"CF_ACCESS_CLIENT_ID=" + w.Service.ID, "CF_ACCESS_CLIENT_SECRET=" + w.Service.Secret(),
	}
	out, err := inside(env, "10001", "access", "run", "ci.example.com", "--", "git", "clone", "https://ci.example.com/demo.git")
	if err != nil {
		t.Fatalf("the clone: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(root, "home/ci/demo/README.md")); err != nil {
		t.Error(err)
	}
	if out, err := inside(nil, "10001", "access", "version", "--json"); err != nil || !strings.Contains(out, `"cgo": false`) {
		t.Errorf("version: %v\n%s", err, out)
	}

	if out, err := inside([]string{"HOME=/root"}, "", "dpkg", "--purge", "gitaccess"); err != nil {
		t.Fatalf("dpkg --purge: %v\n%s", err, out)
	}
	err = filepath.WalkDir(filepath.Join(root, "usr"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.Contains(filepath.Base(path), "gitaccess") {
			t.Errorf("after purging there is %s", path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}

func megabytes(t *testing.T, dir string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.Fields(runTool(t, "", "du", "-sm", "--one-file-system", dir))[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// containerfile returns the RUN instructions, and checks the rest of the recipe: a
// small base, no secret, no root.
func containerfile(t *testing.T) (steps []string) {
	t.Helper()
	b, err := os.ReadFile("Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	user := ""
	text := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(string(b), "")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		kind, rest, _ := strings.Cut(line, " ")
		kinds = append(kinds, kind)
		switch kind {
		case "FROM":
			if rest != "docker.io/library/debian:bookworm-slim" {
				t.Errorf("built from %s", rest)
			}
		case "RUN":
			steps = append(steps, rest)
			if !strings.Contains(rest, "--no-install-recommends") || !strings.Contains(rest, "rm -rf /tmp/gitaccess /var/lib/apt/lists/*") {
				t.Errorf("not small: %s", rest)
			}
		case "USER":
			user = rest
		case "COPY":
			if rest != "gitaccess_*.deb /tmp/gitaccess/" {
				t.Errorf("copies %s", rest)
			}
		case "WORKDIR":
		case "ENV":
			if regexp.MustCompile(`(?i)secret|token|client`).MatchString(rest) {
				t.Errorf("the image keeps %s", rest)
			}
		default:
			t.Errorf("%s is not expected in it", line)
		}
	}
	if user == "" || user == "root" {
		t.Errorf("it runs as %q", user)
	}
	if !slices.Contains(kinds, "FROM") || len(steps) == 0 {
		t.Errorf("instructions: %q", kinds)
	}
	return steps
}

func TestContainerfile(t *testing.T) { containerfile(t) }

// What people type without a clone: the module as the Go proxy would serve it.
func TestGoInstall(t *testing.T) {
	if !full() {
		t.Log("only with ACCESS_TEST_FULL=1")
		return
	}
	const module, version = "github.com/gitaccess/gitaccess", "v0.0.1"
	proxy := filepath.Join(t.TempDir(), "proxy")
	versions := filepath.Join(proxy, filepath.FromSlash(module), "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil {
		t.Fatal(err)
	}
	top := strings.TrimSpace(runTool(t, "", "git", "rev-parse", "--show-toplevel"))
	clone := filepath.Join(t.TempDir(), "clone")
	runTool(t, "", "git", "clone", "-q", "--shared", top, clone)
	tracked := strings.Split(strings.TrimRight(runTool(t, clone, "git", "ls-files", "-z"), "\x00"), "\x00")
	var files []file
	for _, name := range tracked {
		b, err := os.ReadFile(filepath.Join(clone, name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{name, b, 0o644})
		if name == "go.mod" {
			if err := os.WriteFile(filepath.Join(versions, version+".mod"), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	var zipped bytes.Buffer
	r := &release{time: time.Now()}
	if err := r.zip(&zipped, module+"@"+version, files); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		version + ".zip":  zipped.Bytes(),
		version + ".info": []byte(`{"Version":"` + version + `","Time":"2026-11-22T00:00:00Z"}`),
		"list":            []byte(version + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(versions, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bin := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "install", module+"/cmd/...@"+version)
	cmd.Dir = t.TempDir()
	others := strings.TrimSpace(runTool(t, "", "go", "env", "GOPROXY"))
	modules := strings.TrimSpace(runTool(t, "", "go", "env", "GOMODCACHE"))
	cache := t.TempDir()
	cmd.Env = append(os.Environ(), "GOBIN="+bin, "GOPROXY=file://"+proxy+",file://"+filepath.Join(modules, "cache", "download")+","+others,
		"GOMODCACHE="+cache, "GONOSUMDB="+module, "GOFLAGS=-modcacherw", "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go install: %v\n%s", err, out)
	}
	programs, err := os.ReadDir("../../cmd")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if p.Name() == "internal" {
			continue
		}
		// Those whose standard output belongs to a protocol print it on standard error.
		out, err := exec.CommandContext(t.Context(), filepath.Join(bin, p.Name()), "--version").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), p.Name()+" "+version+" (") {
			t.Errorf("%s --version: %v, %q", p.Name(), err, out)
		}
	}
}
