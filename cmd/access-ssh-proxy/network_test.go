package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// What the command line and the environment say about the network is done, and
// nothing else is.
func TestNetwork(t *testing.T) {
	noProxy := []string{"HTTPS_PROXY=", "https_proxy="}
	const dead = "http://127.0.0.1:1"
	requestTo := func(t *testing.T, w *scripttest.World, host string) accesstest.Request {
		t.Helper()
		for _, r := range w.Edge.Requests() {
			if r.Host == host && r.WebSocket {
				return r
			}
		}
		t.Errorf("no upgrade was asked of %s: %v", host, w.Edge.Requests())
		return accesstest.Request{}
	}
	tests := []struct {
		name  string
		setup func(t *testing.T, w *scripttest.World) (env, args []string) // args default to ssh.example.com
		code  int
		text  string // on standard error, if code is not 0
		check func(t *testing.T, w *scripttest.World)
	}{
		{name: "headers of our own, and a name that WAF rules let pass", setup: func(*testing.T, *scripttest.World) ([]string, []string) {
			return nil, []string{"--header", "X-One: 1", "--header=X-Two:two: 2", "ssh.example.com"}
		}, check: func(t *testing.T, w *scripttest.World) {
			h := requestTo(t, w, "ssh.example.com").Header()
			if h.Get("X-One") != "1" || h.Get("X-Two") != "two: 2" || !strings.HasPrefix(h.Get("User-Agent"), "access-ssh-proxy/") {
				t.Errorf("headers %v", h)
			}
		}},
		{name: "a header that is none", setup: func(*testing.T, *scripttest.World) ([]string, []string) {
			return nil, []string{"--header", "X-One", "ssh.example.com"}
		}, code: 2, text: "want NAME: VALUE"},

		{name: "authorities of a file", setup: func(_ *testing.T, w *scripttest.World) ([]string, []string) {
			return []string{"SSL_CERT_FILE=", "SSL_CERT_DIR="}, []string{"--ca-file", filepath.Join(w.Dir, "edge", "access-edge-ca.pem"), "ssh.example.com"}
		}},
		{name: "authorities of a file, and no others", setup: func(t *testing.T, w *scripttest.World) ([]string, []string) {
			_, other := clientCertificate(t, w)
			return nil, []string{"--ca-file", other, "ssh.example.com"}
		}, code: 1, text: "unknown authority"},
		{name: "mutual TLS without a certificate", setup: func(t *testing.T, w *scripttest.World) ([]string, []string) {
			pool, _ := clientCertificate(t, w)
			w.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.ClientCAs = pool })
			return nil, nil
		}, code: 4, text: "403"},
		{name: "mutual TLS", setup: func(t *testing.T, w *scripttest.World) ([]string, []string) {
			pool, file := clientCertificate(t, w)
			w.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.ClientCAs = pool })
			return nil, []string{"--client-cert", file, "ssh.example.com"}
		}},
		{name: "another team than the one named", setup: func(_ *testing.T, w *scripttest.World) ([]string, []string) {
			return []string{"CF_ACCESS_CLIENT_ID=", "CF_ACCESS_CLIENT_SECRET="}, []string{"--team", "acme.cloudflareaccess.com", "ssh.example.com"}
		}, code: 1, text: `of team "\S*team\.cloudflareaccess\.com", and "acme\.cloudflareaccess\.com" is wanted`},

		{name: "connect elsewhere", setup: func(_ *testing.T, w *scripttest.World) ([]string, []string) {
			return noProxy, []string{"--connect-to", w.Server.Addr(), "ssh.example.com"}
		}},
		{name: "connect elsewhere, without the proxy", setup: func(_ *testing.T, w *scripttest.World) ([]string, []string) {
			return []string{"HTTPS_PROXY=" + dead, "https_proxy=" + dead}, []string{"--connect-to", w.Server.Addr(), "ssh.example.com"}
		}},
		{name: "proxy", setup: func(*testing.T, *scripttest.World) ([]string, []string) { return nil, nil }},
		{name: "proxy in lower case goes before", setup: func(_ *testing.T, w *scripttest.World) ([]string, []string) {
			return []string{"HTTPS_PROXY=" + dead, "https_proxy=" + w.Server.ProxyURL()}, nil
		}},
		{name: "proxy with a password", setup: func(_ *testing.T, w *scripttest.World) ([]string, []string) {
			w.Edge.Set(func(s *accesstest.Switches) { s.ProxyLogin = "ada:p@ss:word" })
			p := strings.Replace(w.Server.ProxyURL(), "http://", "http://ada:p%40ss%3Aword@", 1)
			return []string{"HTTPS_PROXY=" + p, "https_proxy="}, nil
		}},
		{name: "SOCKS", setup: socks("", "socks5h://")},
		{name: "SOCKS with a password", setup: socks("ada:secret", "socks5h://ada:secret@")},
		{name: "SOCKS with a wrong password", setup: socks("ada:secret", "socks5h://ada:secrte@"), code: 1, text: "socks"},
		{name: "no proxy for this host", setup: func(_ *testing.T, w *scripttest.World) ([]string, []string) {
			return []string{"HTTPS_PROXY=" + dead, "https_proxy=", "NO_PROXY=other.example,.invalid", "no_proxy="}, []string{"ssh.invalid"}
		}, code: 1, text: `ssh\.invalid|does not exist|no such host|server misbehaving`, check: func(t *testing.T, w *scripttest.World) {
			if n := len(w.Edge.Requests()); n > 0 {
				t.Errorf("%d requests by a proxy", n)
			}
		}},

		{name: "an edge with an IPv6 address", setup: func(t *testing.T, w *scripttest.World) ([]string, []string) {
			return noProxy, []string{"--connect-to", edge6(t, w).Addr(), "ssh.example.com"}
		}},
		{name: "a proxy with an IPv6 address", setup: func(t *testing.T, w *scripttest.World) ([]string, []string) {
			return []string{"HTTPS_PROXY=" + edge6(t, w).ProxyURL(), "https_proxy="}, nil
		}},
		{name: "a destination with an IPv6 address", setup: func(*testing.T, *scripttest.World) ([]string, []string) {
			return nil, []string{"--destination", "[2001:db8::1]:22", "ssh.example.com"}
		}, check: func(t *testing.T, w *scripttest.World) {
			if d := requestTo(t, w, "ssh.example.com").Header().Get("Cf-Access-Jump-Destination"); d != "[2001:db8::1]:22" {
				t.Errorf("destination %q", d)
			}
		}},
		{name: "another port", setup: func(_ *testing.T, w *scripttest.World) ([]string, []string) {
			w.Edge.Set(func(s *accesstest.Switches) { s.ProxyPorts = []int{8443} })
			return nil, []string{"ssh.example.com:8443"}
		}, check: func(t *testing.T, w *scripttest.World) {
			if c := w.Edge.Connections("ssh.example.com"); len(c) != 1 || c[0].Target != "ssh.example.com:8443" {
				t.Errorf("connections %v", c)
			}
		}},
		{name: "a port that is not Access's", setup: func(_ *testing.T, w *scripttest.World) ([]string, []string) {
			return nil, []string{"git@ssh.example.com", "2222"} // ssh's %p
		}, check: func(t *testing.T, w *scripttest.World) {
			if c := w.Edge.Connections("ssh.example.com"); len(c) != 1 || c[0].Target != "ssh.example.com:443" {
				t.Errorf("connections %v", c)
			}
		}},
		{name: "a name beyond ASCII", setup: idn("bücher.example.com"), check: func(t *testing.T, w *scripttest.World) {
			requestTo(t, w, "xn--bcher-kva.example.com")
		}},
		{name: "its other spelling", setup: idn("BÜCHER.Example.COM."), check: func(t *testing.T, w *scripttest.World) {
			requestTo(t, w, "xn--bcher-kva.example.com")
		}},
		{name: "a name in Punycode", setup: idn("xn--bcher-kva.example.com"), check: func(t *testing.T, w *scripttest.World) {
			requestTo(t, w, "xn--bcher-kva.example.com")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			echo(t, w, func(c net.Conn) { c.Write([]byte("banner")) })
			serviceToken(t, w)
			env, args := tt.setup(t, w)
			if args == nil {
				args = []string{"ssh.example.com"}
			}
			w.Set(env...)
			w.Edge.ClearLog()
			cmd := w.Command(t.Context(), "access-ssh-proxy", args...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			code := 0
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				code = exit.ExitCode()
			}
			want := "banner"
			if tt.code != 0 {
				want = ""
			}
			if code != tt.code || stdout.String() != want || tt.code == 0 && stderr.Len() > 0 || !matches(tt.text, stderr.String()) {
				t.Errorf("exit code %d, want %d and %q; standard output %q, told:\n%s", code, tt.code, tt.text, &stdout, &stderr)
			}
			if tt.check != nil {
				tt.check(t, w)
			}
		})
	}
}

