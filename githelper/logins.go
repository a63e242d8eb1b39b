package githelper

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Logins keeps what git learns about logins, as git's own storing helpers do: user names and passwords, and from git 2.46 ready-made
// Authorization headers. It is the whole of a storing helper:
//
//	answer, err := l.Get(ctx, req) // then answer.WriteTo(os.Stdout), if there is one
//	kept, err := l.Save(ctx, req)  // git's "store"
//	err = l.Erase(ctx, req)
//
// It answers with what was kept for exactly the protocol, host and path of the request, and for its user name if it gives one. git's
// own helpers let what was kept for one path (credential.useHttpPath) answer for the whole host as well; this does not. Of several
// logins, the one that was kept or changed last answers.
//
// All logins of a protocol and host are one entry of the store, so that a Get reads one. Logins may be used by several goroutines and
// processes at once if its Store may, and if it has a Lock.
type Logins struct {
	Store LoginStore
	// Lock waits for the turn to change the entry of that key; unlock ends it. Reading takes no turn. Nil: nobody else changes entries.
	Lock func(ctx context.Context, key string) (unlock func(), err error)
	// Now is asked for the time. Nil: time.Now.
	Now func() time.Time
}

// LoginStore is where Logins keeps them. A missing key matches fs.ErrNotExist in Get and is no error in Delete.
type LoginStore interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, prefix string) ([]string, error)
}

// A StoredLogin is one that is kept: a user name and password, a scheme and credential for Authorization, or both.
type StoredLogin struct {
	Protocol, Host string
	Path           string  // "": for the whole host
	Username       *string // nil: none is known; an empty one is one
	Password       *Secret
	Auth           *Auth
	Expiry         time.Time // zero: unknown
	RefreshToken   Secret
	Stored         time.Time
}

// NewerLoginsError says that logins were kept by a newer version of this program. They are left as they are.
type NewerLoginsError struct {
	Protocol, Host string
	Version        int
}

func (e *NewerLoginsError) Error() string {
	return fmt.Sprintf("githelper: the logins of %s://%s were kept by a newer version of this program (format %d)", e.Protocol, e.Host, e.Version)
}

// loginKeys is what the keys of all entries begin with.
const loginKeys = "git-login/"

const loginVersion = 1

// loginEntry is what the store holds about a protocol and host, the newest login first.
type loginEntry struct {
	V        int     `json:"v"`
	Protocol octets  `json:"protocol"`
	Host     octets  `json:"host"`
	Logins   []login `json:"logins"`
}

type login struct {
	Path       octets    `json:"path,omitempty"`
	Username   *octets   `json:"username,omitempty"`
	Password   *octets   `json:"password,omitempty"`
	AuthType   octets    `json:"authtype,omitempty"`
	Credential octets    `json:"credential,omitempty"`
	Expiry     time.Time `json:"expiry,omitzero"`
	Refresh    octets    `json:"refresh_token,omitempty"`
	Stored     time.Time `json:"stored,omitzero"`
}

// octets is text of git's, which need not be UTF-8. JSON would replace what is not.
type octets string

func (o octets) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, []byte(o)), nil
}

func (o *octets) UnmarshalText(b []byte) error {
	b, err := base64.StdEncoding.DecodeString(string(b))
	*o = octets(b)
	return err
}

func octetsOf(s *string) *octets {
	if s == nil {
		return nil
	}
	return new(octets(*s))
}

func (o *octets) text() *string {
	if o == nil {
		return nil
	}
	return new(string(*o))
}

