package access_test

import (
	"testing"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

// A credential that is stored costs no request, and few allocations: git asks for
// one by each of its commands. The limit is a fifth above what it was when it was
// set; whoever raises it says why.
func TestWarmCredentialAllocates(t *testing.T) {
	for name, limit := range map[string]float64{"login": 52, "Managed OAuth": 56} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			app := accesstest.App{Allow: true}
			if name != "login" {
				app.OAuth = &accesstest.OAuth{}
			}
			b.app(app)
			if _, err := b.client(nil).Credential(t.Context(), b.url(page), ask); err != nil {
				t.Fatal(err)
			}
			b.edge.ClearLog()
			c, u := b.client(nil), b.url(page)
			got := testing.AllocsPerRun(200, func() {
				if cr, err := c.Credential(t.Context(), u, access.Policy{}); err != nil || cr.Kind == access.None {
					t.Fatal(cr.Kind, err)
				}
			})
			t.Logf("%.0f allocations", got)
			if got > limit {
				t.Errorf("%.0f allocations, at most %.0f", got, limit)
			}
			if n := len(b.edge.Requests()); n != 0 {
				t.Errorf("%d requests", n)
			}
		})
	}
}
