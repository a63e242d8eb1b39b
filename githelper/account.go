package githelper

import "strings"

// An Account is who somebody is at a server.
type Account struct {
	Protocol string // "https"
	Host     string // in lower case, with a port that is not the scheme's own: "git.example.com:8443"
	Path     string // without the leading slash; for http(s) only where credential.useHttpPath is on
	Username string // "": not known
}

// Account returns the account that the request is about. It fails where [Request.URL] does.
func (r *Request) Account() (Account, error) {
	u, err := r.URL()
	if err != nil {
		return Account{}, err
	}
	return Account{Protocol: u.Scheme, Host: u.Host, Path: strings.TrimPrefix(u.Path, "/"), Username: r.Username}, nil
}

// Request returns the request of a caller that asks for the account's login and understands a user name and a password alone.
func (a Account) Request() *Request {
	r := &Request{Protocol: a.Protocol, Host: a.Host, Path: a.Path, Username: a.Username,
		given: map[string]bool{"protocol": true, "host": true, "path": a.Path != "", "username": a.Username != ""}}
	return r
}
