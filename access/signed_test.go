package access

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
)

// signer is a team's key, for fuzz targets: it signs what they make up, since a
// signature of one of their processes is none to the others.
type signer struct {
	key *rsa.PrivateKey
	set jwkSet
}

func newSigner(t testing.TB) *signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{key, jwkSet{Keys: []jwk{{ID: "k", Type: "RSA", N: base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
		E: base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())}}}}
}

// sign makes a token of claims, right but for the algorithm that it names.
func (s *signer) sign(algorithm string, claims []byte) string {
	header, _ := json.Marshal(map[string]string{"alg": algorithm, "kid": "k", "typ": "JWT"})
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(s.signature(crypto.SHA256, text))
}

func (s *signer) signature(hash crypto.Hash, text string) []byte {
	h := hash.New()
	h.Write([]byte(text))
	b, err := rsa.SignPKCS1v15(rand.Reader, s.key, hash, h.Sum(nil))
	if err != nil {
		panic(err)
	}
	return b
}

// What passes for signed is signed, by RS256 and a key of the team: an independent
// verification says the same. Each token comes with signatures that others would
// take, too, and spoil is what became of them on the way.
func FuzzSigned(f *testing.F) {
	s := newSigner(f)
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		f.Fatal(err)
	}
	const claims = `{"type":"match","auth_domain":"team.cloudflareaccess.com","hostname":"git.example.com","iat":1}`
	for _, header := range []string{`{"alg":"RS256","kid":"k"}`, `{"alg":"RS256","kid":"k","jwk":{"kty":"RSA"},"jku":"https://evil.example.net/","crit":["x"]}`, `{"alg":"RS256","kid":"other"}`,
		`{"alg":"RS256"}`, `{"alg":"RS512","kid":"k"}`, `{"alg":"PS256","kid":"k"}`, `{"alg":"HS256","kid":"k"}`, `{"alg":"none","kid":"k"}`, `{"alg":"none","alg":"RS256","kid":["k"]}`, `{}`} {
		for kind := range byte(5) {
			f.Add(header, claims, kind, []byte{})
			f.Add(header, claims, kind, []byte{0, 1})
		}
	}
	f.Fuzz(func(t *testing.T, header, claims string, kind byte, spoil []byte) {
		encode := base64.RawURLEncoding.EncodeToString
		text := encode([]byte(header)) + "." + encode([]byte(claims))
		var signature []byte
		switch kind % 5 {
		case 0:
			signature = s.signature(crypto.SHA256, text)
		case 1:
			signature = s.signature(crypto.SHA512, text)
		case 2: // the public key as a password
			mac := hmac.New(sha256.New, der)
			mac.Write([]byte(text))
			signature = mac.Sum(nil)
		case 3: // what was signed is another
			signature = s.signature(crypto.SHA256, encode([]byte(header))+"."+encode([]byte(claims+" ")))
		}
		for i, b := range spoil {
			if i < len(signature) {
				signature[i] ^= b
			} else {
				signature = append(signature, b)
			}
		}
		for _, raw := range []string{text + "." + encode(signature), text + ".", text, text + "." + encode(signature) + ".", "." + text + "." + encode(signature), header + "." + claims + "." + string(spoil)} {
			var m metadata
			if _, err := signed.ParseWithClaims(raw, &m, s.set.key); err != nil {
				continue
			}
			parts := strings.Split(raw, ".")
			if len(parts) != 3 {
				t.Fatalf("%q has %d parts", raw, len(parts))
			}
			got, err := base64.RawURLEncoding.DecodeString(parts[2])
			if err != nil {
				t.Fatal(err)
			}
			digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
			if err := rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, digest[:], got); err != nil {
				t.Errorf("%q: %v", raw, err)
			}
			if !strings.Contains(header, "RS256") || !strings.Contains(header, `"k`) && !strings.Contains(header, `\u`) {
				t.Errorf("accepted by the header %q", header)
			}
		}
	})
}
