package webproxy

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// A request may name a URL without slashes, which net/http would send on as it is: to the host, but in the words of another one.
func TestRequestsNameNoOtherHost(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan *http.Request, 1)
	p, err := New(l, &url.URL{Scheme: "https", Host: "git.example.com"}, capturing(sent), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = l.Addr().String()
	if r.URL, err = url.ParseRequestURI("x:http://evil.example/"); err != nil {
		t.Fatal(err)
	}
	r.Header.Set(TokenHeader, p.Token())
	p.ServeHTTP(httptest.NewRecorder(), r)
	if got := <-sent; got.URL.Host != "git.example.com" || got.URL.RequestURI() != "/" {
		t.Errorf("%q of %q", got.URL.RequestURI(), got.URL.Host)
	}
}

type capturing chan *http.Request

func (c capturing) RoundTrip(r *http.Request) (*http.Response, error) {
	c <- r
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// A host that answers TRACE would show the credential to the client.
func TestNoMethodShowsTheRequest(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sent := make(chan *http.Request, 2)
	p, err := New(l, &url.URL{Scheme: "https", Host: "git.example.com"}, capturing(sent), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"TRACE", "CONNECT"} {
		r := httptest.NewRequest(method, p.URL().Path, nil)
		r.Host = l.Addr().String()
		r.Header.Set(TokenHeader, p.Token())
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Code != http.StatusMethodNotAllowed || len(sent) > 0 {
			t.Errorf("%s: %d, %d sent on", method, w.Code, len(sent))
		}
	}
}
