package sshproxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/sshproxy"
	"github.com/google/go-cmp/cmp"
)

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestDialRequest(t *testing.T) {
	var got *http.Request
	stop := errors.New("seen")
	rt := roundTripper(func(r *http.Request) (*http.Response, error) { got = r; return nil, stop })
	u := mustURL(t, "wss://user:secret@ssh.example.com:8443/a?b=c#d")
	header := http.Header{"X-Extra": {"1"}, "Upgrade": {"h2c"}, "Sec-Websocket-Key": {"mine"}, "Sec-Websocket-Protocol": {"x"}, "Sec-Websocket-Extensions": {"permessage-deflate"}}
	before := header.Clone()
	_, err := sshproxy.Dial(t.Context(), u, &sshproxy.DialOptions{Transport: rt, Header: header, Destination: "db.internal:5432"})
	if !errors.Is(err, stop) || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
	if got.URL.String() != "https://ssh.example.com:8443/a?b=c" || got.Method != "GET" {
		t.Errorf("%s %s", got.Method, got.URL)
	}
	key := got.Header.Get("Sec-WebSocket-Key")
	if len(key) != 24 {
		t.Errorf("key %q", key)
	}
	got.Header.Del("Sec-WebSocket-Key")
	want := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Version": {"13"}, "X-Extra": {"1"},
		"Cf-Access-Jump-Destination": {"db.internal:5432"}, "User-Agent": {"gitaccess-sshproxy"}}
	if diff := cmp.Diff(want, got.Header); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, header); diff != "" {
		t.Errorf("the caller's header was changed: %s", diff)
	}
	if u.String() != "wss://user:secret@ssh.example.com:8443/a?b=c#d" {
		t.Errorf("the caller's URL was changed: %s", u)
	}
	sshproxy.Dial(t.Context(), u, &sshproxy.DialOptions{Transport: rt, Header: http.Header{"User-Agent": {"mine/1"}}})
	if ua := got.Header.Get("User-Agent"); ua != "mine/1" || got.Header.Get("Cf-Access-Jump-Destination") != "" || got.Header.Get("Sec-WebSocket-Key") == key {
		t.Errorf("second request: %v", got.Header)
	}
}

// A query may be a secret, as in URLs that are capabilities: no error repeats it.
func TestDialErrorsShowNoSecret(t *testing.T) {
	rt := roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusForbidden, Body: http.NoBody, Request: r}, nil
	})
	for _, raw := range []string{"https://ada:secret@h/path?t=secret#secret", "http://ada:secret@h/path?t=secret", "ftp://ada:secret@h/path?t=secret"} {
		_, err := sshproxy.Dial(t.Context(), mustURL(t, raw), &sshproxy.DialOptions{Transport: rt})
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "//h/path") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestDialRefusesBeforeAnyRequest(t *testing.T) {
	rt := roundTripper(func(r *http.Request) (*http.Response, error) { t.Errorf("request to %s", r.URL); return nil, io.EOF })
	for _, tt := range []struct{ url, destination string }{
		{"http://ssh.example.com/", ""}, {"ws://10.0.0.1/", ""}, {"http://localhost.example.com/", ""}, {"ftp://ssh.example.com/", ""}, {"ssh.example.com", ""}, {"https:///x", ""},
		{"https://h/", "db"}, {"https://h/", ":22"}, {"https://h/", "db:"}, {"https://h/", "db:22\r\nX: y"}, {"https://h/", "tcp://db:22"}, {"https://h/", "a b:22"},
	} {
		if _, err := sshproxy.Dial(t.Context(), mustURL(t, tt.url), &sshproxy.DialOptions{Transport: rt, Destination: tt.destination}); err == nil {
			t.Errorf("%q to %q: no error", tt.url, tt.destination)
		}
	}
	seen := 0
	count := roundTripper(func(r *http.Request) (*http.Response, error) { seen++; return nil, io.EOF })
	for _, u := range []string{"http://127.0.0.1/", "ws://[::1]:80/", "http://LOCALHOST/", "http://[::ffff:127.0.0.1]/", "HTTPS://h/"} {
		sshproxy.Dial(t.Context(), mustURL(t, u), &sshproxy.DialOptions{Transport: count})
	}
	if seen != 5 {
		t.Errorf("%d requests of 5", seen)
	}
}

type refusal struct{ cause string }

func (r *refusal) Error() string { return "refused: " + r.cause }

func TestDialKeepsTheTransportsError(t *testing.T) {
	rt := roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("policy: %w", &refusal{"wrong token"})
	})
	_, err := sshproxy.Dial(t.Context(), mustURL(t, "https://h/"), &sshproxy.DialOptions{Transport: rt})
	var r *refusal
	if !errors.As(err, &r) || r.cause != "wrong token" {
		t.Errorf("error %v", err)
	}
}

