package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func goauthCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "goauth",
		Usage:     "give the go command the credentials of hosts (GOAUTH)",
		ArgsUsage: "HOST... [URL]",
		Description: `Speaks the protocol of GOAUTH ("go help goauth", Go 1.24 and later), for module proxies
and for the pages behind import paths:

  go env -w GOAUTH='access goauth goproxy.example.com'

The go command calls it before its first request, for the credentials of each HOST, and
once more with the URL of a request that was refused. A host that is not named gets one
only if a person has logged in to it or set it up. The go command shows the messages of
this program only with -x.

A service token is given out with --service-token and for a HOST that is named. The go
command takes its headers along when a server redirects it to another host; a session
travels as a cookie and stays. Without that risk:

  access proxy goproxy.example.com -- sh -c 'GOPROXY=$ACCESS_PROXY_URL go mod download'`,
		Flags: []urfave.Flag{
			&urfave.BoolFlag{Name: "service-token", Usage: "give out service tokens, too"},
		},
		Action: func(c *urfave.Context) error { return goauth(env, c) },
	}
}

func goauth(env *cli.Env, c *urfave.Context) error {
	hosts, asked, err := goauthArguments(c.Args().Slice())
	if err != nil {
		return err
	}
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	if asked != nil {
		return goauthRefused(env, c, d, hosts, asked)
	}
	var errs []error
	for _, h := range hosts {
		if err := goauthGive(env, c, d, h.URL(), true, 0); err != nil {
			errs = append(errs, err)
			if len(hosts) > 1 { // an error would cost the others theirs
				cli.Report(env, door.Explain(err))
			}
		}
	}
	if len(errs) > 0 && len(errs) == len(hosts) {
		return errs[0]
	}
	return nil
}

// goauthArguments tells the hosts that a person named from the URL that the go
// command appends.
func goauthArguments(args []string) (hosts []access.Origin, asked *url.URL, err error) {
	for i, arg := range args {
		if strings.HasPrefix(arg, "https://") && i == len(args)-1 {
			if asked, err = url.Parse(arg); err != nil {
				return nil, nil, &cli.UsageError{Err: err}
			}
			continue
		}
		o, _, err := door.ParseHost(arg)
		if err != nil {
			return nil, nil, err
		}
		hosts = append(hosts, o)
	}
	return hosts, asked, nil
}

// goauthRefused answers after a 4xx. Most are the server's own: a module proxy says 404
// to what it does not have.
func goauthRefused(env *cli.Env, c *urfave.Context, d *door.Door, hosts []access.Origin, u *url.URL) error {
	o, err := access.OriginOf(u)
	if err != nil {
		return nil // somebody else's
	}
	named := false
	for _, h := range hosts {
		named = named || h == o
	}
	if !named && !d.IsSetUp(o) || !refusedByAccess(env.Stdin, u) {
		return nil
	}
	return goauthGive(env, c, d, u, named, time.Nanosecond)
}

// refusedByAccess reads the answer that the go command had: a status line and headers.
func refusedByAccess(r io.Reader, u *url.URL) bool {
	if r == nil {
		return false
	}
	in := textproto.NewReader(bufio.NewReader(io.LimitReader(r, 1<<20)))
	line, err := in.ReadLine()
	if err != nil {
		return false
	}
	resp := &http.Response{Request: &http.Request{URL: u}}
	if _, err := fmt.Sscanf(line, "HTTP/%d.%d %d", &resp.ProtoMajor, &resp.ProtoMinor, &resp.StatusCode); err != nil {
		return false
	}
	header, err := in.ReadMIMEHeader()
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	resp.Header = http.Header(header)
	resp.Body = http.NoBody
	switch access.ReadAnswer(resp).Kind {
	case access.AnswerLogin, access.AnswerOAuth, access.AnswerServiceOnly:
		return true
	}
	return false
}

// goauthGive prints the credential for u, if there is one.
func goauthGive(env *cli.Env, c *urfave.Context, d *door.Door, u *url.URL, named bool, checkEvery time.Duration) error {
	o, err := access.OriginOf(u)
	if err != nil {
		return err
	}
	cr, err := d.Client.Credential(c.Context, u, d.Policy(door.Caller{Origin: o, Named: named, CheckEvery: checkEvery}))
	if err != nil {
		return err
	}
	header := cr.Header()
	switch cr.Kind {
	case access.None:
		return nil
	case access.JWT:
		// Go's client keeps cookies and Authorization from other hosts when it is
		// redirected, and no other header (net/http, shouldCopyHeaderOnRedirect).
		ck := cr.Cookie()
		header = http.Header{"Cookie": {ck.Name + "=" + ck.Value}}
	case access.ServiceToken:
		if !c.Bool("service-token") || !named {
			return &cli.Error{
				Err: fmt.Errorf("the go command would take the service token for %s along to other hosts, and got none", o.Host()),
				Hints: []string{
					fmt.Sprintf("without that: access proxy %s -- sh -c 'GOPROXY=$ACCESS_PROXY_URL go mod download'", o.Host()),
					fmt.Sprintf("if its server redirects to no other host: GOAUTH='access goauth --service-token %s'", o.Host()),
				},
				Code: cli.ExitRefused,
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n\n", o, (&url.URL{Path: cr.App.Path}).EscapedPath())
	for name, values := range header {
		for _, v := range values {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	b.WriteString("\n")
	_, err = io.WriteString(env.Stdout, b.String())
	return err
}
