package access

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// certsPath serves the team's public keys as a JWK set [doc: validating JSON web
// tokens]. Keys rotate every six weeks and overlap by seven days.
const certsPath = "/cdn-cgi/access/certs"

const (
	keysFresh   = 24 * time.Hour
	keysRefetch = time.Minute // an unknown key does not make us ask more often than this
)

// signatures are the algorithms that Access signs with. Anything else, "none" and
// HMAC above all, is refused before a key is looked at.
var signatures = []jose.SignatureAlgorithm{jose.RS256}

type keyCache struct {
	mu   sync.Mutex
	sets map[string]teamKeys
}

type teamKeys struct {
	Fetched time.Time          `json:"fetched"`
	Set     jose.JSONWebKeySet `json:"jwks"`
}

// teamURL returns a URL on the team domain.
func teamURL(team, path string) *url.URL {
	return &url.URL{Scheme: "https", Host: team, Path: path}
}

// verify checks the signature of a token of the team and decodes its claims.
func (c *Client) verify(ctx context.Context, team, raw string, claims any) error {
	tok, err := jwt.ParseSigned(raw, signatures)
	if err != nil {
		return fmt.Errorf("not a token signed with RS256: %v", err)
	}
	keys, err := c.teamKeys(ctx, team, false)
	if err != nil {
		return err
	}
	if err = tok.Claims(&keys.Set, claims); err == nil {
		return nil
	}
	if c.now().Sub(keys.Fetched) < keysRefetch {
		return fmt.Errorf("signature of team %q: %v", team, err)
	}
	// Perhaps the keys were rotated since.
	if keys, err = c.teamKeys(ctx, team, true); err != nil {
		return err
	}
	if err = tok.Claims(&keys.Set, claims); err != nil {
		return fmt.Errorf("signature of team %q: %v", team, err)
	}
	return nil
}

// teamKeys returns the team's public keys from memory, cache or network.
func (c *Client) teamKeys(ctx context.Context, team string, refetch bool) (teamKeys, error) {
	c.keys.mu.Lock()
	defer c.keys.mu.Unlock()
	name := cacheName("jwks", team)
	if k, ok := c.keys.sets[team]; ok && !refetch && c.now().Sub(k.Fetched) < keysFresh {
		return k, nil
	}
	if !refetch {
		var k teamKeys
		b, err := c.cfg.Cache.Load(name)
		age := time.Duration(-1)
		if err == nil && json.Unmarshal(b, &k) == nil {
			age = c.now().Sub(k.Fetched)
		}
		if age >= 0 && age < keysFresh && len(k.Set.Keys) > 0 {
			c.keep(team, k)
			return k, nil
		}
	}
	var k teamKeys
	err := retry(ctx, func() (bool, error) {
		set, err := getJSON[jose.JSONWebKeySet](ctx, c, teamURL(team, certsPath))
		if err == nil {
			k = teamKeys{c.now(), *set}
		}
		return true, err
	})
	if err != nil {
		return teamKeys{}, fmt.Errorf("public keys of team %q: %w", team, err)
	}
	c.keep(team, k)
	if b, err := json.Marshal(k); err == nil {
		if err := c.cfg.Cache.Save(name, b); err != nil {
			c.log.Warn("public keys not cached", "team", team, "err", err)
		}
	}
	return k, nil
}

func (c *Client) keep(team string, k teamKeys) {
	if c.keys.sets == nil {
		c.keys.sets = make(map[string]teamKeys)
	}
	c.keys.sets[team] = k
}

// jitter spreads d over ±50 %, so that many programs do not return in step.
func jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(rand.Int64N(int64(d)))
}
