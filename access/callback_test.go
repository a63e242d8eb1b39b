package access

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// testCallback returns a callback without listeners, and a function that asks it as a
// browser does.
func testCallback(t *testing.T) (*callback, func(query string) *httptest.ResponseRecorder) {
	t.Helper()
	cb := &callback{host: "localhost:1", path: "/callback", app: App{Origin: "https://git.example.com"}, server: &http.Server{},
		answers: make(chan callbackAnswer, 1), over: make(chan struct{}), shown: make(chan struct{}, 1)}
	cb.expect(expected{"the-state", &url.URL{Scheme: "https", Host: "team.cloudflareaccess.com"}, false})
	return cb, func(query string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(http.MethodGet, "http://localhost:1/callback"+query, nil)
		w := httptest.NewRecorder()
		cb.ServeHTTP(w, req)
		return w
	}
}

// The last page waits for the end of the login and tells it; and the end of the
// login waits for a browser that has yet to ask for that page.
func TestLastPage(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"done":    {nil, "You are logged in to git.example.com"},
		"refused": {&RefusedError{Cause: Denied}, "was refused"},
		"failed":  {errors.New("<b>secret</b>"), "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cb, ask := testCallback(t)
				w := ask("?state=the-state&code=c0de")
				if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/callback" || strings.Contains(w.Body.String(), "c0de") {
					t.Fatalf("%d to %q\n%s", w.Code, w.Header().Get("Location"), w.Body)
				}
				if a, err := cb.wait(t.Context()); err != nil || a.code != "c0de" || a.isError {
					t.Errorf("%+v, %v", a, err)
				}
				page := make(chan *httptest.ResponseRecorder)
				go func() { page <- ask("") }()
				synctest.Wait()
				select {
				case w := <-page:
					t.Fatalf("a page before the end:\n%s", w.Body)
				default:
				}
				began := time.Now()
				go cb.close(tt.err)
				w = <-page
				if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), tt.want) || strings.Contains(w.Body.String(), "secret") {
					t.Errorf("%d\n%s", w.Code, w.Body)
				}
				if d := time.Since(began); d != 0 {
					t.Errorf("after %s", d)
				}
				synctest.Wait()
			})
		})
	}
}

func TestLastPageNobodyAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cb, ask := testCallback(t)
		began := time.Now()
		ask("?state=the-state&code=c0de")
		cb.close(nil)
		if d := time.Since(began); d != lastPageTimeout {
			t.Errorf("waited %s", d)
		}
		// No answer, no page to wait for.
		cb, _ = testCallback(t)
		began = time.Now()
		cb.close(context.DeadlineExceeded)
		if d := time.Since(began); d != 0 {
			t.Errorf("waited %s", d)
		}
	})
}

// A Config.Open that waits for its browser (a text browser in the foreground) and a
// page that waits for the login must not wait for one another for ever.
func TestLastPageDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cb, ask := testCallback(t)
		began := time.Now()
		ask("?state=the-state&code=c0de")
		if w := ask(""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Answer received") || time.Since(began) != outcomeTimeout {
			t.Errorf("%d after %s\n%s", w.Code, time.Since(began), w.Body)
		}
		cb.close(nil)
	})
}

// Before there is an answer, and with anything but the answer, there is no last page.
func TestNoLastPageWithoutAnAnswer(t *testing.T) {
	cb, ask := testCallback(t)
	for _, query := range []string{"", "?code=c0de", "?state=other&code=c0de", "?state=the-state", "?state=the-state&code=c0de&iss=https://evil.example.net"} {
		if w := ask(query); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
	if cb.answered {
		t.Error("something was taken for the answer")
	}
	ask("?state=the-state&error=access_denied&error_description=no")
	if a, err := cb.wait(t.Context()); err != nil || !a.isError || a.code != "access_denied" {
		t.Errorf("%+v, %v", a, err)
	}
	for query, want := range map[string]int{"?state=the-state&code=c0de": http.StatusGone, "?code=c0de": http.StatusBadRequest, "?x": http.StatusBadRequest} {
		if w := ask(query); w.Code != want {
			t.Errorf("after the answer, %s: %d, want %d", query, w.Code, want)
		}
	}
}
