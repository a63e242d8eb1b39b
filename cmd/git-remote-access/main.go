// Git-remote-access is git's remote helper for repositories behind Cloudflare Access whose git is not allowed to ask credential helpers:
// it gets the session and has git's own helper for https do the work.
package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/cmd/internal/gitnote"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/child"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func main() { os.Exit(cli.Main("git-remote-access", run)) }

const description = `Git calls this program for URLs of the form access::https://HOST/REPOSITORY, and
for remotes that have remote.NAME.vcs = access in their configuration. It gets the
session of HOST, which "access login HOST" or "access setup git HOST" opened before,
and runs "git remote-https" with it.

It is for programs that forbid git to ask credential helpers, as "git -c
credential.helper=" does. Everywhere else use "access setup git HOST", whose URLs
stay plain https:// and pass in submodules, LFS and programs without this PATH:

  git must find this program on its PATH, also under cron and in a desktop
  git-lfs does not know access:: URLs: it needs setup, and lfs.url=https://HOST/REPOSITORY/info/lfs
  submodules need protocol.access.allow=always, and access:: or relative URLs
  GIT_ALLOW_PROTOCOL must name both access and https
  with remote.NAME.vcs the URL alone, as in "git ls-remote URL", is not enough
  a service token goes where it was stored for, or to the hosts in ACCESS_HOSTS`

func run(ctx context.Context, env *cli.Env) error {
	env.HelpToStderr = true
	args, err := cli.Parse(env, flag.NewFlagSet(env.Name, flag.ContinueOnError), cli.Page{
		Usage:       "let git pass Cloudflare Access without credential helpers",
		Args:        "REMOTE URL",
		Description: description,
	})
	if err != nil {
		return err
	}
	return door.Explain(serve(ctx, env, args))
}

// remote is one run of the program.
type remote struct {
	*githelper.Remote
	env    *cli.Env
	git    *githelper.Git
	door   *door.Door
	origin access.Origin
	policy access.Policy
	cr     access.Credential
}

func serve(ctx context.Context, env *cli.Env, args []string) error {
	r := &remote{env: env}
	var err error
	if r.Remote, err = githelper.ReadRemote(args); err != nil {
		return &cli.UsageError{Err: err}
	}
	if r.origin, err = access.OriginOf(r.URL); err != nil {
		return err
	}
	// git puts the folder of its programs first on our PATH: this is the git that runs us.
	if r.git, err = githelper.FindGit(ctx, "", env.Environ()); err != nil {
		return err
	}
	if r.door, err = door.Open(env, &door.Options{Network: door.NetworkOptions{Git: r.git.Path}}); err != nil {
		return err
	}
	note, _, err := gitnote.Load(r.door, r.origin)
	if err != nil {
		return err
	}
	// Not Named: the URL may come out of a repository that names its submodules.
	r.policy = r.door.Policy(door.Caller{Origin: r.origin, Git: r.git.Path, CheckEvery: 5 * time.Minute})
	r.policy.JWT = note.Cookie == gitnote.CookieAccepted
	if r.cr, err = r.door.Client.Credential(ctx, r.URL, r.policy); err != nil {
		return err
	}
	if r.cr.Kind == access.Bearer && note.OwnLogin {
		return gitnote.LoginError(r.origin)
	}
	if err := r.runGit(ctx); err != nil {
		return r.explain(ctx, err)
	}
	return nil
}

// runGit runs git's own helper for https on our standard input and output.
func (r *remote) runGit(ctx context.Context) error {
	o := &githelper.RemoteOptions{Path: r.cr.App.Path}
	environ := r.env.Environ()
	switch r.cr.Kind {
	case access.JWT:
		ck := r.cr.Cookie()
		path := r.cr.App.Path
		if path == "" {
			path = "/"
		}
		o.Jar = r.door.Jar(r.cr.App)
		o.Cookies = []githelper.Cookie{{
			Name: ck.Name, Value: githelper.NewSecret(ck.Value), Path: path, Expires: ck.Expires, HTTPOnly: true,
		}}
	case access.Bearer, access.ServiceToken:
		o.Header = r.cr.Header()
		environ = r.withoutTraces(environ)
	}
	git := *r.git
	git.Env = environ
	cmd, release, err := r.Command(ctx, &git, o)
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r.env.Stdin, r.env.Stdout, r.env.Stderr
	child.AskToEnd(cmd) // git removes its temporary files
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	return errors.Join(err, release())
}

// withoutTraces leaves out what would print a header that git does not know for a secret.
func (r *remote) withoutTraces(environ []string) []string {
	clean, dropped := githelper.WithoutTraces(environ)
	for _, name := range dropped {
		r.env.Warn("%s would print the credential and is not passed on", name)
	}
	return clean
}

// failed is git's own failure, which it has told the person.
func failed(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &cli.Error{Code: max(exit.ExitCode(), cli.ExitFailed)}
	}
	return err
}
