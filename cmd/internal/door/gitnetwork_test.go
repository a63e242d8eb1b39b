package door

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// gitEnv is a person with a git configuration.
func gitEnv(t *testing.T, config string, vars ...string) (env *cli.Env, home string) {
	t.Helper()
	home = t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	env, _ = testEnv(t, append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}, vars...)...)
	return env, home
}

func newGitTransport(t *testing.T, env *cli.Env, o NetworkOptions) *gitTransport {
	t.Helper()
	base, err := Network(env, o)
	if err != nil {
		t.Fatal(err)
	}
	rt := &gitTransport{env: env, opt: o, base: base, hosts: map[string]*http.Transport{}}
	t.Cleanup(rt.CloseIdleConnections)
	return rt
}

func TestGitProxy(t *testing.T) {
	const all, one = "[http]\n\tproxy = all.test:1\n", "[http \"https://git.example.com\"]\n\tproxy = socks5h://one.test\n"
	tests := []struct {
		config string
		vars   []string
		url    string
		want   string // or "error: …"
	}{
		{"", nil, "https://git.example.com", ""},
		{all, nil, "https://git.example.com", "http://all.test:1"},
		{all + one, nil, "https://git.example.com", "socks5h://one.test:1080"},
		{one + all, nil, "https://team.cloudflareaccess.com", "http://all.test:1"},
		{all + "[http \"https://git.example.com\"]\n\tproxy =\n", nil, "https://git.example.com", ""},
		{all, []string{"HTTPS_PROXY=http://env.test:2"}, "https://git.example.com", "http://env.test:2"},
		{all, []string{"ALL_PROXY=socks5://env.test:2"}, "https://git.example.com", "socks5://env.test:2"},
		{all, []string{"NO_PROXY=.example.com"}, "https://git.example.com", ""},
		{"[http]\n\tproxy = https://me:pw@all.test\n", nil, "https://git.example.com", "https://me:pw@all.test:443"},
		{"[http]\n\tproxy = socks4://all.test\n", nil, "https://git.example.com", `error: http.proxy is of the kind "socks4"`},
		{"[http]\n\tproxy = http://me:hunter2@\n", nil, "https://git.example.com", "error: http.proxy is no address"},
		{"[http\n", nil, "https://git.example.com", "error: exit status"},
	}
	for _, g := range scripttest.Gits(t) {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range tests {
				env, _ := gitEnv(t, tt.config, tt.vars...)
				u, err := url.Parse(tt.url)
				if err != nil {
					t.Fatal(err)
				}
				got := ""
				own, err := newGitTransport(t, env, NetworkOptions{Git: g.Path}).host(t.Context(), u)
				if err == nil && own.Proxy != nil {
					u, err = own.Proxy(&http.Request{URL: u})
					got = urlString(u)
				}
				if err != nil {
					got = "error: " + err.Error()
				}
				if got != tt.want && (err == nil || !strings.HasPrefix(got, tt.want)) || strings.Contains(got, "hunter2") {
					t.Errorf("%q %v %s: %q, want %q", tt.config, tt.vars, tt.url, got, tt.want)
				}
			}
		})
	}
}

