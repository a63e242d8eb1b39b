package main

import (
	"context"
	"errors"
	"fmt"

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

A token of Managed OAuth belongs into "Authorization: Bearer". Handle it like a
password: it opens the host until it expires.`,
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
	_, err = fmt.Fprintln(env.Stdout, cr.Token().Reveal())
	return err
}
