package access

import (
	"context"
	"crypto/subtle"
	_ "embed"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// The callback is a web server on loopback that a browser reaches once, at the end
// of an authorization. Its rules:
//   - it listens on loopback addresses only, on a port of the system's choice;
//   - it serves one path, to GET, for the Host that was registered: a page that
//     rebinds its name to 127.0.0.1 sends another Host;
//   - an answer without the state of this login is refused and changes nothing,
//     so no web page can end or hijack a login;
//   - nothing is kept in caches or sent as a referrer;
//   - it is gone when the login is over.
type callback struct {
	host     string // "localhost:51234" or "127.0.0.1:51234"
	server   *http.Server
	answers  chan callbackAnswer
	serving  sync.WaitGroup
	mu       sync.Mutex
	state    string
	issuer   *url.URL
	answered bool
}

// callbackAnswer is what the authorization server sent along with the browser.
type callbackAnswer struct {
	code        string // the authorization code, or the error's code
	isError     bool
	description string
}

const callbackPath = "/callback"

// listen opens the callback and finds or makes the registration for it.
func (c *Client) listen(ctx context.Context, app App, m *serverMetadata, resource string) (registration, *callback, error) {
	if c.cfg.ClientID != "" {
		host, port := "localhost", "0"
		if u, err := url.Parse(c.cfg.RedirectURL); err == nil && u.Host != "" {
			host, port = u.Hostname(), u.Port()
		}
		cb, err := newCallback(ctx, host, port)
		if err != nil {
			return registration{}, nil, err
		}
		return registration{Issuer: m.Issuer, ClientID: c.cfg.ClientID, RedirectURI: cb.url()}, cb, nil
	}
	if reg, err := c.loadRegistration(ctx, app, m.Issuer); err == nil {
		// Loopback ports need not match by RFC 8252 §7.3, but whether Access
		// follows it is not documented: use the very port again if it is free.
		if u, err := url.Parse(reg.RedirectURI); err == nil {
			if cb, err := newCallback(ctx, u.Hostname(), u.Port()); err == nil {
				return reg, cb, nil
			}
		}
	}
	var refused error
	for _, host := range []string{"localhost", "127.0.0.1"} {
		cb, err := newCallback(ctx, host, "0")
		if err != nil {
			return registration{}, nil, err
		}
		reg, err := c.register(ctx, app, m, resource, cb.url())
		if err == nil {
			return reg, cb, nil
		}
		cb.close()
		if refused = err; !redirectRefused(err) {
			break
		}
	}
	return registration{}, nil, refused
}

func newCallback(ctx context.Context, host, port string) (*callback, error) {
	var lc net.ListenConfig
	first, err := lc.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, fmt.Errorf("access: listen for the browser's answer: %w", err)
	}
	listeners := []net.Listener{first}
	_, port, _ = net.SplitHostPort(first.Addr().String())
	if host == "localhost" {
		// A browser may take localhost for ::1 first. Where there is no IPv6, it
		// will not.
		if second, err := lc.Listen(ctx, "tcp6", net.JoinHostPort("::1", port)); err == nil {
			listeners = append(listeners, second)
		}
	}
	cb := &callback{host: net.JoinHostPort(host, port), answers: make(chan callbackAnswer, 1)}
	cb.server = &http.Server{Handler: cb, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	for _, l := range listeners {
		cb.serving.Go(func() { _ = cb.server.Serve(l) }) // ends with Shutdown
	}
	return cb, nil
}

func (cb *callback) url() string { return "http://" + cb.host + callbackPath }

// expect names the state that the answer must carry, and the issuer it may name.
func (cb *callback) expect(state string, issuer *url.URL) {
	cb.mu.Lock()
	defer cb.mu.Unlock()
	cb.state, cb.issuer = state, issuer
}

func (cb *callback) wait(ctx context.Context) (callbackAnswer, error) {
	select {
	case a := <-cb.answers:
		return a, nil
	case <-ctx.Done():
		return callbackAnswer{}, ctx.Err()
	}
}

// close ends the server once the page that it is sending is out.
func (cb *callback) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if cb.server.Shutdown(ctx) != nil {
		_ = cb.server.Close()
	}
	cb.serving.Wait()
}

func (cb *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Connection", "close")
	switch {
	case r.Host != cb.host:
		http.Error(w, "wrong host", http.StatusMisdirectedRequest)
		return
	case r.URL.Path != callbackPath:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet:
		h.Set("Allow", http.MethodGet)
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	status, page := cb.take(r.URL.Query())
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = page.write(w) // a browser that has gone has seen enough
}

type page struct{ Title, Text string }

// take decides what an answer is worth.
func (cb *callback) take(q url.Values) (int, page) {
	cb.mu.Lock()
	defer cb.mu.Unlock()
	state := q.Get("state")
	switch {
	case cb.state == "" || subtle.ConstantTimeCompare([]byte(state), []byte(cb.state)) != 1:
		return http.StatusBadRequest, page{"This is not the login that is waiting",
			"The address does not belong to the login that your terminal is waiting for. Open the address shown there again."}
	case q.Has("iss") && !sameIssuer(q.Get("iss"), cb.issuer):
		return http.StatusBadRequest, page{"Another server answered",
			"The answer names another authorization server than the one that was asked. Nothing was accepted."}
	case cb.answered:
		return http.StatusGone, page{"Already done", "This login was answered before. You can close this tab."}
	case q.Get("error") != "":
		cb.answered = true
		cb.answers <- callbackAnswer{code: q.Get("error"), isError: true, description: q.Get("error_description")}
		return http.StatusOK, page{"Not logged in", "The login was refused. Your terminal says more. You can close this tab."}
	case q.Get("code") == "":
		return http.StatusBadRequest, page{"No code", "The answer carries no code. Open the address shown in your terminal again."}
	}
	cb.answered = true
	cb.answers <- callbackAnswer{code: q.Get("code")}
	return http.StatusOK, page{"Logged in", "Your terminal carries on by itself. You can close this tab."}
}

//go:embed callback.html
var callbackHTML string

// write fills the two places of callback.html. html/template would double the
// size of what this package links, for two texts of our own.
func (p page) write(w io.Writer) error {
	_, err := strings.NewReplacer("{{.Title}}", html.EscapeString(p.Title), "{{.Text}}", html.EscapeString(p.Text)).WriteString(w, callbackHTML)
	return err
}
