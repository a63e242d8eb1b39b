package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// Each way to be refused has a message and an exit code of its own. None writes to
// standard output, opens a browser where a service token was given, or asks more
// than a few times.
func TestRefusals(t *testing.T) {
	direct := []string{"HTTPS_PROXY=", "https_proxy="}
	wrong := []string{"CF_ACCESS_CLIENT_ID=" + "0123456789abcdef0123456789abcdef.access", "CF_ACCESS_CLIENT_SECRET=" + strings.Repeat("0", 64)}
	tests := []struct {
		name   string
		setup  func(t *testing.T, w *scripttest.World)
		server func(t *testing.T, w *scripttest.World) (addr string) // answers in place of the edge
		env    []string
		args   []string // default: ssh.example.com
		code   int
		text   string // of the error line
		hint   string
		tabs   int
		like   string // the one whose cause this is, too: it may say the same
	}{
		{name: "no such name", env: direct, args: []string{"no-such-host.invalid"}, code: 1, text: `no-such-host\.invalid`, hint: `does not exist in the DNS|name resolution failed`},
		{name: "nobody listens", env: direct, args: []string{"--connect-to=127.0.0.1:1", "ssh.example.com"}, code: 1, text: `connection refused`},
		{name: "proxy is down", env: []string{"HTTPS_PROXY=http://127.0.0.1:1", "https_proxy="}, code: 1, text: `connection refused`, hint: `proxy in HTTPS_PROXY`},
		{name: "proxy wants a password", setup: func(t *testing.T, w *scripttest.World) {
			w.Edge.Set(func(s *accesstest.Switches) { s.ProxyLogin = "user:pass" })
		}, code: 1, text: `the proxy \S+ answered 407 Proxy Authentication Required`, hint: `USER:PASSWORD`},
		{name: "authority unknown", server: tlsServer(certificate{host: "ssh.example.com", expires: time.Hour, own: true}), env: direct, code: 1,
			text: `unknown authority`, hint: `issuer "Inspecting Proxy".*--ca-file`},
		{name: "certificate of another name", server: tlsServer(certificate{host: "portal.example.net", expires: time.Hour}), env: direct, code: 1,
			text: `portal\.example\.net`, hint: `captive portal`},
		{name: "certificate expired", server: tlsServer(certificate{host: "ssh.example.com", expires: -time.Hour}), env: direct, code: 1,
			text: `expired`, hint: `clock`},
		{name: "captive portal that asks for a login", server: tlsServer(certificate{host: "ssh.example.com", expires: time.Hour, status: http.StatusNetworkAuthenticationRequired}), env: direct, code: 1,
			text: `511`, hint: `log in to the network`},
		{name: "captive portal that sends elsewhere", server: tlsServer(certificate{host: "ssh.example.com", expires: time.Hour, status: http.StatusFound}), env: direct, code: 1,
			text: `302`, hint: `sends browsers elsewhere.*captive portal`},
		{name: "no TLS", server: plainServer, env: direct, code: 1, text: `(?i)tls|https`, hint: `does not speak TLS`},

		{name: "login wanted, nobody may be asked", env: []string{"ACCESS_INTERACTIVE=never"}, code: 3, text: `needs a login: ACCESS_INTERACTIVE=never`, hint: `access login ssh\.example\.com`},
		{name: "Binding Cookie", setup: func(t *testing.T, w *scripttest.World) {
			w.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.BindingCookie = true })
		}, code: 4, text: `does not accept the session that it issued`, hint: `Binding Cookie`, tabs: 1},
		{name: "Managed OAuth that takes no JWT", setup: func(t *testing.T, w *scripttest.World) {
			w.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.OAuth = &accesstest.OAuth{RefuseJWT: true} })
		}, code: 4, text: `Managed OAuth`, hint: `turn Managed OAuth off`, tabs: 1},

		{name: "service tokens only, none given", setup: serviceOnly(false), code: 4, text: `admits service tokens only`, hint: `access service-token add ssh\.example\.com`},
		{name: "wrong service token", env: wrong, code: 4, text: `refused the service token`, hint: `Service Auth`},
		{name: "wrong service token, service only", setup: serviceOnly(false), env: wrong, code: 4, text: `refused the service token`, hint: `Service Auth`, like: "wrong service token"},
		{name: "wrong service token, strict", setup: serviceOnly(true), env: wrong, code: 4, text: `wrong, expired or disabled`, hint: `expiry`},
		{name: "service token of no policy, strict", setup: func(t *testing.T, w *scripttest.World) {
			serviceOnly(true)(t, w)
			other := w.Team.AddServiceToken("other")
			w.Set("CF_ACCESS_CLIENT_ID="+other.ID, "CF_ACCESS_CLIENT_SECRET="+other.Secret())
		}, code: 4, text: `service token`, hint: `Service Auth`, like: "wrong service token"}, // 403 is also what others than strict ones say to a wrong one
		{name: "wrong service token beside a person's session", setup: func(t *testing.T, w *scripttest.World) {
			if out, err := w.Command(t.Context(), "access", "login", "ssh.example.com").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}, env: wrong, code: 4, text: `refused the service token`, tabs: 1, like: "wrong service token"},

		{name: "WAF", setup: fail(accesstest.WAF1010), code: 4, text: `firewall blocked`},
		{name: "no tunnel", setup: fail(accesstest.TunnelDown), code: 4, text: `no tunnel is connected`, hint: `connector`},
		{name: "origin refuses", setup: fail(accesstest.BadGateway), code: 4, text: `does not answer`},
		{name: "origin too slow", setup: fail(accesstest.GatewayTimeout), code: 4, text: `does not answer`, like: "origin refuses"},
		{name: "too many requests", setup: fail(accesstest.TooMany), code: 1, text: `429`, hint: `too many connections`},
		{name: "connection broken off", setup: fail(accesstest.Aborted), code: 1, text: `EOF|reset`},
		{name: "WebSockets are off", setup: func(t *testing.T, w *scripttest.World) {
			w.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.WebSocketsOff = true })
			serviceToken(t, w)
		}, code: 1, text: `did not open a stream`, hint: `WebSockets may be off`},
		{name: "a web site", setup: func(t *testing.T, w *scripttest.World) { serviceToken(t, w) }, args: []string{"git.example.com"}, code: 1, text: `did not open a stream`, hint: `is a web server`},
	}
	said := map[string]string{} // what was told → of which cause
	variable := regexp.MustCompile(`127\.0\.0\.1:\d+|it says [^\n]*|[0-9a-f]{32}\.access`)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if tt.setup != nil {
				tt.setup(t, w)
			}
			w.Edge.ClearLog()
			w.Set(tt.env...)
			args := tt.args
			if args == nil {
				args = []string{"ssh.example.com"}
			}
			if tt.server != nil {
				args = append([]string{"--connect-to", tt.server(t, w)}, args...)
			}
			cmd := w.Command(t.Context(), "access-ssh-proxy", args...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			code := 0
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				code = exit.ExitCode()
			}
			if code != tt.code || stdout.Len() > 0 {
				t.Errorf("exit code %d, want %d, standard output %q", code, tt.code, &stdout)
			}
			var errs, hints []string
			for l := range strings.Lines(stderr.String()) {
				if s, ok := strings.CutPrefix(l, "access-ssh-proxy: error: "); ok {
					errs = append(errs, s)
				}
				if s, ok := strings.CutPrefix(l, "access-ssh-proxy: hint: "); ok {
					hints = append(hints, s)
				}
			}
			if len(errs) != 1 || !regexp.MustCompile(tt.text).MatchString(errs[0]) || !regexp.MustCompile(tt.hint).MatchString(strings.Join(hints, "")) {
				t.Errorf("told, want error %q and hint %q:\n%s", tt.text, tt.hint, &stderr)
			}
			cause := tt.name
			if tt.like != "" {
				cause = tt.like
			}
			all := variable.ReplaceAllString(strings.Join(append(errs, hints...), ""), "")
			if other, ok := said[all]; ok && other != cause {
				t.Errorf("this is what %q says, too:\n%s", other, all)
			}
			said[all] = cause
			if tabs := w.Tabs(); len(tabs) != tt.tabs {
				t.Errorf("%d browser tabs, want %d", len(tabs), tt.tabs)
			}
			if n := len(w.Edge.Requests(accesstest.ByProgram, accesstest.ToHost("ssh.example.com"))); n > 8 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// Bypass: whoever comes gets in, without a token.