// socks has the way lead through a SOCKS5 proxy.
func socks(login, scheme string) func(*testing.T, *scripttest.World) (env, args []string) {
	return func(t *testing.T, w *scripttest.World) (env, args []string) {
		w.Edge.Set(func(s *accesstest.Switches) { s.ProxyLogin = login })
		u, err := w.Server.StartSOCKS()
		if err != nil {
			t.Fatal(err)
		}
		return []string{"HTTPS_PROXY=", "https_proxy=", "ALL_PROXY=" + strings.Replace(u, "socks5h://", scheme, 1)}, nil
	}
}

// idn has an application with a name beyond ASCII.
func idn(name string) func(*testing.T, *scripttest.World) (env, args []string) {
	return func(t *testing.T, w *scripttest.World) (env, args []string) {
		w.Edge.AddApp(accesstest.App{Host: "xn--bcher-kva.example.com", Allow: true, Services: []*accesstest.ServiceToken{w.Service}, TCP: w.Apps["ssh.example.com"].App().TCP})
		return nil, []string{"--hostname", name}
	}
}

// edge6 is the world's edge at another address.
func edge6(t *testing.T, w *scripttest.World) *accesstest.Server {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Logf("this machine has no IPv6, and nothing is shown: %v", err)
		return w.Server
	}
	l.Close()
	s, err := w.Edge.Listen("[::1]:0", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// clientCertificate makes an authority, and a file with a certificate of it and the key.
func clientCertificate(t *testing.T, w *scripttest.World) (*x509.CertPool, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "a laptop"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	file := filepath.Join(w.Dir, "laptop.pem")
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))+string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	return pool, file
}

