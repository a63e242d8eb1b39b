package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/plaintext"
)

// hostReport is the JSON of `access status HOST`.
type hostReport struct {
	Host    string    `json:"host"`
	Mode    string    `json:"mode"`  // open, login, oauth or service-token
	Ready   bool      `json:"ready"` // the host lets us in as things are
	Account string    `json:"account,omitempty"`
	Team    string    `json:"team,omitempty"`
	Expiry  time.Time `json:"expires,omitzero"`
	Why     string    `json:"why,omitempty"` // it is not ready
	Next    []string  `json:"next,omitempty"`
}

func hostStatus(env *cli.Env, c *urfave.Context) error {
	o, u, err := hostArgument(c)
	if err != nil {
		return err
	}
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	p := d.Policy(door.Caller{Origin: o, Named: true, CheckEvery: time.Nanosecond})
	p.Login = func(context.Context) error { return errors.New("nobody is logged in") }
	cr, err := d.Client.Credential(c.Context, u, p)
	r := hostReport{Host: o.Host(), Mode: string(cr.App.Mode), Account: cr.Account, Team: cr.App.Team, Expiry: cr.Expiry}
	if err == nil && cr.Kind == access.ServiceToken {
		r.Mode, r.Account = string(access.ModeServiceToken), cr.ClientID()
		err = probe(c.Context, d, u, p)
	}
	var login *access.LoginRequiredError
	var refused *access.RefusedError
	var code int
	switch {
	case err == nil:
		r.Ready = true
	case errors.As(err, &login):
		r.Mode, r.Team, code = string(login.App.Mode), login.App.Team, cli.ExitLoginRequired
		r.Why, r.Next = login.Reason, []string{"access login " + r.Host}
	case errors.As(err, &refused):
		code = cli.ExitRefused
		if refused.Cause == access.ServiceTokenRequired {
			r.Mode = string(access.ModeServiceToken)
		}
		var explained *cli.Error
		if errors.As(door.Explain(err), &explained) {
			r.Why, r.Next = explained.Error(), explained.Hints
		}
	default:
		return err
	}
	if c.Bool("json") {
		err = writeJSON(env.Stdout, r)
	} else {
		err = r.print(env)
	}
	if err == nil && code != 0 {
		err = &cli.Error{Code: code} // the report has said it
	}
	return err
}

func (r *hostReport) print(env *cli.Env) error {
	var b strings.Builder
	what := map[access.Mode]string{
		access.ModeOpen: "asks for nothing", access.ModeLogin: "wants a person's login",
		access.ModeOAuth: "wants a person's login, by Managed OAuth", access.ModeServiceToken: "is used with a service token",
	}[access.Mode(r.Mode)]
	fmt.Fprintf(&b, "%s %s\n", r.Host, what)
	switch {
	case r.Ready && r.Mode == string(access.ModeOpen):
	case r.Ready:
		fmt.Fprintf(&b, "it lets you in%s", as(r.Account))
		if !r.Expiry.IsZero() {
			fmt.Fprintf(&b, "; the session ends in %s", endsIn(r.Expiry, time.Now()))
		}
		b.WriteByte('\n')
	default:
		fmt.Fprintf(&b, "it does not let you in: %s\n", plaintext.Line(r.Why))
	}
	for _, n := range r.Next {
		fmt.Fprintf(&b, "next: %s\n", plaintext.Line(n))
	}
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}
