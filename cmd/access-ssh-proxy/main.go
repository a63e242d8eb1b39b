// Command access-ssh-proxy carries an SSH connection, or any other TCP stream,
// through Cloudflare Access. ssh starts it as a ProxyCommand:
//
//	Host git.example.com
//	  ProxyCommand access-ssh-proxy --hostname=%h
//
// "access-ssh-proxy config" writes such lines, and "access-ssh-proxy cert" gets the
// short-lived certificates that some servers want.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/sshproxy"
)

func main() { os.Exit(cli.Main("access-ssh-proxy", run)) }

func run(ctx context.Context, env *cli.Env) error {
	// A host with the name of a command is written --hostname=config.
	if len(env.Args) > 0 {
		if command := commands[env.Args[0]]; command != nil {
			return command(ctx, env)
		}
	}
	env.HelpToStderr = true
	p, err := parse(env)
	if err != nil {
		return err
	}
	err = explain(p.run(ctx))
	if err != nil && p.tellSSH && !p.connected && ctx.Err() == nil && leadsNowhere(env.Stderr) {
		tellSSH(ctx, env, err)
	}
	return err
}

var commands = map[string]func(context.Context, *cli.Env) error{"config": runConfig, "cert": runCert}

// proxy is one run of the program.
type proxy struct {
	env  *cli.Env
	door door.Options

	host        string // HOST, user@HOST or a URL
	destination string
	listen      string
	header      http.Header
	tokenID     string
	tokenFile   string
	ping        time.Duration
	linger      time.Duration
	tellSSH     bool
	log         logOptions

	connected bool
}

func parse(env *cli.Env) (*proxy, error) {
	p := &proxy{env: env, header: http.Header{}}
	flags := flag.NewFlagSet(env.Name, flag.ContinueOnError)
	flags.StringVar(&p.host, "hostname", "", "connect to the application at `HOST`")
	flags.StringVar(&p.destination, "destination", "", "have the tunnel connect to `HOST:PORT`, where it lets clients choose")
	flags.StringVar(&p.listen, "listen", "", "serve connections at `ADDR` in place of standard input and output: host:port, unix:PATH, or systemd")
	flags.Var(headerFlag(p.header), "header", "send `NAME: VALUE` with the upgrade; may be repeated; no secrets, others see command lines")
	flags.StringVar(&p.tokenID, "service-token-id", "", "use the service token `ID`; its secret comes from CF_ACCESS_CLIENT_SECRET or --service-token-secret-file")
	flags.StringVar(&p.tokenFile, "service-token-secret-file", "", "read the secret of that token from `FILE`; with --listen, - is standard input")
	networkFlags(flags, &p.door)
	flags.DurationVar(&p.ping, "ping", sshproxy.DefaultPingInterval, "ping after `TIME` of silence, and give up after two pings without an answer; 0: never")
	flags.DurationVar(&p.linger, "linger", sshproxy.DefaultLinger, "after the end of the input, wait for the rest of the answer until nothing has come for `TIME`; negative: for ever")
	flags.BoolVar(&p.tellSSH, "tell-ssh", false, "where standard error leads nowhere, as ssh's ControlPersist has it, tell ssh by its own protocol why there is no connection")
	flags.StringVar(&p.log.file, "log-file", "", "write what happens to `FILE`, without secrets")
	flags.StringVar(&p.log.level, "log-level", "", "`LEVEL` of that: debug, info, warn or error (default info)")
	flags.BoolVar(&p.log.verbose, "v", false, "tell what happens on standard error")
	args, err := cli.Parse(env, flags, cli.Page{
		Usage: "carry an SSH connection through Cloudflare Access",
		Args:  "[USER@]HOST [PORT]\naccess-ssh-proxy config [FLAGS] [USER@]HOST...   write ssh's configuration\naccess-ssh-proxy cert [FLAGS] HOST               get a short-lived certificate",
		Description: `Relays standard input and output, or each connection to --listen, through the
application at HOST. Logs in by the browser when there is no session, or uses the
service token in CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET. In ~/.ssh/config:

  Host git.example.com
    ProxyCommand access-ssh-proxy --hostname=%h

  access-ssh-proxy config --install git.example.com            writes that, and more that is good to have
  access-ssh-proxy --listen 127.0.0.1:2222 git.example.com     for programs without ProxyCommand

A PORT, such as ssh's %p, is accepted and not used: which service is behind HOST is
decided by its tunnel.`,
	})
	if err != nil {
		return nil, err
	}
	// ssh's %p, and the port of a service behind the tunnel, say nothing about
	// where Access listens: a second argument is accepted and not used.
	switch {
	case p.host == "" && len(args) >= 1 && len(args) <= 2:
		p.host = args[0]
	case p.host != "" && len(args) <= 1:
	default:
		return nil, cli.Usagef("one HOST is wanted, as --hostname=HOST or as argument")
	}
	// To the library zero means the default.
	if p.ping == 0 {
		p.ping = -1
	}
	if p.linger == 0 {
		p.linger = 1
	}
	if _, host, ok := strings.Cut(p.host, "@"); ok && !strings.Contains(p.host, "/") {
		p.host = host
	}
	return p, nil
}