// Get answers a request. The answer is nil if nothing is kept for it. Of a login that has expired only the user name and the refresh
// token are told, with which the next helper may get a new one; git below 2.40 knows of no expiry and would send the password.
func (l *Logins) Get(ctx context.Context, r *Request) (*Response, error) {
	protocol, host, ok := loginPlace(r)
	if !ok {
		return nil, nil
	}
	e, err := l.load(ctx, protocol, host)
	if err != nil {
		return nil, err
	}
	var ended *Response
	for _, k := range e.Logins {
		switch usable := k.Password != nil || k.AuthType != "" && r.Can(CapabilityAuthType); {
		case string(k.Path) != r.Path || !k.isOf(r) || !usable:
		case !k.expired(l.now()):
			return k.answer(r), nil
		case ended == nil && k.Refresh != "" && k.Username != nil:
			ended = &Response{Request: r, Username: k.Username.text(), RefreshToken: NewSecret(string(k.Refresh))}
		}
	}
	return ended, nil
}

func (k *login) answer(r *Request) *Response {
	a := &Response{Request: r, Username: k.Username.text(), Expiry: k.Expiry, RefreshToken: NewSecret(string(k.Refresh))}
	if k.AuthType != "" && r.Can(CapabilityAuthType) {
		a.Auth = &Auth{Type: string(k.AuthType), Credential: NewSecret(string(k.Credential))}
	}
	if k.Username != nil && k.Password != nil {
		a.Login, a.Username = &Login{Username: string(*k.Username), Password: NewSecret(string(*k.Password))}, nil
	}
	return a
}

// isOf reports whether the login is that of the request's user, if it names one.
func (k *login) isOf(r *Request) bool {
	return !r.Has("username") || k.Username != nil && string(*k.Username) == r.Username
}

func (k *login) expired(now time.Time) bool { return !k.Expiry.IsZero() && !now.Before(k.Expiry) }

// Save keeps what a request of the operation "store" says, and reports whether it was something to keep: not if it is ephemeral, has
// expired, or is neither user name and password nor, from a caller that knows these, authtype and credential. What is kept already is
// not written again: git says "store" after every request that worked.
func (l *Logins) Save(ctx context.Context, r *Request) (bool, error) {
	protocol, host, ok := loginPlace(r)
	k := login{Path: octets(r.Path), Expiry: r.PasswordExpiry, Refresh: octets(r.RefreshToken.Reveal())}
	if r.Has("username") {
		k.Username = new(octets(r.Username))
		if r.Has("password") {
			k.Password = new(octets(r.Password.Reveal()))
		}
	}
	if r.Can(CapabilityAuthType) && r.AuthType != "" && !r.Credential.Empty() {
		k.AuthType, k.Credential = octets(r.AuthType), octets(r.Credential.Reveal())
	}
	if !ok || r.Ephemeral || k.Password == nil && k.AuthType == "" || k.expired(l.now()) {
		return false, nil
	}
	err := l.change(ctx, protocol, host, func(e *loginEntry) bool {
		k := k // it is called twice
		i := slices.IndexFunc(e.Logins, k.sameUser)
		if i >= 0 && k.sameSecret(e.Logins[i]) {
			// git below 2.40 and 2.41 does not carry these.
			old := e.Logins[i]
			if k.Expiry.IsZero() {
				k.Expiry = old.Expiry
			}
			if k.Refresh == "" {
				k.Refresh = old.Refresh
			}
			if k.Refresh == old.Refresh && k.Expiry.Equal(old.Expiry) {
				return false
			}
		}
		return e.put(i, k, l.now())
	})
	return err == nil, err
}

// put makes k the newest login, in place of number i if there is one.
func (e *loginEntry) put(i int, k login, now time.Time) bool {
	if i >= 0 {
		e.Logins = slices.Delete(e.Logins, i, i+1)
	}
	k.Stored = now.UTC().Truncate(time.Second)
	e.Logins = slices.Insert(e.Logins, 0, k)
	return true
}

// sameUser reports whether one login takes the place of the other.
func (k login) sameUser(other login) bool {
	return k.Path == other.Path && equalText(k.Username, other.Username)
}

func (k login) sameSecret(other login) bool {
	return equalText(k.Password, other.Password) && k.AuthType == other.AuthType && k.Credential == other.Credential
}

