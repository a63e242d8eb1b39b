package access

import (
	"context"
	"net/url"
	"sync"
	"time"
)

// grants are what a Transport holds by Policy.Keep: a credential for each
// application that it met, obtained by one request while the others wait for it.
type grants struct {
	client *Client
	policy Policy

	mu    sync.Mutex
	byApp map[string]*grant
}

// A grant is a credential, or the attempt to obtain one.
type grant struct {
	done  chan struct{} // closed when the rest is there
	cr    Credential
	err   error
	left  bool // the request that was to obtain it ended first, which says nothing to others
	until time.Time

	turn chan struct{} // a token in it is the right to look into a refusal
}

// credential returns the grant for u and its credential: one that is held, or that of
// another request which obtains it just now, or a new one.
func (g *grants) credential(ctx context.Context, u *url.URL) (*grant, Credential, error) {
	o, err := OriginOf(u)
	if err != nil {
		return nil, Credential{}, err
	}
	app, _ := g.client.host(o).match(u.Path)
	key := string(o) + app.Path
	for {
		held, mine := g.hold(key, u)
		if mine {
			g.obtain(ctx, held, u)
			return held, held.cr, held.err
		}
		select {
		case <-held.done:
		case <-ctx.Done():
			return nil, Credential{}, ctx.Err()
		}
		if held.left {
			if err := ctx.Err(); err != nil {
				return nil, Credential{}, err
			}
			continue
		}
		cr := held.cr
		cr.fresh = false // by now it may have been revoked
		return held, cr, held.err
	}
}

// obtain fills a grant. One that its Store or Notify panics on is nobody's.
func (g *grants) obtain(ctx context.Context, held *grant, u *url.URL) {
	held.left = true
	defer close(held.done)
	held.cr, held.err = g.client.Credential(ctx, u, g.policy)
	held.until = g.client.now().Add(g.policy.Keep)
	held.left = held.err != nil && ctx.Err() != nil
}

// hold returns the grant of key that serves u; mine: it is new, and the caller is to
// fill it.
func (g *grants) hold(key string, u *url.URL) (held *grant, mine bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if held = g.byApp[key]; held != nil {
		select {
		case <-held.done:
			now := g.client.now()
			if held.err == nil && !held.left && now.Before(held.until) && held.cr.valid(now, renewAhead) &&
				held.cr.serves(u) && !g.client.wasRejected(held.cr.token) {
				return held, false
			}
		default:
			return held, false
		}
	}
	held = &grant{done: make(chan struct{}), turn: make(chan struct{}, 1)}
	if g.byApp == nil {
		g.byApp = map[string]*grant{}
	}
	g.byApp[key] = held
	return held, true
}

// serves: a credential of kind None covers nothing but is right for its application.
func (cr Credential) serves(u *url.URL) bool { return cr.Kind == None || cr.Covers(u) }

// refused is Client.refused for a grant: what one request finds out about a refused
// session, a thousand others that were refused with it need not.
func (g *grants) refused(ctx context.Context, held *grant, cr Credential, u *url.URL) error {
	select {
	case held.turn <- struct{}{}:
		defer func() { <-held.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if g.client.wasRejected(cr.token) {
		return nil
	}
	// The next request is to ask the Store again, also if the session is alive and
	// belongs to another application than the one at u.
	g.mu.Lock()
	for key, other := range g.byApp {
		if other == held {
			delete(g.byApp, key)
		}
	}
	g.mu.Unlock()
	return g.client.refused(ctx, cr, u)
}
