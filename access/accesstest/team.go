package accesstest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// A Team is an organisation: its own domain, keys, sessions and service tokens.
// Use [Edge.AddTeam]. Anyone can register one at the service, so tests of
// hostile servers have several.
type Team struct {
	edge   *Edge
	domain string
	aud    string

	// Guarded by edge.mu.
	set      TeamSettings
	keys     []*signingKey // newest first
	sessions map[string]*session
	services map[string]*ServiceToken
	revoked  map[string]int64 // e-mail → issue number from which on tokens hold again
	oauth    oauthState
	ssh      ssh.Signer
}

// TeamSettings can be changed at any time by [Team.Set].
type TeamSettings struct {
	// Name is shown on the login page. Default: the first label of the domain.
	Name string
	// OrgSession is the lifetime of an org session and token. Zero: 24 h.
	OrgSession time.Duration
	// AutoApprove is "Enable automatic cloudflared authentication": with an
	// org session the transfer page asks for no click.
	AutoApprove bool
	// ApproveAnyone makes the login page approve as Person without a click.
	// Careful: git with a cookie file follows redirects and keeps cookies,
	// so it gets in without any token.
	ApproveAnyone string
	// Deny makes the identity provider refuse everyone who clicks "Log in".
	Deny bool
	// OversizedCerts makes the key document 10 MB large.
	OversizedCerts bool
	// EndlessRedirects makes every GET of the team domain redirect to the
	// team domain again.
	EndlessRedirects bool
	// CertLifetime is that of short-lived SSH certificates. Zero: 4 min.
	CertLifetime time.Duration
	// CertKeyTypes limits the keys it signs, such as "ecdsa-sha2-nistp256".
	CertKeyTypes []string
	// PlainCertErrors answers a refused cert_sign with plain text, as
	// observed, instead of JSON.
	PlainCertErrors bool
	// OAuthServer are the switches of Managed OAuth's authorization server.
	OAuthServer OAuthServer
}

// session is a login at the team's identity provider.
type session struct {
	id      string
	email   string
	expires time.Time
}

// AddTeam adds a team. A name without a dot becomes name.cloudflareaccess.com,
// any other is the team domain itself. A team of that domain that exists
// already is returned.
func (e *Edge) AddTeam(name string) *Team {
	domain := strings.ToLower(name)
	if !strings.Contains(domain, ".") {
		domain += teamSuffix
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.teams {
		if t.domain == domain {
			return t
		}
	}
	label, _, _ := strings.Cut(domain, ".")
	t := &Team{
		edge:     e,
		domain:   domain,
		aud:      token(32),
		set:      TeamSettings{Name: label},
		sessions: map[string]*session{},
		services: map[string]*ServiceToken{},
		revoked:  map[string]int64{},
		oauth:    newOAuthState(),
	}
	e.teams = append(e.teams, t)
	return t
}

// Team returns the team of applications that name none: the first added, or
// team.cloudflareaccess.com.
func (e *Edge) Team() *Team {
	e.mu.Lock()
	if len(e.teams) > 0 {
		defer e.mu.Unlock()
		return e.teams[0]
	}
	e.mu.Unlock()
	return e.AddTeam("team")
}

func (e *Edge) teamByDomain(host string) *Team {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.teams {
		if t.domain == host {
			return t
		}
	}
	return nil
}

// Domain is the team domain, such as team.cloudflareaccess.com.
func (t *Team) Domain() string { return t.domain }

// URL is the team domain with its scheme, also the issuer of its tokens.
func (t *Team) URL() string { return "https://" + t.domain }

// Set changes the team's settings.
func (t *Team) Set(change func(*TeamSettings)) {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	change(&t.set)
}

func (t *Team) settings() TeamSettings {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	s := t.set
	if s.OrgSession == 0 {
		s.OrgSession = 24 * time.Hour
	}
	return s
}

// RevokeUser ends every session of the person and every token that came of it.
// Logging in again works at once.
func (t *Team) RevokeUser(email string) {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	t.revoked[email] = t.edge.seq
	for id, s := range t.sessions {
		if s.email == email {
			delete(t.sessions, id)
		}
	}
	t.revokeGrants(func(g *oauthGrant) bool { return g.session.email == email })
}

func (t *Team) serve(w http.ResponseWriter, r *http.Request, rec *entry) {
	set := t.settings()
	if set.EndlessRedirects && r.Method != http.MethodPost {
		http.Redirect(w, r, t.URL()+r.URL.Path+"?again="+token(4), http.StatusFound)
		return
	}
	switch p := r.URL.Path; {
	case p == pathCerts:
		t.serveCerts(w, set)
	case strings.HasPrefix(p, pathLogin):
		t.serveLogin(w, r, rec)
	case p == pathIdentity:
		t.serveIdentity(w, r, t.aud)
	case p == pathLogout:
		t.serveLogout(w, r)
	case p == pathCertSign:
		t.serveCertSign(w, r, rec)
	case t.serveOAuth(w, r, rec):
	default:
		http.NotFound(w, r)
	}
}

// serveCerts publishes the keys: a JWKS, and beside it the members that the
// service adds. Keys rotate every six weeks, the old one holds seven days more
// ([cookie]).
func (t *Team) serveCerts(w http.ResponseWriter, set TeamSettings) {
	type jwk struct {
		KID string `json:"kid"`
		KTY string `json:"kty"`
		Alg string `json:"alg"`
		Use string `json:"use"`
		E   string `json:"e"`
		N   string `json:"n"`
	}
	var doc struct {
		Keys    []jwk  `json:"keys"`
		Padding string `json:"padding,omitempty"`
	}
	for _, k := range t.signingKeys() {
		doc.Keys = append(doc.Keys, jwk{KID: k.id, KTY: "RSA", Alg: "RS256", Use: "sig", E: b64(k.exponent()), N: b64(k.key.N.Bytes())})
	}
	if set.OversizedCerts {
		doc.Padding = strings.Repeat("a", 10<<20)
	}
	writeJSON(w, http.StatusOK, doc)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