// Whatever is not a WebSocket is told as it came, and a redirect is not followed:
// whoever is named there gets neither request nor credential.
func TestDialHandshakeErrors(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	long := strings.Repeat("x", 5000)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Seen", r.URL.Path)
		switch r.URL.Path {
		case "/302":
			w.Header().Set("Location", other.URL)
			w.Header().Set("Www-Authenticate", "Cloudflare-Access resource_metadata=x")
			w.WriteHeader(302)
		case "/401":
			w.Header().Set("Www-Authenticate", "Bearer x")
			w.WriteHeader(401)
		case "/403":
			w.WriteHeader(403)
			io.WriteString(w, long)
		case "/530":
			w.WriteHeader(530)
			io.WriteString(w, "error code: 1033")
		case "/200":
			io.WriteString(w, "<html>")
		}
	}))
	defer srv.Close()
	srv.Config.ErrorLog = discardLog
	tr := srv.Client().Transport.(*http.Transport)
	defer tr.CloseIdleConnections()
	for _, tt := range []struct {
		path   string
		status int
		header string
		body   string
		text   string
	}{
		{"/302", 302, "Location=" + other.URL, "", " answered 302 Found instead of a WebSocket"},
		{"/401", 401, "Www-Authenticate=Bearer x", "", " answered 401 Unauthorized instead of a WebSocket"},
		{"/403", 403, "", long[:1024], " answered 403 Forbidden instead of a WebSocket"},
		{"/530", 530, "", "error code: 1033", " answered 530 instead of a WebSocket"},
		{"/200", 200, "X-Seen=/200", "<html>", " answered 200 OK instead of a WebSocket"},
	} {
		u := mustURL(t, srv.URL+tt.path)
		_, err := sshproxy.Dial(t.Context(), u, &sshproxy.DialOptions{Transport: tr})
		var e *sshproxy.HandshakeError
		if !errors.As(err, &e) {
			t.Errorf("%s: error %v", tt.path, err)
			continue
		}
		if e.StatusCode != tt.status || string(e.Body) != tt.body || e.URL != u.String() || err.Error() != "sshproxy: "+u.String()+tt.text {
			t.Errorf("%s: %d, body %q, URL %s, %v", tt.path, e.StatusCode, e.Body, e.URL, err)
		}
		if k, v, ok := strings.Cut(tt.header, "="); ok && e.Header.Get(k) != v {
			t.Errorf("%s: header %v", tt.path, e.Header)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests were sent to the target of a redirect", n)
	}
}

// Each 101 that is not the answer to our request is refused, and the connection closed.
func TestDialBadUpgrades(t *testing.T) {
	good := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n"
	for _, tt := range []struct{ name, answer, reason string }{
		{"good", good, ""},
		{"lists and case", strings.NewReplacer("Connection: Upgrade", "Connection: keep-alive, uPgrade", "websocket", "WebSocket").Replace(good), ""},
		{"no upgrade", strings.Replace(good, "Upgrade: websocket\r\n", "", 1), "no Upgrade: websocket"},
		{"another protocol", strings.Replace(good, "websocket", "h2c", 1), "no Upgrade: websocket"},
		{"no connection", strings.Replace(good, "Connection: Upgrade\r\n", "", 1), "no Connection: Upgrade"},
		{"no proof", strings.Replace(good, "ACCEPT", "", 1), "Sec-WebSocket-Accept does not belong to our key"},
		{"a proof for another key", strings.Replace(good, "ACCEPT", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 1), "Sec-WebSocket-Accept does not belong to our key"},
		{"an extension", good + "Sec-WebSocket-Extensions: permessage-deflate\r\n", "an extension that was not asked for"},
		{"a subprotocol", good + "Sec-WebSocket-Protocol: chat\r\n", "a subprotocol that was not asked for"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, server := net.Pipe()
			defer server.Close()
			rt := roundTripper(func(req *http.Request) (*http.Response, error) {
				text := strings.Replace(tt.answer, "ACCEPT", strings.TrimSpace(strings.SplitAfter(strings.SplitAfter(upgradeAnswer(req.Header.Get("Sec-WebSocket-Key")), "Accept: ")[1], "\r\n")[0]), 1)
				resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text+"\r\n")), req)
				if err == nil {
					resp.Body = client
				}
				return resp, err
			})
			c, err := sshproxy.Dial(t.Context(), mustURL(t, "https://h/"), &sshproxy.DialOptions{Transport: rt})
			if tt.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				server.Close()
				c.Close()
				return
			}
			var e *sshproxy.HandshakeError
			if !errors.As(err, &e) || e.StatusCode != 101 || e.Reason != tt.reason {
				t.Errorf("error %v", err)
			}
			if _, err := client.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
				t.Error("the connection was left open")
			}
		})
	}
	t.Run("no stream", func(t *testing.T) {
		rt := roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := answering(nil).RoundTrip(req)
			resp.Body = io.NopCloser(strings.NewReader(""))
			return resp, err
		})
		var e *sshproxy.HandshakeError
		if _, err := sshproxy.Dial(t.Context(), mustURL(t, "https://h/"), &sshproxy.DialOptions{Transport: rt}); !errors.As(err, &e) || e.Reason == "" {
			t.Errorf("error %v", err)
		}
	})
}

