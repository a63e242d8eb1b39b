package gogit

import (
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
)

// OptionError says that an option of a clone, fetch or push was refused for a host
// behind Access. go-git can only follow it with a bare *http.Transport, and what
// it asks for would go for the credential, too: a certificate that nobody has
// checked, another authority, a proxy that the login does not use. Set it in
// [Options].Transport and access.Config.Transport.
type OptionError struct {
	Option string // go-git's name of it: "InsecureSkipTLS"
	Host   string
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("gogit: %s is not possible for %s, which is behind Access: set it on Options.Transport", e.Option, e.Host)
}

// UnnamedHostError says that a host is behind Access, and got no credential since
// [Options].Hosts does not name it. Whether it should is for a person to say: the
// URL may be out of a repository, or where another host's redirect leads.
type UnnamedHostError struct{ Host string }

func (e *UnnamedHostError) Error() string {
	return fmt.Sprintf("gogit: %s is behind Access, and not one of the hosts that were named", e.Host)
}

// opened is an error of go-git that does not unwrap, with what it holds.
type opened struct {
	error
	cause error
}

func (e *opened) Unwrap() []error { return []error{e.error, e.cause} }

// reveal lets errors.As and errors.Is see what go-git v5 hides in
// *plumbing.UnexpectedError and *plumbing.PermanentError, which have no Unwrap.
func reveal(err error) error {
	var unexpected *plumbing.UnexpectedError
	var permanent *plumbing.PermanentError
	switch {
	case errors.As(err, &unexpected):
		return &opened{err, reveal(unexpected.Err)}
	case errors.As(err, &permanent):
		return &opened{err, reveal(permanent.Err)}
	}
	return err
}
