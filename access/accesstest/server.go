package accesstest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A Server is an edge on loopback: TLS for every name, and a proxy that takes
// every name to it.
type Server struct {
	edge  *Edge
	https *http.Server
	proxy *http.Server
	tcp   net.Listener
	front net.Listener
	inner *handover
	socks []net.Listener

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup // listeners, handlers, tunnels
	conns  map[net.Conn]struct{}
}

// Start serves the edge on free ports of 127.0.0.1. [Server.Close] or
// [Edge.Close] ends it.
func (e *Edge) Start() (*Server, error) { return e.Listen("127.0.0.1:0", "127.0.0.1:0") }

// Listen serves TLS at addr and the proxy at proxyAddr. Both must be loopback:
// the edge protects nothing.
func (e *Edge) Listen(addr, proxyAddr string) (*Server, error) {
	for _, a := range []string{addr, proxyAddr} {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			return nil, err
		}
		if ip := net.ParseIP(host); host != "localhost" && !ip.IsLoopback() {
			return nil, errors.New("accesstest: " + a + " is not loopback")
		}
	}
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	front, err := net.Listen("tcp", proxyAddr)
	if err != nil {
		tcp.Close()
		return nil, err
	}
	ca := e.authority()
	s := &Server{edge: e, tcp: tcp, front: front, inner: newHandover(tcp.Addr()), conns: map[net.Conn]struct{}{}}
	quiet := log.New(io.Discard, "", 0)
	certificate := func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		name := hostname(h.ServerName)
		if c, ok := h.Conn.(*edgeConn); ok {
			c.named(name)
		}
		return ca.certificate(name, e.tlsFault(name))
	}
	// Mutual TLS: the service asks for a certificate, and lets the policy judge it.
	mutual := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate, ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2", "http/1.1"}}
	s.https = &http.Server{
		Handler:  s.counted(e),
		ErrorLog: quiet,
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: certificate,
			GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				name := hostname(h.ServerName)
				if e.findApp(func(a *App) bool { return a.named(name) && a.ClientCAs != nil }) == nil {
					return nil, nil
				}
				return mutual, nil
			},
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := c.(*tls.Conn); ok {
				c = t.NetConn()
			}
			return context.WithValue(ctx, connKey, c)
		},
	}
	s.proxy = &http.Server{
		Handler:  s.counted(http.HandlerFunc(s.serveProxy)),
		ErrorLog: quiet,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey, &edgeConn{Conn: c})
		},
	}
	s.serve(func() error { return s.https.ServeTLS(&recording{tcp, e}, "", "") })
	s.serve(func() error { return s.https.ServeTLS(s.inner, "", "") })
	s.serve(func() error { return s.proxy.Serve(front) })
	e.mu.Lock()
	e.servers[s] = struct{}{}
	e.mu.Unlock()
	return s, nil
}

func (e *Edge) authority() *authority {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ca == nil {
		e.ca = newAuthority()
	}
	return e.ca
}

func (s *Server) serve(f func() error) {
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		f()
	}()
}

// counted lets Close wait for handlers.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		s.work.Add(1)
		s.mu.Unlock()
		defer s.work.Done()
		h.ServeHTTP(w, r)
	})
}

// Close ends the server, its connections and relays, and waits for them.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	for _, l := range s.socks {
		l.Close()
	}
	s.mu.Unlock()
	s.inner.Close()
	s.proxy.Close()
	s.https.Close()
	s.edge.CutRelays()
	s.work.Wait()
	s.edge.mu.Lock()
	delete(s.edge.servers, s)
	s.edge.mu.Unlock()
	return nil
}

// Addr is the address of the TLS listener.
func (s *Server) Addr() string { return s.tcp.Addr().String() }

// ProxyURL is the value for HTTPS_PROXY.
func (s *Server) ProxyURL() string { return "http://" + s.front.Addr().String() }

// CAPEM is the certificate of the edge's authority.
func (s *Server) CAPEM() []byte { return s.edge.authority().pem() }

// CAFile writes the certificate of the edge's authority into dir and returns its path.
func (s *Server) CAFile(dir string) (string, error) {
	path := filepath.Join(dir, "access-edge-ca.pem")
	return path, os.WriteFile(path, s.CAPEM(), 0o600)
}