// No answer, however broken, becomes a WebSocket unless it carries the proof that
// belongs to our key, and none makes Dial panic or keep more than a KiB.
func FuzzUpgradeAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\n\r\n\x82\x02hi"))
	f.Add([]byte("HTTP/1.1 101 \r\nupgrade: WEBSOCKET, x\r\nconnection:upgrade\r\nsec-websocket-accept:KEY\r\nSec-WebSocket-Protocol: a\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("HTTP/1.0 200 OK\r\n\r\n" + strings.Repeat("y", 3000)))
	f.Fuzz(func(t *testing.T, answer []byte) {
		proof := ""
		rt := roundTripper(func(req *http.Request) (*http.Response, error) {
			_, proof, _ = strings.Cut(strings.TrimSpace(upgradeAnswer(req.Header.Get("Sec-WebSocket-Key"))), "Accept: ")
			r := bufio.NewReader(bytes.NewReader(bytes.ReplaceAll(answer, []byte("KEY"), []byte(proof))))
			resp, err := http.ReadResponse(r, req)
			if err == nil && resp.StatusCode == 101 {
				resp.Body = struct {
					io.Reader
					io.Writer
					io.Closer
				}{r, io.Discard, io.NopCloser(nil)}
			}
			return resp, err
		})
		c, err := sshproxy.Dial(context.Background(), &url.URL{Scheme: "https", Host: "h"}, &sshproxy.DialOptions{Transport: rt, PingInterval: -1})
		var e *sshproxy.HandshakeError
		switch {
		case err == nil:
			if !bytes.Contains(answer, []byte("KEY")) && !bytes.Contains(answer, []byte(proof)) {
				t.Errorf("accepted without proof: %q", answer)
			}
			io.Copy(io.Discard, c)
			c.Close()
		case errors.As(err, &e) && len(e.Body) > 1024:
			t.Errorf("body of %d bytes", len(e.Body))
		}
	})
}

func TestDialContextEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close() // says nothing
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = sshproxy.Dial(ctx, mustURL(t, "https://"+l.Addr().String()), nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// The context of Dial bounds the handshake only.
func TestConnOutlivesDialContext(t *testing.T) {
	for _, bulk := range []bool{true, false} {
		s := newServer(t, echo)
		ctx, cancel := context.WithCancel(t.Context())
		c, err := sshproxy.Dial(ctx, s.URL, &sshproxy.DialOptions{Transport: s.transport(bulk)})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		roundTrip(t, c, []byte("still there"))
		c.Close()
	}
}

// echo answers each frame's payload in a frame of its own.
func echo(p *peer) {
	for {
		f, err := readClientFrame(p.r)
		if err != nil {
			return
		}
		if f.Op == opBinary {
			_, err = p.Write(fin(opBinary, f.Payload))
		} else if f.Op == opClose {
			p.Write(fin(opClose, f.Payload))
			return
		}
		if err != nil {
			return
		}
	}
}

func roundTrip(t testing.TB, c net.Conn, p []byte) {
	t.Helper()
	if _, err := c.Write(p); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(p))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, p) {
		t.Fatalf("echo of %d bytes: %v", len(p), err)
	}
}

// A server that offers HTTP/2 is asked by HTTP/1.1.
func TestDialHTTP2Server(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("%s: %v", r.Proto, err)
			return
		}
		defer c.Close()
		io.WriteString(c, upgradeAnswer(r.Header.Get("Sec-WebSocket-Key")))
		echo(&peer{Conn: c, r: rw.Reader})
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	tr := sshproxy.NewTransport(srv.Client().Transport.(*http.Transport))
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Head(srv.URL)
	if err != nil || resp.ProtoMajor != 2 {
		t.Fatalf("no HTTP/2 connection lies ready: %v", err)
	}
	c, err := sshproxy.Dial(t.Context(), mustURL(t, srv.URL), &sshproxy.DialOptions{Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c, []byte("hi"))
	c.Close()
}

