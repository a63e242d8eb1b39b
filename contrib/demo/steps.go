package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A step does one thing as a user would, and checks it from the other side.
type step struct {
	name string
	do   func(ctx context.Context, w *world) (note string, err error)
}

const (
	sshURL   = "ssh://ssh.example.com/demo.git"
	gitURL   = "https://git.example.com/demo.git"
	bigURL   = "https://git.example.com/big.git"
	basicURL = "https://basic.example.com/demo.git"
	ciURL    = "https://ci.example.com/demo.git"
	oauthURL = "https://oauth.example.com/demo.git"
	oauthBig = "https://oauth.example.com/big.git"
)

var steps = []step{
	{"clone over SSH, with a login", func(ctx context.Context, w *world) (string, error) {
		if err := w.run(ctx, "git", "clone", "-q", sshURL, "ssh"); err != nil {
			return "", err
		}
		return "one login, one browser tab", check(w.cloned("ssh"), w.tabs(1))
	}},
	{"push over SSH", func(ctx context.Context, w *world) (string, error) {
		if err := w.commitAndPush(ctx, "ssh"); err != nil {
			return "", err
		}
		return "no login", check(w.pushed(ctx, "ssh"), w.tabs(0), w.connections("ssh.example.com", 1))
	}},
	{"SSH again, warm", func(ctx context.Context, w *world) (string, error) {
		if err := w.run(ctx, "git", "ls-remote", "-q", sshURL); err != nil {
			return "", err
		}
		return "one connection, nothing asked before it", check(w.tabs(0), w.connections("ssh.example.com", 1), w.connections("", 1))
	}},
	{"access setup git git.example.com", func(ctx context.Context, w *world) (string, error) {
		if err := w.run(ctx, "access", "setup", "git", "git.example.com"); err != nil {
			return "", err
		}
		return "no login: the team's session is enough", w.tabs(0)
	}},
	{"clone over HTTPS, with a login", func(ctx context.Context, w *world) (string, error) {
		// The session of the team, from the login for SSH, would be enough here, too.
		if err := w.run(ctx, "access", "logout", "--all"); err != nil {
			return "", err
		}
		w.begin()
		if err := w.run(ctx, "git", "clone", "-q", gitURL, "https"); err != nil {
			return "", err
		}
		return "one login, one browser tab", check(w.cloned("https"), w.tabs(1))
	}},
	{"push over HTTPS", func(ctx context.Context, w *world) (string, error) {
		if err := w.commitAndPush(ctx, "https"); err != nil {
			return "", err
		}
		return "no login", check(w.pushed(ctx, "https"), w.tabs(0), w.connections("git.example.com", 1))
	}},
	{"push 30 MB over HTTPS", func(ctx context.Context, w *world) (string, error) {
		if err := w.bigRepository(ctx, "big"); err != nil {
			return "", err
		}
		w.begin()
		if err := w.run(ctx, "git", "-C", "big", "push", "-q", "--force", bigURL, "HEAD:main"); err != nil {
			return "", err
		}
		return "in chunks, after git's probe", check(w.pushed(ctx, "big"), w.tabs(0))
	}},
	{"fetch over HTTPS, warm", func(ctx context.Context, w *world) (string, error) {
		if err := w.run(ctx, "git", "-C", "https", "fetch", "-q"); err != nil {
			return "", err
		}
		return "git's own requests only", check(w.tabs(0), w.connections("git.example.com", 1), w.connections("", 1))
	}},
	{"clone where the origin wants its own login", func(ctx context.Context, w *world) (string, error) {
		if err := w.keepOriginLogin(ctx); err != nil {
			return "", err
		}
		if err := w.run(ctx, "access", "setup", "git", "--username", "ada", "basic.example.com"); err != nil {
			return "", err
		}
		if err := w.run(ctx, "git", "clone", "-q", basicURL, "basic"); err != nil {
			return "", err
		}
		if err := w.commitAndPush(ctx, "basic"); err != nil {
			return "", err
		}
		return "Access by the team's session, the origin by git's helper", check(w.pushed(ctx, "basic"), w.tabs(0))
	}},
	{"clone with Managed OAuth", func(ctx context.Context, w *world) (string, error) {
		if err := w.run(ctx, "access", "setup", "git", "--git", w.newest, "oauth.example.com"); err != nil {
			return "", err
		}
		if err := w.run(ctx, w.newest, "clone", "-q", oauthURL, "oauth"); err != nil {
			return "", err
		}
		return "git " + w.newestVersion + ", one login", check(w.cloned("oauth"), w.tabs(1))
	}},
	{"push 30 MB with Managed OAuth", func(ctx context.Context, w *world) (string, error) {
		if err := w.bigRepository(ctx, "big-oauth"); err != nil {
			return "", err
		}
		w.begin()
		if err := w.run(ctx, w.newest, "-C", "big-oauth", "push", "-q", "--force", oauthBig, "HEAD:main"); err != nil {
			return "", err
		}
		return "no login", check(w.pushed(ctx, "big-oauth"), w.tabs(0))
	}},
	{"the access token ends, git goes on", func(ctx context.Context, w *world) (string, error) {
		if err := w.run(ctx, w.newest, "-C", "oauth", "fetch", "-q"); err != nil {
			return "", err
		}
		return "refreshed ahead of its end, without a person", check(w.tabs(0), w.refreshes(1))
	}},
	{"clone and push with a service token", func(ctx context.Context, w *world) (string, error) {
		w.setServiceToken(w.service.ID, w.service.Secret())
		if err := w.run(ctx, "access", "run", "ci.example.com", "--", "git", "clone", "-q", ciURL, "ci"); err != nil {
			return "", err
		}
		if err := w.commit(ctx, "ci"); err != nil {
			return "", err
		}
		if err := w.run(ctx, "access", "run", "ci.example.com", "--", "git", "-C", "ci", "push", "-q"); err != nil {
			return "", err
		}
		return "access run ci.example.com -- git …", check(w.pushed(ctx, "ci"), w.tabs(0), w.onlyAt(w.service.Secret(), "ci.example.com"))
	}},
	{"SSH with a service token", func(ctx context.Context, w *world) (string, error) {
		w.setServiceToken(w.service.ID, w.service.Secret())
		if err := w.run(ctx, "git", "ls-remote", "-q", sshURL); err != nil {
			return "", err
		}
		return "no browser on this machine needed", check(w.tabs(0), w.serviceTokenAccepted("ssh.example.com"))
	}},
	{"a wrong service token is refused", func(ctx context.Context, w *world) (string, error) {
		wrong := strings.Repeat("0", len(w.service.Secret()))
		w.setServiceToken(w.service.ID, wrong)
		message, err := w.fails(ctx, 4, "access", "run", "ci.example.com", "--", "git", "ls-remote", ciURL)
		if err != nil {
			return "", err
		}
		return "code 4: " + message, check(w.tabs(0), w.onlyAt(wrong, "ci.example.com"))
	}},
}

