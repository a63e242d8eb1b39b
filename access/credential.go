package access

import (
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Kind is the kind of a [Credential], which decides where it may be placed.
type Kind int

const (
	// None: nothing is needed; Access does not guard the URL.
	None Kind = iota
	// JWT is an application token of a person's session. It travels as the
	// cf-access-token header or the CF_Authorization cookie, never as
	// Authorization, where Access does not look for it.
	JWT
	// Bearer is an access token of Managed OAuth; it travels as Authorization.
	Bearer
	// ServiceToken is a client id and secret; they travel as two headers.
	ServiceToken
)

func (k Kind) String() string {
	names := [...]string{"none", "jwt", "bearer", "service-token"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return names[k]
}

// Names on the wire.
const (
	tokenHeader        = "Cf-Access-Token"         // [doc] Connect through Access using a CLI
	tokenCookie        = "CF_Authorization"        // [doc] authorization cookie
	clientIDHeader     = "Cf-Access-Client-Id"     // [doc] service tokens
	clientSecretHeader = "Cf-Access-Client-Secret" // [doc] service tokens
)

// A Credential opens one origin. It knows where it may be placed and to which
// URLs it may go. Its secrets print as [redacted].
type Credential struct {
	Kind    Kind
	App     App
	Expiry  time.Time // zero if unknown
	Account string    // whose session it is, as far as the token tells

	token    Secret // JWT, Bearer
	clientID string // ServiceToken
	secret   Secret // ServiceToken
	source   string // ServiceToken of the configuration
	fresh    bool   // obtained in this call, not from the store
}

// Covers reports whether the credential may be sent to u: same scheme, host and
// port as the application's origin, and below its path.
func (cr Credential) Covers(u *url.URL) bool {
	o, err := OriginOf(u)
	return err == nil && o == cr.App.Origin && cr.App.covers(cleanPath(u.Path))
}

// Token returns the JWT or the Bearer token; empty for the other kinds.
func (cr Credential) Token() Secret { return cr.token }

// ClientID returns the id of a service token, which is no secret.
func (cr Credential) ClientID() string { return cr.clientID }

// Source says where a service token of the configuration comes from
// ([BoundServiceToken]); empty for one of the store, and for the other kinds.
func (cr Credential) Source() string { return cr.source }

// ClientSecret returns the secret half of a service token.
func (cr Credential) ClientSecret() Secret { return cr.secret }

// Fresh reports whether the credential was obtained from the server by the call
// that returned it, rather than taken from the store.
func (cr Credential) Fresh() bool { return cr.fresh }

// Header returns the credential as request headers. The caller is answerable for
// the host they go to; [Credential.Apply] checks it.
func (cr Credential) Header() http.Header {
	h := make(http.Header, 2)
	switch cr.Kind {
	case JWT:
		h.Set(tokenHeader, cr.token.Reveal())
	case Bearer:
		h.Set("Authorization", "Bearer "+cr.token.Reveal())
	case ServiceToken:
		h.Set(clientIDHeader, cr.clientID)
		h.Set(clientSecretHeader, cr.secret.Reveal())
	}
	return h
}

// Cookie returns a JWT as a host-only cookie, or nil for the other kinds.
func (cr Credential) Cookie() *http.Cookie {
	if cr.Kind != JWT {
		return nil
	}
	return &http.Cookie{
		Name: tokenCookie, Value: cr.token.Reveal(), Path: "/", Expires: cr.Expiry,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// Apply adds the credential to req's headers if it covers req's URL, and reports
// whether it did. A Host of the request's own, by which the edge finds whom it is
// for, must name the same origin.
func (cr Credential) Apply(req *http.Request) bool {
	if cr.Kind == None || !cr.Covers(req.URL) {
		return false
	}
	if req.Host != "" && !cr.Covers(&url.URL{Scheme: req.URL.Scheme, Host: req.Host, Path: req.URL.Path}) {
		return false
	}
	if req.Header == nil {
		req.Header = make(http.Header, 2)
	}
	for k, v := range cr.Header() {
		req.Header[k] = v
	}
	return true
}

// valid reports whether the credential lives for another d.
func (cr Credential) valid(now time.Time, d time.Duration) bool {
	return cr.Expiry.IsZero() || now.Add(d).Before(cr.Expiry)
}
