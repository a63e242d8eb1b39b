// Package accesstest is an Access edge in one process: an [http.Handler] that
// behaves like the service to a client that has to pass it, for tests and for
// trying things out. It is no security product: it lets everyone log in under
// any name.
//
// It serves the applications, the team domains and the transfer host, all by
// name. [Edge.Start] puts it on loopback behind TLS with a certificate
// authority of its own, together with an HTTP proxy that takes every name to
// the edge, so that git, Go programs and browsers reach "git.example.com"
// through HTTPS_PROXY without root and without a hosts file:
//
//	e := accesstest.New(nil)
//	defer e.Close()
//	app := e.AddApp(accesstest.App{Host: "git.example.com", Allow: true, Origin: origin})
//	srv, err := e.Start()
//	...
//	cmd.Env = append(os.Environ(), srv.Env(dir)...)
//	go e.Person("ada@example.com").Approve(ctx, loginURL)
//
// It imports nothing of this module and states the wire anew (wire.go, with a
// source for each constant), so that a mistake in the client cannot cancel
// itself out. Everything about an [App], a [Team] and the edge can be changed
// while it runs, through their Set methods; all methods are safe for
// concurrent use.
package accesstest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options configure a new [Edge]. The zero value, and nil, give defaults.
type Options struct {
	// Now is the edge's clock, before Switches.Skew. nil means time.Now.
	Now func() time.Time
	// PollTimeout is how long one poll of the transfer host is held before
	// it is answered 404. Zero means 50 s: the public client gives up on a
	// poll after 60 s.
	PollTimeout time.Duration
	// KeepBody is how many bytes of each request body the log keeps for
	// [Edge.Leaks]. Zero means 64 KiB, less than zero none.
	KeepBody int
	// KeepRequests is how many requests and connections the log keeps, the
	// newest. Zero means all.
	KeepRequests int
	// Done, if set, is called with each request once its answer is complete,
	// or its relay over.
	Done func(Request)
}

// Switches are the odd behaviours of the edge as a whole.
// Those of one application are fields of [App], those of a team of [TeamSettings].
type Switches struct {
	// Skew moves the edge's clock against everybody else's.
	Skew time.Duration
	// Delay holds each request (also of team and transfer host) before the
	// edge looks at it.
	Delay time.Duration
	// ProxyLogin is the user:password that the proxy of [Server] wants.
	ProxyLogin string
	// ProxyLoopback lets the proxy connect to loopback addresses. Otherwise
	// it leads to the edge alone.
	ProxyLoopback bool
	// ProxyPorts are ports beside 443 at which every name is the edge.
	ProxyPorts []int
	// Transfer, if set, sees each blob before the transfer host hands it
	// out and returns what to send instead: the body and the service key.
	Transfer func(clientKey string, body []byte, serviceKey string) ([]byte, string)
}

func (s *Switches) ports(port string) bool {
	n, err := strconv.Atoi(port)
	return err == nil && slices.Contains(s.ProxyPorts, n)
}

// An Edge is the emulated service. Use [New].
type Edge struct {
	opt Options
	log recorder

	mu       sync.Mutex
	sw       Switches
	teams    []*Team
	apps     []*Application
	plain    map[string]http.Handler
	failures map[string][]*failure
	nonces   map[string]*grant     // one-time values of the authorized redirect
	forms    map[string]*pending   // pages that wait for a click
	blobs    map[string]*blob      // transfer host, by client public key
	relays   map[*Relay]struct{}   // open WebSocket relays
	issued   map[[32]byte]issuance // every token handed out, by digest
	seq      int64                 // of issued
	keys     []*rsa.PrivateKey     // every one in use
	forger   *signingKey           // no team's
	servers  map[*Server]struct{}
	ca       *authority
	tls      map[string]TLSFault

	work sync.WaitGroup // relays and whatever else outlives its request
	done chan struct{}  // closed by Close
	once sync.Once
}

// New returns an edge that serves no application yet. A nil o means defaults.
func New(o *Options) *Edge {
	e := &Edge{
		plain:    map[string]http.Handler{},
		failures: map[string][]*failure{},
		nonces:   map[string]*grant{},
		forms:    map[string]*pending{},
		blobs:    map[string]*blob{},
		relays:   map[*Relay]struct{}{},
		issued:   map[[32]byte]issuance{},
		servers:  map[*Server]struct{}{},
		tls:      map[string]TLSFault{},
		done:     make(chan struct{}),
	}
	if o != nil {
		e.opt = *o
	}
	if e.opt.Now == nil {
		e.opt.Now = time.Now
	}
	if e.opt.PollTimeout == 0 {
		e.opt.PollTimeout = 50 * time.Second
	}
	if e.opt.KeepBody == 0 {
		e.opt.KeepBody = 64 << 10
	}
	e.log.init()
	return e
}

// Close ends every server, poll and relay of the edge and waits for them.
func (e *Edge) Close() error {
	e.once.Do(func() { close(e.done) })
	e.mu.Lock()
	var servers []*Server
	for s := range e.servers {
		servers = append(servers, s)
	}
	e.mu.Unlock()
	for _, s := range servers {
		s.Close()
	}
	e.CutRelays()
	e.work.Wait()
	e.spareKeys()
	return nil
}

// Set changes the edge's switches.
func (e *Edge) Set(change func(*Switches)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.sw)
}

func (e *Edge) switches() Switches {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sw
}

// now is the edge's idea of the time.
func (e *Edge) now() time.Time { return e.opt.Now().Add(e.switches().Skew) }

// Handle serves host with h, without Access: the host of a redirect's target,
// of a hostile server, of a download. Its requests are logged like all others.
func (e *Edge) Handle(host string, h http.Handler) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.plain[strings.ToLower(host)] = h
}

// ServeHTTP serves whatever host the request names.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec, w, r := e.record(w, r)
	defer rec.finish()
	host := hostname(r.Host)
	w.Header().Set("Server", "cloudflare")
	w.Header().Set("Cf-Ray", token(8)+"-LHR")
	w.Header().Set("Date", e.now().UTC().Format(http.TimeFormat)) // of its own clock: a client may compare

	sw := e.switches()
	if !e.pause(r, sw.Delay) || e.fail(w, r, host) {
		return
	}
	if host == transferHost || host == transferHostFed {
		e.serveTransfer(w, r)
		return
	}
	if t := e.teamByDomain(host); t != nil {
		t.serve(w, r, rec)
		return
	}
	if a := e.appFor(host, r.URL.Path); a != nil {
		a.serve(w, r, rec)
		return
	}
	e.mu.Lock()
	h := e.plain[host]
	e.mu.Unlock()
	if h == nil {
		http.Error(w, "this edge serves no "+host, http.StatusNotFound)
		return
	}
	h.ServeHTTP(w, r)
}

// pause waits for d and reports whether the request is still wanted.
func (e *Edge) pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
	case <-e.done:
	}
	return false
}

// hostname is the lower-case host of a Host header, without port.
func hostname(hostport string) string {
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		hostport = h
	}
	return strings.ToLower(strings.TrimSuffix(hostport, "."))
}

// token returns n random bytes in hex.
func token(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
