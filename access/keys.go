package access

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// certsPath serves the team's public keys as a JWK set [doc: validating JSON web
// tokens]. Keys rotate every six weeks and overlap by seven days.
const certsPath = "/cdn-cgi/access/certs"

const (
	keysFresh   = 24 * time.Hour
	keysRefetch = time.Minute // an unknown key in what anybody can send does not make us ask more often than this
)

// signed verifies what Access signs: with RS256 and nothing else. "none" and HMAC
// above all are refused before a key is looked at. Times are checked by callers,
// who have the clock.
var signed = jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithoutClaimsValidation())

// keyCache has the keys of teams in memory.
type keyCache struct {
	mu   sync.Mutex
	sets map[string]teamKeys
	turn map[string]chan struct{} // a token in one is the right to fetch the keys of that team
}

func (k *keyCache) get(team string) teamKeys {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sets[team]
}

// wait waits for the turn to fetch keys of the team, for no longer than ctx.
func (k *keyCache) wait(ctx context.Context, team string) (done func(), err error) {
	k.mu.Lock()
	turn := k.turn[team]
	if turn == nil {
		turn = make(chan struct{}, 1)
		if k.turn == nil {
			k.turn = make(map[string]chan struct{})
		}
		k.turn[team] = turn
	}
	k.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// teamKeys is a team's JWK set (RFC 7517), in the Cache's form.
type teamKeys struct {
	Fetched time.Time `json:"fetched"`
	Set     jwkSet    `json:"jwks"`
}

type jwkSet struct {
	Keys []jwk `json:"keys"`
}

// jwk is the public half of an RSA key (RFC 7518 §6.3.1); other keys are skipped.
type jwk struct {
	ID   string `json:"kid"`
	Type string `json:"kty"`
	Use  string `json:"use,omitempty"`
	N    string `json:"n"`
	E    string `json:"e"`
}

// Shorter RSA keys sign nothing that is worth trusting (RFC 7518 §3.3), and a longer
// one would keep whoever verifies with it busy: any team may name its own.
const minKeyBits, maxKeyBits = 2048, 8192

func (k jwk) public() (*rsa.PublicKey, error) {
	n, err1 := base64.RawURLEncoding.DecodeString(k.N)
	e, err2 := base64.RawURLEncoding.DecodeString(k.E)
	if k.Type != "RSA" || err1 != nil || err2 != nil || len(e) == 0 || len(e) > 4 {
		return nil, errors.New("not an RSA key")
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	switch bits := key.N.BitLen(); {
	case bits < minKeyBits, key.E < 3, key.E%2 == 0:
		return nil, errors.New("a weak key")
	case bits > maxKeyBits:
		return nil, fmt.Errorf("a key of %d bits", bits)
	}
	return key, nil
}

// key finds the key that a token names.
func (s jwkSet) key(t *jwt.Token) (any, error) {
	id, _ := t.Header["kid"].(string)
	for _, k := range s.Keys {
		if id != "" && k.ID == id && (k.Use == "" || k.Use == "sig") {
			return k.public()
		}
	}
	return nil, fmt.Errorf("no key %q", cut(id))
}

// teamURL returns a URL on the team domain.
func teamURL(team, path string) *url.URL {
	return &url.URL{Scheme: "https", Host: team, Path: path}
}

// verify checks the signature of a token of the team and decodes its claims. An
// unknown key has the team's keys fetched again if they are older than refetch.
func (c *Client) verify(ctx context.Context, team, raw string, claims jwt.Claims, refetch time.Duration) error {
	began := c.now()
	keys, err := c.teamKeys(ctx, team, time.Time{})
	if err != nil {
		return err
	}
	if _, err = signed.ParseWithClaims(raw, claims, keys.Set.key); err == nil {
		return nil
	}
	// Perhaps the keys were rotated since they were fetched.
	rotated := errors.Is(err, jwt.ErrTokenUnverifiable) || errors.Is(err, jwt.ErrTokenSignatureInvalid)
	if rotated && keys.Fetched.Before(began) && c.now().Sub(keys.Fetched) >= refetch {
		if keys, err = c.teamKeys(ctx, team, keys.Fetched); err != nil {
			return err
		}
		_, err = signed.ParseWithClaims(raw, claims, keys.Set.key)
	}
	if err != nil {
		return fmt.Errorf("signature of team %q: %v", team, err)
	}
	return nil
}

// teamKeys returns the team's public keys, from memory, the Cache or the network. A
// time that is not zero wants keys that were fetched after it.
func (c *Client) teamKeys(ctx context.Context, team string, after time.Time) (teamKeys, error) {
	serves := func(k teamKeys) bool {
		age := c.now().Sub(k.Fetched)
		return k.Fetched.After(after) && age >= 0 && age < keysFresh
	}
	if k := c.keys.get(team); serves(k) {
		return k, nil
	}
	done, err := c.keys.wait(ctx, team)
	if err != nil {
		return teamKeys{}, fmt.Errorf("public keys of team %q: %w", team, err)
	}
	defer done()
	if k := c.keys.get(team); serves(k) { // another call has fetched them meanwhile
		return k, nil
	}
	var k teamKeys
	name := cacheName("jwks", team)
	if b, err := c.cfg.Cache.Load(name); err == nil && json.Unmarshal(b, &k) == nil && len(k.Set.Keys) > 0 && serves(k) {
		c.keep(team, k)
		return k, nil
	}
	err = retry(ctx, func() (bool, error) {
		set, err := getJSON[jwkSet](ctx, c, teamURL(team, certsPath))
		if err == nil {
			k = teamKeys{c.now(), *set}
		}
		return err != nil && mayPass(err), err
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
	c.keys.mu.Lock()
	defer c.keys.mu.Unlock()
	if c.keys.sets == nil {
		c.keys.sets = make(map[string]teamKeys)
	}
	c.keys.sets[team] = k
}

// jitter spreads d over ±50 %, so that many programs do not return in step.
func jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(rand.Int64N(int64(d)))
}
