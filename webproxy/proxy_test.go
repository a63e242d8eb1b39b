package webproxy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/gitaccess/gitaccess/webproxy"
)

const secret = "the-credential"

// A bed is a host that wants a credential, and a proxy that adds it.
type bed struct {
	*webproxy.Proxy
	t      *testing.T
	host   string // of the server behind
	client *http.Client
	closed <-chan struct{} // the listener is closed
	stop   func() error    // ends Serve and returns its error
}

// adding is a RoundTripper that adds the credential, as access.Client's does.
type adding struct{ base http.RoundTripper }

func (a adding) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Cf-Access-Token", secret)
	return a.base.RoundTrip(r)
}

func newBed(t *testing.T, address string, o *webproxy.Options, h http.HandlerFunc) *bed {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cf-Access-Token") != secret {
			http.Error(w, "no credential", http.StatusForbidden)
			return
		}
		h(w, r)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	transport := s.Client().Transport.(*http.Transport)
	transport.MaxConnsPerHost = 64 // descriptors are counted
	return serve(t, address, strings.TrimPrefix(s.URL, "https://"), adding{transport}, o)
}

// closing tells when a listener was closed: the proxy takes no more connections.
type closing struct {
	net.Listener
	once   sync.Once
	closed chan struct{}
}

func (l *closing) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { close(l.closed) })
	return err
}

func serve(t *testing.T, address, host string, rt http.RoundTripper, o *webproxy.Options) *bed {
	t.Helper()
	inner, err := webproxy.Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	l := &closing{Listener: inner, closed: make(chan struct{})}
	p, err := webproxy.New(l, &url.URL{Scheme: "https", Host: host}, rt, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx) }()
	b := &bed{Proxy: p, t: t, host: host, closed: l.closed, client: &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	b.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		b.client.CloseIdleConnections()
		if err := b.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return b
}

func (b *bed) do(method, url string, body io.Reader, header ...string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, url, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(text)
}

func echo(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s", r.Method, r.URL.RequestURI())
}

// Other users of the machine, and web pages in the browser of this one, do not get in.
func TestWhoMayUseIt(t *testing.T) {
	var reached atomic.Int64
	b := newBed(t, "127.0.0.1:0", nil, func(w http.ResponseWriter, r *http.Request) { reached.Add(1); echo(w, r) })
	port := b.Root().Port()
	with := b.URL().Path
	basic := func(password string) string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth("anyone", password)
		return r.Header.Get("Authorization")
	}
	for _, tt := range []struct {
		name, path string
		header     []string
		status     int
	}{
		{"the path", with + "x", nil, 200},
		{"the path alone", strings.TrimSuffix(with, "/"), nil, 200},
		{"the header", "/x", []string{webproxy.TokenHeader, b.Token()}, 200},
		{"the password", "/x", []string{"Authorization", basic(b.Token())}, 200},
		{"a token of npm", "/x", []string{"Authorization", "Bearer " + b.Token()}, 200},
		{"a token of Cargo", "/x", []string{"Authorization", b.Token()}, 200},
		{"localhost", with + "x", []string{"Host", "localhost:" + port}, 200},
		{"::1", with + "x", []string{"Host", "[::1]:" + port}, 200},
		{"our own origin", with + "x", []string{"Origin", strings.TrimSuffix(b.Root().String(), "/")}, 200},
		{"typed into the browser", with + "x", []string{"Sec-Fetch-Site", "none"}, 200},
		{"nothing", "/x", nil, 403},
		{"a wrong path", "/" + strings.Repeat("a", len(b.Token())) + "/x", nil, 403},
		{"part of the path", "/" + b.Token()[:8] + "/x", nil, 403},
		{"the token further down", "/x/" + b.Token(), nil, 403},
		{"a wrong header", "/x", []string{webproxy.TokenHeader, "x"}, 403},
		{"a wrong token", "/x", []string{"Authorization", "Bearer x"}, 403},
		{"an empty token", "/x", []string{"Authorization", "Bearer "}, 403},
		{"a wrong password", "/x", []string{"Authorization", basic("x")}, 403},
		{"a name that was rebound", with + "x", []string{"Host", "evil.example:" + port}, 421},
		{"another port in Host", with + "x", []string{"Host", "127.0.0.1:1"}, 421},
		{"no port in Host", with + "x", []string{"Host", "127.0.0.1"}, 421},
		{"the host behind, as Host", with + "x", []string{"Host", b.host}, 421},
		{"a page elsewhere", with + "x", []string{"Origin", "https://evil.example"}, 403},
		{"a page on another port", with + "x", []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"a page without an origin", with + "x", []string{"Origin", "null"}, 403},
		{"an image elsewhere", with + "x", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"an image on another port", with + "x", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"a container client that logs in", "/v2/", nil, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reached.Store(0)
			resp, text := b.do("GET", "http://"+b.Root().Host+tt.path, nil, tt.header...)
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, tt.status, text)
			}
			if (reached.Load() == 1) != (tt.status == 200) {
				t.Errorf("%d requests reached the host", reached.Load())
			}
			if strings.Contains(text, b.Token()) {
				t.Errorf("the answer tells the token: %q", text)
			}
		})
	}
}

