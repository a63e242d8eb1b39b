// Package webproxy serves a host behind Cloudflare Access on a loopback address or
// a unix socket, for HTTP clients that know nothing of Access: git-lfs, package
// managers, editors, libgit2 and JGit. A [net/http.RoundTripper] that the caller
// gives adds the credential, such as that of access.Client.Transport; this package
// knows nothing of sessions.
//
//	l, err := webproxy.Listen(ctx, "127.0.0.1:0")
//	…
//	p, err := webproxy.New(l, &url.URL{Scheme: "https", Host: "git.example.com"}, transport, nil)
//	…
//	fmt.Println(p.URL()) // http://127.0.0.1:41967/q3k…/
//	err = p.Serve(ctx)
//
// # Who may use it
//
// Whoever may use it may do all that the credential may, so each request must show
// the secret of this run: as the first element of its path, in the header
// Access-Proxy-Token, or in Authorization (the password of Basic, a Bearer token, or
// the secret alone).
//
// Other users of the machine can read a secret on the command line of a client. On
// Linux the kernel tells who has the other end of a connection, and only this user
// and root are served. A unix socket needs no secret, since only its owner can
// connect to it.
//
// The Host header must be a loopback address with the proxy's port, and Origin and
// Sec-Fetch-Site must not speak of another site. So a web page gets no further, also
// one whose name was made to lead to 127.0.0.1 (DNS rebinding).
//
// # What is changed
//
// Bodies stream both ways, and WebSockets pass. What carries the host's own address
// leads back into the proxy: Location, Content-Location, Link, Refresh, challenges
// that name a realm, and the links in JSON and HTML documents, which is how git-lfs
// and npm learn where to go on. Redirects to other hosts are handed on as they are:
// the client follows them by itself and has no credential to take along. Cookies of
// Access stay on this side, those of the host are confined to the proxy.
package webproxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// TokenHeader is the header that may carry the secret in place of the path. It is
// not passed on.
const TokenHeader = "Access-Proxy-Token"

// Options change a [Proxy]. Nil means the defaults.
type Options struct {
	// Refused makes an answer of an error of the RoundTripper: the status and the
	// text that the client gets. Nil, or a status of 0: 502 and no cause.
	Refused func(err error) (status int, text string)
	// Report is told of such an error, but not again of the same one until a
	// request went well: a thousand clients may fail at once. It is called from
	// one goroutine at a time. Nil discards.
	Report func(err error)
	// Grace is how long requests that are under way may go on when Serve is to
	// end; 0 means ten seconds.
	Grace time.Duration
	// KeepBodies leaves the links in JSON and HTML documents as they are.
	KeepBodies bool
}

// A Proxy serves one host. It is safe for concurrent use.
type Proxy struct {
	opt      Options
	listener net.Listener
	target   *url.URL
	unix     bool
	token    string
	hosts    map[string]bool // that the Host header may name
	address  string          // of URL
	reverse  *httputil.ReverseProxy
	busy     sync.WaitGroup // handlers; http.Server does not wait for upgraded connections

	mu       sync.Mutex
	reported string
}

// New returns a Proxy that will serve target at l, which [Listen] made. Target is an
// https or http URL; its path is where [Proxy.URL] leads to, and the whole host is
// served. rt adds the credential and sends the requests. It follows no redirect, as
// no RoundTripper does, and takes 101 answers whose body is an io.ReadWriteCloser.
//
// [Proxy.Serve] closes l. After an error of New it is the caller's to close.
func New(l net.Listener, target *url.URL, rt http.RoundTripper, o *Options) (*Proxy, error) {
	if target == nil || target.Host == "" || target.Scheme != "https" && target.Scheme != "http" {
		return nil, fmt.Errorf("webproxy: %q is no http or https URL", target)
	}
	if rt == nil {
		return nil, errors.New("webproxy: no RoundTripper that adds a credential")
	}
	host := *target
	p := &Proxy{listener: known{l}, target: &host, token: strings.ToLower(rand.Text()), hosts: map[string]bool{}}
	if o != nil {
		p.opt = *o
	}
	if p.opt.Grace == 0 {
		p.opt.Grace = 10 * time.Second
	}
	switch a := l.Addr().(type) {
	case *net.UnixAddr:
		p.unix, p.address = true, "localhost"
	case *net.TCPAddr:
		if !a.IP.IsLoopback() {
			return nil, &NotLoopbackError{a.String()}
		}
		_, port, err := net.SplitHostPort(a.String())
		if err != nil {
			return nil, fmt.Errorf("webproxy: %w", err)
		}
		p.address = a.String()
		for _, h := range []string{"127.0.0.1", "localhost", "::1", a.IP.String()} {
			p.hosts[net.JoinHostPort(h, port)] = true
			if port == "80" {
				p.hosts[strings.TrimSuffix(net.JoinHostPort(h, port), ":80")] = true
			}
		}
	default:
		return nil, fmt.Errorf("webproxy: cannot serve at %s", l.Addr())
	}
	p.reverse = &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      rt,
		ModifyResponse: p.answer,
		ErrorHandler:   p.fail,
		FlushInterval:  -1,
		BufferPool:     buffers{},
		ErrorLog:       log.New(io.Discard, "", 0),
	}
	return p, nil
}

