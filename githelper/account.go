package githelper

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// An Account is who somebody is at a server: what a stored login belongs to. Everything that keeps logins of servers, or gives them to
// git, names them by its Key, so that a login kept by one program is found by the others.
type Account struct {
	Protocol string // "https"
	Host     string // in lower case, with a port that is not the scheme's own: "git.example.com:8443"
	Path     string // without the leading slash; for http(s) only where credential.useHttpPath is on
	Username string // "": not known, or the login needs none
}

// Account returns the account that the request is about. It fails where [Request.URL] does.
func (r *Request) Account() (Account, error) {
	u, err := r.URL()
	if err != nil {
		return Account{}, err
	}
	return Account{Protocol: u.Scheme, Host: u.Host, Path: strings.TrimPrefix(u.Path, "/"), Username: r.Username}, nil
}

// accountKeys is what the keys of accounts begin with.
const accountKeys = "origin/"

// Key names the account in a keystore: "origin/https://git.example.com/#ada", with the path before the "#". Two accounts have the same
// key only if they are equal.
func (a Account) Key() string { return a.Prefix() + url.PathEscape(a.Username) }

// Prefix is what the keys of all accounts at this protocol, host and path begin with, and no others.
func (a Account) Prefix() string {
	segments := strings.Split(a.Path, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return accountKeys + a.Protocol + "://" + a.Host + "/" + strings.Join(segments, "/") + "#"
}

// AccountKeys is what the keys of all accounts begin with, to list them.
func AccountKeys() string { return accountKeys }

// ParseAccountKey is the inverse of Key.
func ParseAccountKey(key string) (Account, error) {
	bad := func() (Account, error) { return Account{}, fmt.Errorf("githelper: %q is no key of an account", key) }
	rest, ok := strings.CutPrefix(key, accountKeys)
	protocol, rest, ok1 := strings.Cut(rest, "://")
	host, rest, ok2 := strings.Cut(rest, "/")
	path, user, ok3 := strings.Cut(rest, "#")
	if !ok || !ok1 || !ok2 || !ok3 {
		return bad()
	}
	a := Account{Protocol: protocol, Host: host}
	var err1, err2 error
	a.Path, err1 = url.PathUnescape(path)
	a.Username, err2 = url.PathUnescape(user)
	if err1 != nil || err2 != nil || a.Key() != key {
		return bad()
	}
	return a, nil
}

// A StoredLogin is what is kept of an account: the value under its Key. Its secrets print as [redacted]; only Encode writes them.
type StoredLogin struct {
	Password     Secret
	Expiry       time.Time // of the password; zero: not known
	RefreshToken Secret
	AuthType     string // with Credential in place of a password
	Credential   Secret
}

// storedLogin is the form at rest. Names are those of git's protocol.
type storedLogin struct {
	Password     string `json:"password,omitempty"`
	Expiry       int64  `json:"password_expiry_utc,omitempty"`
	RefreshToken string `json:"oauth_refresh_token,omitempty"`
	AuthType     string `json:"authtype,omitempty"`
	Credential   string `json:"credential,omitempty"`
}

// Encode returns the form for a keystore, with the secrets in clear.
func (l *StoredLogin) Encode() ([]byte, error) {
	s := storedLogin{
		Password: l.Password.Reveal(), RefreshToken: l.RefreshToken.Reveal(), AuthType: l.AuthType, Credential: l.Credential.Reveal(),
	}
	if !l.Expiry.IsZero() {
		s.Expiry = l.Expiry.Unix()
	}
	return json.Marshal(s)
}

// DecodeLogin is the inverse of Encode. Its errors do not quote what they are about.
func DecodeLogin(b []byte) (*StoredLogin, error) {
	var s storedLogin
	if json.Unmarshal(b, &s) != nil {
		return nil, errors.New("githelper: a stored login cannot be read")
	}
	l := &StoredLogin{
		Password: NewSecret(s.Password), RefreshToken: NewSecret(s.RefreshToken), AuthType: s.AuthType, Credential: NewSecret(s.Credential),
	}
	if s.Expiry > 0 {
		l.Expiry = time.Unix(s.Expiry, 0)
	}
	return l, nil
}

// Expired reports whether the password's time is over.
func (l *StoredLogin) Expired(now time.Time) bool { return !l.Expiry.IsZero() && !now.Before(l.Expiry) }
