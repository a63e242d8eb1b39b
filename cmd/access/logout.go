package main

import (
	"errors"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/internal/cli"
)

func logoutCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "logout",
		Usage:     "forget the session of a host, or all",
		ArgsUsage: "[HOST]",
		Description: `Forgets the session of HOST on this machine and revokes it where the server offers
that. Other hosts of the same team stay logged in.

  access logout git.example.com
  access logout --team-session git.example.com   the team's session too: all its hosts
  access logout --everywhere git.example.com     on all your devices
  access logout --all                            every session; service tokens stay`,
		Flags: []urfave.Flag{
			&urfave.BoolFlag{Name: "all", Usage: "forget every session on this machine"},
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
	if c.Bool("all") {
		if c.NArg() > 0 {
			return cli.Usagef("--all takes no HOST")
		}
		err := d.Client.LogoutAll(c.Context)
		return errors.Join(err, d.RemoveTraces())
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