// URL is where a client begins. It has the secret in its path, unless the proxy
// serves a unix socket.
func (p *Proxy) URL() *url.URL {
	u := &url.URL{Scheme: "http", Host: p.address, Path: "/"}
	if !p.unix {
		u.Path += p.token + "/"
	}
	if below := strings.TrimPrefix(p.target.Path, "/"); below != "" {
		u = u.JoinPath(below)
	}
	return u
}

// Root is the URL of the host's root for clients that send the secret in a header.
func (p *Proxy) Root() *url.URL { return &url.URL{Scheme: "http", Host: p.address, Path: "/"} }

// Token is the secret of this run, for [TokenHeader] or Authorization; "" for a unix
// socket.
func (p *Proxy) Token() string {
	if p.unix {
		return ""
	}
	return p.token
}

// Serve answers requests until ctx ends and returns nil then: it accepts no more
// connections, lets requests that are under way go on for Options.Grace, ends what
// is left, WebSockets too, and waits for it. It closes the listener.
func (p *Proxy) Serve(ctx context.Context) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	s := &http.Server{
		Handler:           p,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       5 * time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(p.listener) }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		grace, stop := context.WithTimeout(base, p.opt.Grace)
		_ = s.Shutdown(grace) // what it could not wait for is ended now
		stop()
		err = <-ended
	}
	cut()
	s.Close()
	p.busy.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("webproxy: %w", err)
}

// ServeHTTP answers one request, by all the rules of the package but the one about
// the users of the machine, which [Proxy.Serve] keeps.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.busy.Add(1)
	defer p.busy.Done()
	at, no := p.admit(r)
	if no != nil {
		no.write(w)
		return
	}
	w.Header()["Content-Type"] = nil // the server would guess one where the host has none
	// Without it the server reads the rest of the request before it answers.
	_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/2 needs none
	r, err := withSmallBody(r)
	if err != nil {
		(&refusal{http.StatusBadRequest, "the request's body ended early"}).write(w)
		return
	}
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok && r.Header.Get("Upgrade") != "" {
		// ReverseProxy closes the host's side then. If that one has ended before, it
		// goes on reading from the client's.
		defer context.AfterFunc(r.Context(), func() { c.Close() })()
	}
	p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), placeKey{}, at)))
}

// connKey is where a request has its connection.
type connKey struct{}

// fail answers for a request that the RoundTripper had no answer to.
func (p *Proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client has gone, or we go
	}
	e := &refusal{http.StatusBadGateway, p.target.Host + " could not be reached"}
	if p.opt.Refused != nil {
		if status, text := p.opt.Refused(err); status != 0 {
			e = &refusal{status, text}
		}
	}
	p.report(err)
	e.write(w)
}

func (p *Proxy) report(err error) {
	if p.opt.Report == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if text := err.Error(); text != p.reported {
		p.reported = text
		p.opt.Report(err)
	}
}

// wentWell makes the next error worth a report.
func (p *Proxy) wentWell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reported = ""
}

// buffers are shared by all copies of bodies.
type buffers struct{}

var pool = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

func (buffers) Get() []byte  { return *pool.Get().(*[]byte) }
func (buffers) Put(b []byte) { pool.Put(&b) }