func equalText(a, b *octets) bool { return a == b || a != nil && b != nil && *a == *b }

// Erase removes the logins that fit the request: those with its path, user name, password and credential, as far as it gives them. A
// password that differs is not the one that was refused, and stays (git 2.42 has its own helpers do so).
func (l *Logins) Erase(ctx context.Context, r *Request) error {
	protocol, host, ok := loginPlace(r)
	if !ok {
		return nil
	}
	return l.change(ctx, protocol, host, func(e *loginEntry) bool {
		before := len(e.Logins)
		e.Logins = slices.DeleteFunc(e.Logins, func(k login) bool {
			return (r.Path == "" || string(k.Path) == r.Path) && k.isOf(r) &&
				(!r.Has("password") || k.Password != nil && string(*k.Password) == r.Password.Reveal()) &&
				(!r.Has("credential") || k.AuthType != "" && string(k.Credential) == r.Credential.Reveal())
		})
		return len(e.Logins) < before
	})
}

// All returns everything that is kept, sorted by protocol, host and path, the newest login of each first. What cannot be read is left
// out, and err says why.
func (l *Logins) All(ctx context.Context) ([]StoredLogin, error) {
	keys, err := l.Store.List(ctx, loginKeys)
	if err != nil {
		return nil, err
	}
	var all []StoredLogin
	var errs []error
	for _, key := range keys {
		e, err := l.read(ctx, key)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) { // it was erased meanwhile
				errs = append(errs, err)
			}
			continue
		}
		for _, k := range e.Logins {
			all = append(all, e.stored(k))
		}
	}
	slices.SortStableFunc(all, func(a, b StoredLogin) int {
		return strings.Compare(a.Protocol+"://"+a.Host+"\x00"+a.Path, b.Protocol+"://"+b.Host+"\x00"+b.Path)
	})
	return all, errors.Join(errs...)
}

func (e *loginEntry) stored(k login) StoredLogin {
	s := StoredLogin{
		Protocol: string(e.Protocol), Host: string(e.Host), Path: string(k.Path), Username: k.Username.text(),
		Expiry: k.Expiry, RefreshToken: NewSecret(string(k.Refresh)), Stored: k.Stored,
	}
	if k.Password != nil {
		s.Password = new(NewSecret(string(*k.Password)))
	}
	if k.AuthType != "" {
		s.Auth = &Auth{string(k.AuthType), NewSecret(string(k.Credential))}
	}
	return s
}

// An Addition is what [Logins.Add] did.
type Addition int

const (
	Added    Addition = iota // there was no login of this user
	Present                  // it was there already
	Replaced                 // another one was there, and is no more
	Differs                  // another one is there, and stays
)

// Add keeps a login that comes from elsewhere. Another one of the same user and path is replaced if replace says so.
func (l *Logins) Add(ctx context.Context, s StoredLogin, replace bool) (Addition, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	k := s.login()
	protocol, host := canonical(s.Protocol, s.Host)
	done := Present
	err := l.change(ctx, protocol, host, func(e *loginEntry) bool {
		i := slices.IndexFunc(e.Logins, k.sameUser)
		switch {
		case i < 0:
			done = Added
		case k.sameSecret(e.Logins[i]):
			done = Present
			return false
		case !replace:
			done = Differs
			return false
		default:
			done = Replaced
		}
		return e.put(i, k, l.now())
	})
	return done, err
}

func (s *StoredLogin) login() login {
	k := login{Path: octets(s.Path), Username: octetsOf(s.Username), Expiry: s.Expiry, Refresh: octets(s.RefreshToken.Reveal())}
	if s.Password != nil {
		k.Password = new(octets(s.Password.Reveal()))
	}
	if s.Auth != nil {
		k.AuthType, k.Credential = octets(s.Auth.Type), octets(s.Auth.Credential.Reveal())
	}
	return k
}

