package main

import (
	"errors"
	"fmt"
	"net/http"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func serviceTokenTestCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name: "test", Usage: "try the service token of a host, and say what the edge answers", ArgsUsage: "HOST",
		Description: `Sends one request with the service token that HOST is used with: that of the
environment, or the stored one. It says whether the edge lets it in, and the status of
the answer; the exit code is 4 if it does not, and 3 if there is no service token.

  access service-token test ci.example.com
  access service-token test --json https://ci.example.com/code.git`,
		Flags:  []urfave.Flag{&urfave.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action: func(c *urfave.Context) error { return serviceTokenTest(env, c) },
	}
}

// tokenTrial is the JSON of `access service-token test`.
type tokenTrial struct {
	Host     string   `json:"host"`
	ClientID string   `json:"client_id"`
	Accepted bool     `json:"accepted"`
	Status   int      `json:"status"`
	Cause    string   `json:"cause,omitempty"`
	Hints    []string `json:"hints,omitempty"`
}

func serviceTokenTest(env *cli.Env, c *urfave.Context) error {
	o, u, err := hostArgument(c)
	if err != nil {
		return err
	}
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	p := access.Policy{Named: o}
	cr, err := d.Client.Credential(c.Context, u, p)
	var refused *access.RefusedError
	var login *access.LoginRequiredError
	if errors.As(err, &login) || err == nil && cr.Kind != access.ServiceToken || errors.As(err, &refused) && refused.Cause == access.ServiceTokenRequired {
		return &cli.Error{
			Err:   fmt.Errorf("there is no service token for %s", o.Host()),
			Hints: []string{"store one: access service-token add " + o.Host(), "or set CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET"},
			Code:  cli.ExitLoginRequired,
		}
	}
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(c.Context, http.MethodHead, u.String(), nil)
	if err != nil {
		return err
	}
	trial := tokenTrial{Host: o.Host(), ClientID: cr.ClientID()}
	resp, err := d.Client.Transport(nil, p).RoundTrip(req)
	switch {
	case err == nil:
		resp.Body.Close()
		trial.Accepted, trial.Status = true, resp.StatusCode
	case errors.As(err, &refused):
		trial.Status, trial.Cause = refused.StatusCode, string(refused.Cause)
	default:
		return err
	}
	if c.Bool("json") {
		var explained *cli.Error
		if errors.As(door.Explain(err), &explained) {
			trial.Hints = explained.Hints
		}
		if err := writeJSON(env.Stdout, trial); err != nil {
			return err
		}
	} else if trial.Accepted {
		_, err := fmt.Fprintf(env.Stdout, "%s lets %s in; the answer is %d %s\n", trial.Host, trial.ClientID, trial.Status, http.StatusText(trial.Status))
		return err
	}
	return err
}
