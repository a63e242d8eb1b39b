package access

import (
	"cmp"
	"context"
	"crypto/subtle"
	_ "embed"
	"errors"
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
//   - nothing is kept in caches or sent as a referrer, and the browser is sent on
//     to an address without the code before it shows or stores one (RFC 9700
//     §4.3.1 has what codes in addresses led to);
//   - the page that it ends at waits for the end of the login, so that it tells
//     how it ended;
//   - it is gone when the login is over.
type callback struct {
	host    string // "localhost:51234" or "127.0.0.1:51234"
	path    string // of the redirect URI: "/callback", "" in "http://localhost:51234"
	app     App
	server  *http.Server
	answers chan callbackAnswer
	serving sync.WaitGroup
	over    chan struct{} // closed at the end of the login; outcome holds then
	shown   chan struct{} // gets one when the outcome was sent

	mu       sync.Mutex
	expected expected
	answered bool
	outcome  page
}

// expected is what an answer must carry.
type expected struct {
	state  string
	issuer *url.URL
	named  bool // the server names itself in each answer (RFC 9207 §3)
}

// callbackAnswer is what the authorization server sent along with the browser.
type callbackAnswer struct {
	code        string // the authorization code, or the error's code
	isError     bool
	description string
}

// A redirect is where a callback is to listen.
type redirect struct{ host, port, path string } // port "0": a free one

// ownRedirect is the one of our own registrations.
func ownRedirect(host string) redirect { return redirect{host, "0", "/callback"} }

// parseRedirect reads a redirect URI. Only what leads to this machine is taken: the
// code that comes there is a secret, and http would show it to a network.
func parseRedirect(raw string) (redirect, error) {
	if raw == "" {
		return ownRedirect("localhost"), nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" || !isLoopback(u.Hostname()) || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return redirect{}, fmt.Errorf("access: %q is no redirect URL of the form http://localhost:PORT/PATH", raw)
	}
	return redirect{u.Hostname(), cmp.Or(u.Port(), "0"), u.EscapedPath()}, nil
}

// listen opens the callback and finds or makes the registration for it.
func (c *Client) listen(ctx context.Context, app App, m *serverMetadata, resource string) (registration, *callback, error) {
	if c.cfg.ClientID != "" {
		cb, err := newCallback(ctx, app, c.back)
		if err != nil {
			return registration{}, nil, err
		}
		return registration{Issuer: m.Issuer, ClientID: c.cfg.ClientID, RedirectURI: cb.url()}, cb, nil
	}
	if reg, err := c.loadRegistration(ctx, app, m.Issuer); err == nil {
		// Loopback ports need not match by RFC 8252 §7.3, but whether Access
		// follows it is not documented: use the very port again if it is free.
		if at, err := parseRedirect(reg.RedirectURI); err == nil {
			if cb, err := newCallback(ctx, app, at); err == nil {
				return reg, cb, nil
			}
		}
	}
	var refused error
	for _, host := range []string{"localhost", "127.0.0.1"} {
		cb, err := newCallback(ctx, app, ownRedirect(host))
		if err != nil {
			return registration{}, nil, err
		}
		reg, err := c.register(ctx, app, m, resource, cb.url())
		if err == nil {
			return reg, cb, nil
		}
		cb.close(err)
		if refused = err; !redirectRefused(err) {
			break
		}
	}
	return registration{}, nil, refused
}

func newCallback(ctx context.Context, app App, at redirect) (*callback, error) {
	listeners, err := listenLoopback(ctx, at.host, at.port)
	for try := 0; err != nil && at.port == "0" && try < 5; try++ {
		listeners, err = listenLoopback(ctx, at.host, at.port) // another port may be free on both
	}
	if err != nil {
		return nil, fmt.Errorf("access: listen for the browser's answer: %w", err)
	}
	_, port, _ := net.SplitHostPort(listeners[0].Addr().String())
	cb := &callback{host: net.JoinHostPort(at.host, port), path: at.path, app: app, answers: make(chan callbackAnswer, 1),
		over: make(chan struct{}), shown: make(chan struct{}, 1)}
	cb.server = &http.Server{Handler: cb, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	for _, l := range listeners {
		cb.serving.Go(func() { _ = cb.server.Serve(l) }) // ends with Shutdown
	}
	return cb, nil
}

// listenLoopback listens on the loopback addresses that a browser may take for host,
// on all of them or on none: what somebody else has of them would get the answer.
func listenLoopback(ctx context.Context, host, port string) ([]net.Listener, error) {
	var lc net.ListenConfig
	if host != "localhost" {
		only, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, port))
		return []net.Listener{only}, err
	}
	first, err := lc.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, err
	}
	_, port, _ = net.SplitHostPort(first.Addr().String())
	// Browsers try ::1 first.
	second, err := lc.Listen(ctx, "tcp6", net.JoinHostPort("::1", port))
	if err == nil {
		return []net.Listener{first, second}, nil
	}
	// Where there is no IPv6, they will not. Systems name that by too many errors.
	other, none := lc.Listen(ctx, "tcp6", net.JoinHostPort("::1", "0"))
	if none != nil {
		return []net.Listener{first}, nil
	}
	other.Close()
	first.Close()
	return nil, err
}

// url is the redirect URI: just as it was registered, which the server compares
// byte by byte (RFC 9700 §2.1). served is the path that a browser asks for there.
func (cb *callback) url() string    { return "http://" + cb.host + cb.path }
func (cb *callback) served() string { return cmp.Or(cb.path, "/") }