// What the host sees: its own name and path, one credential, and nothing of the proxy.
func TestWhatTheHostSees(t *testing.T) {
	got := make(chan *http.Request, 1)
	b := newBed(t, "127.0.0.1:0", nil, func(w http.ResponseWriter, r *http.Request) { got <- r })
	own := strings.TrimSuffix(b.URL().String(), "/")
	b.do("GET", own+"/a%2Fb/c?q=1;2&x=%zz", nil,
		"Cookie", "a=1; CF_Authorization=mine; b=2; CF_AppSession=x", "Cf-Access-Client-Secret", "mine", "Cf-Access-Token", "mine",
		"Origin", strings.TrimSuffix(b.Root().String(), "/"), "Referer", own+"/page", "Authorization", "Bearer npm", "X-Forwarded-For", "1.2.3.4")
	r := <-got
	want := map[string]string{"Cookie": "a=1; b=2", "Cf-Access-Token": secret, "Cf-Access-Client-Secret": "",
		"Origin": "https://" + b.host, "Referer": "https://" + b.host + "/page", "Authorization": "Bearer npm", "X-Forwarded-For": "", "Via": ""}
	for name, v := range want {
		if h := strings.Join(r.Header.Values(name), "|"); h != v {
			t.Errorf("%s: %q, want %q", name, h, v)
		}
	}
	if r.Host != b.host || r.RequestURI != "/a%2Fb/c?q=1;2&x=%zz" || r.ProtoMajor != 2 {
		t.Errorf("%s %s by HTTP/%d", r.Host, r.RequestURI, r.ProtoMajor)
	}
	b.do("GET", b.Root().String(), nil, webproxy.TokenHeader, b.Token(), "Referer", "http://evil.example/"+b.Token())
	r = <-got
	for name, values := range r.Header {
		if strings.Contains(strings.Join(values, " "), b.Token()) {
			t.Errorf("%s has the token: %q", name, values)
		}
	}
	b.do("GET", "http://x:"+b.Token()+"@"+b.Root().Host+"/v2/", nil)
	if r = <-got; r.Header.Get("Authorization") != "" {
		t.Errorf("the proxy's password was passed on")
	}
}

