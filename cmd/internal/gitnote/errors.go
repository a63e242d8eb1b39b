package gitnote

import (
	"fmt"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// TokenError says that a git, "this git" or one by its version, can get past the Managed OAuth of a host in no way.
func TokenError(o access.Origin, git string, tried bool) error {
	e := &cli.Error{
		Err:   fmt.Errorf("%s uses Managed OAuth, and %s cannot send its tokens", o.Host(), git),
		Hints: []string{"git 2.54 or later can, and git 2.46 or later can but for large pushes"},
	}
	if tried {
		e.Err = fmt.Errorf("%w; the application refuses a session cookie, too", e.Err)
	} else {
		e.Hints = append(e.Hints, "every git can where the application accepts a session cookie as well, to find out: access setup git "+o.Host())
	}
	return e
}

// LoginError says that a token of Managed OAuth and the login that the server behind Access wants cannot go together.
func LoginError(o access.Origin) error {
	return &cli.Error{
		Err: fmt.Errorf("the server behind %s wants a login of its own, and the token of Managed OAuth takes its place in the request; "+
			"the application refuses a session cookie", o.Host()),
		Hints: []string{
			"your administrator can turn Managed OAuth off for this application, so that it accepts the cookie",
			fmt.Sprintf("or admit a service token by a Service Auth policy: access service-token add %s, then: access run %s -- git …", o.Host(), o.Host()),
		},
		Code: cli.ExitRefused,
	}
}
