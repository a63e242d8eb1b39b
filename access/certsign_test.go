package access_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

const certSign = "/cdn-cgi/access/cert_sign"

func publicKey(t *testing.T, key any, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ssh.NewPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(ssh.MarshalAuthorizedKey(pub))
}

func newEd25519(t *testing.T) string {
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	return publicKey(t, pub, err)
}

// certifies reports whether certificate is one for the key and ada.
func certifies(certificate, key string) bool {
	parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(certificate))
	cert, ok := parsed.(*ssh.Certificate)
	return err == nil && ok && string(ssh.MarshalAuthorizedKey(cert.Key)) == key && strings.Join(cert.ValidPrincipals, ",") == "ada"
}

func TestSignSSHKey(t *testing.T) {
	for _, app := range []accesstest.App{{Allow: true}, {Allow: true, OAuth: &accesstest.OAuth{}}} {
		b := newBed(t)
		b.app(app)
		key := newEd25519(t)
		got, err := b.client(nil).SignSSHKey(t.Context(), b.url(page), key, ask)
		if err != nil || !certifies(got, key) {
			t.Fatalf("OAuth %v: %q, %v", app.OAuth != nil, got, err)
		}
		asked := b.edge.Requests(accesstest.ToPath(certSign))
		if len(asked) != 1 || asked[0].Host != b.team.Domain() || !asked[0].Presented(accesstest.CertToken) {
			t.Errorf("asked %v", asked)
		}
		b.noLeaks(b.stored("session/", "token"), "git.example.com", b.team.Domain())
	}
}

// A session that was revoked is dropped, renewed once and shown once more; one that
// is refused right after a login is told.
func TestSignRenewsOnce(t *testing.T) {
	b := newBed(t)
	app := b.app(accesstest.App{Allow: true})
	key := newEd25519(t)
	if _, err := b.client(nil).SignSSHKey(t.Context(), b.url(page), key, ask); err != nil {
		t.Fatal(err)
	}
	app.Revoke()
	b.edge.ClearLog()
	got, err := b.client(nil).SignSSHKey(t.Context(), b.url(page), key, ask)
	if err != nil || !certifies(got, key) {
		t.Errorf("after revocation: %q, %v", got, err)
	}
	if n := len(b.edge.Requests(accesstest.ToPath(certSign))); n != 2 {
		t.Errorf("%d requests for a certificate, want the refused one and another", n)
	}
	b.team.RevokeUser("ada@example.com")
	b.edge.ClearLog()
	_, err = b.client(nil).SignSSHKey(t.Context(), b.url(page), key, access.Policy{})
	var required *access.LoginRequiredError
	if !errors.As(err, &required) {
		t.Errorf("nobody may be asked: %v", err)
	}
}