// Addresses of the host lead back into the proxy, others do not, and no cookie of
// Access comes out.
func TestAnswersStayInTheProxy(t *testing.T) {
	var answer atomic.Value
	b := newBed(t, "127.0.0.1:0", nil, func(w http.ResponseWriter, r *http.Request) { answer.Load().(func(http.ResponseWriter))(w) })
	own := strings.TrimSuffix(b.URL().String(), "/")
	mount := strings.TrimSuffix(b.URL().Path, "/")
	host := "https://" + b.host
	for _, tt := range []struct{ name, value, want string }{
		{"Location", host + "/renamed.git/x?y#z", own + "/renamed.git/x?y#z"},
		{"Location", "//" + b.host + "/a%2Fb", own + "/a%2Fb"},
		{"Location", "/renamed", mount + "/renamed"},
		{"Location", "renamed", "renamed"},
		{"Location", "https://elsewhere.example/x", "https://elsewhere.example/x"},
		{"Location", host + ".evil.example/x", host + ".evil.example/x"},
		{"Location", "http://" + b.host + "/x", "http://" + b.host + "/x"},
		{"Content-Location", host + "/x", own + "/x"},
		{"Link", "<" + host + "/list?page=2>; rel=next, </v2/_catalog>; rel=x", "<" + own + "/list?page=2>; rel=next, <" + mount + "/v2/_catalog>; rel=x"},
		{"Refresh", "0; url=" + host + "/x", "0; url=" + own + "/x"},
		{"Www-Authenticate", `Bearer realm="` + host + `/token",service="x"`, `Bearer realm="` + own + `/token",service="x"`},
		{"Strict-Transport-Security", "max-age=1", ""},
		{"Set-Cookie", "CF_Authorization=eyJ; Path=/; Secure; HttpOnly", ""},
		{"Set-Cookie", "CF_AppSession=x", ""},
		{"Set-Cookie", "id=1; Path=/app; Domain=example.com; Secure; HttpOnly; SameSite=None", "id=1; Path=" + mount + "/app; HttpOnly; SameSite=Lax"},
		{"Set-Cookie", "__Host-id=1; Path=/; Secure", "__Host-id=1; Path=" + mount + "/; Secure"},
	} {
		answer.Store(func(w http.ResponseWriter) { w.Header().Set(tt.name, tt.value); w.WriteHeader(201) })
		resp, _ := b.do("GET", own+"/x", nil)
		if got := resp.Header.Get(tt.name); got != tt.want {
			t.Errorf("%s: %s became %q, want %q", tt.name, tt.value, got, tt.want)
		}
	}
	json, html := "application/json", "text/html; charset=utf-8"
	for _, tt := range []struct{ kind, body, want string }{
		{json, `{"href":"` + host + `/x","other":"` + host + `.evil.example/"}`, `{"href":"` + own + `/x","other":"` + host + `.evil.example/"}`},
		{json, strings.ReplaceAll(`{"href":"`+host+`/x"}`, "/", `\/`), strings.ReplaceAll(`{"href":"`+own+`/x"}`, "/", `\/`)},
		{"application/vnd.git-lfs+json", `"` + host + `"`, `"` + own + `"`},
		{html, `<a href="/simple/x">, <a href="//cdn.example/x">, <a href="` + host + `/y">`, `<a href="` + mount + `/simple/x">, <a href="//cdn.example/x">, <a href="` + own + `/y">`},
		{"application/octet-stream", host + "/", host + "/"},
		{"application/vnd.oci.image.manifest.v1+json", host + "/", host + "/"},
	} {
		answer.Store(func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", tt.kind)
			w.Header().Set("Content-Length", fmt.Sprint(len(tt.body)))
			io.WriteString(w, tt.body)
		})
		if _, text := b.do("GET", own+"/x", nil); text != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.kind, text, tt.want)
		}
	}
	// What has a digest is left as it is.
	answer.Store(func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", json)
		w.Header().Set("Docker-Content-Digest", "sha256:0")
		io.WriteString(w, host)
	})
	if _, text := b.do("GET", own+"/x", nil); text != host {
		t.Errorf("a document with a digest became %s", text)
	}
	// A kind that the host does not tell is not made up.
	answer.Store(func(w http.ResponseWriter) { w.Header()["Content-Type"] = nil; io.WriteString(w, "<html>") })
	if resp, _ := b.do("GET", own+"/x", nil); len(resp.Header.Values("Content-Type")) > 0 {
		t.Errorf("Content-Type %q", resp.Header.Values("Content-Type"))
	}
	// In a header the token names no path.
	answer.Store(func(w http.ResponseWriter) { w.Header().Set("Location", host+"/x"); w.WriteHeader(307) })
	resp, _ := b.do("GET", b.Root().String(), nil, webproxy.TokenHeader, b.Token())
	if got := resp.Header.Get("Location"); got != b.Root().String()+"x" {
		t.Errorf("Location %q", got)
	}
}