// Through an HTTP proxy nothing is lost: neither speed (the connection beneath is
// ours, unless the proxy is itself spoken to by TLS), nor bytes that come right behind
// the 101.
func TestDialThroughProxy(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) { testDialThroughProxy(t, scheme) })
	}
}

func testDialThroughProxy(t *testing.T, scheme string) {
	greeting := bytes.Repeat([]byte("hello "), 10000)
	s := newServer(t, func(p *peer) {
		p.Write(fin(opBinary, greeting))
		echo(p)
	})
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != s.URL.Host {
			http.Error(w, "only CONNECT", 400)
			return
		}
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		defer up.Close()
		down, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer down.Close()
		io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(up, down); up.(*net.TCPConn).CloseWrite() }()
		io.Copy(down, up)
	}))
	proxy.Config.ErrorLog = discardLog
	if scheme == "https" {
		proxy.StartTLS()
	} else {
		proxy.Start()
	}
	defer proxy.Close()
	base := s.transport(false)
	base.Proxy = http.ProxyURL(mustURL(t, proxy.URL))
	c := s.dial(t, &sshproxy.DialOptions{Transport: sshproxy.NewTransport(base)})
	got := make([]byte, len(greeting))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, greeting) {
		t.Fatalf("greeting: %v", err)
	}
	roundTrip(t, c, greeting)
	if c.RemoteAddr().String() != proxy.Listener.Addr().String() {
		t.Errorf("remote address %s", c.RemoteAddr())
	}
	if sshproxy.IsBulk(c) != (scheme == "http") {
		t.Errorf("the connection beneath is ours: %v", sshproxy.IsBulk(c))
	}
}

func TestNewTransportLeavesBaseAlone(t *testing.T) {
	base := &http.Transport{TLSClientConfig: &tls.Config{ServerName: "x"}}
	tr := sshproxy.NewTransport(base)
	if base.TLSClientConfig.DynamicRecordSizingDisabled || base.DialContext != nil {
		t.Error("base was changed")
	}
	if tr.TLSClientConfig.ServerName != "x" {
		t.Error("the TLS configuration was not taken over")
	}
	if sshproxy.NewTransport(nil).Proxy == nil {
		t.Error("without a base the environment's proxy is not used")
	}
}

func TestDialerContext(t *testing.T) {
	var got *http.Request
	rt := roundTripper(func(r *http.Request) (*http.Response, error) { got = r; return nil, io.EOF })
	o := &sshproxy.DialOptions{Transport: rt, Destination: "kept:1"}
	app := mustURL(t, "https://jump.example.com/x")
	for _, tt := range []struct {
		d             sshproxy.Dialer
		network, addr string
		url, jump     string // "": refused
	}{
		{sshproxy.Dialer{Options: o}, "tcp", "git.example.com:22", "https://git.example.com/", "kept:1"},
		{sshproxy.Dialer{Options: o}, "tcp6", "[2001:db8::1]:22", "https://[2001:db8::1]/", "kept:1"},
		{sshproxy.Dialer{Options: o, URL: app}, "tcp4", "git.example.com:22", "https://jump.example.com/x", "kept:1"},
		{sshproxy.Dialer{Options: o, URL: app, Jump: true}, "tcp", "db:5432", "https://jump.example.com/x", "db:5432"},
		{sshproxy.Dialer{Options: o, URL: app, Jump: true}, "tcp", "db", "", ""},
		{sshproxy.Dialer{Options: o, Jump: true}, "tcp", "db:5432", "", ""},
		{sshproxy.Dialer{Options: o}, "tcp", "no-port", "", ""},
		{sshproxy.Dialer{Options: o}, "unix", "/x", "", ""},
	} {
		got = nil
		conn, err := tt.d.DialContext(t.Context(), tt.network, tt.addr)
		if err == nil || conn != nil {
			t.Fatalf("%s: %v, %v", tt.addr, conn, err)
		}
		url, jump := "", ""
		if got != nil {
			url, jump = got.URL.String(), got.Header.Get("Cf-Access-Jump-Destination")
		}
		if url != tt.url || jump != tt.jump {
			t.Errorf("%s %s: asked %q for %q: %v", tt.network, tt.addr, url, jump, err)
		}
	}
	if o.Destination != "kept:1" {
		t.Error("the caller's options were changed")
	}
	if _, err := (&sshproxy.Dialer{Options: o}).Dial(t.Context()); err == nil {
		t.Error("Dial without a URL")
	}
}
