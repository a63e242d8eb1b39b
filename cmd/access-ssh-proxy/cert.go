package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/lease"
	"github.com/gitaccess/gitaccess/sshproxy"
)

// certCommand is one run of cert.
type certCommand struct {
	env   *cli.Env
	door  door.Options
	host  string
	key   string
	agent bool
	renew bool
	log   logOptions
}

// skipVar set to "skip" has cert do nothing: our own ssh -G, which runs what
// Match exec says, must neither ask a person nor the network.
const skipVar = "ACCESS_CERT"

func runCert(ctx context.Context, env *cli.Env) error {
	c, err := parseCert(env)
	if err != nil || env.Getenv(skipVar) == "skip" {
		return err
	}
	return explainCert(c.run(ctx))
}

// subcommand is env for the parser: its name is in help and hints.
func subcommand(env *cli.Env) *cli.Env {
	own := *env
	own.Name, own.Args = env.Name+" "+env.Args[0], env.Args[1:]
	own.HelpToStderr = false
	return &own
}

func parseCert(env *cli.Env) (*certCommand, error) {
	c := &certCommand{env: env}
	own := subcommand(env)
	flags := flag.NewFlagSet(own.Name, flag.ContinueOnError)
	flags.StringVar(&c.host, "hostname", "", "get one for the application at `HOST`")
	flags.StringVar(&c.key, "key", "", "keep the key at `FILE`, its certificate at FILE-cert.pub (default ~/.ssh/gitaccess/HOST)")
	flags.BoolVar(&c.agent, "agent", true, "give the key to the agent in SSH_AUTH_SOCK, where there is one (=false: keep it in FILE)")
	flags.BoolVar(&c.renew, "renew", false, "get another one though the old one still holds")
	networkFlags(flags, &c.door)
	flags.BoolVar(&c.log.verbose, "v", false, "tell what happens on standard error")
	args, err := cli.Parse(own, flags, cli.Page{
		Usage: "get a short-lived SSH certificate",
		Args:  "HOST",
		Description: `For servers that trust the certificate authority of the application at HOST
(sshd: TrustedUserCAKeys) in place of keys. The certificate is for the person who is
logged in; the user name at the server is usually the part of the e-mail address
before the @. ssh is told to ask for one before it connects by

  access-ssh-proxy config --install --short-lived-cert ada@ssh.example.com

A certificate that holds for long enough stays, so that it costs no time to ask.

  access-ssh-proxy cert ssh.example.com && ssh-keygen -Lf ~/.ssh/gitaccess/ssh.example.com-cert.pub

With ACCESS_CERT=skip in the environment nothing is done.`,
	})
	if err != nil {
		return nil, err
	}
	switch {
	case c.host == "" && len(args) == 1:
		c.host = args[0]
	case c.host != "" && len(args) == 0:
	default:
		return nil, cli.Usagef("one HOST is wanted, as --hostname=HOST or as argument")
	}
	if _, host, ok := strings.Cut(c.host, "@"); ok && !strings.Contains(c.host, "/") {
		c.host = host
	}
	return c, nil
}

func (c *certCommand) run(ctx context.Context) error {
	o, u, err := door.ParseHost(c.host)
	if err != nil {
		return err
	}
	if c.key == "" {
		home, err := c.env.Home()
		if err != nil {
			return err
		}
		c.key = filepath.Join(home, ".ssh", ownFolder, o.Hostname())
	}
	id := identity(c.env, c.key, o.Hostname())
	if !c.agent {
		id.Agent = ""
	}
	if !c.renew && id.Fresh(ctx) {
		return nil
	}
	logger, done, err := c.log.open(c.env)
	if err != nil {
		return err
	}
	defer done()
	c.door.Logger = logger
	d, err := door.Open(c.env, &c.door)
	if err != nil {
		return err
	}
	policy := d.Policy(door.Caller{Origin: o, Named: true})
	policy.JWT = true
	// A login takes a person's time. It comes before the lock, so that others who
	// wait for the same login are told so and not that they wait for a lock.
	if _, err := d.Client.Credential(ctx, u, policy); err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	hold, err := lease.Acquire(short, d.State.Path("lease", "ssh-cert", o.Hostname()), nil)
	if err != nil {
		return err
	}
	defer hold.Release()
	if !c.renew && id.Fresh(ctx) {
		return nil
	}
	return id.Renew(ctx, func(ctx context.Context, key string) (string, error) {
		certificate, err := d.Client.SignSSHKey(ctx, u, key, policy)
		var refused *access.SignError
		if errors.As(err, &refused) && refused.MayBeKey() {
			err = fmt.Errorf("%w: %w", sshproxy.ErrKeyType, err)
		}
		logger.Info("certificate", "host", o.Host(), "err", err)
		return certificate, err
	})
}

// identity is the key for a host.
func identity(env *cli.Env, path, host string) *sshproxy.Identity {
	id := &sshproxy.Identity{Path: path, Comment: "access-ssh-proxy " + host}
	// The agent of Windows keeps keys in the registry and knows no lifetimes
	// (https://github.com/PowerShell/Win32-OpenSSH/issues/1056).
	if runtime.GOOS != "windows" {
		id.Agent = env.Getenv("SSH_AUTH_SOCK")
	}
	return id
}

// explainCert is [explain] for what only cert meets.
func explainCert(err error) error {
	var (
		refused  *access.SignError
		foreign  *sshproxy.ForeignKeyError
		unusable *sshproxy.CertificateError
	)
	switch {
	case errors.As(err, &refused) && refused.StatusCode == 0:
		return door.Explain(&cli.Error{Err: refused, Code: cli.ExitRefused})
	case errors.As(err, &refused):
		return door.Explain(&cli.Error{Err: refused, Code: cli.ExitRefused, Hints: []string{
			"your administrator must have a certificate for this application (Access > Service credentials > SSH), which the server trusts; short-lived certificates are not there by default",
		}})
	case errors.As(err, &foreign):
		return door.Explain(&cli.Error{Err: foreign, Hints: []string{"name another file: --key=FILE, or move that one away"}})
	case errors.As(err, &unusable):
		return door.Explain(&cli.Error{Err: unusable})
	}
	return door.Explain(err)
}