func TestBypass(t *testing.T) {
	w := newWorld(t)
	echo(t, w, func(c net.Conn) { c.Write([]byte("banner")) })
	w.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.Bypass = true })
	w.Set("ACCESS_INTERACTIVE=never")
	out, err := w.Command(t.Context(), "access-ssh-proxy", "ssh.example.com").Output()
	if err != nil || string(out) != "banner" {
		t.Errorf("%q, %v", out, err)
	}
}

// An application with Managed OAuth admits the JWT of a login, as it does browsers'.
func TestManagedOAuth(t *testing.T) {
	w := newWorld(t)
	echo(t, w, func(c net.Conn) { c.Write([]byte("banner")) })
	w.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.OAuth = &accesstest.OAuth{} })
	for range 2 {
		cmd := w.Command(t.Context(), "access-ssh-proxy", "ssh.example.com")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if out, err := cmd.Output(); err != nil || string(out) != "banner" {
			t.Errorf("%q, %v\n%s", out, err, &stderr)
		}
	}
	if tabs := w.Tabs(); len(tabs) != 1 {
		t.Errorf("%d browser tabs", len(tabs))
	}
}

func serviceOnly(strict bool) func(*testing.T, *scripttest.World) {
	return func(_ *testing.T, w *scripttest.World) {
		w.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.Allow, a.Strict = false, strict })
	}
}