// Neither side waits for the other to finish.
func TestStreamsBothWays(t *testing.T) {
	b := newBed(t, "127.0.0.1:0", nil, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		w.WriteHeader(200)
		rc.Flush()
		buf := make([]byte, 1)
		for {
			if _, err := io.ReadFull(r.Body, buf); err != nil {
				return
			}
			w.Write(buf)
			rc.Flush()
		}
	})
	body, in := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", b.URL().String(), body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := make([]byte, 1)
	for _, c := range "both ways" {
		if _, err := in.Write([]byte{byte(c)}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, got); err != nil || got[0] != byte(c) {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	in.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// The host answers no request before it has all of them.
func TestAThousandAtOnce(t *testing.T) {
	const n = 1000
	var waiting atomic.Int64
	all := make(chan struct{})
	b := newBed(t, "127.0.0.1:0", nil, func(w http.ResponseWriter, r *http.Request) {
		if waiting.Add(1) == n {
			close(all)
		}
		select {
		case <-all:
			echo(w, r)
		case <-r.Context().Done():
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	transport := &http.Transport{MaxIdleConnsPerHost: n}
	defer transport.CloseIdleConnections()
	failed := make(chan error, n)
	for i := range n {
		go func() {
			req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("%s%d", b.URL(), i), nil)
			if err != nil {
				failed <- err
				return
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				failed <- err
				return
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if want := fmt.Sprintf("GET /%d", i); err == nil && string(text) != want {
				err = fmt.Errorf("got %q, want %q", text, want)
			}
			failed <- err
		}()
	}
	for range n {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
}

func TestWebSocket(t *testing.T) {
	gone := make(chan struct{})
	b := newBed(t, "127.0.0.1:0", nil, func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		c, err := websocket.Accept(w, r, nil) // which compares Origin and Host
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(1 << 20)
		for {
			kind, msg, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if c.Write(r.Context(), kind, msg) != nil {
				return
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, _, err := websocket.Dial(ctx, b.URL().String(), &websocket.DialOptions{
		HTTPClient: b.client, HTTPHeader: http.Header{"Origin": {strings.TrimSuffix(b.Root().String(), "/")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	for _, msg := range []string{"hello", strings.Repeat("x", 300_000), "https://" + b.host + "/"} {
		if err := c.Write(ctx, websocket.MessageText, []byte(msg)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.Read(ctx); err != nil || string(got) != msg {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	// An open one does not keep the proxy from ending, nor survives it.
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	if _, _, err := c.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("the connection is still there: %v", err)
	}
	<-gone
}

// A client that stays although its host has gone does not keep the proxy from ending.
func TestEndsWithAHalfOpenConnection(t *testing.T) {
	b := newBed(t, "127.0.0.1:0", nil, func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbye")
			c.Close()
		}
	})
	c, err := net.Dial("tcp", b.Root().Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b.URL().Path, b.Root().Host)
	if text, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(text), "bye") {
		t.Fatalf("%q, %v", text, err)
	}
	if err := b.stop(); err != nil {
		t.Error(err)
	}
}

// A request that is under way when the proxy is to end is finished; a new one is not
// taken.
func TestEndsGracefully(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	b := newBed(t, "127.0.0.1:0", &webproxy.Options{Grace: 10 * time.Minute}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "11") // also then nothing is held back
		io.WriteString(w, "first, ")
		http.NewResponseController(w).Flush()
		close(begun)
		<-goOn
		io.WriteString(w, "last")
	})
	resp, err := b.client.Get(b.URL().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-begun
	first := make([]byte, 7)
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.stop() }()
	<-b.closed
	select {
	case err := <-ended:
		t.Fatalf("ended before the request: %v", err)
	default:
	}
	close(goOn)
	if text, err := io.ReadAll(resp.Body); err != nil || string(first)+string(text) != "first, last" {
		t.Errorf("%q, %v", text, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// After the grace a request is ended, so that its client sees a broken answer and not
// a short one.
func TestEndsForSure(t *testing.T) {
	b := newBed(t, "127.0.0.1:0", &webproxy.Options{Grace: time.Nanosecond}, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first, ")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	resp, err := b.client.Get(b.URL().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the answer ended in order: %q", text)
	}
}

type failing struct{ err atomic.Pointer[error] }

func (f *failing) RoundTrip(r *http.Request) (*http.Response, error) {
	if e := f.err.Load(); e != nil {
		return nil, *e
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("fine")), Request: r}, nil
}

// A refusal is told in the answer each time, and reported once in a row.
func TestRefusals(t *testing.T) {
	var mu sync.Mutex
	var reports []string
	rt := &failing{}
	b := serve(t, "127.0.0.1:0", "git.example.com", rt, &webproxy.Options{
		Refused: func(err error) (int, string) {
			if err.Error() == "network" {
				return 0, ""
			}
			return 403, "the cause: " + err.Error() + "\nthe command\n"
		},
		Report: func(err error) { mu.Lock(); reports = append(reports, err.Error()); mu.Unlock() },
	})
	for _, step := range []struct{ fails, text string }{
		{"one", "the cause: one\nthe command\n"},
		{"one", "the cause: one\nthe command\n"},
		{"two", "the cause: two\nthe command\n"},
		{"", "fine"},
		{"two", "the cause: two\nthe command\n"},
		{"network", "git.example.com could not be reached\n"},
	} {
		rt.err.Store(nil)
		if step.fails != "" {
			err := errors.New(step.fails)
			rt.err.Store(&err)
		}
		resp, text := b.do("GET", b.URL().String(), nil)
		if text != step.text {
			t.Errorf("%q: %q, want %q", step.fails, text, step.text)
		}
		if step.fails != "" && resp.Header.Get("Proxy-Status") == "" {
			t.Error("the answer does not tell that it is the proxy's")
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{"one", "two", "two", "network"}, reports); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

// A small body can be sent again after a renewal; a large one streams.
func TestSmallBodiesCanBeSentTwice(t *testing.T) {
	type seen struct {
		again bool
		n     int64
	}
	got := make(chan seen, 1)
	b := serve(t, "127.0.0.1:0", "git.example.com", roundTrip(func(r *http.Request) (*http.Response, error) {
		n, err := io.Copy(io.Discard, r.Body)
		if err == nil && r.GetBody != nil {
			var second io.ReadCloser
			if second, err = r.GetBody(); err == nil {
				var m int64
				if m, err = io.Copy(io.Discard, second); m != n {
					err = fmt.Errorf("%d bytes, then %d", n, m)
				}
			}
		}
		got <- seen{r.GetBody != nil, n}
		return &http.Response{StatusCode: 204, Header: http.Header{}, Body: http.NoBody, Request: r}, err
	}), nil)
	for _, tt := range []struct {
		body  io.Reader
		again bool
		n     int64
	}{
		{strings.NewReader("0000"), true, 4},
		{strings.NewReader(strings.Repeat("x", 64<<10)), true, 64 << 10},
		{strings.NewReader(strings.Repeat("x", 64<<10+1)), false, 64<<10 + 1},
		{io.MultiReader(strings.NewReader("chunked")), false, 7},
	} {
		b.do("POST", b.URL().String(), tt.body)
		if s := <-got; s != (seen{tt.again, tt.n}) {
			t.Errorf("got %+v, want %+v", s, tt)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestUnixSocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes of files say nothing on Windows")
	}
	dir, err := os.MkdirTemp("", "s") // a path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "proxy.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false) // as of a proxy that was killed
	if _, err := webproxy.Listen(t.Context(), "unix:"+path); err == nil || !strings.Contains(err.Error(), "somebody serves") {
		t.Errorf("the socket of somebody else was taken: %v", err)
	}
	left.Close()
	b := newBed(t, "unix:"+path, nil, echo)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	b.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	if b.Token() != "" || b.URL().String() != "http://localhost/" {
		t.Errorf("token %q, URL %s", b.Token(), b.URL())
	}
	if _, text := b.do("GET", "http://anything.example/x", nil); text != "GET /x" {
		t.Errorf("got %q", text)
	}
	if resp, _ := b.do("GET", "http://localhost/x", nil, "Origin", "https://evil.example"); resp.StatusCode != 403 {
		t.Errorf("a page elsewhere: status %d", resp.StatusCode)
	}
	b.client.CloseIdleConnections()
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := webproxy.Listen(t.Context(), "unix:"+path); err == nil {
		t.Error("a file was replaced by a socket")
	}
}

func TestOnlyLoopback(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:80"} {
		var e *webproxy.NotLoopbackError
		if l, err := webproxy.Listen(t.Context(), address); !errors.As(err, &e) {
			t.Errorf("%s: %v, %v", address, l, err)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := webproxy.New(l, &url.URL{Scheme: "https", Host: "git.example.com"}, http.DefaultTransport, nil); err == nil {
		t.Error("served beyond loopback")
	}
}

// The transports of tests must not follow the machine's own settings.
func TestMain(m *testing.M) {
	http.DefaultTransport = &http.Transport{TLSClientConfig: &tls.Config{}}
	os.Exit(m.Run())
}

// A proxy for no host, or one that would add no credential, is a mistake of the caller.
func TestNewRefuses(t *testing.T) {
	l, err := webproxy.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	host := &url.URL{Scheme: "https", Host: "git.example.com"}
	for name, err := range map[string]error{
		"no target": second(webproxy.New(l, nil, http.DefaultTransport, nil)),
		"no host":   second(webproxy.New(l, &url.URL{Scheme: "https"}, http.DefaultTransport, nil)),
		"ssh":       second(webproxy.New(l, &url.URL{Scheme: "ssh", Host: "git.example.com"}, http.DefaultTransport, nil)),
		"no rt":     second(webproxy.New(l, host, nil, nil)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	p, err := webproxy.New(l, host, http.DefaultTransport, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := p.URL().String()
	host.Path = "/changed/later"
	if p.URL().String() != before {
		t.Error("the caller's URL is used after New")
	}
}

func second(_ *webproxy.Proxy, err error) error { return err }