// SPKI is what Chromium's --ignore-certificate-errors-spki-list wants in order
// to trust the edge: the digest of the key that all its certificates share.
func (s *Server) SPKI() string {
	der, err := x509.MarshalPKIXPublicKey(&s.edge.authority().leaf.PublicKey)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Pool trusts the edge's authority alone.
func (s *Server) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(s.edge.authority().cert)
	return p
}

// Transport reaches every name of the edge through its proxy. The caller
// closes its idle connections.
func (s *Server) Transport() *http.Transport {
	u, _ := url.Parse(s.ProxyURL())
	return &http.Transport{Proxy: http.ProxyURL(u), TLSClientConfig: &tls.Config{RootCAs: s.Pool()}, ForceAttemptHTTP2: true}
}

// Env returns the environment that takes programs to the edge: Go, git, curl,
// node. It overrides what the machine presets, and clears CI, which forbids
// logins; dir receives the CA file.
func (s *Server) Env(dir string) ([]string, error) {
	ca, err := s.CAFile(dir)
	if err != nil {
		return nil, err
	}
	// Go reads SSL_CERT_DIR beside SSL_CERT_FILE, and the system's folder where it is empty.
	none := filepath.Join(dir, "no-certificates")
	if err := os.MkdirAll(none, 0o700); err != nil {
		return nil, err
	}
	p := s.ProxyURL()
	return []string{
		"HTTPS_PROXY=" + p, "https_proxy=" + p, "HTTP_PROXY=" + p, "http_proxy=" + p, "ALL_PROXY=", "all_proxy=",
		"NO_PROXY=localhost,127.0.0.1,::1", "no_proxy=localhost,127.0.0.1,::1",
		"SSL_CERT_FILE=" + ca, "SSL_CERT_DIR=" + none, "GIT_SSL_CAINFO=" + ca, "CURL_CA_BUNDLE=" + ca, "NODE_EXTRA_CA_CERTS=" + ca,
		"CI=",
	}, nil
}

// edgeConn is a connection to the edge, as the log knows it.
type edgeConn struct {
	net.Conn
	id   int64
	log  *recorder
	note *Connection

	// For a relay: TLS reads and writes record by record, one system call
	// for 16 KiB, which is most of what a relay costs.
	in      []byte // room for several records; nil until widened
	unread  []byte // of in
	mu      sync.Mutex
	out     []byte
	holding bool
}

// widen lets the connection read several TLS records at once. Only the reader
// may call it.
func (c *edgeConn) widen(n int) { c.in = make([]byte, n) }

