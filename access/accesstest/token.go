package accesstest

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"
)

// A signingKey signs a team's tokens.
type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

func (k *signingKey) exponent() []byte { return big.NewInt(int64(k.key.E)).Bytes() }

// spareKeys are those of closed edges. Making one takes longer than most tests
// do; no two living edges share one.
var spareKeys struct {
	sync.Mutex
	keys []*rsa.PrivateKey
}

// newSigningKey returns a key that no other living edge has. The edge is locked.
func (e *Edge) newSigningKey() *signingKey {
	spareKeys.Lock()
	var key *rsa.PrivateKey
	if n := len(spareKeys.keys); n > 0 {
		key, spareKeys.keys = spareKeys.keys[n-1], spareKeys.keys[:n-1]
	}
	spareKeys.Unlock()
	if key == nil {
		var err error
		if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err) // crypto/rand does not fail
		}
	}
	e.keys = append(e.keys, key)
	return &signingKey{id: token(32), key: key}
}

// spareKeys gives the keys of a closed edge to those to come.
func (e *Edge) spareKeys() {
	e.mu.Lock()
	keys := e.keys
	e.keys = nil
	for _, t := range e.teams {
		t.keys = nil
	}
	e.forger = nil
	e.mu.Unlock()
	spareKeys.Lock()
	spareKeys.keys = append(spareKeys.keys, keys...)
	spareKeys.Unlock()
}

// foreignKey signs what the edge's teams did not sign.
func (e *Edge) foreignKey() *signingKey {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.forger == nil {
		e.forger = e.newSigningKey()
	}
	return e.forger
}

// signingKeys are the team's keys, the newest first; the first use makes one.
func (t *Team) signingKeys() []*signingKey {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	if len(t.keys) == 0 {
		t.keys = []*signingKey{t.edge.newSigningKey()}
	}
	return slices.Clone(t.keys)
}

// RotateKeys makes the team sign with a new key. Tokens of the old keys hold
// until [Team.DropOldKeys].
func (t *Team) RotateKeys() {
	t.signingKeys() // the first
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	t.keys = append([]*signingKey{t.edge.newSigningKey()}, t.keys...)
}

// DropOldKeys takes every key but the newest out of the key document; tokens
// that they signed are refused from now on.
func (t *Team) DropOldKeys() {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	if len(t.keys) > 1 {
		t.keys = t.keys[:1]
	}
}

// A Forgery is a way to sign a token wrongly.
type Forgery int

const (
	Genuine    Forgery = iota
	WrongKey           // RS256 by a key that the team does not have, under the team's key id
	AlgNone            // alg "none", empty signature
	HS256              // HMAC keyed with the PEM of the team's public key
	Unsigned           // RS256 in the header, empty signature
	UnknownKey         // RS256 by a key and key id that the team does not publish
)

// Sign returns a token of the team with these claims, for hostile servers that
// a test writes itself. Claims are encoded as JSON as they are.
func (t *Team) Sign(claims any, how Forgery) string {
	k := t.signingKeys()[0]
	head := map[string]any{"alg": "RS256", "kid": k.id, "typ": "JWT"}
	var sig func([]byte) []byte
	switch how {
	case Genuine:
		sig = rs256(k.key)
	case WrongKey:
		sig = rs256(t.edge.foreignKey().key)
	case UnknownKey:
		other := t.edge.foreignKey()
		head["kid"], sig = other.id, rs256(other.key)
	case AlgNone:
		head["alg"] = "none"
		sig = func([]byte) []byte { return nil }
	case Unsigned:
		sig = func([]byte) []byte { return nil }
	case HS256:
		head["alg"] = "HS256"
		der, err := x509.MarshalPKIXPublicKey(&k.key.PublicKey)
		if err != nil {
			panic(err)
		}
		secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		sig = func(b []byte) []byte { m := hmac.New(sha256.New, secret); m.Write(b); return m.Sum(nil) }
	default:
		panic("accesstest: unknown forgery")
	}
	return compact(head, claims, sig)
}

func rs256(key *rsa.PrivateKey) func([]byte) []byte {
	return func(b []byte) []byte {
		sum := sha256.Sum256(b)
		sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			panic(err)
		}
		return sig
	}
}

