package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/cmd/internal/gitnote"
	"github.com/gitaccess/gitaccess/internal/child"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func curlCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:            "curl",
		Usage:           "run curl with the credential of a host",
		ArgsUsage:       "[--allow-request] CURL-ARGUMENT...",
		SkipFlagParsing: true,
		Description: `Runs the curl of this machine with its arguments as they are, and gives it the
credential of the URL's host: session, token of Managed OAuth or service token. The URL
may stand anywhere among the arguments; without a scheme it is https. The exit code is
curl's; 3 means that a login is needed, 4 that Access refused.

Before curl runs, the host is asked whether it still accepts the credential; if not, the
credential is renewed once. It is neither on curl's command line nor in what --verbose
prints, and goes to no other host. curl follows redirects to other hosts without it. With
a service token, whose headers curl would take along, it does not follow them at all.

  access curl https://wiki.example.com/api/pages
  access curl -sSf -X POST -d @page.json https://wiki.example.com/api/pages
  access curl wiki.example.com/export.zip -L -o export.zip
  access curl --allow-request https://wiki.example.com/status

With --allow-request, curl runs without a credential where there is none.

Flags for access itself stand before "curl":

  access --ca-file ca.pem curl https://wiki.example.com/`,
		Action: func(c *urfave.Context) error { return runCurl(env, c) },
	}
}

func runCurl(env *cli.Env, c *urfave.Context) error {
	ctx := c.Context
	curl, err := exec.LookPath("curl")
	if err != nil {
		return &cli.Error{Err: err, Hints: []string{"install curl"}, Code: 127}
	}
	options, err := curlHelp(ctx, curl, env.Environ())
	if err != nil {
		return err
	}
	call, err := parseCurl(c.Args().Slice(), options)
	if err != nil {
		return err
	}
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	cr, err := curlCredential(ctx, d, call)
	if err != nil {
		if !call.allowRequest || !access.IsRefusal(err) {
			return err
		}
		env.Note("without a credential: %v", door.Explain(err))
		cr = access.Credential{}
	}
	if call.verbose && call.stderr {
		call.prints = append(call.prints, "verbose")
	}
	if len(call.prints) > 0 && cr.Kind != access.None {
		env.Warn("curl prints the credential with --%s; keep its output to yourself", strings.Join(call.prints, ", --"))
	}
	if call.keepsCookies && cr.Kind == access.JWT {
		env.Warn("curl writes the session to its cookie jar")
	}
	config, cookies := curlConfig(cr, c.String("ca-file"), c.String("client-cert"), call.more)
	stderr := env.Stderr
	if call.verbose && cr.Kind != access.None {
		r := &redactor{w: stderr}
		for _, s := range []access.Secret{cr.Token(), cr.ClientSecret()} {
			if text := s.Reveal(); text != "" {
				r.secrets = append(r.secrets, []byte(text))
			}
		}
		defer r.end()
		stderr = r
	}
	return startCurl(ctx, env, stderr, curl, call.args, config, cookies)
}

// curlCredential returns what the host accepts just now.
func curlCredential(ctx context.Context, d *door.Door, call *curlCall) (access.Credential, error) {
	p := d.Policy(door.Caller{Origin: call.origin, Named: true, CheckEvery: time.Nanosecond})
	p.JWT = call.login // which wants Authorization for itself
	if n, _, err := gitnote.Load(d, call.origin); err == nil && n.Cookie == gitnote.CookieAccepted {
		p.JWT = true
	}
	cr, err := d.Client.Credential(ctx, call.url, p)
	var login *access.LoginRequiredError
	if errors.As(err, &login) && call.login && login.App.Mode == access.ModeOAuth {
		// The token that a login gives would be in the way again.
		err = &access.RefusedError{App: login.App, Cause: access.NotWithOAuth, Detail: "the request has a login of its own"}
	}
	if err == nil && cr.Kind == access.ServiceToken {
		err = probe(ctx, d, call.url, p)
	}
	if err == nil && cr.Kind == access.JWT && cr.App.Mode == access.ModeOAuth {
		var taken bool
		if taken, err = d.TakesCookie(ctx, call.url, p); err == nil && !taken {
			err = &access.RefusedError{App: cr.App, Cause: access.NotWithOAuth, Detail: "the request has a login of its own"}
		}
	}
	return cr, err
}

