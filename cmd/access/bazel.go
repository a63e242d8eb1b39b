package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func bazelCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "bazel-credential-helper",
		Usage:     "give Bazel the credentials of hosts (--credential_helper)",
		ArgsUsage: "[HOST...] get",
		Description: `Speaks the protocol of Bazel's credential helpers: {"uri":…} on standard input is answered
by {"headers":…,"expires":…}. Bazel calls a program without arguments of yours, so a
script of two lines stands between, tools/access in the workspace:

  #!/bin/sh
  exec access bazel-credential-helper artifacts.example.com "$@"

and a line in .bazelrc:

  common --credential_helper=artifacts.example.com=%workspace%/tools/access

A HOST that is named gets a service token of the environment; others get the session
of a person who has logged in to them or set them up, a service token that was bound to
them (ACCESS_HOSTS, "access service-token add"), or nothing.`,
		Action: func(c *urfave.Context) error { return bazel(env, c) },
	}
}

// bazelAnswer is the schema of get's answer:
// https://github.com/EngFlow/credential-helper-spec/blob/main/schemas/get-credentials-response.schema.json
type bazelAnswer struct {
	Headers http.Header `json:"headers"`
	Expires string      `json:"expires,omitempty"` // RFC 3339
}

func bazel(env *cli.Env, c *urfave.Context) error {
	args := c.Args().Slice()
	if len(args) == 0 || args[len(args)-1] != "get" {
		return cli.Usagef("only the command get is known") // the specification: helpers fail on others
	}
	var named []access.Origin
	for _, h := range args[:len(args)-1] {
		o, _, err := door.ParseHost(h)
		if err != nil {
			return err
		}
		named = append(named, o)
	}
	var request struct {
		URI string `json:"uri"`
	}
	if err := json.NewDecoder(io.LimitReader(env.Stdin, 1<<20)).Decode(&request); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	answer, err := bazelGet(env, c, named, request.URI)
	if err != nil {
		return err
	}
	return writeJSON(env.Stdout, answer)
}

func bazelGet(env *cli.Env, c *urfave.Context, named []access.Origin, uri string) (bazelAnswer, error) {
	nothing := bazelAnswer{Headers: http.Header{}}
	u, err := url.Parse(uri)
	if err != nil {
		return nothing, fmt.Errorf("the request's uri cannot be read")
	}
	if u.Scheme == "grpcs" { // a remote cache
		u.Scheme = "https"
	}
	o, err := access.OriginOf(u)
	if err != nil {
		return nothing, nil // not one that Access could guard
	}
	d, err := open(env, c, nil)
	if err != nil {
		return nothing, err
	}
	isNamed := slices.Contains(named, o)
	if ours, err := isOurs(c, d, o, isNamed); err != nil || !ours {
		return nothing, err
	}
	cr, err := d.Client.Credential(c.Context, u, d.Policy(door.Caller{Origin: o, Named: isNamed, CheckEvery: 5 * time.Minute}))
	if err != nil || cr.Kind == access.None {
		return nothing, err
	}
	answer := bazelAnswer{Headers: cr.Header()}
	if !cr.Expiry.IsZero() {
		answer.Expires = cr.Expiry.Add(-time.Minute).UTC().Format(time.RFC3339)
	}
	return answer, nil
}

// isOurs reports whether a person has to do with the host: no other host is asked
// anything.
func isOurs(c *urfave.Context, d *door.Door, o access.Origin, named bool) (bool, error) {
	if named || d.IsSetUp(o) {
		return true, nil
	}
	if slices.ContainsFunc(d.EnvironmentTokens(), func(t access.BoundServiceToken) bool { return t.BoundTo(o) }) {
		return true, nil
	}
	stored, err := d.Client.ServiceTokens(c.Context)
	return slices.ContainsFunc(stored, func(t access.ServiceTokenInfo) bool { return t.Origin == o }), err
}
