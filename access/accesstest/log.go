package accesstest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is how a credential was presented.
type Kind string

const (
	ServiceHeaders      Kind = "service token"              // CF-Access-Client-Id and -Secret
	ServiceSingleHeader Kind = "service token (one header)" // App.ServiceHeader
	TokenHeader         Kind = "cf-access-token"
	TokenCookie         Kind = "CF_Authorization"
	TokenAssertion      Kind = "Cf-Access-Jwt-Assertion"
	Bearer              Kind = "bearer"
	OrgCookie           Kind = "org token" // CF_Authorization on the team domain
	AuthorizationCode   Kind = "authorization code"
	RefreshToken        Kind = "refresh token"
	CertToken           Kind = "cert_sign"
)

// A Credential is what the log keeps of one: never the secret.
type Credential struct {
	Kind     Kind
	Accepted bool
	Why      string // it was refused
}

// A Request is one that the edge was asked.
type Request struct {
	ID     int64
	Conn   int64  // of the connection it came on; 0 for a [Person] inside the process
	Person string // who asked, for a Person inside the process
	Time   time.Time
	Scheme string // "https", or "http" for one sent to the proxy in clear
	Host   string // without port
	Method string
	Path   string // without query
	Proto  string

	Credentials []Credential
	WebSocket   bool // an upgrade was asked for
	Status      int  // answered; 0 while it was not
	Done        bool // the answer is complete, or the relay over

	header http.Header
	query  string
	body   []byte
}

// String is one line without secrets.
func (r Request) String() string {
	var creds strings.Builder
	for _, c := range r.Credentials {
		state := "accepted"
		if !c.Accepted {
			state = "refused: " + c.Why
		}
		fmt.Fprintf(&creds, " [%s %s]", c.Kind, state)
	}
	return fmt.Sprintf("#%d conn %d %s %s%s → %d%s", r.ID, r.Conn, r.Method, r.Host, r.Path, r.Status, creds.String())
}

// GoString is String, so that no verb of fmt prints what a client sent.
func (r Request) GoString() string { return r.String() }

// Presented reports whether a credential of the kind came along.
func (r Request) Presented(k Kind) bool {
	return slices.ContainsFunc(r.Credentials, func(c Credential) bool { return c.Kind == k })
}

// Header returns a copy of the headers as they came, secrets and all.
func (r Request) Header() http.Header { return r.header.Clone() }

// Query returns the query as it came.
func (r Request) Query() url.Values { q, _ := url.ParseQuery(r.query); return q }

// A Connection is one that a client opened to the edge.
type Connection struct {
	ID     int64
	Time   time.Time
	Target string // host:port that the proxy was asked for; empty for a direct one
	SNI    string // empty before the handshake came that far
	Closed bool

	header http.Header // of the CONNECT
}

// A Leak is a secret at a host that should not have seen it.
type Leak struct {
	Host, Method, Path string
	Where              string // "header Cookie", "query", "body", "path"
}

func (l Leak) String() string { return fmt.Sprintf("%s %s%s: %s", l.Method, l.Host, l.Path, l.Where) }

// recorder keeps what the edge was asked.
type recorder struct {
	mu      sync.Mutex
	reqs    []*Request
	conns   []*Connection
	nextReq int64
	nextCon int64
	changed chan struct{} // closed and replaced at each change
}

func (l *recorder) init() { l.changed = make(chan struct{}) }

