package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/child"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/webproxy"
)

func proxyCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "proxy",
		Usage:     "serve a host on a loopback address, with its credential",
		ArgsUsage: "HOST [-- COMMAND [ARGUMENT...]]",
		Description: `Serves HOST at a loopback address for programs that know nothing of Access: package
managers, container clients, editors, libgit2 and JGit. It prints the URL and serves
until it is interrupted; requests under way are finished then.

  access proxy npm.example.com
  http://127.0.0.1:41967/q3k…/

The URL has a secret of this run in its path, since whoever reaches the proxy has the
credential. Clients that need the host's root send the secret in the header
Access-Proxy-Token, as a password (any name: "docker login 127.0.0.1:41967") or as a
token ("//127.0.0.1:41967/:_authToken=${ACCESS_PROXY_TOKEN}" in .npmrc). On Linux the
connections of other users of the machine are closed whatever they send; elsewhere keep
the secret from command lines, or serve at a socket that needs none:

  access proxy --listen unix:$XDG_RUNTIME_DIR/wiki.sock wiki.example.com

With COMMAND the proxy lives as long as COMMAND, which finds the URL in
ACCESS_PROXY_URL, ACCESS_PROXY_ROOT and ACCESS_PROXY_TOKEN (or ACCESS_PROXY_SOCKET),
and no service token in its environment:

  access proxy npm.example.com -- sh -c 'npm_config_registry=$ACCESS_PROXY_URL npm install'

With --git its git and git-lfs go through the proxy wherever they name HOST. A login of
the server's own is asked for anew there, since its address is another one.

Links to HOST in JSON and HTML documents lead into the proxy; --keep-bodies leaves
them. Files in which a client notes addresses, such as a new package-lock.json, have
the proxy's then; addresses of HOST in such a file lead past it. A refusal by Access is
answered with its cause and what to do about it.`,
		Flags: []urfave.Flag{
			&urfave.StringFlag{Name: "listen", Usage: "serve at `ADDR`: a loopback address, or unix:PATH", Value: "127.0.0.1:0"},
			&urfave.BoolFlag{Name: "git", Usage: "let the git of COMMAND go through the proxy"},
			&urfave.BoolFlag{Name: "keep-bodies", Usage: "leave links in documents as they are"},
			&urfave.BoolFlag{Name: "json", Usage: "print the URL and the secret as one JSON object"},
		},
		Action: func(c *urfave.Context) error { return proxy(env, c) },
	}
}

// keepCredential is how long a proxy does without the keyring: no longer than a person
// who logs out would wait.
const keepCredential = 10 * time.Second