func TestSignRefusals(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ecKey := publicKey(t, ec.Public(), err)
	tests := []struct {
		name    string
		key     string
		set     func(*bed)
		team    http.RoundTripper // in place of the team
		status  int
		mayBe   bool // about the key
		detail  string
		never   string // in the message
		refused access.Cause
	}{
		{name: "key type, JSON", set: func(b *bed) {
			b.team.Set(func(s *accesstest.TeamSettings) { s.CertKeyTypes = []string{"ecdsa-sha2-nistp256"} })
		}, status: 400, mayBe: true, detail: "Unsupported key type"},
		{name: "key type, plain text", set: func(b *bed) {
			b.team.Set(func(s *accesstest.TeamSettings) {
				s.CertKeyTypes, s.PlainCertErrors = []string{"ecdsa-sha2-nistp256"}, true
			})
		}, status: 400, mayBe: true, detail: "unable to sign", never: "invalid character"},
		{name: "the other type", key: ecKey, set: func(b *bed) {
			b.team.Set(func(s *accesstest.TeamSettings) { s.CertKeyTypes = []string{"ecdsa-sha2-nistp256"} })
		}},
		{name: "no key", key: "ssh-dss nonsense", status: 400, mayBe: true, detail: "Invalid public key"},
		{name: "a page", team: teamAnswers(404, "text/html", "<title>Not found</title>"), status: 404, never: "<title>"},
		{name: "a lasting outage", team: teamAnswers(503, "text/plain", "down for repairs\nsee status page"), status: 503, detail: "down for repairs"},
		{name: "a redirect", team: teamAnswers(302, "text/plain", ""), status: 302},
		{name: "no certificate in it", team: teamAnswers(200, "application/json", `{"certificate":""}`), detail: "something else than a certificate"},
		{name: "no JSON", team: teamAnswers(200, "text/html", "<p>hello"), detail: `"text/html"`, never: "invalid character"},
		{name: "firewall", team: teamAnswers(403, "text/plain", "error code: 1010"), refused: access.Blocked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			b.app(accesstest.App{Allow: true})
			c := b.client(func(cfg *access.Config) {
				if tt.team != nil {
					cfg.Transport = inPlaceOf{tt.team, cfg.Transport}
				}
			})
			cr, err := c.Credential(t.Context(), b.url(page), ask)
			if err != nil {
				t.Fatal(err)
			}
			if tt.key == "" {
				tt.key = newEd25519(t)
			}
			if tt.set != nil {
				tt.set(b)
			}
			got, err := c.SignSSHKey(t.Context(), b.url(page), tt.key, ask)
			if tt.status == 0 && tt.detail == "" && tt.refused == "" {
				if err != nil || !certifies(got, tt.key) {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			if err == nil {
				t.Fatalf("signed: %q", got)
			}
			var e *access.SignError
			var refused *access.RefusedError
			switch {
			case tt.refused != "":
				if !errors.As(err, &refused) || refused.Cause != tt.refused {
					t.Errorf("got %v", err)
				}
			case tt.status != 0 && (!errors.As(err, &e) || e.StatusCode != tt.status || e.MayBeKey() != tt.mayBe):
				t.Errorf("got %v", err)
			}
			if text := err.Error(); !strings.Contains(text, tt.detail) || tt.never != "" && strings.Contains(text, tt.never) || strings.Contains(text, cr.Token().Reveal()) {
				t.Errorf("told: %v", err)
			}
		})
	}
}

// inPlaceOf answers cert_sign itself.
type inPlaceOf struct{ team, rest http.RoundTripper }

func (i inPlaceOf) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == certSign {
		return i.team.RoundTrip(r)
	}
	return i.rest.RoundTrip(r)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func teamAnswers(status int, contentType, body string) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, Request: r, Body: io.NopCloser(strings.NewReader(body)),
			Header: http.Header{"Content-Type": {contentType}, "Location": {"https://evil.example.net/"}},
		}, nil
	})
}

// Certificates are for people behind Access: nothing is sent where there is none.
func TestSignForPeopleOnly(t *testing.T) {
	b := newBed(t)
	svc := b.team.AddServiceToken("ci")
	b.app(accesstest.App{Allow: true, Services: []*accesstest.ServiceToken{svc}})
	b.app(accesstest.App{Host: "open.example.com", Allow: true, Bypass: true})
	c := b.client(func(cfg *access.Config) {
		cfg.ServiceTokens = []access.BoundServiceToken{{ClientID: svc.ID, Secret: access.NewSecret(svc.Secret()), Hosts: []string{"git.example.com"}}}
	})
	for raw, want := range map[string]string{page: "service token", "https://open.example.com/": "does not guard"} {
		_, err := c.SignSSHKey(t.Context(), b.url(raw), newEd25519(t), ask)
		var e *access.SignError
		if !errors.As(err, &e) || e.StatusCode != 0 || !strings.Contains(e.Error(), want) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if asked := b.edge.Requests(accesstest.ToPath(certSign)); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
}

// Troubles of a moment are waited for.
func TestSignAfterAnOutage(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	c := b.client(nil)
	if _, err := c.Credential(t.Context(), b.url(page), ask); err != nil {
		t.Fatal(err)
	}
	b.edge.Fail(b.team.Domain(), 2, accesstest.Unavailable, func(r *http.Request) bool { return r.URL.Path == certSign })
	key := newEd25519(t)
	if got, err := c.SignSSHKey(t.Context(), b.url(page), key, ask); err != nil || !certifies(got, key) {
		t.Errorf("%q, %v", got, err)
	}
}
