package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/plaintext"
)

func whoamiCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "whoami",
		Usage:     "say as whom a host knows you",
		ArgsUsage: "[HOST]",
		Description: `Prints the account whose session goes to HOST, or the client id of its service token;
without HOST, that of each host with a session. Nobody is asked to log in: without a
session for HOST it prints nothing and exits with 3.

  access whoami git.example.com
  access whoami --json`,
		Flags:  []urfave.Flag{&urfave.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action: func(c *urfave.Context) error { return whoami(env, c) },
	}
}

// identity is one line of whoami.
type identity struct {
	Host    string    `json:"host"`
	Mode    string    `json:"mode"`
	Account string    `json:"account"` // "" if the token does not tell and the host does not say
	Team    string    `json:"team,omitempty"`
	Expiry  time.Time `json:"expires,omitzero"`
}

func whoami(env *cli.Env, c *urfave.Context) error {
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	if c.NArg() == 0 {
		return everybody(env, c, d)
	}
	o, u, err := hostArgument(c)
	if err != nil {
		return err
	}
	p := d.Policy(door.Caller{Origin: o, Named: true})
	p.Login = func(context.Context) error { return errors.New("this command asks nobody") }
	cr, err := d.Client.Credential(c.Context, u, p)
	if err != nil {
		return err
	}
	id := identity{Host: o.Host(), Mode: string(cr.App.Mode), Account: cr.Account, Team: cr.App.Team, Expiry: cr.Expiry}
	switch cr.Kind {
	case access.None:
		return &access.LoginRequiredError{App: cr.App, Reason: "Access does not guard it, so nobody is known there"}
	case access.ServiceToken:
		id.Mode, id.Account = string(access.ModeServiceToken), cr.ClientID()
	case access.Bearer:
		id.Account = askIdentity(c.Context, d, o, p)
	}
	if c.Bool("json") {
		return writeJSON(env.Stdout, id)
	}
	if id.Account == "" {
		return fmt.Errorf("a token of Managed OAuth does not tell whose it is, and %s does not say", o.Host())
	}
	_, err = fmt.Fprintln(env.Stdout, id.Account)
	return err
}

// askIdentity asks the host, for tokens that say nothing themselves [doc: application
// token, get-identity]; "" if it does not tell.
func askIdentity(ctx context.Context, d *door.Door, o access.Origin, p access.Policy) string {
	u := o.URL()
	u.Path = "/cdn-cgi/access/get-identity"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return ""
	}
	resp, err := d.Client.Transport(nil, p).RoundTrip(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var said struct {
		Email string `json:"email"`
	}
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&said) != nil {
		return ""
	}
	return plaintext.Line(said.Email)
}

func everybody(env *cli.Env, c *urfave.Context, d *door.Door) error {
	sessions, err := d.Client.Sessions(c.Context)
	if err != nil && len(sessions) == 0 {
		return err
	}
	if err != nil {
		env.Warn("%v", err)
	}
	all := []identity{}
	for _, s := range sessions {
		mode := access.ModeLogin
		if s.Kind == access.Bearer {
			mode = access.ModeOAuth
		}
		all = append(all, identity{s.Origin.Host(), string(mode), s.Account, s.Team, s.Expiry})
	}
	slices.SortFunc(all, func(a, b identity) int { return strings.Compare(a.Host+a.Mode, b.Host+b.Mode) })
	if c.Bool("json") {
		return writeIndentedJSON(env.Stdout, all)
	}
	w := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
	for i, id := range all {
		if i == 0 {
			fmt.Fprintln(w, "HOST\tWHO\tTEAM")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", id.Host, orDash(id.Account), orDash(id.Team))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(all) == 0 {
		env.Note("nobody is logged in to any host")
	}
	return nil
}
