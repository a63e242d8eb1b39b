package accesstest

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"time"
)

// A ServiceToken lets programs pass. Use [Team.AddServiceToken].
type ServiceToken struct {
	// ID is the client id, <32 hex digits>.access.
	ID string
	// Name is what its owner calls it.
	Name string

	team *Team
	// Guarded by team.edge.mu.
	secret   string
	old      string // holds until oldUntil, after a rotation
	oldUntil time.Time
	expires  time.Time // zero: never
	disabled bool
}

// AddServiceToken makes a service token of the team. It passes no application
// until that one's Services names it.
func (t *Team) AddServiceToken(name string) *ServiceToken {
	s := &ServiceToken{ID: token(16) + ".access", Name: name, team: t, secret: newServiceSecret()}
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	t.services[s.ID] = s
	return s
}

// newServiceSecret makes a secret of the form in use since 2026-08-26, cfast_,
// 40 letters and digits, 8 of a checksum. [service] does not say which; a CRC
// is [assumed].
func newServiceSecret() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, 40)
	rand.Read(b)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return fmt.Sprintf("cfast_%s%08x", b, crc32.ChecksumIEEE(b))
}

// Secret is the token's present secret.
func (s *ServiceToken) Secret() string {
	s.team.edge.mu.Lock()
	defer s.team.edge.mu.Unlock()
	return s.secret
}

// Header returns the two request headers of the token.
func (s *ServiceToken) Header() http.Header {
	return http.Header{headerClientID: {s.ID}, headerClientSecret: {s.Secret()}}
}

// Rotate gives the token a new secret; the old one holds for grace.
func (s *ServiceToken) Rotate(grace time.Duration) {
	until := s.team.edge.now().Add(grace)
	s.team.edge.mu.Lock()
	defer s.team.edge.mu.Unlock()
	s.old, s.oldUntil, s.secret = s.secret, until, newServiceSecret()
}

// Expire makes the token expire at this time; zero takes it back.
func (s *ServiceToken) Expire(at time.Time) {
	s.team.edge.mu.Lock()
	defer s.team.edge.mu.Unlock()
	s.expires = at
}

// Disable switches the token off, or on again.
func (s *ServiceToken) Disable(off bool) {
	s.team.edge.mu.Lock()
	defer s.team.edge.mu.Unlock()
	s.disabled = off
}

// authenticate finds the service token of this id and secret.
func (t *Team) authenticate(id, secret string) (*ServiceToken, error) {
	now := t.edge.now()
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	s := t.services[id]
	switch {
	case s == nil:
		return nil, errors.New("unknown client id")
	case subtle.ConstantTimeCompare([]byte(secret), []byte(s.secret)) != 1 &&
		(s.old == "" || now.After(s.oldUntil) || subtle.ConstantTimeCompare([]byte(secret), []byte(s.old)) != 1):
		return nil, errors.New("wrong secret")
	case s.disabled:
		return nil, errors.New("disabled")
	case !s.expires.IsZero() && !now.Before(s.expires):
		return nil, errors.New("expired")
	}
	return s, nil
}

// servicePair is what a request presents as a service token.
type servicePair struct {
	present    bool
	single     bool // came in the application's one header
	id, secret string
	malformed  error // duplicate, incomplete, in both places
}

func presentedService(r *http.Request, app App) servicePair {
	var p servicePair
	ids, secrets := r.Header.Values(headerClientID), r.Header.Values(headerClientSecret)
	if len(ids)+len(secrets) > 0 {
		p.present = true
		p.id, p.secret = r.Header.Get(headerClientID), r.Header.Get(headerClientSecret)
		switch {
		case len(ids) > 1 || len(secrets) > 1:
			p.malformed = errors.New("duplicate headers")
		case p.id == "" || p.secret == "":
			p.malformed = errors.New("incomplete headers")
		}
	}
	if app.ServiceHeader == "" {
		return p
	}
	values := r.Header.Values(app.ServiceHeader)
	var one struct {
		ID     string `json:"cf-access-client-id"`
		Secret string `json:"cf-access-client-secret"`
	}
	// Anything else in that header, such as a Basic login for the origin, is none of Access's business.
	if len(values) == 0 || json.Unmarshal([]byte(values[0]), &one) != nil {
		return p
	}
	if p.present {
		p.malformed = errors.New("credentials in both kinds of header")
		return p
	}
	p = servicePair{present: true, single: true, id: one.ID, secret: one.Secret}
	switch {
	case len(values) > 1:
		p.malformed = errors.New("duplicate headers")
	case one.ID == "" || one.Secret == "":
		p.malformed = errors.New("incomplete header")
	}
	return p
}
