package matrix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// An operation is something that people do with git.
type operation struct {
	name string
	do   func(c *cell) error

	// plain: a login application sees no request that plain git would not make. The others vary from run to run, or have git or git-lfs
	// know beforehand that there is a login.
	plain bool
}

func (o *operation) id() string {
	return strings.NewReplacer(" ", "-", ",", "", "/", "-", ":", "-").Replace(o.name)
}

const (
	editor      = "an editor's fetch, no terminal"
	sameHost    = "redirect on the same host"
	anotherHost = "redirect to another host"
	withName    = "https://me@HOST/"
)

var operations = []*operation{
	{"ls-remote", func(c *cell) error { return c.lsRemote(c.url("demo.git")) }, true},
	{"clone", func(c *cell) error {
		if _, err := c.git("clone", "-q", c.url("demo.git"), "c"); err != nil {
			return err
		}
		return c.has("c/file", "2")
	}, true},
	{"shallow clone", func(c *cell) error {
		if _, err := c.git("clone", "-q", "--depth=1", c.url("demo.git"), "c"); err != nil {
			return err
		}
		if _, err := c.gitIn(c.dir+"/c", "fetch", "-q", "--unshallow"); err != nil {
			return err
		}
		return c.local(c.dir+"/c", "rev-parse", "--verify", "-q", "HEAD~2")
	}, true},
	{"partial clone, lazy fetch", func(c *cell) error {
		if _, err := c.git("clone", "-q", "--filter=blob:none", "--no-checkout", c.url("demo.git"), "c"); err != nil {
			return err
		}
		if _, err := c.gitIn(c.dir+"/c", "checkout", "-q", "HEAD~1"); err != nil {
			return err
		}
		return c.has("c/file", "1")
	}, true},
	{"fetch", func(c *cell) error {
		if err := c.repositoryHere("demo.git"); err != nil {
			return err
		}
		if _, err := c.git("fetch", "-q", "origin"); err != nil {
			return err
		}
		return c.local(c.dir, "rev-parse", "--verify", "-q", "origin/main")
	}, true},
	{"push, 1 KB", func(c *cell) error { return c.push(1 << 10) }, true},
	{"push, 30 MB in chunks", func(c *cell) error {
		if c.full || c.mode.id == "login" {
			return c.push(30 << 20)
		}
		return c.push(3 << 20)
	}, true},
	{"submodules, same host", func(c *cell) error {
		if _, err := c.git("clone", "-q", "--recurse-submodules", c.url("super-"+c.host+".git"), "c"); err != nil {
			return err
		}
		return errors.Join(c.has("c/sub0/file", "2"), c.has("c/sub1/file", "2"))
	}, true},
	{"submodules, another host", func(c *cell) error {
		if _, err := c.git("clone", "-q", "--recurse-submodules", c.url("other.git"), "c"); err != nil {
			return err
		}
		return c.has("c/sub0/file", "2")
	}, true},
	{"LFS clone", func(c *cell) error {
		if _, err := c.git("clone", "-q", c.url("lfs.git"), "c"); err != nil {
			return err
		}
		return c.has("c/large.bin", largeObject)
	}, true},
	{"LFS push", func(c *cell) error { return c.pushLFS() }, false},
	{"LFS lock", func(c *cell) error {
		if err := c.repositoryHere("lfs.git"); err != nil {
			return err
		}
		file := c.host + ".bin"
		for _, args := range [][]string{{"lock", file}, {"locks"}, {"unlock", "--force", file}} {
			out, err := c.git(append([]string{"lfs"}, args...)...)
			if err != nil {
				return err
			}
			if !strings.Contains(out, file) {
				return fmt.Errorf("git lfs %s says %q", args[0], out)
			}
		}
		return nil
	}, false},
	{"fetch --all --jobs=8", func(c *cell) error {
		if err := c.local(c.dir, "init", "-q"); err != nil {
			return err
		}
		for i := range 8 {
			if err := c.local(c.dir, "remote", "add", fmt.Sprintf("r%d", i), c.url("demo.git")); err != nil {
				return err
			}
		}
		if _, err := c.git("fetch", "-q", "--all", "--jobs=8"); err != nil {
			return err
		}
		return c.local(c.dir, "rev-parse", "--verify", "-q", "r7/main")
	}, false},
	{"maintenance, prefetch", func(c *cell) error {
		if err := c.repositoryHere("demo.git"); err != nil {
			return err
		}
		if _, err := c.git("maintenance", "run", "--task=prefetch"); err != nil {
			return err
		}
		out, err := c.command(c.dir, "git", "for-each-ref", "refs/prefetch")
		if err != nil || !strings.Contains(out, "main") {
			return fmt.Errorf("nothing was fetched ahead: %v %s", err, out)
		}
		return nil
	}, true},
	{editor, func(c *cell) error { return c.editor() }, false},
	{sameHost, func(c *cell) error {
		if _, err := c.git("clone", "-q", c.url("renamed/demo.git"), "c"); err != nil {
			return err
		}
		return c.has("c/file", "2")
	}, false},
	{anotherHost, func(c *cell) error {
		if _, err := c.git("clone", "-q", c.url("moved/demo.git"), "c"); err != nil {
			return err
		}
		return c.has("c/file", "2") // what the other host was given is looked at for each cell
	}, false},
	{withName, func(c *cell) error { return c.lsRemote("https://" + person + "@" + c.host + "/demo.git") }, false},
	{"https://HOST:443/", func(c *cell) error { return c.lsRemote("https://" + c.host + ":443/demo.git") }, true},
}