// networkFlags are for all that connects.
func networkFlags(flags *flag.FlagSet, o *door.Options) {
	flags.StringVar(&o.Network.ConnectTo, "connect-to", "", "connect to `HOST:PORT` in place of what HOST resolves to, without a proxy")
	flags.StringVar(&o.Network.CAFile, "ca-file", "", "trust the certificate authorities in `FILE`, and no others")
	flags.StringVar(&o.Network.ClientCert, "client-cert", "", "show the client certificate in `FILE` (PEM, key included)")
	flags.StringVar(&o.Team, "team", "", "accept only the team at `DOMAIN`, such as example.cloudflareaccess.com")
}

// headerFlag collects --header.
type headerFlag http.Header

func (h headerFlag) String() string { return "" }

func (h headerFlag) Set(s string) error {
	name, value, ok := strings.Cut(s, ":")
	if name = strings.TrimSpace(name); !ok || name == "" {
		return errHeader
	}
	http.Header(h).Add(name, strings.TrimSpace(value))
	return nil
}

func (p *proxy) run(ctx context.Context) error {
	o, u, err := door.ParseHost(p.host)
	if err != nil {
		return err
	}
	logger, done, err := p.log.open(p.env)
	if err != nil {
		return err
	}
	defer done()
	p.door.Logger = logger
	if p.door.ServiceToken, err = p.serviceToken(o); err != nil {
		return err
	}
	d, err := door.Open(p.env, &p.door)
	if err != nil {
		return err
	}
	if p.header.Get("User-Agent") == "" {
		// A name that says who asks: some WAF rules refuse those of HTTP libraries (error 1010).
		p.header.Set("User-Agent", p.env.Name+"/"+cli.Version())
	}
	policy := d.Policy(door.Caller{Origin: o, Named: true})
	// Browsers reach an application with Managed OAuth by its cookie, so a JWT
	// passes. Whether an OAuth token does on an upgrade is documented nowhere.
	policy.JWT = true
	dialer := &sshproxy.Dialer{
		URL: &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/" + strings.TrimPrefix(u.Path, "/")},
		Options: &sshproxy.DialOptions{
			Transport:    d.Client.Transport(sshproxy.NewTransport(d.Transport), policy),
			Header:       p.header,
			Destination:  p.destination,
			PingInterval: p.ping,
		},
	}
	relay := &sshproxy.RelayOptions{Linger: p.linger}
	if p.listen != "" {
		return p.serve(ctx, dialer, relay, logger, func() error {
			_, err := d.Client.Credential(ctx, u, policy)
			return err
		})
	}
	conn, err := dialer.Dial(ctx)
	if err != nil {
		return err
	}
	p.connected = true
	// What the start has left behind would lie there as long as the session lasts: a
	// relay allocates next to nothing, so that no collection comes by itself.
	debug.SetGCPercent(50)
	stats, err := sshproxy.Relay(ctx, conn, p.env.Stdin, p.env.Stdout, relay)
	logger.Info("relay ended", "sent", stats.Sent, "received", stats.Received, "duration", stats.Duration, "err", err)
	if stats.End == sshproxy.EndContext {
		return ctx.Err() // ssh hangs up when it is done; that is worth no line
	}
	return err
}

// serviceToken returns the token of the command line, or nil.
func (p *proxy) serviceToken(o access.Origin) (*access.BoundServiceToken, error) {
	if p.tokenID == "" {
		if p.tokenFile != "" {
			return nil, cli.Usagef("--service-token-secret-file goes with --service-token-id")
		}
		return nil, nil
	}
	t := &access.BoundServiceToken{ClientID: p.tokenID, Hosts: []string{o.Host()}, Source: "--service-token-id"}
	if p.tokenFile == "" {
		t.Secret = access.NewSecret(p.env.Getenv("CF_ACCESS_CLIENT_SECRET"))
		if t.Secret.Empty() {
			return nil, cli.Usagef("the secret of the service token is missing: set CF_ACCESS_CLIENT_SECRET or --service-token-secret-file")
		}
		return t, nil
	}
	secret, err := p.readSecret()
	if err != nil {
		return nil, fmt.Errorf("secret of the service token: %w", err)
	}
	t.Secret = access.NewSecret(secret)
	return t, nil
}

// readSecret reads --service-token-secret-file.
func (p *proxy) readSecret() (string, error) {
	if p.tokenFile == "-" && p.listen == "" {
		return "", cli.Usagef("standard input is the stream: - needs --listen")
	}
	f := p.env.Stdin
	if p.tokenFile != "-" {
		file, err := os.Open(p.tokenFile)
		if err != nil {
			return "", err
		}
		defer file.Close()
		f = file
	}
	const limit = 4 << 10
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	secret := strings.TrimSpace(string(b))
	if err == nil && (secret == "" || len(b) > limit || strings.ContainsAny(secret, "\r\n")) {
		err = errors.New("want one line")
	}
	return secret, err
}
