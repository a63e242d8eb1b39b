package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/golang-jwt/jwt/v5"
)

// clockSkew is how far our clock and Cloudflare's may be apart. The public client
// allows as much for metadata since 2026.8.0 [client].
const clockSkew = 5 * time.Minute

// tokenClaims are the claims of application and org tokens that we look at
// [doc: application token]. aud is a string or a list; both were seen.
type tokenClaims struct {
	jwt.RegisteredClaims
	Type   string `json:"type"` // "app" or "org"
	Email  string `json:"email"`
	Common string `json:"common_name"` // of a service token
}

// account is what a terminal may show: anyone can register a team, and say by an
// identity provider of theirs what an address looks like.
func (t *tokenClaims) account() string {
	return cut(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, cmp.Or(t.Email, t.Common)))
}

// verifyToken checks a token that claims to be of the team and of the given type
// ("app" or "org"). An application token must be for the audience, too; org tokens
// have none that matters.
func (c *Client) verifyToken(ctx context.Context, raw, team, typ, audience string) (*tokenClaims, error) {
	var t tokenClaims
	// Tokens come out of a login or a renewal of ours, which are few: no limit.
	if err := c.verify(ctx, team, raw, &t, 0); err != nil {
		return nil, err
	}
	switch {
	case t.Issuer != "https://"+team:
		return nil, fmt.Errorf("issued by %q, not by %q", cut(t.Issuer), "https://"+team)
	case t.Type != "" && t.Type != typ:
		return nil, fmt.Errorf("a token of type %q, not %q", cut(t.Type), typ)
	case typ == "app" && !slices.Contains(t.Audience, audience):
		return nil, errors.New("audience mismatch")
	case t.ExpiresAt == nil:
		return nil, errors.New("no expiry")
	case t.ExpiresAt.UTC().Year() > 9999: // encoding/json keeps none of those
		return nil, fmt.Errorf("an expiry in the year %d", t.ExpiresAt.UTC().Year())
	case !c.now().Before(t.ExpiresAt.Time):
		return nil, fmt.Errorf("expired at %s (is this machine's clock right?)", t.ExpiresAt.UTC().Format(time.RFC3339))
	case t.IssuedAt != nil && t.IssuedAt.After(c.now().Add(clockSkew)):
		return nil, fmt.Errorf("issued at %s, in the future (is this machine's clock right?)", t.IssuedAt.UTC().Format(time.RFC3339))
	}
	return &t, nil
}