// A listener whose token is taken away refuses each connection and never asks a
// person, who would be asked again for every one
// (https://github.com/cloudflare/cloudflared/issues/1673).
func TestListenWithARevokedToken(t *testing.T) {
	w := newWorld(t)
	echo(t, w, echoes)
	serviceToken(t, w)
	l := listen(t, w, "127.0.0.1:0")
	back(t, l.dial(t), "hello")
	w.Service.Disable(true)
	for range 3 {
		if b, err := io.ReadAll(l.dial(t)); len(b) > 0 {
			t.Errorf("%q, %v", b, err)
		}
	}
	l.stderr.await(t, "refused the service token")
	w.Edge.CutRelays()
	l.stop(t)
	if tabs := w.Tabs(); len(tabs) > 0 {
		t.Errorf("browser tabs %v", tabs)
	}
	if n := len(w.Edge.Requests(accesstest.ToHost("login.cloudflareaccess.org"))); n > 0 {
		t.Errorf("%d requests of a login", n)
	}
}

// A session that is revoked while a listener has it is dropped and renewed, for all
// connections together, without a person; those that are open go on.
func TestListenWithARevokedSession(t *testing.T) {
	w := newWorld(t)
	echo(t, w, echoes)
	l := listen(t, w, "127.0.0.1:0")
	first := l.dial(t)
	back(t, first, "before")
	w.Apps["ssh.example.com"].Revoke()
	w.Edge.ClearLog()
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			c := l.dial(t)
			defer c.Close()
			back(t, c, "after")
		})
	}
	wg.Wait()
	back(t, first, "still there")
	first.Close()
	refused, accepted := 0, 0
	for _, r := range w.Edge.Requests(accesstest.ToHost("ssh.example.com")) {
		switch {
		case !r.WebSocket:
		case r.Status == http.StatusSwitchingProtocols:
			accepted++
		default:
			refused++
		}
	}
	if accepted != 10 || refused < 1 || refused > 10 {
		t.Errorf("%d upgrades accepted and %d refused", accepted, refused)
	}
	if tabs := w.Tabs(); len(tabs) != 1 {
		t.Errorf("%d logins", len(tabs))
	}
	l.stop(t)
}

// Where the origin is a web application that sends people elsewhere, that is said
// (https://github.com/cloudflare/cloudflared/issues/435), and nobody follows.
func TestOriginRedirects(t *testing.T) {
	w := newWorld(t)
	serviceToken(t, w)
	w.Apps["ssh.example.com"].Set(func(a *accesstest.App) {
		a.TCP, a.Origin = nil, http.RedirectHandler("/ui/", http.StatusTemporaryRedirect)
	})
	cmd := w.Command(t.Context(), "access-ssh-proxy", "ssh.example.com")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil || len(out) > 0 || !matches(`error: ssh\.example\.com did not open a stream: it answered with status 307.*\n.*hint: the server sends browsers elsewhere`, stderr.String()) {
		t.Errorf("%v, %q\n%s", err, out, &stderr)
	}
	if n := len(w.Edge.Requests(accesstest.ToHost("ssh.example.com"))); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }
