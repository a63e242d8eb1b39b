// Command git-credential-access is a git credential helper: it keeps the cookie file of a host behind Cloudflare Access fresh before
// git sends its first request, and gives git the access token of hosts with Managed OAuth.
package main

import (
	"context"
	"flag"
	"os"

	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func main() { os.Exit(cli.Main("git-credential-access", run)) }

func run(ctx context.Context, env *cli.Env) error {
	env.HelpToStderr = true
	h := &helper{env: env}
	h.door.Network.Git = "git"
	flags := flag.NewFlagSet(env.Name, flag.ContinueOnError)
	flags.StringVar(&h.door.Network.CAFile, "ca-file", "", "trust the certificate authorities in `FILE`, and no others")
	flags.StringVar(&h.door.Network.ClientCert, "client-cert", "", "show the client certificate in `FILE` (PEM, key included)")
	flags.StringVar(&h.door.Team, "team", "", "accept only the team at `DOMAIN`, such as example.cloudflareaccess.com")
	flags.BoolVar(&h.setUp, "set-up", false, "take the hosts that git asks for as set up, for the configuration of a whole machine")
	flags.BoolVar(&h.ownLogin, "own-login", false, "with --set-up: the server behind Access wants a login of its own")
	flags.BoolVar(&h.keeps, "store", false, "keep the logins of the servers themselves as well, for every host")
	flags.BoolVar(&h.cookieAccepted, "cookie", false, "with --set-up: Managed OAuth accepts a session cookie beside its tokens")
	flags.Func("path", "with --set-up: git has a cookie file for the application at `PATH`", func(p string) error {
		h.paths = append(h.paths, p)
		return nil
	})
	args, err := cli.Parse(env, flags, cli.Page{
		Usage: "let git pass Cloudflare Access",
		Args:  "get|store|erase|capability",
		Description: `Git calls this program by its configuration, which "access setup git HOST" writes. It
reads a request on standard input and answers on standard output; see
git-credential(1). For a host that was not set up it prints nothing.

With --store it is the one helper of a machine: it also keeps the user names and
passwords of servers, behind Access or not, in the system's keyring:

  git config --global credential.helper "/path/to/git-credential-access --store"`,
	})
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return cli.Usagef("an operation is missing: get, store, erase or capability")
	}
	return door.Explain(h.serve(ctx, args[0]))
}

// helper is one run of the program.
type helper struct {
	env      *cli.Env
	door     door.Options
	opened   *door.Door
	setUp    bool // --set-up
	ownLogin bool // --own-login

	cookieAccepted bool     // --cookie
	keeps          bool     // --store
	paths          []string // --path
}

// open returns the door of this run.
func (h *helper) open() (*door.Door, error) {
	if h.opened == nil {
		d, err := door.Open(h.env, &h.door)
		if err != nil {
			return nil, err
		}
		h.opened = d
	}
	return h.opened, nil
}

func (h *helper) serve(ctx context.Context, operation string) error {
	switch operation {
	case "get":
		return h.get(ctx)
	case "erase":
		return h.erase(ctx)
	case "store":
		return h.store(ctx)
	case "capability":
		return githelper.WriteCapabilities(h.env.Stdout)
	}
	return nil // an operation of a later git (git-credential(1))
}
