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
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// The whole of it for one system: two builds that are the same, a package that
// lintian finds no error in, and a fresh Debian that installs it and clones.
func TestRelease(t *testing.T) {
	if !full() {
		t.Skip("left to make test-full")
	}
	lintian := scripttest.Need(t, "lintian", "lintian")
	dist := filepath.Join(t.TempDir(), "dist")
	if err := run(t.Context(), []string{"-o", dist, "-only", "linux/amd64"}); err != nil {
		t.Fatal(err)
	}
	runTool(t, dist, "sha256sum", "--check", "--strict", "SHA256SUMS")
	deb := one(t, dist, "*.deb")
	t.Log(runTool(t, dist, lintian, "--allow-root", "--fail-on", "error,warning", deb))
	rpm := scripttest.Need(t, "rpm", "rpm")
	root := t.TempDir()
	runTool(t, dist, rpm, "--root", root, "--install", "--nodeps", "--nosignature", one(t, dist, "*.rpm"))
	runTool(t, dist, rpm, "--root", root, "--verify", "gitaccess")
	if docs := runTool(t, dist, rpm, "--root", root, "--query", "--docfiles", "gitaccess"); !strings.Contains(docs, "/man1/access.1.gz\n") || !strings.Contains(docs, "/README.md\n") {
		t.Errorf("rpm: its documents are\n%s", docs)
	}
	if licences := runTool(t, dist, rpm, "--root", root, "--query", "--licensefiles", "gitaccess"); strings.Count(licences, "\n") != 2 {
		t.Errorf("rpm: its licences are\n%s", licences)
	}
	runTool(t, dist, rpm, "--root", root, "--erase", "gitaccess")
	if left, err := filepath.Glob(filepath.Join(root, "usr/share/*/gitaccess")); err != nil || len(left) > 0 {
		t.Errorf("rpm: %q is left (%v)", left, err)
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
	installs(t, dist)
}

func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s in %s: %q, %v", pattern, dir, found, err)
	}
	return found[0]
}

// installs makes a fresh Debian of nothing but its smallest set of packages, builds
// the image of the Containerfile on it, and clones there.
func installs(t *testing.T, dist string) {
	debootstrap := scripttest.Need(t, "/usr/sbin/debootstrap", "debootstrap")
	buildah := scripttest.Need(t, "buildah", "buildah")
	if os.Geteuid() != 0 {
		scripttest.Missing(t, "root, for debootstrap", "sudo")
	}
	recipe, err := filepath.Abs("Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	const base, image = "docker.io/library/debian:bookworm-slim", "localhost/gitaccess:latest"
	dir := t.TempDir()
	command := func(args ...string) *exec.Cmd {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		t.Cleanup(cancel)
		cmd := exec.CommandContext(ctx, buildah, append([]string{"--storage-driver", "vfs", "--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run")}, args...)...)
		cmd.Env = append(os.Environ(), "BUILDAH_ISOLATION=chroot") // there may be no systemd and no cgroups
		return cmd
	}
	build := func(args ...string) string {
		t.Helper()
		out, err := command(args...).Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("buildah %s: %v\n%s%s", args[0], err, out, exit.Stderr)
		} else if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	fresh := build("from", "scratch")
	runTool(t, dir, debootstrap, "--variant=minbase", "bookworm", build("mount", fresh), strings.TrimSpace(runTool(t, "", "../testbed/mirror")))
	build("commit", "--quiet", "--rm", fresh, base)
	build("build", "--quiet", "--layers", "--pull-never", "--file", recipe, "--tag", image, dist)
	before, after := megabytes(t, build("images", "--format", "{{.Size}}", base)), megabytes(t, build("images", "--format", "{{.Size}}", image))
	t.Logf("Debian alone has %d MB, with git, ssh and gitaccess it has %d", before, after)
	if after-before > 200 {
		t.Errorf("the recipe adds %d MB", after-before)
	}

	container := build("from", "--pull-never", image)
	root := build("mount", container)
	inside := func(env []string, args ...string) (string, error) {
		run := []string{"run"}
		for _, v := range env {
			run = append(run, "--env", v)
		}
		out, err := command(append(append(run, container, "--"), args...)...).CombinedOutput()
		return string(out), err
	}
	for _, path := range []string{"usr/share/man/man1/access.1.gz", "usr/share/doc/gitaccess/NOTICES", "usr/share/bash-completion/completions/access"} {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			t.Error(err)
		}
	}
	if out, err := inside(nil, "dpkg", "--verify", "gitaccess"); err != nil || out != "" {
		t.Errorf("dpkg --verify: %v\n%s", err, out)
	}
	if out, err := inside(nil, "access", "version", "--json"); err != nil || !strings.Contains(out, `"cgo": false`) {
		t.Errorf("version: %v\n%s", err, out)
	}
	if out, err := inside(nil, "sh", "-c", "id -u; pwd; echo $CI $ACCESS_INTERACTIVE; ls /dist"); err == nil || !strings.HasPrefix(out, "10001\n/home/ci\ntrue never\n") {
		t.Errorf("the image runs as %s", out)
	}

	// An edge of ours on this machine's loopback, which the container shares.
	w := scripttest.NewWorld(t, scripttest.Git{})
	if err := os.WriteFile(filepath.Join(root, "edge.pem"), w.Server.CAPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := inside([]string{
		"HTTPS_PROXY=" + w.Server.ProxyURL(), "SSL_CERT_FILE=/edge.pem", "SSL_CERT_DIR=/nonexistent", "GIT_SSL_CAINFO=/edge.pem",
		"CF_ACCESS_CLIENT_ID=" + w.Service.ID, "CF_ACCESS_CLIENT_SECRET=" + w.Service.Secret(),
	}, "access", "run", "ci.example.com", "--", "git", "clone", "https://ci.example.com/demo.git")
	if err != nil {
		t.Fatalf("the clone: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(root, "home/ci/demo/README.md")); err != nil {
		t.Error(err)
	}

	build("run", "--user", "root", container, "--", "dpkg", "--purge", "gitaccess")
	err = filepath.WalkDir(filepath.Join(root, "usr"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.Contains(filepath.Base(path), "gitaccess") {
			t.Errorf("after purging there is %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// megabytes reads a size as buildah tells it.
func megabytes(t *testing.T, size string) int {
	t.Helper()
	number, ok := strings.CutSuffix(size, " MB")
	n, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil {
		t.Fatalf("the size %q", size)
	}
	return int(n)
}

// The rest of the recipe: a small base, no secret, no root.
func TestContainerfile(t *testing.T) {
	b, err := os.ReadFile("Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
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
			if !strings.Contains(rest, "--no-install-recommends") || !strings.Contains(rest, "rm -rf /var/lib/apt/lists/*") {
				t.Errorf("not small: %s", rest)
			}
		case "USER":
			if rest != "ci" {
				t.Errorf("it runs as %q", rest)
			}
		case "ENV":
			if regexp.MustCompile(`(?i)secret|token|client`).MatchString(rest) {
				t.Errorf("the image keeps %s", rest)
			}
		}
	}
	if diff := cmp.Diff([]string{"FROM", "RUN", "USER", "WORKDIR", "ENV"}, kinds); diff != "" {
		t.Errorf("its instructions (-want +got):\n%s", diff)
	}
}

// What people type without a clone: the module as the Go proxy would serve it.
func TestGoInstall(t *testing.T) {
	if !full() {
		t.Skip("left to make test-full")
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
