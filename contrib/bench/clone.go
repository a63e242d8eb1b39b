package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
)

// clones is git clone over SSH of a repository whose objects do not compress.
func (b *bench) clones(ctx context.Context) error {
	w := b.world
	_, gerr := exec.LookPath("git")
	_, serr := exec.LookPath("ssh")
	if w.sshd == nil || gerr != nil || serr != nil {
		b.note("git, ssh or sshd is missing: git clone was not measured")
		return nil
	}
	megabytes := 200
	if b.quick {
		megabytes = 10
	}
	repo := filepath.Join(w.dir, "repo")
	if err := b.fill(ctx, repo, megabytes); err != nil {
		return err
	}
	all, err := b.cloners(repo)
	if err != nil {
		return err
	}
	clone := filepath.Join(w.dir, "clone")
	if err := interleave(b.rounds(5), all, func(c *contender) error {
		if err := c.whole(ctx, ""); err != nil {
			return err
		}
		return os.RemoveAll(clone)
	}); err != nil {
		return err
	}
	s := b.table.section(fmt.Sprintf("git clone --bare over SSH, %d MB", megabytes), columns(all)...)
	s.add("seconds", all, func(s sample) float64 { return s.wall.Seconds() })
	return nil
}

// cloners writes ssh's configuration for each way, and what git is called with.
func (b *bench) cloners(repo string) (all []*contender, err error) {
	w := b.world
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(w.dir, "ssh")
	host, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		return nil, err
	}
	known := filepath.Join(dir, "known_hosts")
	if err := os.WriteFile(known, []byte(sshHost+" "+string(host)), 0o600); err != nil {
		return nil, err
	}
	addr := w.sshd.Addr().String()
	ways := [][2]string{
		{oursName, "ProxyCommand " + filepath.Join(b.bin, "access-ssh-proxy") + " --hostname=%h"},
		{peerName, "ProxyCommand " + b.peer + " access ssh --hostname %h"},
		{directName, "HostName 127.0.0.1\n  HostKeyAlias " + sshHost + "\n  Port " + addr[len("127.0.0.1:"):]},
	}
	for _, way := range ways {
		if way[0] == peerName && b.peer == "" {
			continue
		}
		config := filepath.Join(dir, way[0])
		if err := os.WriteFile(config, []byte(fmt.Sprintf("Host %s\n  %s\n  User %s\n  IdentityFile %s/id\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n"+
			"  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  BatchMode yes\n", sshHost, way[1], me.Username, dir, known)), 0o600); err != nil {
			return nil, err
		}
		all = append(all, &contender{name: way[0], args: []string{"git", "clone", "-q", "--bare", "ssh://" + sshHost + repo, filepath.Join(w.dir, "clone")},
			env: append(w.serviceToken(), "GIT_SSH_COMMAND=ssh -F '"+config+"'")})
	}
	return all, nil
}

// fill makes a repository of so much that cannot be compressed, in one pack.
func (b *bench) fill(ctx context.Context, repo string, megabytes int) error {
	git := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", repo, "-c", "core.compression=0", "-c", "core.bigFileThreshold=1m", "-c", "gc.auto=0"}, args...)...)
		cmd.Env = b.world.env
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %v: %w\n%s", args, err, out)
		}
		return nil
	}
	if err := os.Mkdir(repo, 0o700); err != nil {
		return err
	}
	if err := git("init", "-q", "-b", "main"); err != nil {
		return err
	}
	for i := range megabytes / 10 {
		f, err := os.Create(filepath.Join(repo, fmt.Sprint("file", i)))
		if err != nil {
			return err
		}
		_, err = io.CopyN(f, rand.Reader, 10<<20)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	if err := git("add", "."); err != nil {
		return err
	}
	return git("commit", "-q", "-m", "much")
}