func proxy(env *cli.Env, c *urfave.Context) error {
	args, command, dashed := cli.AfterDash(c)
	switch {
	case len(args) != 1:
		return cli.Usagef("proxy wants one HOST, such as git.example.com")
	case dashed && len(command) == 0:
		return cli.Usagef("a COMMAND is missing after --")
	case c.Bool("git") && !dashed:
		return cli.Usagef("--git is for the git of a COMMAND: proxy --git HOST -- COMMAND")
	case c.Bool("git") && strings.HasPrefix(c.String("listen"), "unix:"):
		return cli.Usagef("git cannot go through a unix socket")
	}
	o, u, err := door.ParseHost(args[0])
	if err != nil {
		return err
	}
	program := ""
	if dashed {
		if program, err = exec.LookPath(command[0]); err != nil {
			return &cli.Error{Err: err, Code: 127}
		}
	}
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	_, p, err := credentialOf(c.Context, d, o, u)
	if err != nil {
		return err
	}
	p.CheckEvery = 0 // the proxy sees each refusal by itself
	p.Keep = keepCredential
	listener, err := webproxy.Listen(c.Context, c.String("listen"))
	var outside *webproxy.NotLoopbackError
	if errors.As(err, &outside) {
		return &cli.UsageError{Err: err}
	}
	if err != nil {
		return err
	}
	served, err := webproxy.New(listener, u, d.Client.Transport(shared(d.Transport), p), &webproxy.Options{
		Refused:    func(err error) (int, string) { return refusalText(env, err) },
		Report:     func(err error) { env.Warn("%v", door.Explain(err)) },
		KeepBodies: c.Bool("keep-bodies"),
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if dashed {
		return serveCommand(env, c, served, o, program, command)
	}
	if err := announce(env, c, served, o); err != nil {
		return errors.Join(err, listener.Close())
	}
	return served.Serve(c.Context)
}

// maxConns bounds the connections to the edge. Without a bound net/http dials once for
// each request that finds no free stream at that moment, though HTTP/2 carries hundreds
// on one connection: measured, 700 connections for 1000 requests.
const maxConns = 64

// shared returns base with the bound for all but WebSockets, which take a connection
// each.
func shared(base *http.Transport) http.RoundTripper {
	bounded := base.Clone()
	bounded.MaxConnsPerHost = maxConns
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Upgrade") != "" {
			return base.RoundTrip(r)
		}
		return bounded.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// refusalText is what a client is told: the lines that this program would end with.
func refusalText(env *cli.Env, err error) (int, string) {
	var b bytes.Buffer
	cli.Report(&cli.Env{Name: env.Name, Stderr: &b}, door.Explain(err))
	if access.IsRefusal(err) {
		return http.StatusForbidden, b.String()
	}
	var timeout *access.LoginTimeoutError
	if errors.As(err, &timeout) {
		return http.StatusForbidden, b.String()
	}
	return http.StatusBadGateway, b.String()
}

// proxyEvent is the line of `access proxy --json`.
type proxyEvent struct {
	Event  string `json:"event"` // "listening"
	Host   string `json:"host"`
	URL    string `json:"url"`
	Root   string `json:"root"`
	Token  string `json:"token,omitempty"`
	Header string `json:"header,omitempty"` // that carries the token to Root
	Socket string `json:"socket,omitempty"`
	PID    int    `json:"pid"`
}

func announce(env *cli.Env, c *urfave.Context, p *webproxy.Proxy, o access.Origin) error {
	if !c.Bool("json") {
		_, err := fmt.Fprintln(env.Stdout, p.URL())
		return err
	}
	e := proxyEvent{Event: "listening", Host: o.Host(), URL: p.URL().String(), Root: p.Root().String(), Token: p.Token(), PID: os.Getpid()}
	if e.Token != "" {
		e.Header = webproxy.TokenHeader
	}
	e.Socket, _ = strings.CutPrefix(c.String("listen"), "unix:")
	if e.Socket == c.String("listen") {
		e.Socket = ""
	}
	return writeJSON(env.Stdout, e)
}

// serveCommand serves as long as the command runs, and takes over its exit code.
func serveCommand(env *cli.Env, c *urfave.Context, p *webproxy.Proxy, o access.Origin, program string, command []string) error {
	ctx, stop := context.WithCancel(context.WithoutCancel(c.Context)) // the command decides when to end
	defer stop()
	environ, err := proxyEnviron(env, c, p, o)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx) }()
	cmd := exec.CommandContext(c.Context, program, command[1:]...)
	cmd.Args[0] = command[0]
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environ, env.Stdin, env.Stdout, env.Stderr
	child.AskToEnd(cmd)
	ran := cmd.Start()
	if ran == nil {
		// Ctrl-C reaches the command by itself, and it decides: it may be a shell.
		signal.Ignore(os.Interrupt)
		ran = cmd.Wait()
	}
	stop()
	if err := <-served; err != nil {
		return err
	}
	var exit *exec.ExitError
	switch {
	case ran == nil:
		return nil
	case errors.As(ran, &exit) && exit.ExitCode() >= 0:
		return &cli.Error{Code: exit.ExitCode()}
	case c.Context.Err() != nil:
		return c.Context.Err()
	}
	return &cli.Error{Err: fmt.Errorf("%s: %w", program, ran), Code: 126}
}

// proxyEnviron is the environment of the command: it has the proxy, and so needs no
// service token.
func proxyEnviron(env *cli.Env, c *urfave.Context, p *webproxy.Proxy, o access.Origin) ([]string, error) {
	vars := []variable{set("ACCESS_PROXY_URL", p.URL().String()), set("ACCESS_PROXY_ROOT", p.Root().String())}
	if p.Token() != "" {
		vars = append(vars, set("ACCESS_PROXY_TOKEN", p.Token()))
	} else {
		vars = append(vars, set("ACCESS_PROXY_SOCKET", strings.TrimPrefix(c.String("listen"), "unix:")))
	}
	for _, name := range []string{"CF_ACCESS_CLIENT_ID", "CF_ACCESS_CLIENT_SECRET", "TUNNEL_SERVICE_TOKEN_ID", "TUNNEL_SERVICE_TOKEN_SECRET"} {
		vars = append(vars, variable{name: name, unset: true})
	}
	environ := env.Environ()
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		vars = append(vars, set(name, strings.TrimPrefix(env.Getenv(name)+",127.0.0.1,localhost,::1", ",")))
	}
	if c.Bool("git") {
		git, err := findGit(c.Context, environ)
		if err != nil {
			return nil, err
		}
		through, dropped, err := configured(environ, git.Version, throughProxy(p, o), true)
		if err != nil {
			return nil, err
		}
		vars = append(vars, through...)
		if len(dropped) > 0 {
			env.Warn("%s would print the proxy's token and is not passed on", strings.Join(dropped, ", "))
		}
	}
	for _, v := range vars {
		environ = v.apply(environ)
	}
	return environ, nil
}

// throughProxy leads git and git-lfs to the proxy's root. The token travels in a
// header: a path would stand on the command line of git-remote-http.
func throughProxy(p *webproxy.Proxy, o access.Origin) []setting {
	root := p.Root().String()
	return []setting{
		{key: "url." + root + ".insteadOf", value: string(o) + "/"},
		{key: "http." + root + ".extraHeader", value: webproxy.TokenHeader + ": " + p.Token(), secret: p.Token()},
		{key: "http." + root + ".proxy", value: ""}, // one of the environment reaches no loopback address of ours
	}
}
