// Command git-credential-access is a git credential helper: it keeps the cookie file of a host behind Cloudflare Access fresh before
// git sends its first request, and gives git the access token of hosts with Managed OAuth.
package main

import (
	"context"
	"os"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func main() { os.Exit(cli.Main("git-credential-access", run)) }

func run(ctx context.Context, env *cli.Env) error {
	env.HelpToStderr = true
	app := cli.NewApp(env)
	app.Usage = "let git pass Cloudflare Access"
	app.ArgsUsage = "get|store|erase|capability"
	app.Description = `Git calls this program by its configuration, which "access setup git HOST" writes. It
reads a request on standard input and answers on standard output; see
git-credential(1). For a host that was not set up it prints nothing.`
	app.Flags = []urfave.Flag{
		&urfave.StringFlag{Name: "ca-file", Usage: "trust the certificate authorities in `FILE`, and no others"},
		&urfave.StringFlag{Name: "client-cert", Usage: "show the client certificate in `FILE` (PEM, key included)"},
		&urfave.StringFlag{Name: "team", Usage: "accept only the team at `DOMAIN`, such as example.cloudflareaccess.com"},
		&urfave.BoolFlag{Name: "set-up", Usage: "take the hosts that git asks for as set up, for the configuration of a whole machine"},
		&urfave.BoolFlag{Name: "own-login", Usage: "with --set-up: the server behind Access wants a login of its own"},
	}
	app.Action = func(c *urfave.Context) error {
		if c.NArg() == 0 {
			return cli.Usagef("an operation is missing: get, store, erase or capability")
		}
		h := &helper{env: env, setUp: c.Bool("set-up"), ownLogin: c.Bool("own-login")}
		h.door = door.Options{
			Network: door.NetworkOptions{CAFile: c.String("ca-file"), ClientCert: c.String("client-cert")},
			Team:    c.String("team"),
		}
		return h.serve(c.Context, c.Args().First())
	}
	return door.Explain(cli.Run(ctx, env, app))
}

// helper is one run of the program.
type helper struct {
	env      *cli.Env
	door     door.Options
	setUp    bool // --set-up
	ownLogin bool // --own-login
}

func (h *helper) serve(ctx context.Context, operation string) error {
	switch operation {
	case "get":
		return h.get(ctx)
	case "erase":
		return h.erase(ctx)
	case "capability":
		return githelper.WriteCapabilities(h.env.Stdout)
	}
	// "store" proves nothing: git says it of every answer, those of other helpers included, and after a login page that came with
	// status 200. An operation that is not known is of a later git (git-credential(1)).
	return nil
}
