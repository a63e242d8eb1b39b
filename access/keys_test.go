package access

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// Whatever a set of keys holds, one that is taken is an RSA key of a length that is
// worth its signature and can be worked with.
func FuzzJWKSet(f *testing.F) {
	n := base64.RawURLEncoding.EncodeToString(append([]byte{0x81}, make([]byte, 255)...))
	for _, s := range []string{
		`{"keys":[{"kid":"a","kty":"RSA","n":"` + n + `","e":"AQAB"}]}`,
		`{"keys":[{"kid":"a","kty":"RSA","n":"` + strings.Repeat("_", 4000) + `","e":"AQAB"}]}`,
		`{"keys":[{"kid":"a","kty":"RSA","n":"AQAB","e":"AQAB"},{"kid":"b","kty":"EC","crv":"P-256"}]}`,
		`{"keys":[{"kid":"a","kty":"RSA","n":"` + n + `","e":"Ag"}]}`, `{"keys":null}`, `[]`,
	} {
		f.Add([]byte(s), "a")
	}
	f.Fuzz(func(t *testing.T, doc []byte, id string) {
		var set jwkSet
		if json.Unmarshal(doc, &set) != nil {
			return
		}
		key, err := set.key(&jwt.Token{Header: map[string]any{"kid": id}})
		if err != nil {
			return
		}
		public, ok := key.(*rsa.PublicKey)
		if !ok || public.N.BitLen() < 2048 || public.N.BitLen() > 8192 || public.E < 3 || public.E%2 == 0 || id == "" {
			t.Errorf("%q of %s: %T", id, doc, key)
		}
	})
}

// What passes for signed is signed, by RS256 and a key of the team: an independent
// verification says the same.
func FuzzSigned(f *testing.F) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	set := jwkSet{Keys: []jwk{{ID: "k", Type: "RSA", N: base64.RawURLEncoding.EncodeToString(private.N.Bytes()),
		E: base64.RawURLEncoding.EncodeToString(big.NewInt(int64(private.E)).Bytes())}}}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		f.Fatal(err)
	}
	add := func(method jwt.SigningMethod, key any, id string) {
		token := jwt.NewWithClaims(method, jwt.MapClaims{"type": "match", "auth_domain": "team.cloudflareaccess.com", "hostname": "git.example.com", "iat": 1})
		token.Header["kid"] = id
		raw, err := token.SignedString(key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw + "A")
		f.Add(strings.Replace(raw, ".", "..", 1))
	}
	add(jwt.SigningMethodRS256, private, "k")
	add(jwt.SigningMethodRS256, private, "other")
	add(jwt.SigningMethodRS512, private, "k")
	add(jwt.SigningMethodPS256, private, "k")
	add(jwt.SigningMethodHS256, der, "k") // the public key as a password
	add(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "k")
	f.Fuzz(func(t *testing.T, raw string) {
		var m metadata
		if _, err := signed.ParseWithClaims(raw, &m, set.key); err != nil {
			return
		}
		parts := strings.Split(raw, ".")
		if len(parts) != 3 {
			t.Fatalf("%q has %d parts", raw, len(parts))
		}
		signature, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		if err := rsa.VerifyPKCS1v15(&private.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
	})
}
