// Command access logs people in to applications behind Cloudflare Access, keeps
// service tokens, and runs other programs with the credential of a host.
package main

import (
	"context"
	"os"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func main() { os.Exit(cli.Main("access", run)) }

func run(ctx context.Context, env *cli.Env) error {
	return door.Explain(cli.Run(ctx, env, application(env)))
}

func application(env *cli.Env) *urfave.App {
	app := cli.NewApp(env)
	app.Usage = "log in to hosts behind Cloudflare Access, and use the sessions"
	app.Description = `Logs in to an application behind Cloudflare Access in the browser, keeps the
session in the system's keyring, and gives it to git, ssh and other programs.

  access login git.example.com         log in
  access setup git git.example.com     let git use the session for this host
  access status                        what is stored, for whom, until when
  access run git.example.com -- make   run a program with the host's credential`
	app.Flags = networkFlags()
	app.Commands = []*urfave.Command{
		loginCommand(env),
		logoutCommand(env),
		statusCommand(env),
		doctorCommand(env),
		tokenCommand(env),
		whoamiCommand(env),
		skillCommand(env),
		curlCommand(env),
		serviceTokenCommand(env),
		exportCommand(env),
		importCommand(env),
		runCommand(env),
		envCommand(env),
		proxyCommand(env),
		goauthCommand(env),
		bazelCommand(env),
		setupCommand(env),
		unsetupCommand(env),
		versionCommand(env),
		completionCommand(env),
		completeCommand(env),
	}
	return app
}

// networkFlags are the flags that all commands share.
func networkFlags() []urfave.Flag {
	return []urfave.Flag{
		&urfave.StringFlag{Name: "ca-file", Usage: "trust the certificate authorities in `FILE`, and no others"},
		&urfave.StringFlag{Name: "client-cert", Usage: "show the client certificate in `FILE` (PEM, key included)"},
		&urfave.StringFlag{Name: "team", Usage: "accept only the team at `DOMAIN`, such as example.cloudflareaccess.com"},
	}
}

// open returns the door for the flags of c.
func open(env *cli.Env, c *urfave.Context, change func(*door.Options)) (*door.Door, error) {
	o := &door.Options{
		Network: door.NetworkOptions{CAFile: c.String("ca-file"), ClientCert: c.String("client-cert")},
		Team:    c.String("team"),
	}
	if change != nil {
		change(o)
	}
	return door.Open(env, o)
}
