package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access/accesstest"
	edgecli "github.com/gitaccess/gitaccess/internal/cli"
)

const description = `Serves a team domain, the transfer host and some applications, with git over HTTP and git over SSH behind them, and a
proxy that takes every name to it. What to set in order to use it is printed at the start. Applications:

  git.example.com      git over HTTP; a person's login, or the service token
  basic.example.com    the same; the origin wants a Basic login of its own
  ci.example.com       git over HTTP; the service token alone, strict
  oauth.example.com    git over HTTP; Managed OAuth
  ssh.example.com      git over SSH by WebSocket; a person's login, or the service token

Runs until interrupted, and leaves nothing behind.`

func run(ctx context.Context, env *edgecli.Env) error {
	app := edgecli.NewApp(env)
	app.Usage = "an emulated Access edge on loopback; no security product"
	app.UsageText = env.Name + " [FLAGS]\n" + env.Name + " click [FLAGS] URL"
	app.Description = description
	app.Flags = []cli.Flag{
		&cli.StringFlag{Name: "listen", Value: "127.0.0.1:0", Usage: "serve TLS at this loopback `ADDR`"},
		&cli.StringFlag{Name: "proxy-listen", Value: "127.0.0.1:0", Usage: "serve the proxy at this loopback `ADDR`"},
		&cli.StringFlag{Name: "team", Value: "team", Usage: "`NAME` of the team, or its whole domain"},
		&cli.StringSliceFlag{Name: "http-origin", Usage: "put a server behind an application: `HOST=URL`; may be repeated"},
		&cli.StringSliceFlag{Name: "tcp-origin", Usage: "put a TCP server behind an application: `HOST=ADDR`; may be repeated"},
		&cli.DurationFlag{Name: "session", Usage: "lifetime of application tokens: `TIME`, such as 90s (default 24h)"},
		&cli.BoolFlag{Name: "auto-approve", Usage: "ask for no second click where a session exists"},
		&cli.BoolFlag{Name: "json", Usage: "print one line of JSON instead of the text, for programs"},
		&cli.BoolFlag{Name: "log", Usage: "tell each request on standard error, without secrets"},
		&cli.BoolFlag{Name: "until-eof", Usage: "end, too, when standard input ends"},
	}
	app.Action = func(c *cli.Context) error {
		if c.NArg() > 0 {
			return edgecli.Usagef("unexpected argument %q", c.Args().First())
		}
		o, err := readOptions(c)
		if err != nil {
			return err
		}
		if o.untilEOF {
			var stop context.CancelFunc
			ctx, stop = context.WithCancel(ctx)
			defer stop()
			go func() {
				io.Copy(io.Discard, env.Stdin)
				stop()
			}()
		}
		return serve(ctx, env, o)
	}
	app.Commands = []*cli.Command{{
		Name:      "click",
		Usage:     "play a person with a browser: open a login URL and click until it is done",
		ArgsUsage: "URL",
		Description: "For $BROWSER on machines without one. Reaches the edge as every program does, by HTTPS_PROXY and SSL_CERT_FILE.\n" +
			"Keeps no cookies from one call to the next.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "email", Value: "ada@example.com", Usage: "log in as `ADDRESS`"},
			&cli.BoolFlag{Name: "deny", Usage: "log in, and refuse what is asked for then"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return edgecli.Usagef("click takes one URL")
			}
			p := accesstest.NewPerson(c.String("email"), http.DefaultTransport)
			if c.Bool("deny") {
				return p.Refuse(ctx, c.Args().First())
			}
			return p.Approve(ctx, c.Args().First())
		},
	}}
	return edgecli.Run(ctx, env, app)
}

// options are what the command line asks for.
type options struct {
	listen, proxy string
	team          string
	http          map[string]*url.URL
	tcp           map[string]string
	session       time.Duration
	autoApprove   bool
	json          bool
	log           bool
	untilEOF      bool
	git           string // the program
}

func readOptions(c *cli.Context) (*options, error) {
	o := &options{
		listen: c.String("listen"), proxy: c.String("proxy-listen"), team: c.String("team"), session: c.Duration("session"),
		autoApprove: c.Bool("auto-approve"), json: c.Bool("json"), log: c.Bool("log"), untilEOF: c.Bool("until-eof"),
		http: map[string]*url.URL{}, tcp: map[string]string{},
	}
	for _, v := range c.StringSlice("http-origin") {
		host, to, ok := strings.Cut(v, "=")
		u, err := url.Parse(to)
		if !ok || host == "" || err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, edgecli.Usagef("--http-origin %q: want HOST=URL", v)
		}
		o.http[host] = u
	}
	for _, v := range c.StringSlice("tcp-origin") {
		host, to, ok := strings.Cut(v, "=")
		if _, _, err := net.SplitHostPort(to); !ok || host == "" || err != nil {
			return nil, edgecli.Usagef("--tcp-origin %q: want HOST=ADDR:PORT", v)
		}
		o.tcp[host] = to
	}
	if o.session < 0 {
		return nil, edgecli.Usagef("--session %v: want more than zero", o.session)
	}
	var err error
	if o.git, err = exec.LookPath("git"); err != nil {
		return nil, &edgecli.Error{Err: err, Hints: []string{"install git: the edge has git origins built in"}}
	}
	return o, nil
}