// A server that asks for a client certificate, behind an authority of its own.
func TestGitAuthoritiesAndCertificate(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
		}
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are the point
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	file := func(name string, blocks ...*pem.Block) string {
		var b []byte
		for _, block := range blocks {
			b = append(b, pem.EncodeToMemory(block)...)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.ToSlash(filepath.Join(dir, name))
	}
	ca := file("ca.pem", &pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	cert, key := selfSigned(t, "ada")
	other, _ := selfSigned(t, "other")
	certFile, keyFile, both := file("cert.pem", cert), file("key.pem", key), file("both.pem", cert, key)
	otherCA := file("other.pem", other)

	const none = "error"
	trusted := "[http]\n\tsslCAInfo = " + ca + "\n"
	tests := map[string]struct {
		config string
		vars   []string
		opt    NetworkOptions
		want   string
	}{
		"nothing set":           {"", nil, NetworkOptions{}, none},
		"authority":             {trusted, nil, NetworkOptions{}, ""},
		"authority of the host": {"[http]\n\tsslCAInfo = " + otherCA + "\n[http \"" + srv.URL + "\"]\n\tsslCAInfo = " + ca + "\n", nil, NetworkOptions{}, ""},
		"authority of another":  {"[http \"https://other.example.com\"]\n\tsslCAInfo = " + ca + "\n", nil, NetworkOptions{}, none},
		"authority below home":  {"[http]\n\tsslCAInfo = ~/ca.pem\n", nil, NetworkOptions{}, ""},
		"GIT_SSL_CAINFO":        {"[http]\n\tsslCAInfo = /missing\n", []string{"GIT_SSL_CAINFO=" + ca}, NetworkOptions{}, ""},
		"SSL_CERT_FILE first":   {trusted, []string{"SSL_CERT_FILE=" + otherCA}, NetworkOptions{}, none},
		"SSL_CERT_DIR first":    {trusted, []string{"SSL_CERT_DIR=/nowhere"}, NetworkOptions{}, none},
		"option first":          {trusted, []string{"GIT_SSL_CAINFO=" + ca}, NetworkOptions{CAFile: otherCA}, none},
		"a missing file":        {"[http]\n\tsslCAInfo = /missing\n", nil, NetworkOptions{}, none},
		"sslVerify=false":       {"[http]\n\tsslVerify = false\n", []string{"GIT_SSL_NO_VERIFY=1"}, NetworkOptions{}, none},
		"certificate":           {trusted + "\tsslCert = " + certFile + "\n\tsslKey = " + keyFile + "\n", nil, NetworkOptions{}, "ada"},
		"certificate with key":  {trusted + "\tsslCert = " + both + "\n", nil, NetworkOptions{}, "ada"},
		"GIT_SSL_CERT":          {trusted, []string{"GIT_SSL_CERT=" + certFile, "GIT_SSL_KEY=" + keyFile}, NetworkOptions{}, "ada"},
		"certificate for else":  {trusted + "[http \"https://other.example.com\"]\n\tsslCert = " + both + "\n", nil, NetworkOptions{}, ""},
		"certificate without":   {trusted + "\tsslCert = " + certFile + "\n", nil, NetworkOptions{}, none},
		"our certificate first": {trusted + "\tsslCert = /missing\n", nil, NetworkOptions{ClientCert: filepath.Join(dir, "both.pem")}, "ada"},
	}
	gits := scripttest.Gits(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			env, home := gitEnv(t, tt.config, tt.vars...)
			if err := os.Symlink(ca, filepath.Join(home, "ca.pem")); err != nil {
				t.Fatal(err)
			}
			tt.opt.Git = gits[0].Path
			resp, err := (&http.Client{Transport: newGitTransport(t, env, tt.opt)}).Get(srv.URL)
			if err != nil {
				if tt.want != none {
					t.Error(err)
				}
				return
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); err != nil || string(b) != tt.want {
				t.Errorf("the server saw %q, %v, want %q", b, err, tt.want)
			}
		})
	}

	// Where all is said by others, git is not even looked for.
	env, _ := gitEnv(t, "", "HTTPS_PROXY=http://127.0.0.1:1", "SSL_CERT_FILE="+ca)
	rt := newGitTransport(t, env, NetworkOptions{Git: "/nonexistent/git", ClientCert: filepath.Join(dir, "both.pem")})
	if resp, err := (&http.Client{Transport: rt}).Get(srv.URL); err != nil { // loopback needs no proxy
		t.Error(err)
	} else {
		resp.Body.Close()
	}
}

func selfSigned(t *testing.T, name string) (cert, key *pem.Block) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	tmpl.Subject.CommonName = name
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return &pem.Block{Type: "CERTIFICATE", Bytes: der}, &pem.Block{Type: "PRIVATE KEY", Bytes: pk}
}