func (c *cell) lsRemote(url string) error {
	out, err := c.git("ls-remote", url)
	if err == nil && !strings.Contains(out, "refs/heads/main") {
		err = fmt.Errorf("git ls-remote says %q", out)
	}
	return err
}

func (c *cell) has(file, begin string) error {
	b, err := os.ReadFile(filepath.Join(c.dir, file))
	if err == nil && !strings.HasPrefix(string(b), begin) {
		err = fmt.Errorf("%s begins with %.20q", file, b)
	}
	return err
}

// repositoryHere makes the cell's folder a repository with a remote.
func (c *cell) repositoryHere(remote string) error {
	return errors.Join(c.local(c.dir, "init", "-q"), c.local(c.dir, "remote", "add", "origin", c.url(remote)))
}

// push pushes a commit with so many bytes that do not compress.
func (c *cell) push(size int) error {
	noise := filepath.Join(c.Dir, fmt.Sprintf("noise-%d", size))
	if _, err := os.Stat(noise); err != nil {
		if err := os.WriteFile(noise, bytesOf(size), 0o600); err != nil {
			return err
		}
	}
	if err := c.repositoryHere("push.git"); err != nil {
		return err
	}
	if err := os.Link(noise, filepath.Join(c.dir, "noise")); err != nil {
		return err
	}
	branch := fmt.Sprintf("refs/heads/%s-%d", c.host, size)
	if err := errors.Join(c.local(c.dir, "add", "noise"), c.local(c.dir, "commit", "-q", "-m", c.host)); err != nil {
		return err
	}
	push := []string{"push", "-q", "origin", "HEAD:" + branch}
	if size > 1<<20 && c.Git.AtLeast(2, 31) && !c.Git.AtLeast(2, 47) {
		// In chunks, whatever the server can: libcurl from 7.85 to 8.1, which Debian's git 2.39 has, stops in the middle of an upload by HTTP/2
		// now and then (curl/curl#11157 and its neighbours).
		push = append([]string{"-c", "http.version=HTTP/1.1"}, push...)
	}
	if _, err := c.git(push...); err != nil {
		return err
	}
	// Deleted, so that the next one sends it all again.
	return c.local(c.dir, "--git-dir", filepath.Join(c.Dir, "origin", "push.git"), "update-ref", "-d", branch)
}

func bytesOf(size int) []byte {
	b := make([]byte, size)
	x := uint32(size) | 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

func (c *cell) pushLFS() error {
	if err := errors.Join(c.repositoryHere("lfs.git"), c.local(c.dir, "lfs", "install", "--local"), c.local(c.dir, "lfs", "track", "*.bin")); err != nil {
		return err
	}
	content := "large, of " + c.host + " with " + c.Git.Name + "\n"
	if err := os.WriteFile(filepath.Join(c.dir, "new.bin"), []byte(content), 0o600); err != nil {
		return err
	}
	if err := errors.Join(c.local(c.dir, "add", "."), c.local(c.dir, "commit", "-q", "-m", c.host)); err != nil {
		return err
	}
	if _, err := c.git("push", "-q", "origin", "HEAD:refs/heads/"+c.host); err != nil {
		return err
	}
	objects, err := filepath.Glob(filepath.Join(c.Dir, "origin", "lfs.git", "lfs", "*"))
	if err != nil {
		return err
	}
	for _, o := range objects {
		if b, err := os.ReadFile(o); err == nil && string(b) == content {
			return nil
		}
	}
	return errors.New("the object did not arrive")
}

// editor fetches as an editor does in the background: with a session, and without one, when nobody may be asked.
func (c *cell) editor() error {
	c.env = []string{"GIT_ASKPASS=false", "SSH_ASKPASS=false", "VSCODE_GIT_FETCH_SILENT=true"}
	if err := c.repositoryHere("demo.git"); err != nil {
		return err
	}
	if _, err := c.git("fetch", "-q", "origin"); err != nil {
		return err
	}
	tabs := len(c.Tabs())
	switch {
	case c.mode.open:
		return nil
	case c.mode.run:
		c.env = append(c.env, "CF_ACCESS_CLIENT_SECRET="+strings.Repeat("0", 64))
	default:
		if out, err := c.command("", "access", "logout", "--team-session", c.host); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		defer delete(c.ready, c.host)
	}
	_, err := c.git("fetch", "-q", "origin")
	if n := len(c.Tabs()) - tabs; err == nil || n > 0 {
		return fmt.Errorf("without a session: %v, %d pages opened", err, n)
	}
	return nil
}