func (c *edgeConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		if c.in == nil || len(p) >= len(c.in) {
			return c.Conn.Read(p)
		}
		n, err := c.Conn.Read(c.in)
		c.unread = c.in[:n]
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func (c *edgeConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holding {
		c.out = append(c.out, p...)
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// hold keeps what is written until release sends it at once.
func (c *edgeConn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = true
}

func (c *edgeConn) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = false
	_, err := c.Conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

func (e *Edge) connection(c net.Conn, target string, header http.Header) *edgeConn {
	ec := &edgeConn{Conn: c, log: &e.log}
	e.log.update(func() {
		e.log.nextCon++
		ec.id = e.log.nextCon
		ec.note = &Connection{ID: ec.id, Time: e.opt.Now(), Target: target, header: header}
		e.log.conns = newest(append(e.log.conns, ec.note), e.opt.KeepRequests)
	})
	return ec
}

// NetConn is for those who need the bare connection.
func (c *edgeConn) NetConn() net.Conn { return c.Conn }

func (c *edgeConn) named(sni string) { c.log.update(func() { c.note.SNI = sni }) }

func (c *edgeConn) Close() error {
	if c.log != nil {
		c.log.update(func() { c.note.Closed = true })
	}
	return c.Conn.Close()
}

// recording notes each connection that a listener accepts.
type recording struct {
	net.Listener
	edge *Edge
}

func (l *recording) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.edge.connection(c, "", nil), nil
}

// handover is a listener whose connections come from the proxy: no second hop
// on loopback slows the edge down.
type handover struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandover(addr net.Addr) *handover {
	return &handover{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handover) Close() error   { h.once.Do(func() { close(h.done) }); return nil }
func (h *handover) Addr() net.Addr { return h.addr }

// prefixed is a connection of which some bytes were read already.
type prefixed struct {
	net.Conn
	head []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

func (p *prefixed) NetConn() net.Conn { return p.Conn }

// serveProxy is the proxy: CONNECT to any name at port 443 is the edge itself.
func (s *Server) serveProxy(w http.ResponseWriter, r *http.Request) {
	sw := s.edge.switches()
	if sw.ProxyLogin != "" && !proxyLogin(r, sw.ProxyLogin) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="accesstest"`)
		http.Error(w, "proxy authentication required", http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect {
		if r.URL.Host == "" {
			http.Error(w, "this is a proxy", http.StatusBadRequest)
			return
		}
		s.edge.servePlain(w, r)
		return
	}
	toward, up, err := s.route(r.Host, sw)
	switch {
	case err != nil:
		http.Error(w, "no connection", http.StatusBadGateway)
		return
	case toward == refusedTarget:
		http.Error(w, "this proxy leads to the edge alone", http.StatusForbidden)
		return
	}
	conn, early, err := http.NewResponseController(w).Hijack()
	if err != nil {
		if up != nil {
			up.Close()
		}
		return
	}
	const established = "HTTP/1.1 200 Connection established\r\n\r\n"
	if toward == loopbackTarget {
		io.WriteString(conn, established)
		s.mu.Lock()
		s.conns[conn] = struct{}{}
		s.mu.Unlock()
		s.join(up, conn, unread(conn, early))
		return
	}
	// Noted first: who has the answer may look into the log.
	ec := s.edge.connection(unread(conn, early), r.Host, r.Header.Clone())
	io.WriteString(conn, established)
	s.hand(ec)
}

// Where a proxy's target lies.
type target int

const (
	refusedTarget target = iota
	loopbackTarget
	edgeTarget
)

// route says where the target of a CONNECT lies; for a loopback address up is
// the connection to it.
func (s *Server) route(hostport string, sw Switches) (toward target, up net.Conn, err error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return refusedTarget, nil, err
	}
	loopback := host == "localhost" || net.ParseIP(host).IsLoopback()
	switch {
	case loopback && sw.ProxyLoopback:
		up, err = net.Dial("tcp", hostport)
		return loopbackTarget, up, err
	case loopback, port != "443" && !sw.ports(port):
		return refusedTarget, nil, nil
	}
	return edgeTarget, nil, nil
}

// hand gives a client's connection to the edge.
func (s *Server) hand(ec *edgeConn) {
	select {
	case s.inner.conns <- ec:
	case <-s.inner.done:
		ec.Close()
	}
}

func unread(c net.Conn, b *bufio.ReadWriter) net.Conn {
	head, _ := b.Reader.Peek(b.Reader.Buffered())
	if len(head) == 0 {
		return c
	}
	return &prefixed{c, append([]byte(nil), head...)}
}

func proxyLogin(r *http.Request, want string) bool {
	got, ok := strings.CutPrefix(r.Header.Get("Proxy-Authorization"), "Basic ")
	plain, err := base64.StdEncoding.DecodeString(got)
	return ok && err == nil && string(plain) == want
}

// join passes bytes between up and conn, whose input may have begun already in
// down, until both are done. It closes both.
func (s *Server) join(up, conn, down net.Conn) {
	s.mu.Lock()
	s.conns[up] = struct{}{}
	closed := s.closed
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, up)
		delete(s.conns, conn)
		s.mu.Unlock()
		up.Close()
		conn.Close()
	}()
	if closed {
		return
	}
	ends := make(chan struct{}, 2)
	pass := func(dst, src net.Conn) {
		io.Copy(dst, src)
		if t, ok := dst.(*net.TCPConn); ok {
			t.CloseWrite()
		}
		ends <- struct{}{}
	}
	go pass(up, down)
	go pass(conn, up)
	<-ends
	<-ends
}

// servePlain answers what came in clear over the proxy: with a redirect to
// https, unless the host is a plain one. The log shows it with scheme http.
func (e *Edge) servePlain(w http.ResponseWriter, r *http.Request) {
	r.Host = r.URL.Host
	e.mu.Lock()
	_, plain := e.plain[hostname(r.Host)]
	e.mu.Unlock()
	if plain {
		e.ServeHTTP(w, r)
		return
	}
	rec, w, r := e.record(w, r)
	defer rec.finish()
	http.Redirect(w, r, "https://"+hostname(r.Host)+r.URL.RequestURI(), http.StatusMovedPermanently)
}