// expect lets an answer in.
func (cb *callback) expect(e expected) {
	cb.mu.Lock()
	defer cb.mu.Unlock()
	cb.expected = e
}

func (cb *callback) wait(ctx context.Context) (callbackAnswer, error) {
	select {
	case a := <-cb.answers:
		return a, nil
	case <-ctx.Done():
		return callbackAnswer{}, ctx.Err()
	}
}

const (
	// lastPageTimeout is how long a browser that was sent on may take to ask for
	// the last page, when the login is over.
	lastPageTimeout = 2 * time.Second
	// outcomeTimeout is how long that page waits for the end of the login. A
	// Config.Open that waits for its browser must not wait for itself.
	outcomeTimeout = 10 * time.Second
)

// close ends the server once the browser has the page that tells how the login
// ended.
func (cb *callback) close(err error) {
	ctx, cancel := context.WithTimeout(context.Background(), lastPageTimeout)
	defer cancel()
	cb.mu.Lock()
	cb.outcome = outcome(cb.app, err)
	answered := cb.answered
	cb.mu.Unlock()
	close(cb.over)
	if answered {
		select {
		case <-cb.shown:
		case <-ctx.Done():
		}
	}
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
	case r.URL.EscapedPath() != cb.served():
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet:
		h.Set("Allow", http.MethodGet)
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	q := r.URL.Query()
	status, page := cb.take(q)
	if status == http.StatusSeeOther {
		h.Set("Location", cb.served())
		w.WriteHeader(status)
		return
	}
	last := status == http.StatusOK
	if last {
		select {
		case <-cb.over:
			page = cb.outcome // does not change any more
		case <-time.After(outcomeTimeout):
			page = unknownOutcome
		case <-r.Context().Done():
			return
		}
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = page.write(w) // a browser that has gone has seen enough
	if last {
		select {
		case cb.shown <- struct{}{}:
		default:
		}
	}
}

// take decides what a request is worth: 303 if it brought the answer, 200 if it
// may have the last page, anything else with a page of its own.
func (cb *callback) take(q url.Values) (int, page) {
	cb.mu.Lock()
	defer cb.mu.Unlock()
	if cb.answered && len(q) == 0 {
		return http.StatusOK, page{}
	}
	want := cb.expected
	answer := callbackAnswer{code: q.Get("code")}
	if code := q.Get("error"); code != "" {
		answer = callbackAnswer{code: code, isError: true, description: q.Get("error_description")}
	}
	switch {
	case want.state == "" || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(want.state)) != 1:
		return http.StatusBadRequest, page{"odd", "This is not the login that is waiting",
			"The address does not belong to the login that your terminal is waiting for. Open the address shown there again."}
	case (want.named || q.Has("iss")) && !sameIssuer(q.Get("iss"), want.issuer):
		return http.StatusBadRequest, page{"odd", "Another server answered",
			"The answer does not come from the authorization server that was asked. Nothing was accepted."}
	case cb.answered:
		return http.StatusGone, page{"odd", "Already done", "This login was answered before. You can close this tab."}
	case answer.code == "":
		return http.StatusBadRequest, page{"odd", "No code", "The answer carries no code. Open the address shown in your terminal again."}
	}
	cb.answered = true
	cb.answers <- answer
	return http.StatusSeeOther, page{}
}

// paste takes an answer from a person who copied it out of the browser's address
// bar. What holds for an answer that comes by itself holds for it.
func (cb *callback) paste(address string) error {
	u, err := url.Parse(strings.TrimSpace(address))
	switch {
	case err != nil || u.Scheme != "http" || u.Host != cb.host || cmp.Or(u.EscapedPath(), "/") != cb.served():
		return fmt.Errorf("that is not the address of the last page, which begins with %s?", cb.url())
	case u.RawQuery == "":
		return errors.New("the address lacks what stands after the question mark")
	}
	status, page := cb.take(u.Query())
	if status != http.StatusSeeOther && status != http.StatusGone { // gone: the browser was first
		return errors.New(lowerTitle(page.Title))
	}
	select {
	case cb.shown <- struct{}{}: // no browser will ask for the last page
	default:
	}
	return nil
}

func lowerTitle(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// page is what the browser shows. Kind is good, bad or odd.
type page struct{ Kind, Title, Text string }

var unknownOutcome = page{"odd", "Answer received", "Your terminal has the answer and is still at work on it. You can close this tab."}

func outcome(app App, err error) page {
	host := app.Origin.Host()
	var refused *RefusedError
	switch {
	case err == nil:
		return page{"good", "Logged in", "You are logged in to " + host + ". Your terminal carries on by itself; you can close this tab."}
	case errors.As(err, &refused):
		return page{"bad", "Not logged in", "The login to " + host + " was refused. Your terminal says more; you can close this tab."}
	}
	return page{"bad", "Not logged in", "The login to " + host + " failed. Your terminal says why; you can close this tab."}
}

//go:embed callback.html
var callbackHTML string

// write fills the places of callback.html. html/template would double the size of
// what this package links, for three texts of our own.
func (p page) write(w io.Writer) error {
	_, err := strings.NewReplacer("{{.Kind}}", html.EscapeString(p.Kind), "{{.Title}}", html.EscapeString(p.Title),
		"{{.Text}}", html.EscapeString(p.Text)).WriteString(w, callbackHTML)
	return err
}
