package access

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// LoginRequiredError says that a person has to log in and that nobody was asked.
type LoginRequiredError struct {
	App    App
	Reason string // why nobody was asked: "CI is set", "no terminal", "login was left undone 3 minutes ago"
	PID    int    // process in which a login is under way, or 0
	URL    string // its login page, if it is known
	Err    error  // what ended the attempt, if there was one
}

func (e *LoginRequiredError) Error() string {
	s := fmt.Sprintf("access: %s needs a login", e.App.Origin.Host())
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

func (e *LoginRequiredError) Unwrap() error { return e.Err }

// RenewalError says that a session could not be renewed because of the network or
// of trouble at the server. The session is kept, and nobody is asked to log in: a
// login needs the same servers.
type RenewalError struct {
	App App
	Err error
}

func (e *RenewalError) Error() string {
	return fmt.Sprintf("access: the session of %s could not be renewed: %v", e.App.Origin.Host(), e.Err)
}

func (e *RenewalError) Unwrap() error { return e.Err }

// A Cause tells why a request or a credential was refused.
type Cause string

const (
	// TokenNotAccepted: a session that was issued just now is answered with the
	// login page again. Applications with the Binding Cookie do this to every
	// client that is no browser [doc: authorization cookie].
	TokenNotAccepted Cause = "token not accepted"
	// ServiceTokenRequired: only service tokens may pass, and there is none.
	ServiceTokenRequired Cause = "service token required"
	// ServiceTokenInvalid: wrong, expired or disabled (strict mode: 401).
	ServiceTokenInvalid Cause = "service token invalid"
	// ServiceTokenNotAllowed: valid but in no policy of the application (strict
	// mode: 403).
	ServiceTokenNotAllowed Cause = "service token not allowed"
	// ServiceTokenRefused: invalid or not allowed; the answer does not say which
	// (not strict: 302 or 403).
	ServiceTokenRefused Cause = "service token refused"
	// Denied: the person logged in or was asked, and Access or the person said no.
	Denied Cause = "denied"
	// NotWithOAuth: the caller needs an application JWT and the application
	// issues OAuth tokens only.
	NotWithOAuth Cause = "needs a JWT"
	// Blocked: Cloudflare's firewall answered (error 1010 and the like).
	Blocked Cause = "blocked by the firewall"
	// TunnelDown: no connector serves the host name (error 1033, status 530).
	TunnelDown Cause = "tunnel down"
	// OriginDown: the tunnel is up, the origin behind it is not (502, 504, 52x).
	OriginDown Cause = "origin down"
	// CaptivePortal: something in the network answered in place of the host.
	CaptivePortal Cause = "captive portal"
)

// RefusedError says that the server refused, and why as far as it tells.
type RefusedError struct {
	App        App
	Cause      Cause
	StatusCode int    // of the answer, or 0
	Detail     string // the server's own words, quoted and cut; may be empty
	Source     string // of the service token that was refused, see [Credential.Source]
}

func (e *RefusedError) Error() string {
	host := e.App.Origin.Host()
	s := ""
	switch e.Cause {
	case TokenNotAccepted:
		s = fmt.Sprintf("access: %s does not accept the session that it issued", host)
	case ServiceTokenRequired:
		s = fmt.Sprintf("access: %s admits service tokens only, and there is none for it", host)
	case ServiceTokenInvalid:
		s = fmt.Sprintf("access: the service token for %s is wrong, expired or disabled", host)
	case ServiceTokenNotAllowed:
		s = fmt.Sprintf("access: the service token is valid but no policy of %s admits it", host)
	case ServiceTokenRefused:
		s = fmt.Sprintf("access: %s refused the service token", host)
	case Denied:
		s = fmt.Sprintf("access: login to %s was denied", host)
	case NotWithOAuth:
		s = fmt.Sprintf("access: %s uses Managed OAuth, whose tokens do not serve here", host)
	case Blocked:
		s = fmt.Sprintf("access: Cloudflare's firewall blocked the request to %s", host)
	case TunnelDown:
		s = fmt.Sprintf("access: no tunnel is connected for %s", host)
	case OriginDown:
		s = fmt.Sprintf("access: the server behind %s does not answer", host)
	case CaptivePortal:
		s = fmt.Sprintf("access: something in the network answered in place of %s", host)
	default:
		s = fmt.Sprintf("access: %s refused: %s", host, e.Cause)
	}
	if e.StatusCode != 0 {
		s += fmt.Sprintf(" (status %d)", e.StatusCode)
	}
	if e.Detail != "" {
		s += fmt.Sprintf(": %q", e.Detail)
	}
	return s
}

// TeamChangedError says that a host's application belongs to another team than
// before. Anyone can register a team, so this may be an attack.
type TeamChangedError struct {
	Origin Origin
	Was    string // pinned at first use
	Now    string
}

func (e *TeamChangedError) Error() string {
	return fmt.Sprintf("access: the application of %s belonged to team %q and now claims %q", e.Origin.Host(), e.Was, e.Now)
}

// DiscoveryError says why it could not be learnt which application protects a
// URL, or how to log in to it.
type DiscoveryError struct {
	Origin Origin
	Step   string // "metadata", "public keys", "resource metadata", "authorization server metadata", "registration"
	Err    error
}

func (e *DiscoveryError) Error() string {
	return fmt.Sprintf("access: %s of %s: %v", e.Step, e.Origin.Host(), e.Err)
}

func (e *DiscoveryError) Unwrap() error { return e.Err }

// LoginTimeoutError says that nobody finished the login in time.
type LoginTimeoutError struct {
	App   App
	After time.Duration
}

func (e *LoginTimeoutError) Error() string {
	return fmt.Sprintf("access: nobody logged in to %s within %s", e.App.Origin.Host(), e.After)
}

// cut shortens a server's text for an error message, between two characters.
func cut(s string) string {
	n := 200
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// visible reports whether s has none but the visible characters of ASCII: what of a
// server's goes into lines and addresses.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
