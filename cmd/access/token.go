package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func tokenCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "token",
		Usage:     "print the token of a host's session",
		ArgsUsage: "HOST",
		Description: `Prints the session token of HOST, renewed if need be, and nothing else. Nobody is
asked to log in: without a session it prints nothing and exits with 3.

  curl --header "cf-access-token: $(access token wiki.example.com)" https://wiki.example.com/
  access token --json wiki.example.com      with the header for it, and when it ends

A token of Managed OAuth goes into "Authorization: Bearer". Handle it like a
password: it opens the host until it expires. "access curl" needs no token.`,
		Flags:  []urfave.Flag{&urfave.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action: func(c *urfave.Context) error { return token(env, c) },
	}
}

func token(env *cli.Env, c *urfave.Context) error {
	_, u, err := hostArgument(c)
	if err != nil {
		return err
	}
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	asksNobody := access.Policy{Login: func(context.Context) error { return errors.New("this command asks nobody") }}
	cr, err := d.Client.Credential(c.Context, u, asksNobody)
	if err != nil {
		return err
	}
	if cr.Token().Empty() {
		err := &access.LoginRequiredError{App: cr.App, Reason: "Access does not guard it, so there is no session"}
		if cr.Kind == access.ServiceToken {
			err.Reason = "it is used with a service token, which has no session token"
		}
		return err
	}
	if c.Bool("json") {
		t := tokenOutput{Host: cr.App.Origin.Host(), Token: cr.Token().Reveal(), Header: "cf-access-token", Expiry: cr.Expiry}
		if cr.Kind == access.Bearer {
			t.Header, t.Scheme = "Authorization", "Bearer"
		}
		return writeJSON(env.Stdout, t)
	}
	_, err = fmt.Fprintln(env.Stdout, cr.Token().Reveal())
	return err
}

// tokenOutput is the JSON of `access token`.
type tokenOutput struct {
	Host   string    `json:"host"`
	Token  string    `json:"token"`
	Header string    `json:"header"`           // that it goes into
	Scheme string    `json:"scheme,omitempty"` // before it in the header
	Expiry time.Time `json:"expires,omitzero"`
}
