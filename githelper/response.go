package githelper

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// A Response is a helper's answer to "get". The zero Response says nothing, which leaves the question to the next helper.
type Response struct {
	// Request is the request that is answered. What it did not announce cannot be said: without a Request, only Login.
	Request *Request

	Auth      *Auth   // authtype and credential; both are written, empty or not
	Login     *Login  // username and password; both are written, empty or not
	Username  *string // username alone, where there is no Login
	Ephemeral *bool   // whether other helpers must not keep the credential

	Expiry       time.Time // password_expiry_utc; zero leaves it out
	RefreshToken Secret    // oauth_refresh_token, carried by git to helpers that store; empty leaves it out

	State    []string // comes back in the next round; begins with the helper's own name
	Continue bool     // a refusal is no end: git asks again, with State
	Quit     bool     // git ends at once and asks nobody else
}

// Auth becomes "Authorization: Type Credential".
type Auth struct {
	Type       string
	Credential Secret
}

// A Login is a user name and a password.
type Login struct {
	Username string
	Password Secret
}

// WriteTo writes the answer in one piece, its lines in a fixed order with the capabilities first, where git needs them. Nothing is
// written if a value has a line break, a carriage return or a null byte, or if the request did not announce a capability that the
// answer uses: git up to 2.45 drops authtype and credential without a word and asks the person instead.
func (r *Response) WriteTo(w io.Writer) (int64, error) {
	b, err := r.encode()
	if err != nil || len(b) == 0 {
		return 0, err
	}
	n, err := w.Write(b)
	return int64(n), err
}

func (r *Response) encode() ([]byte, error) {
	l := &lines{}
	authtype := r.Auth != nil || r.Ephemeral != nil
	state := len(r.State) > 0 || r.Continue
	for _, c := range []struct {
		used bool
		name string
	}{{authtype, CapabilityAuthType}, {state, CapabilityState}} {
		if !c.used {
			continue
		}
		if r.Request == nil || !r.Request.Can(c.name) {
			return nil, fmt.Errorf("githelper: the answer needs the capability %q, which the caller did not announce", c.name)
		}
		l.add("capability[]", c.name)
	}
	if r.Auth != nil {
		l.add("authtype", r.Auth.Type)
		l.add("credential", r.Auth.Credential.Reveal())
	}
	if r.Login != nil {
		l.add("username", r.Login.Username)
		l.add("password", r.Login.Password.Reveal())
	} else if r.Username != nil {
		l.add("username", *r.Username)
	}
	if r.Ephemeral != nil {
		l.add("ephemeral", flag(*r.Ephemeral))
	}
	if !r.Expiry.IsZero() {
		l.add("password_expiry_utc", strconv.FormatInt(r.Expiry.Unix(), 10))
	}
	if !r.RefreshToken.Empty() {
		l.add("oauth_refresh_token", r.RefreshToken.Reveal())
	}
	for _, s := range r.State {
		l.add("state[]", s)
	}
	if r.Continue {
		l.add("continue", flag(true))
	}
	if r.Quit {
		l.add("quit", flag(true))
	}
	return l.b.Bytes(), l.err
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

type lines struct {
	b   bytes.Buffer
	err error
}

func (l *lines) add(key, value string) {
	switch {
	case l.err != nil:
	case strings.ContainsAny(value, "\n\r\x00"):
		l.err = fmt.Errorf("githelper: the value of %s has a line break, a carriage return or a null byte", key)
	case len(key)+len(value)+2 > maxLine:
		l.err = fmt.Errorf("githelper: the value of %s is too long", key)
	default:
		l.b.WriteString(key)
		l.b.WriteByte('=')
		l.b.WriteString(value)
		l.b.WriteByte('\n')
	}
}

// WriteCapabilities answers the operation "capability" (git 2.46) for a helper that understands all that this package does.
func WriteCapabilities(w io.Writer) error {
	_, err := io.WriteString(w, "version 0\ncapability "+CapabilityAuthType+"\ncapability "+CapabilityState+"\n")
	return err
}
