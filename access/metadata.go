package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Application metadata: a HEAD request with the first header is answered with the
// second, a JWT signed by the team's keys [client, since 2026.8.0].
const (
	metadataRequestHeader = "Cf-Access-Metadata-Request"
	metadataHeader        = "Cf-Access-Metadata"
	metadataAge           = 24 * time.Hour
	maxAudience           = 256 // it goes into addresses; they have 64 characters
)

// metadata is what the JWT says.
type metadata struct {
	noStandardClaims
	Type        string `json:"type"`         // "match"
	Hostname    string `json:"hostname"`     // that was asked for
	AppHostname string `json:"app_hostname"` // as the application defines it, may be absent
	AuthDomain  string `json:"auth_domain"`  // the team domain
	Audience    string `json:"aud"`
	IssuedAt    int64  `json:"iat"`
}

// teamSuffixes are the domains below which Cloudflare gives out team names; the
// second one is the FedRAMP environment's. Only the names directly below count.
var teamSuffixes = []string{".cloudflareaccess.com", ".fed.cloudflareaccess.com"}

// isTeamDomain reports whether a host may be a team domain: below Cloudflare's, or
// the one the user named.
func (c *Client) isTeamDomain(host string) bool {
	if c.team != "" {
		return host == c.team
	}
	for _, suffix := range teamSuffixes {
		if name, ok := strings.CutSuffix(host, suffix); ok && isLabel(name) {
			return true
		}
	}
	return false
}

// isLabel reports whether s is one label of a host name (RFC 1123 §2.1), in lower
// case. A team's name is shown in commands to be copied.
func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// readMetadata verifies a metadata JWT for the origin. The team that it names is
// only *a* team: anyone can register one. The caller compares it with the pin.
func (c *Client) readMetadata(ctx context.Context, o Origin, raw string) (*metadata, error) {
	var m metadata
	if _, _, err := signed.ParseUnverified(raw, &m); err != nil {
		return nil, err
	}
	// The team is needed to find the keys; what else it says counts from here on.
	team := canonicalTeam(m.AuthDomain)
	switch {
	case c.isTeamDomain(team):
	case c.team != "":
		return nil, fmt.Errorf("of team %q, and %q is wanted", cut(m.AuthDomain), c.team)
	default:
		return nil, fmt.Errorf("%q is not a team domain", cut(m.AuthDomain))
	}
	m = metadata{}
	if err := c.verify(ctx, team, raw, &m, keysRefetch); err != nil {
		return nil, err
	}
	m.AuthDomain = team
	if err := m.check(o, c.now()); err != nil {
		return nil, err
	}
	return &m, nil
}

// check is about what a verified m says.
func (m *metadata) check(o Origin, now time.Time) error {
	switch issued := time.Unix(m.IssuedAt, 0); {
	case canonicalTeam(m.Hostname) != o.Hostname():
		return fmt.Errorf("for host %q", cut(m.Hostname))
	case m.Type != "match":
		return fmt.Errorf("of type %q", cut(m.Type))
	case m.Audience == "" || len(m.Audience) > maxAudience || !visible(m.Audience):
		return fmt.Errorf("with the audience %q", cut(m.Audience))
	case m.IssuedAt <= 0 || issued.Before(now.Add(-metadataAge)):
		return fmt.Errorf("older than %s", metadataAge)
	case issued.After(now.Add(clockSkew)):
		return errors.New("from the future (is this machine's clock right?)")
	}
	return nil
}

// path returns the path of the application as far as m tells, and p is below it.
// "git.example.com/team" names one; cloudflared splits nothing here, and whether the
// claim ever carries one is not documented: accept both.
func (m *metadata) path(p string) string {
	if _, rest, ok := strings.Cut(m.AppHostname, "/"); ok {
		if prefix := cleanPath(rest); (App{Path: prefix}).covers(cleanPath(p)) {
			return prefix
		}
	}
	return ""
}

// noStandardClaims stands where a JWT library wants the registered claims: the
// metadata has an audience that is no audience in its sense, and times that are
// checked here.
type noStandardClaims struct{}

func (noStandardClaims) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }
func (noStandardClaims) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (noStandardClaims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (noStandardClaims) GetIssuer() (string, error)                   { return "", nil }
func (noStandardClaims) GetSubject() (string, error)                  { return "", nil }
func (noStandardClaims) GetAudience() (jwt.ClaimStrings, error)       { return nil, nil }
