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

// Request returns the request "get" for the account, of a caller that understands a user name and a password alone.
func (a Account) Request() *Request {
	return &Request{Protocol: a.Protocol, Host: a.Host, Path: a.Path, Username: a.Username,
		given: map[string]bool{"protocol": true, "host": true, "path": a.Path != "", "username": a.Username != ""}}
}

// Login returns the request "store" or "erase" for the account and its password.
func (a Account) Login(password Secret) *Request {
	r := a.Request()
	r.Password = password
	r.given["username"], r.given["password"] = true, true
	return r
}