// check refuses what could not be said to git, or would say something else.
func (s *StoredLogin) check() error {
	values := []string{s.Protocol, s.Host, s.Path, s.RefreshToken.Reveal()}
	if s.Username != nil {
		values = append(values, *s.Username)
	}
	if s.Password != nil {
		values = append(values, s.Password.Reveal())
	}
	if s.Auth != nil {
		values = append(values, s.Auth.Type, s.Auth.Credential.Reveal())
	}
	for _, v := range values {
		if strings.ContainsAny(v, "\n\r\x00") || len(v) > maxLine-100 {
			return errors.New("githelper: a login with a line break, a null byte or a length that git does not take")
		}
	}
	switch {
	case s.Protocol == "" || s.Host == "" && s.Path == "":
		return errors.New("githelper: a login without a host")
	case (s.Username == nil || s.Password == nil) && (s.Auth == nil || s.Auth.Type == "" || s.Auth.Credential.Empty()):
		return errors.New("githelper: a login without a user name and password")
	}
	return nil
}

// loginPlace returns what a request's logins are kept for. A request that names nothing has none: it would fit every login there is.
func loginPlace(r *Request) (protocol, host string, ok bool) {
	if r.Protocol == "" || r.Host == "" && r.Path == "" {
		return "", "", false
	}
	protocol, host = canonical(r.Protocol, r.Host)
	return protocol, host, true
}

// canonical makes one of the spellings of one server: capital letters, and the port that a scheme has by itself. What is no plain host
// name stands for itself alone.
func canonical(protocol, host string) (string, string) {
	if u, err := (&Request{Protocol: protocol, Host: host}).URL(); err == nil {
		return u.Scheme, u.Host
	}
	return protocol, host
}

func loginKey(protocol, host string) string {
	return loginKeys + url.PathEscape(protocol) + "/" + url.PathEscape(host)
}

func (l *Logins) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

// load reads an entry. A missing one is empty.
func (l *Logins) load(ctx context.Context, protocol, host string) (*loginEntry, error) {
	e, err := l.read(ctx, loginKey(protocol, host))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &loginEntry{V: loginVersion, Protocol: octets(protocol), Host: octets(host)}, nil
	case err != nil:
		return nil, err
	case string(e.Protocol) != protocol || string(e.Host) != host:
		return nil, fmt.Errorf("githelper: what is kept for %s://%s is another host's", protocol, host)
	}
	return e, nil
}

func (l *Logins) read(ctx context.Context, key string) (*loginEntry, error) {
	b, err := l.Store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	var head struct { // alone: what comes after may be anything in a newer version
		V        int    `json:"v"`
		Protocol octets `json:"protocol"`
		Host     octets `json:"host"`
	}
	e := &loginEntry{}
	switch err := json.Unmarshal(b, &head); {
	case err != nil || head.V < 1:
		return nil, fmt.Errorf("githelper: what is kept under %q is no login", key) // a JSON error would quote what it read
	case head.V > loginVersion:
		return nil, &NewerLoginsError{string(head.Protocol), string(head.Host), head.V}
	case json.Unmarshal(b, e) != nil:
		return nil, fmt.Errorf("githelper: what is kept under %q is no login", key)
	}
	return e, nil
}

// change replaces an entry by what edit makes of it, unless that is what there is. Most often it is, which takes no lock.
func (l *Logins) change(ctx context.Context, protocol, host string, edit func(*loginEntry) (changed bool)) error {
	e, err := l.load(ctx, protocol, host)
	if err != nil || !edit(e) {
		return err
	}
	key := loginKey(protocol, host)
	if l.Lock != nil {
		unlock, err := l.Lock(ctx, key)
		if err != nil {
			return err
		}
		defer unlock()
		if e, err = l.load(ctx, protocol, host); err != nil || !edit(e) {
			return err
		}
	}
	if len(e.Logins) == 0 {
		return l.Store.Delete(ctx, key)
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return l.Store.Put(ctx, key, b)
}