// serviceToken sets the right one.
func serviceToken(_ *testing.T, w *scripttest.World) {
	w.Set("CF_ACCESS_CLIENT_ID="+w.Service.ID, "CF_ACCESS_CLIENT_SECRET="+w.Service.Secret())
}

func fail(f accesstest.Failure) func(*testing.T, *scripttest.World) {
	return func(t *testing.T, w *scripttest.World) {
		serviceToken(t, w)
		w.Edge.Fail("ssh.example.com", -1, f, nil)
	}
}

// certificate is what a server shows in place of the edge's.
type certificate struct {
	host    string
	expires time.Duration // from now
	own     bool          // of an authority that the world does not trust
	status  int           // of its answers; zero is 404
}

// tlsServer is something that answers in place of ssh.example.com. The world
// trusts its authority by SSL_CERT_FILE, unless it is its own.
func tlsServer(c certificate) func(*testing.T, *scripttest.World) string {
	return func(t *testing.T, w *scripttest.World) string {
		authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Inspecting Proxy"}, NotBefore: time.Now().Add(-48 * time.Hour),
			NotAfter: time.Now().Add(48 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: c.host}, DNSNames: []string{c.host},
			NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(c.expires)}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER, authorityDER}, PrivateKey: key}}})
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.NotFoundHandler()}
		if c.status != 0 {
			s.Handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Location", "http://portal.example.net/login")
				rw.WriteHeader(c.status)
			})
		}
		go s.Serve(l)
		t.Cleanup(func() { s.Close() })
		if !c.own {
			file := filepath.Join(w.Dir, "authority.pem")
			write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityDER})))
			w.Set("SSL_CERT_FILE=" + file)
		}
		return l.Addr().String()
	}
}

// plainServer answers without TLS.
func plainServer(t *testing.T, w *scripttest.World) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "SSH-2.0-OpenSSH\r\n")
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}
