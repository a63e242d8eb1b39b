package matrix

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

const (
	otherHost = "open.example.com" // git without Access; gets no credential, whatever leads to it
	person    = "ada"
	password  = "origin-password"

	largeObject = "what git-lfs keeps elsewhere\n"
)

// A bed is a machine with one git, whose edge has a host for each mode, with and without a login of the origin's own.
type bed struct {
	*scripttest.World
	t      *testing.T
	ready  map[string]bool // hosts that were set up
	refuse map[string]error
	full   bool
}

func newBed(t *testing.T, g scripttest.Git, full bool) *bed {
	b := &bed{World: scripttest.NewWorld(t, g), t: t, ready: map[string]bool{}, refuse: map[string]error{}, full: full}
	root := filepath.Join(b.Dir, "origin")
	b.repositories(root)
	var logins []string
	for _, m := range modes {
		for _, basic := range []bool{false, true} {
			host := m.host(basic)
			server := &origin.Git{Root: root, LFS: true, Redirect: map[string]string{
				"/renamed": "https://" + host, "/moved": "https://" + otherHost,
			}}
			if basic {
				server.Login = person + ":" + password
				for _, port := range []string{"", "%3a443"} { // two hosts, to git
					logins = append(logins, "https://"+person+":"+password+"@"+host+port)
				}
			}
			app := accesstest.App{Host: host, Origin: server}
			m.app(&app, []*accesstest.ServiceToken{b.Service})
			b.Apps[host] = b.Edge.AddApp(app)
		}
	}
	b.write("home/.git-credentials", strings.Join(logins, "\n")+"\n")
	b.write("home/.gitconfig", "[credential]\n\thelper = store\n[core]\n\tcompression = 0\n\tbigFileThreshold = 1m\n[init]\n\tdefaultBranch = main\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n")
	b.useLFS()
	if out, err := b.command("", "git", "lfs", "install", "--skip-repo"); err != nil {
		t.Fatalf("git lfs install: %v\n%s", err, out)
	}
	return b
}

// useLFS has Debian's git-lfs 3.3 serve the oldest git, whose suite has 2.13.
func (b *bed) useLFS() {
	system := scripttest.Need(b.t, "git-lfs", "git-lfs")
	if b.Git.AtLeast(2, 31) {
		return
	}
	dir := filepath.Join(b.Dir, "lfs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Symlink(system, filepath.Join(dir, "git-lfs")); err != nil {
		b.t.Fatal(err)
	}
	for _, kv := range b.Environ() {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			b.Set("PATH=" + dir + string(filepath.ListSeparator) + path)
			return
		}
	}
}

func (b *bed) write(name, content string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.Dir, name), []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// repositories makes what the hosts serve: demo.git with three commits, push.git and lfs.git to be pushed to, and for each host a
// repository with submodules.
func (b *bed) repositories(root string) {
	const head = "commit refs/heads/main\ncommitter Ada <ada@example.com> 1790000000 +0000\n"
	file := func(path, content string) string {
		return fmt.Sprintf("M 100644 inline %s\ndata %d\n%s\n", path, len(content), content)
	}
	var demo strings.Builder
	for i := range 3 {
		fmt.Fprintf(&demo, "%sdata 1\n%d\n%s", head, i, file("file", strings.Repeat(fmt.Sprint(i), 2000)))
	}
	b.repository(root, "demo.git", demo.String())
	out, err := exec.Command("git", "--git-dir", filepath.Join(root, "demo.git"), "rev-parse", "main").Output()
	if err != nil {
		b.t.Fatal(err)
	}
	commit := strings.TrimSpace(string(out))
	b.repository(root, "push.git", head+"data 0\n"+file("file", "x"))

	sum := sha256.Sum256([]byte(largeObject))
	id := hex.EncodeToString(sum[:])
	b.repository(root, "lfs.git", head+"data 0\n"+file(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")+
		file("large.bin", fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", id, len(largeObject))))
	object := (&origin.Git{Root: root}).LFSObject("lfs.git", id)
	if err := os.MkdirAll(filepath.Dir(object), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(object, []byte(largeObject), 0o600); err != nil {
		b.t.Fatal(err)
	}

	super := func(name string, urls ...string) {
		s, modules := head+"data 0\n", ""
		for i, u := range urls {
			modules += fmt.Sprintf("[submodule \"sub%d\"]\n\tpath = sub%d\n\turl = %s\n", i, i, u)
			s += fmt.Sprintf("M 160000 %s sub%d\n", commit, i)
		}
		b.repository(root, name, s+file(".gitmodules", modules))
	}
	super("other.git", "https://"+otherHost+"/demo.git")
	for _, m := range modes {
		for _, basic := range []bool{false, true} {
			super("super-"+m.host(basic)+".git", "../demo.git", "https://"+m.host(basic)+"/demo.git")
		}
	}
}

func (b *bed) repository(root, name, stream string) {
	b.t.Helper()
	dir := filepath.Join(root, name)
	for _, args := range [][]string{{"init", "-q", "--bare", dir}, {"--git-dir", dir, "symbolic-ref", "HEAD", "refs/heads/main"}, {"--git-dir", dir, "fast-import", "--quiet"}} {
		if name == "demo.git" && args[0] == "init" {
			if err := os.RemoveAll(dir); err != nil {
				b.t.Fatal(err)
			}
		}
		cmd := exec.Command("git", args...)
		cmd.Stdin = strings.NewReader(stream)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
}

// command runs a program of the bed, and returns all that it printed.
func (b *bed) command(dir string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), 4*time.Minute)
	defer cancel()
	cmd := b.Command(ctx, name, args...)
	if dir != "" {
		cmd.Dir = dir
	}
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return out.String(), nil
}
