package main

import (
	"net/url"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// hostArgument reads the one argument HOST: a host name, host:port, or URL.
func hostArgument(c *urfave.Context) (access.Origin, *url.URL, error) {
	if c.NArg() != 1 {
		return "", nil, cli.Usagef("one HOST is wanted, such as git.example.com")
	}
	return door.ParseHost(c.Args().First())
}
