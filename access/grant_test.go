package access_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

// all sends n requests at once and returns the errors.
func all(web *http.Client, n int, url func(i int) string) (errs []error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			resp, err := web.Get(url(i))
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					err = fmt.Errorf("status %s", resp.Status)
				}
			}
			if err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errs
}

func page1(i int) string { return fmt.Sprintf("https://git.example.com/%d", i) }

// A Transport that may keep a credential asks the Store once for many requests, and again when its time is over.
func TestTransportKeepsACredential(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	if _, err := b.get(b.client(nil), ask, page); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	now := time.Now()
	c := b.client(func(cfg *access.Config) {
		cfg.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	web := &http.Client{Transport: c.Transport(nil, access.Policy{Keep: time.Minute})}
	if errs := all(web, 1, page1); errs != nil {
		t.Fatal(errs)
	}
	before := b.store.gets
	if errs := all(web, 20, page1); errs != nil || b.store.gets != before {
		t.Errorf("20 requests cost %d reads of the store, %v", b.store.gets-before, errs)
	}
	mu.Lock()
	now = now.Add(2 * time.Minute)
	mu.Unlock()
	if errs := all(web, 20, page1); errs != nil || b.store.gets != before+1 {
		t.Errorf("after its time 20 requests cost %d reads of the store, %v", b.store.gets-before, errs)
	}
}

// A session that ends while many requests use it is renewed once, and looked into once.
func TestTransportRenewsOnceForAll(t *testing.T) {
	b := newBed(t)
	app := b.app(accesstest.App{Allow: true})
	if _, err := b.get(b.client(nil), ask, page); err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Transport: b.client(nil).Transport(nil, access.Policy{Keep: time.Hour})}
	if errs := all(web, 1, page1); errs != nil {
		t.Fatal(errs)
	}
	for range 3 { // a credential that was new an hour ago is not called a fresh one that is refused
		app.Revoke()
		b.edge.ClearLog()
		if errs := all(web, 50, page1); errs != nil {
			t.Fatal(errs)
		}
		if n := len(b.edge.Requests(accesstest.ToPath("/cdn-cgi/access/authorized"))); n != 1 {
			t.Errorf("%d renewals", n)
		}
		if n := len(b.edge.Requests(func(r accesstest.Request) bool { return r.Method == http.MethodHead })); n > 10 {
			t.Errorf("%d requests of our own", n)
		}
	}
	if n := b.logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
	// One that cannot be renewed: all are told, and nobody is asked.
	b.team.RevokeUser("ada@example.com")
	app.Revoke()
	errs := all(web, 50, page1)
	for _, err := range errs {
		var required *access.LoginRequiredError
		if !errors.As(err, &required) {
			t.Errorf("got %v", err)
		}
	}
	if len(errs) != 50 {
		t.Errorf("%d of 50 requests failed", len(errs))
	}
	// A login elsewhere is noticed at once.
	if _, err := b.get(b.client(nil), ask, page); err != nil {
		t.Fatal(err)
	}
	if errs := all(web, 50, page1); errs != nil {
		t.Error(errs)
	}
}

// What is kept for one application goes to no other one of the host, and a request that goes away takes the credential from nobody.
func TestTransportKeepsEachApplicationsOwn(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, PathCookie: true})
	b.app(accesstest.App{Path: "/team", Allow: true, PathCookie: true})
	for _, u := range []string{page, "https://git.example.com/team/x"} {
		if _, err := b.get(b.client(nil), ask, u); err != nil {
			t.Fatal(err)
		}
	}
	c := b.client(nil)
	tr := c.Transport(nil, access.Policy{Keep: time.Hour})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(gone, "GET", page, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := tr.RoundTrip(req); err == nil {
		resp.Body.Close()
	}
	b.edge.ClearLog()
	if errs := all(&http.Client{Transport: tr}, 20, func(i int) string {
		return "https://git.example.com" + []string{"/", "/team/"}[i%2] + fmt.Sprint(i)
	}); errs != nil {
		t.Fatal(errs)
	}
	for _, r := range b.edge.Requests() {
		for _, cr := range r.Credentials {
			if !cr.Accepted && strings.HasPrefix(r.Path, "/") {
				t.Errorf("%s %s: %s", r.Method, r.Path, cr.Why)
			}
		}
	}
}

// A session of a login that this very Transport made is renewed as any other when it ends later.
func TestTransportKeepsNothingFresh(t *testing.T) {
	b := newBed(t)
	app := b.app(accesstest.App{Allow: true})
	p := ask
	p.Keep = time.Hour
	web := &http.Client{Transport: b.client(nil).Transport(nil, p)}
	if errs := all(web, 1, page1); errs != nil {
		t.Fatal(errs)
	}
	app.Revoke()
	if errs := all(web, 1, page1); errs != nil {
		t.Fatal(errs)
	}
}

// A network in which all gets lost costs each of many requests one time limit, and not
// one after the other those of all.
func TestTransportFailsOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := access.New(&access.Config{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		errs := all(&http.Client{Transport: c.Transport(nil, access.Policy{Keep: time.Minute})}, 20, page1)
		if took := time.Since(began); len(errs) != 20 || took > time.Minute {
			t.Errorf("%d of 20 requests failed, after %s", len(errs), took)
		}
		// A request that goes away by itself is no failure of the others.
		began = time.Now()
		tr := c.Transport(nil, access.Policy{Keep: time.Minute})
		var wg sync.WaitGroup
		for limit := range 3 {
			wg.Go(func() {
				time.Sleep(time.Duration(limit)) // the shortest begins
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(limit+1)*5*time.Second)
				defer cancel()
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
				_, err := tr.RoundTrip(req)
				if err == nil || time.Since(began).Round(time.Second) != time.Duration(limit+1)*5*time.Second {
					t.Errorf("%d: %v after %s", limit, err, time.Since(began))
				}
			})
		}
		wg.Wait()
	})
}
