package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/keystore"
	"github.com/gitaccess/gitaccess/sshproxy"
)

func logoutCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "logout",
		Usage:     "forget the session of a host, or all that is kept",
		ArgsUsage: "[HOST]",
		Description: `Forgets the session of HOST on this machine and revokes it where the server offers
that. Other hosts of the same team stay logged in.

  access logout git.example.com
  access logout --team-session git.example.com   the team's session too: all its hosts
  access logout --everywhere git.example.com     on all your devices
  access logout --all                            every trace of you on this machine
  access logout --all --sessions                 of it, the sessions alone

--all erases sessions, service tokens and kept passwords in every keystore that was in
use here, cookie files, short-lived certificates with their keys, and what was learnt
about hosts; "access export" takes tokens and passwords along before. What stays is no
secret: the configuration of git and ssh (access unsetup), and which team each host
belongs to, so that another one is not trusted at the next login.`,
		Flags: []urfave.Flag{
			&urfave.BoolFlag{Name: "all", Usage: "erase all that is kept on this machine"},
			&urfave.BoolFlag{Name: "sessions", Usage: "with --all: keep service tokens and passwords"},
			&urfave.BoolFlag{Name: "team-session", Usage: "forget the team's session and all its hosts"},
			&urfave.BoolFlag{Name: "everywhere", Usage: "end the team's session on the server, for all devices"},
		},
		Action: func(c *urfave.Context) error { return logout(env, c) },
	}
}

func logout(env *cli.Env, c *urfave.Context) error {
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	switch {
	case c.Bool("all") && c.NArg() > 0:
		return cli.Usagef("--all takes no HOST")
	case c.Bool("all"):
		return logoutAll(c.Context, env, d, c.Bool("sessions"))
	case c.Bool("sessions"):
		return cli.Usagef("--sessions goes with --all")
	}
	o, u, err := hostArgument(c)
	if err != nil {
		return err
	}
	app, known := d.Client.Lookup(u)
	found, err := d.Client.Logout(c.Context, o)
	if known && app.Team != "" && (c.Bool("team-session") || c.Bool("everywhere")) {
		err = errors.Join(err, d.Client.LogoutTeam(c.Context, app.Team, c.Bool("everywhere")))
		found = true
	}
	err = errors.Join(err, d.RemoveJars(o))
	if err == nil && !found {
		env.Note("there was no session of %s", o.Host())
	}
	return err
}

// logoutAll goes on whatever cannot be done: the less is left, the better.
func logoutAll(ctx context.Context, env *cli.Env, d *door.Door, sessions bool) error {
	errs := []error{d.Client.LogoutAll(ctx)} // what can be revoked is revoked first
	var corrupt *keystore.CorruptError
	if !sessions {
		if errors.As(errs[0], &corrupt) {
			errs = nil // it cannot be read to be revoked, and is erased now
		}
		errs = append(errs, d.ClearKeystore(ctx))
	}
	errs = append(errs, removeCertificates(ctx, env), d.RemoveTraces())
	return errors.Join(errs...)
}

// sshFolder is where access-ssh-proxy keeps its configuration, and keys and certificates for each host, below ~/.ssh.
const sshFolder = "gitaccess"

// removeCertificates removes the keys that access-ssh-proxy made for short-lived certificates, from its folder and from the agent.
func removeCertificates(ctx context.Context, env *cli.Env) error {
	home, err := env.Home()
	if err != nil {
		return nil // and none was made
	}
	folder := filepath.Join(home, ".ssh", sshFolder)
	files, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, f := range files {
		host, ok := strings.CutSuffix(f.Name(), ".pub")
		if !ok || strings.HasSuffix(host, "-cert") {
			continue
		}
		id := &sshproxy.Identity{Path: filepath.Join(folder, host), Comment: "access-ssh-proxy " + host}
		if runtime.GOOS != "windows" {
			id.Agent = env.Getenv("SSH_AUTH_SOCK")
		}
		var foreign *sshproxy.ForeignKeyError
		if err := id.Remove(ctx); err != nil && !errors.As(err, &foreign) {
			errs = append(errs, fmt.Errorf("certificate of %s: %w", host, err))
		}
	}
	return errors.Join(errs...)
}