// update runs f under the lock and wakes those who wait.
func (l *recorder) update(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

// Requests returns those asked so far that every match admits, oldest first.
func (e *Edge) Requests(match ...func(Request) bool) []Request {
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	var out []Request
	for _, r := range e.log.reqs {
		if c := r.copy(); all(c, match) {
			out = append(out, c)
		}
	}
	return out
}

func (r *Request) copy() Request {
	c := *r
	c.Credentials = slices.Clone(r.Credentials)
	return c
}

func all(r Request, match []func(Request) bool) bool {
	for _, m := range match {
		if !m(r) {
			return false
		}
	}
	return true
}

// ToHost matches requests to the host.
func ToHost(host string) func(Request) bool {
	return func(r Request) bool { return r.Host == host }
}

// ToPath matches requests whose path begins so.
func ToPath(prefix string) func(Request) bool {
	return func(r Request) bool { return strings.HasPrefix(r.Path, prefix) }
}

// ByProgram matches requests that no [Person] inside the process made.
func ByProgram(r Request) bool { return r.Person == "" }

// Await waits until a request that every match admits is there, and returns it.
func (e *Edge) Await(ctx context.Context, match ...func(Request) bool) (Request, error) {
	for {
		e.log.mu.Lock()
		changed := e.log.changed
		e.log.mu.Unlock()
		if found := e.Requests(match...); len(found) > 0 {
			return found[0], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Request{}, ctx.Err()
		}
	}
}

// Connections returns the connections to the host (by SNI or the proxy's
// target; all if empty), oldest first.
func (e *Edge) Connections(host string) []Connection {
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	var out []Connection
	for _, c := range e.log.conns {
		if host == "" || c.SNI == host || hostname(c.Target) == host {
			out = append(out, *c)
		}
	}
	return out
}

// ClearLog forgets what was asked so far.
func (e *Edge) ClearLog() {
	e.log.update(func() { e.log.reqs, e.log.conns = nil, nil })
}

// Leaks looks for a secret in everything that arrived at hosts other than
// those allowed: path, query, headers (Basic logins decoded), and the first
// Options.KeepBody bytes of bodies, plain and percent-decoded. A secret
// shorter than 6 bytes panics: it would be found by chance.
func (e *Edge) Leaks(secret string, allowed ...string) []Leak {
	if len(secret) < 6 {
		panic("accesstest: a secret this short cannot be looked for")
	}
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	var leaks []Leak
	found := func(host, method, path string, header http.Header, query string, body []byte) {
		if slices.Contains(allowed, host) {
			return
		}
		add := func(where string) { leaks = append(leaks, Leak{host, method, path, where}) }
		if holds(path, secret) {
			add("path")
		}
		if holds(query, secret) {
			add("query")
		}
		if holds(string(body), secret) {
			add("body")
		}
		for name, values := range header {
			for _, v := range values {
				if holds(v, secret) {
					add("header " + name)
				}
			}
		}
	}
	for _, r := range e.log.reqs {
		found(r.Host, r.Method, r.Path, r.header, r.query, r.body)
	}
	for _, c := range e.log.conns {
		if c.header != nil {
			// What the proxy is told, it may see for every host.
			found("proxy", http.MethodConnect, c.Target, c.header, "", nil)
		}
	}
	return leaks
}

func holds(s, secret string) bool {
	if strings.Contains(s, secret) {
		return true
	}
	if d, err := url.QueryUnescape(s); err == nil && strings.Contains(d, secret) {
		return true
	}
	for word := range strings.FieldsSeq(s) {
		if b, err := base64.StdEncoding.DecodeString(word); err == nil && bytes.Contains(b, []byte(secret)) {
			return true
		}
	}
	return false
}

// newest cuts a log to its last n entries.
func newest[T any](all []*T, n int) []*T {
	if n <= 0 || len(all) <= n {
		return all
	}
	return slices.Clone(all[len(all)-n:])
}

// entry is a request in the log while it is served.
type entry struct {
	l    *recorder
	req  *Request
	done func(Request)
}

type contextKey int

const (
	connKey   contextKey = iota // *edgeConn
	personKey                   // string
)

// record puts the request into the log and watches its answer.
func (e *Edge) record(w http.ResponseWriter, r *http.Request) (*entry, http.ResponseWriter, *http.Request) {
	req := &Request{
		Time: e.opt.Now(), Scheme: "https", Host: hostname(r.Host), Method: r.Method, Path: r.URL.Path, Proto: r.Proto,
		WebSocket: isWebSocket(r), header: r.Header.Clone(), query: r.URL.RawQuery,
	}
	if c, ok := r.Context().Value(connKey).(*edgeConn); ok {
		req.Conn = c.id
		if r.TLS == nil {
			req.Scheme = "http"
		}
	}
	if p, ok := r.Context().Value(personKey).(string); ok {
		req.Person = p
	}
	rec := &entry{l: &e.log, req: req, done: e.opt.Done}
	e.log.update(func() {
		e.log.nextReq++
		req.ID = e.log.nextReq
		e.log.reqs = newest(append(e.log.reqs, req), e.opt.KeepRequests)
	})
	if r.Body != nil && r.Body != http.NoBody && e.opt.KeepBody > 0 {
		r = r.WithContext(r.Context())
		r.Body = &keptBody{ReadCloser: r.Body, rec: rec, left: e.opt.KeepBody}
	}
	return rec, &watched{ResponseWriter: w, rec: rec}, r
}

func (n *entry) finish() {
	var r Request
	n.l.update(func() {
		n.req.Done = true
		r = n.req.copy()
	})
	if n.done != nil {
		n.done(r)
	}
}

func (n *entry) status(code int) {
	n.l.update(func() {
		if n.req.Status < 200 { // 101 is final too, but nothing follows it
			n.req.Status = code
		}
	})
}

func (n *entry) credential(k Kind, err error) {
	c := Credential{Kind: k, Accepted: err == nil}
	if err != nil {
		c.Why = err.Error()
	}
	n.l.update(func() { n.req.Credentials = append(n.req.Credentials, c) })
}

// oauth notes a code or refresh token; why is empty if it was accepted.
func (n *entry) oauth(k Kind, why string) {
	var err error
	if why != "" {
		err = errors.New(why)
	}
	n.credential(k, err)
}

func (n *entry) judged(v verdict) {
	n.l.update(func() { n.req.Credentials = append(n.req.Credentials, v.creds...) })
}

func (v *verdict) add(k Kind, err error) {
	c := Credential{Kind: k, Accepted: err == nil}
	if err != nil {
		c.Why = err.Error()
	}
	v.creds = append(v.creds, c)
}

// watched notes the status of an answer.
type watched struct {
	http.ResponseWriter
	rec   *entry
	wrote bool
}

func (w *watched) WriteHeader(code int) {
	if !w.wrote {
		w.wrote = code >= 200
		w.rec.status(code)
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *watched) Write(b []byte) (int, error) {
	if !w.wrote {
		w.wrote = true
		w.rec.status(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watched) Flush() { http.NewResponseController(w.ResponseWriter).Flush() }

func (w *watched) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.rec.status(http.StatusSwitchingProtocols)
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// keptBody keeps the beginning of a body for the leak query.
type keptBody struct {
	io.ReadCloser
	rec  *entry
	left int
}

func (b *keptBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if k := min(n, b.left); k > 0 {
		b.left -= k
		b.rec.l.mu.Lock()
		b.rec.req.body = append(b.rec.req.body, p[:k]...)
		b.rec.l.mu.Unlock()
	}
	return n, err
}