func compact(head, claims any, sign func([]byte) []byte) string {
	h, err := json.Marshal(head)
	if err != nil {
		panic(err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	s := b64(h) + "." + b64(c)
	return s + "." + b64(sign([]byte(s)))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// tokenClaims are the fields of application and org tokens. [cookie]
type tokenClaims struct {
	AUD           []string `json:"aud"`
	Email         string   `json:"email,omitempty"`
	Expiry        int64    `json:"exp"`
	IssuedAt      int64    `json:"iat"`
	NotBefore     int64    `json:"nbf,omitempty"`
	Issuer        string   `json:"iss"`
	Type          string   `json:"type"` // "app" or "org"
	IdentityNonce string   `json:"identity_nonce,omitempty"`
	Subject       string   `json:"sub"` // empty for a service token [observed]
	CommonName    string   `json:"common_name,omitempty"`
	Country       string   `json:"country,omitempty"`
	ID            string   `json:"jti"` // [assumed]: keeps two tokens of one second apart
}

// issuance is what the edge remembers of a token.
type issuance struct {
	seq     int64
	expires time.Time
}

// issue signs c as a token that [Team.check] accepts until it expires or is revoked.
func (t *Team) issue(c tokenClaims, lifetime time.Duration) string {
	now := t.edge.now()
	c.Issuer, c.ID = t.URL(), token(8)
	c.IssuedAt, c.NotBefore, c.Expiry = now.Unix(), now.Unix(), now.Add(lifetime).Unix()
	if c.CommonName == "" {
		c.Country = "GB"
	}
	tok := t.Sign(c, Genuine)
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	t.edge.seq++
	t.edge.issued[sha256.Sum256([]byte(tok))] = issuance{t.edge.seq, now.Add(lifetime)}
	if len(t.edge.issued) > 10000 {
		for d, i := range t.edge.issued {
			if now.After(i.expires) {
				delete(t.edge.issued, d)
			}
		}
	}
	return tok
}

// orgToken makes the token of an org session.
func (t *Team) orgToken(s *session) string {
	return t.issue(tokenClaims{AUD: []string{t.aud}, Email: s.email, Type: "org", IdentityNonce: s.id, Subject: subject(s.email)},
		s.expires.Sub(t.edge.now()))
}

// subject is the stable user id of a person.
func subject(email string) string {
	sum := sha256.Sum256([]byte(email))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// verify checks signature, issuer, times and type of a token of the team.
func (t *Team) verify(tok, typ string) (tokenClaims, error) {
	var c tokenClaims
	if err := t.verifySignature(tok, &c); err != nil {
		return c, err
	}
	switch {
	case c.Type != typ:
		return c, fmt.Errorf("token of type %q", c.Type)
	case c.Issuer != t.URL():
		return c, fmt.Errorf("issuer %q", c.Issuer)
	case c.Expiry <= t.edge.now().Unix():
		return c, errors.New("expired")
	}
	return c, nil
}

// verifySignature decodes the claims of a token that a key of the team signed.
func (t *Team) verifySignature(tok string, claims any) error {
	parts := strings.Split(tok, ".")
	if len(parts) != 3 {
		return errors.New("not a JWT")
	}
	var head struct{ Alg, KID string }
	if err := decodePart(parts[0], &head); err != nil {
		return err
	}
	if head.Alg != "RS256" {
		return fmt.Errorf("algorithm %q", head.Alg)
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	for _, k := range t.signingKeys() {
		if k.id == head.KID && rsa.VerifyPKCS1v15(&k.key.PublicKey, crypto.SHA256, sum[:], sig) == nil {
			return decodePart(parts[1], claims)
		}
	}
	return errors.New("signature of no key of the team")
}

func decodePart(s string, v any) error {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// live reports why a verified token does not hold any more, if so.
// since is the issue number up to which its application revoked everything.
func (t *Team) live(tok string, c tokenClaims, since int64) error {
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	seq := t.edge.issued[sha256.Sum256([]byte(tok))].seq
	if seq <= since && since > 0 {
		return errors.New("revoked for the application")
	}
	if r, ok := t.revoked[c.Email]; ok && c.Email != "" && seq <= r {
		return errors.New("revoked for the person")
	}
	if c.IdentityNonce != "" && t.sessions[c.IdentityNonce] == nil {
		return errors.New("session ended")
	}
	return nil
}

// orgSession returns the session that an org token belongs to.
func (t *Team) orgSession(tok string) (*session, error) {
	c, err := t.verify(tok, "org")
	if err != nil {
		return nil, err
	}
	if err := t.live(tok, c, 0); err != nil {
		return nil, err
	}
	t.edge.mu.Lock()
	defer t.edge.mu.Unlock()
	s := t.sessions[c.IdentityNonce]
	if s == nil || !t.edge.opt.Now().Add(t.edge.sw.Skew).Before(s.expires) {
		return nil, errors.New("session ended")
	}
	return s, nil
}