// curlHelp asks curl for its options: only it knows what is a value and what a URL.
func curlHelp(ctx context.Context, curl string, environ []string) (curlOptions, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, curl, "--disable", "--help", "all") // before 7.73 "all" is not read and all is listed
	cmd.Env = environ
	out, err := cmd.Output()
	if err != nil {
		return curlOptions{}, fmt.Errorf("%s --help: %w", curl, err)
	}
	o := readCurlHelp(string(out))
	if !o.long["header"] || !o.long["config"] || !o.long["cookie"] {
		return curlOptions{}, fmt.Errorf("%s --help all lists no options that can be read", curl)
	}
	return o, nil
}

// curlConfig is what curl reads with --config, and the cookie file in it.
//
// A session goes by a cookie file, which curl keeps to its host. Authorization it
// takes off at a redirect to another host since 7.58, and other headers never: with a
// service token, every other host is somewhere that nobody listens. So it is with
// Authorization where a file may have more URLs, to which curl would send it.
func curlConfig(cr access.Credential, caFile, clientCert string, more bool) (config, cookies string) {
	var b strings.Builder
	set := func(name, value string) { fmt.Fprintf(&b, "%s = %s\n", name, curlQuote(value)) }
	if caFile != "" {
		set("cacert", caFile)
	}
	if clientCert != "" {
		set("cert", clientCert)
	}
	if ck := cr.Cookie(); ck != nil {
		cookies = curlCookie(cr, ck.Name, ck.Value)
		return b.String(), cookies
	}
	for name, values := range cr.Header() {
		for _, v := range values {
			set("header", name+": "+v)
		}
	}
	if cr.Kind == access.ServiceToken || cr.Kind == access.Bearer && more {
		u := cr.App.Origin.URL()
		port := u.Port()
		if port == "" {
			port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
		}
		at := net.JoinHostPort(u.Hostname(), port)
		set("connect-to", at+":"+at)
		set("connect-to", "::127.0.0.1:1")
		set("proto-redir", "=https")
	}
	return b.String(), ""
}

// curlCookie is a line of a cookie file: for the host alone, over TLS alone.
func curlCookie(cr access.Credential, name, value string) string {
	path := cr.App.Path
	if path == "" {
		path = "/"
	}
	secure := "TRUE"
	if cr.App.Origin.URL().Scheme != "https" {
		secure = "FALSE"
	}
	return strings.Join([]string{"#HttpOnly_" + cr.App.Origin.Hostname(), "FALSE", (&url.URL{Path: path}).EscapedPath(), secure, "0", name, value}, "\t") + "\n"
}

// curlQuote writes a value for curl's configuration (curl(1), --config).
func curlQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`, "\n", `\n`, "\r", `\r`).Replace(s) + `"`
}

// startCurl runs curl and takes over its exit code.
func startCurl(ctx context.Context, env *cli.Env, stderr io.Writer, curl string, args []string, config, cookies string) error {
	files := &childFiles{}
	defer files.close()
	if cookies != "" {
		path, err := files.add(cookies)
		if err != nil {
			return err
		}
		config += "cookie = " + curlQuote(path) + "\n"
	}
	if config != "" {
		path, err := files.add(config)
		if err != nil {
			return err
		}
		args = withConfig(path, args)
	}
	cmd := exec.CommandContext(ctx, curl, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = env.Stdin, env.Stdout, stderr
	cmd.Env = withoutServiceTokens(env.Environ())
	child.AskToEnd(cmd)
	cmd.WaitDelay = 5 * time.Second
	files.give(cmd)
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return &cli.Error{Code: exit.ExitCode()}
	case err != nil:
		return fmt.Errorf("curl: %w", err)
	}
	return nil
}

// withConfig puts --config before curl's arguments, but behind a -q or --disable, which keeps .curlrc from being read as the first
// argument alone. Letters that follow -q in one word go behind --config, since the last of them may take the next argument.
func withConfig(path string, args []string) []string {
	config := []string{"--config", path}
	switch first := args[0]; {
	case first == "-q", first == "--disable":
		return slices.Concat(args[:1], config, args[1:])
	case strings.HasPrefix(first, "-q"):
		return slices.Concat([]string{"-q"}, config, []string{"-" + first[2:]}, args[1:])
	}
	return append(config, args...)
}

// withoutServiceTokens keeps from a child what it has no use for.
func withoutServiceTokens(environ []string) (out []string) {
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if name != "CF_ACCESS_CLIENT_SECRET" && name != "TUNNEL_SERVICE_TOKEN_SECRET" {
			out = append(out, kv)
		}
	}
	return out
}
