package access

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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

// Whoever waits for keys that another call fetches goes when their own time is over,
// and keys of one team wait for those of no other.
func TestKeysWaitForNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetched := map[string]int{} // nobody asks at the same time as another
		c, err := New(&Config{Transport: roundTripFunc(func(req *http.Request) (*http.Response, error) {
			fetched[req.URL.Host]++
			if req.URL.Host == "slow.cloudflareaccess.com" {
				select {
				case <-req.Context().Done():
					return nil, req.Context().Err()
				case <-time.After(10 * time.Second):
				}
			}
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
				Body: io.NopCloser(strings.NewReader(`{"keys":[{"kid":"k"}]}`)), Request: req}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var calls sync.WaitGroup
		call := func(team string, limit, want time.Duration, ok bool) {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				if _, err := c.teamKeys(ctx, team, time.Time{}); (err == nil) != ok || time.Since(began) != want {
					t.Errorf("%s: %v after %s", team, err, time.Since(began))
				}
			})
			synctest.Wait()
		}
		call("slow.cloudflareaccess.com", time.Minute, 10*time.Second, true)
		call("slow.cloudflareaccess.com", time.Second, time.Second, false)
		call("slow.cloudflareaccess.com", time.Minute, 10*time.Second, true)
		call("quick.cloudflareaccess.com", time.Minute, 0, true)
		calls.Wait()
		if fetched["slow.cloudflareaccess.com"] != 1 || fetched["quick.cloudflareaccess.com"] != 1 {
			t.Errorf("fetched %v", fetched)
		}
	})
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
