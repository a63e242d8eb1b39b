package access

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
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
