package access_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

// farBrowser is a browser on another machine: the callback is out of its reach, and
// the address that it would have gone to stays in its address bar.
type farBrowser struct {
	edge http.RoundTripper
	bar  chan string
}

func (f *farBrowser) RoundTrip(r *http.Request) (*http.Response, error) {
	if host := r.URL.Hostname(); host == "localhost" || host == "127.0.0.1" {
		f.bar <- r.URL.String()
		return nil, errors.New("connection refused")
	}
	return f.edge.RoundTrip(r)
}

func TestPaste(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	far := &farBrowser{b.rt, make(chan string, 1)}
	person := accesstest.NewPerson("ada@example.com", far)
	var problems []string
	turn := 0
	var address string
	c := b.client(func(cfg *access.Config) {
		cfg.Open = func(ctx context.Context, login string) error {
			return person.Approve(ctx, login) // fails at the callback, as the far browser does
		}
		cfg.Paste = func(ctx context.Context, problem error) (string, error) {
			if problem != nil {
				problems = append(problems, problem.Error())
			}
			turn++
			switch turn {
			case 1:
				select {
				case address = <-far.bar:
				case <-ctx.Done():
					return "", ctx.Err()
				}
				return "https://git.example.com/callback?code=x", nil
			case 2:
				return strings.SplitN(address, "?", 2)[0], nil
			case 3:
				return strings.Replace(address, "state=", "state=x", 1), nil
			}
			return "  " + address + "\n", nil
		}
	})
	cr, err := c.Credential(t.Context(), b.url(page), ask)
	if err != nil || cr.Kind != access.Bearer {
		t.Fatalf("%v, %v", cr.Kind, err)
	}
	want := []string{"that is not the address of the last page", "lacks what stands after the question mark", "this is not the login that is waiting"}
	if len(problems) != len(want) {
		t.Fatalf("problems: %q", problems)
	}
	for i := range want {
		if !strings.Contains(problems[i], want[i]) {
			t.Errorf("problem %d: %q, want %q", i, problems[i], want[i])
		}
	}
}

// Who is asked for an address in vain is not waited for: the browser came by itself.
func TestPasteNotNeeded(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	c := b.client(func(cfg *access.Config) {
		cfg.Paste = func(ctx context.Context, _ error) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}
	})
	if _, err := c.Credential(t.Context(), b.url(page), ask); err != nil {
		t.Fatal(err)
	}
}