// check returns the first error.
func check(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) cloned(dir string) error {
	_, err := os.Stat(filepath.Join(w.dir, dir, ".git", "refs"))
	return err
}

// commit makes a commit in a clone.
func (w *world) commit(ctx context.Context, dir string) error {
	w.commits++
	name := filepath.Join(w.dir, dir, fmt.Sprintf("file-%d", w.commits))
	if err := os.WriteFile(name, []byte(strings.Repeat("1 KB of text\n", 80)), 0o600); err != nil {
		return err
	}
	return check(w.run(ctx, "git", "-C", dir, "add", "."), w.run(ctx, "git", "-C", dir, "commit", "-q", "-m", "a file"))
}

func (w *world) commitAndPush(ctx context.Context, dir string) error {
	if err := w.commit(ctx, dir); err != nil {
		return err
	}
	return w.run(ctx, "git", "-C", dir, "push", "-q")
}

// pushed compares the clone with the repository behind the edge.
func (w *world) pushed(ctx context.Context, dir string) error {
	local, err := w.output(ctx, "git", "-C", dir, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	served := "demo.git"
	if strings.HasPrefix(dir, "big") {
		served = "big.git"
	}
	remote, err := w.output(ctx, "git", "-C", filepath.Join(w.dir, "origin", served), "rev-parse", "main")
	if err == nil && local != remote {
		err = fmt.Errorf("the server has %s, not %s", remote, local)
	}
	return err
}
