package access_test

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

// badDNS fails its first requests as a resolver does.
type badDNS struct {
	base http.RoundTripper
	left atomic.Int32
	err  *net.DNSError
	n    atomic.Int32
}

func (d *badDNS) RoundTrip(req *http.Request) (*http.Response, error) {
	d.n.Add(1)
	if d.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: d.err}
	}
	return d.base.RoundTrip(req)
}

// A resolver that has no answer just now is asked again; one that knows there is
// no such name is not.
func TestNameResolutionComesBack(t *testing.T) {
	for _, tt := range []struct {
		name     string
		err      net.DNSError
		fails    int32
		requests int32 // while it fails
		ok       bool
	}{
		{"one failure", net.DNSError{Err: "server misbehaving", IsTemporary: true}, 1, 0, true},
		{"for ever", net.DNSError{Err: "server misbehaving", IsTemporary: true}, 1 << 20, 3, false},
		{"no such host", net.DNSError{Err: "no such host", IsNotFound: true}, 1 << 20, 1, false},
		{"no answer at all", net.DNSError{Err: "i/o timeout", IsTimeout: true}, 1 << 20, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			b.app(accesstest.App{Allow: true})
			d := &badDNS{base: b.rt, err: &tt.err}
			d.left.Store(tt.fails)
			_, err := b.client(func(cfg *access.Config) { cfg.Transport = d }).Credential(t.Context(), b.url(page), ask)
			if tt.ok {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var dns *net.DNSError
			if !errors.As(err, &dns) || d.n.Load() != tt.requests {
				t.Errorf("%d requests, %v", d.n.Load(), err)
			}
		})
	}
}

// The team's trouble is told as what it is, whoever may be asked: the team's
// session is kept, and no person is sent to a server that does not answer.
func TestTroubleAsksNobody(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	b.edge.AddApp(accesstest.App{Host: "next.example.com", Allow: true})
	if _, err := b.client(nil).Credential(t.Context(), b.url(page), ask); err != nil {
		t.Fatal(err)
	}
	next := b.url(strings.Replace(page, "git.example.com", "next.example.com", 1))
	b.edge.Fail(b.team.Domain(), -1, accesstest.Unavailable, func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/login/") })
	logins := b.logins()
	var renewal *access.RenewalError
	if _, err := b.client(nil).Credential(t.Context(), next, ask); !errors.As(err, &renewal) || b.logins() != logins {
		t.Errorf("%d logins, %v", b.logins()-logins, err)
	}
	if n := len(b.edge.Requests(accesstest.ToHost(b.team.Domain()), func(r accesstest.Request) bool { return r.Status == 503 })); n != 3 {
		t.Errorf("%d requests", n)
	}
	b.edge.Heal(b.team.Domain())
	if _, err := b.client(nil).Credential(t.Context(), next, access.Policy{}); err != nil {
		t.Errorf("the team's session is lost: %v", err)
	}
}

// After a night with the lid closed the clock of the wall has gone on, whatever a
// timer thinks: what has ended meanwhile is renewed, not used.
func TestClockJumps(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, Session: time.Hour})
	now := time.Now()
	c := b.client(func(cfg *access.Config) { cfg.Now = func() time.Time { return now } })
	first, err := c.Credential(t.Context(), b.url(page), ask)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(8 * time.Hour)
	b.edge.Set(func(s *accesstest.Switches) { s.Skew = 8 * time.Hour })
	second, err := c.Credential(t.Context(), b.url(page), access.Policy{})
	if err != nil || !second.Expiry.After(now) || second.Expiry.Equal(first.Expiry) {
		t.Errorf("until %s, then until %s, %v", first.Expiry, second.Expiry, err)
	}
}
