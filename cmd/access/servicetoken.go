package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/term"
)

func serviceTokenCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:  "service-token",
		Usage: "keep service tokens, each bound to a host",
		Description: `A service token is a client id and a secret that let a program in where no person is.
Here each is bound to one host, and goes to no other.

  access service-token add ci.example.com      asks for both halves
  access service-token test ci.example.com     what the edge says to it`,
		Subcommands: []*urfave.Command{
			{
				Name: "add", Usage: "store a service token for a host", ArgsUsage: "HOST",
				Description: `Asks for the client secret on the terminal, or reads it from standard input or a
file; it never stands on the command line. The token goes to HOST and to no other
host, and from then on HOST is used with it alone: no person is asked.

  access service-token add --client-id ID.access git.example.com
  access service-token add --client-id ID.access --secret-file FILE git.example.com
  access service-token add --client-id ID.access --expires 2027-01-31 git.example.com < FILE`,
				Flags: []urfave.Flag{
					&urfave.StringFlag{Name: "client-id", Usage: "client `ID` of the token; asked for if missing"},
					&urfave.StringFlag{Name: "secret-file", Usage: "read the client secret from `FILE`"},
					&urfave.TimestampFlag{Name: "expires", Layout: time.DateOnly, Usage: "`DATE` on which it expires (YYYY-MM-DD), to be warned before"},
					&urfave.BoolFlag{Name: "from-git", Usage: "the one that \"access setup git\" took out of git's configuration"},
					&urfave.BoolFlag{Name: "no-test", Usage: "store it without trying it"},
				},
				Action: func(c *urfave.Context) error { return serviceTokenAdd(env, c) },
			},
			{
				Name: "list", Usage: "list the stored service tokens",
				Description: `Shows host, client id, and when each was added and ends; never a secret. It asks no
server: access service-token test does.

  access service-token list
  access service-token list --json`,
				Flags:  []urfave.Flag{&urfave.BoolFlag{Name: "json", Usage: "print JSON"}},
				Action: func(c *urfave.Context) error { return serviceTokenList(env, c) },
			},
			serviceTokenTestCommand(env),
			{
				Name: "remove", Usage: "forget the service token of a host", ArgsUsage: "HOST",
				Description: `Takes the service token of HOST out of the keyring. The token itself stays valid: your
administrator ends it.

  access service-token remove ci.example.com`,
				Action: func(c *urfave.Context) error { return serviceTokenRemove(env, c) },
			},
		},
	}
}

func serviceTokenAdd(env *cli.Env, c *urfave.Context) error {
	o, u, err := hostArgument(c)
	if err != nil {
		return err
	}
	id, secret, err := givenServiceToken(env, c, o)
	if err != nil {
		return err
	}
	if err := access.CheckServiceToken(id, secret); err != nil {
		return &cli.UsageError{Err: err}
	}
	if !c.Bool("no-test") {
		if err := tryServiceToken(c, env, o, u, id, secret); err != nil {
			return &cli.Error{Err: err, Hints: []string{"nothing was stored; --no-test stores it all the same"}}
		}
	}
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	var expires time.Time
	if t := c.Timestamp("expires"); t != nil {
		expires = *t
	}
	if err := d.Client.AddServiceToken(c.Context, o, id, secret, expires); err != nil || !c.Bool("from-git") {
		return err
	}
	return d.Store.Delete(c.Context, setAsideKey(o))
}

// givenServiceToken is that of the flags, of a person's answers, or of git's configuration.
func givenServiceToken(env *cli.Env, c *urfave.Context, o access.Origin) (string, access.Secret, error) {
	if !c.Bool("from-git") {
		return readServiceToken(c.Context, env, c.String("client-id"), c.String("secret-file"))
	}
	d, err := open(env, c, nil)
	if err != nil {
		return "", access.Secret{}, err
	}
	return fromGit(c.Context, d, o)
}

// tryServiceToken sends one request with the token, which leaves no trace here.
func tryServiceToken(c *urfave.Context, env *cli.Env, o access.Origin, u *url.URL, id string, secret access.Secret) error {
	d, err := open(env, c, func(opt *door.Options) {
		opt.ServiceToken = &access.BoundServiceToken{ClientID: id, Secret: secret, Hosts: []string{o.Host()}, Source: door.TriedToken}
	})
	if err != nil {
		return err
	}
	return probe(c.Context, d, u, access.Policy{})
}

// probe sends one HEAD request to u and returns what Access has against it.
func probe(ctx context.Context, d *door.Door, u *url.URL, p access.Policy) error {
	_, err := probeLogin(ctx, d, u, p)
	return err
}

// probeLogin is probe, and tells whether the server behind Access wants a login of
// its own there.
func probeLogin(ctx context.Context, d *door.Door, u *url.URL, p access.Policy) (ownLogin bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, u.String(), nil)
	if err != nil {
		return false, err
	}
	resp, err := d.Client.Transport(nil, p).RoundTrip(req)
	if err != nil {
		return false, err
	}
	return resp.StatusCode == http.StatusUnauthorized, resp.Body.Close()
}

// readServiceToken asks on the terminal for what was not given. Without a terminal
// the secret is the first line of standard input.
func readServiceToken(ctx context.Context, env *cli.Env, id, file string) (string, access.Secret, error) {
	var none access.Secret
	if id == "" {
		line, err := term.ReadLine(ctx, "client id: ")
		if errors.Is(err, term.ErrNoTerminal) {
			return "", none, cli.Usagef("--client-id is missing")
		}
		if err != nil {
			return "", none, err
		}
		id = strings.TrimSpace(line)
	}
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", none, err
		}
		return id, access.NewSecret(strings.TrimSpace(string(b))), nil
	}
	if term.IsTerminal(env.Stdin) {
		typed, err := term.ReadSecret(ctx, "client secret: ")
		if err != nil {
			return "", none, err
		}
		return id, access.NewSecret(strings.TrimSpace(string(typed))), nil
	}
	line, err := readLine(ctx, bufio.NewReader(io.LimitReader(env.Stdin, 64<<10)))
	if err != nil && !errors.Is(err, io.EOF) {
		return "", none, err
	}
	return id, access.NewSecret(strings.TrimSpace(line)), nil
}

func serviceTokenList(env *cli.Env, c *urfave.Context) error {
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	infos, err := d.Client.ServiceTokens(c.Context)
	if err != nil && len(infos) == 0 {
		return err
	}
	if err != nil {
		env.Warn("%v", err)
	}
	if c.Bool("json") {
		if infos == nil {
			infos = []access.ServiceTokenInfo{}
		}
		return writeJSON(env.Stdout, infos)
	}
	w := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
	for i, t := range infos {
		if i == 0 {
			fmt.Fprintln(w, "HOST\tCLIENT ID\tADDED\tEXPIRES")
		}
		expires := "not known"
		if !t.Expiry.IsZero() {
			expires = t.Expiry.Format(time.DateOnly)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.Origin.Host(), t.ClientID, t.Added.Local().Format(time.DateOnly), expires)
	}
	return w.Flush()
}

func serviceTokenRemove(env *cli.Env, c *urfave.Context) error {
	o, _, err := hostArgument(c)
	if err != nil {
		return err
	}
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	found, err := d.Client.RemoveServiceToken(c.Context, o)
	if err == nil && !found {
		env.Note("there was no service token for %s", o.Host())
	}
	return err
}
