package door

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/gitaccess/gitaccess/internal/cli"
)

// NetworkOptions change how the network is reached.
type NetworkOptions struct {
	CAFile     string // PEM file with the only authorities to trust
	ClientCert string // PEM file with a client certificate, and its key unless ClientKey is given
	ClientKey  string
	ConnectTo  string // host:port to connect to in place of what the URL says
}

// Network returns a transport for the environment: proxies from HTTPS_PROXY,
// HTTP_PROXY, ALL_PROXY and NO_PROXY (http, https, socks5, socks5h), authorities
// from SSL_CERT_FILE and SSL_CERT_DIR.
func Network(env *cli.Env, o NetworkOptions) (*http.Transport, error) {
	roots, err := authorities(env, o.CAFile)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if o.ClientCert != "" {
		key := o.ClientKey
		if key == "" {
			key = o.ClientCert
		}
		cert, err := tls.LoadX509KeyPair(o.ClientCert, key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	dial := dialer.DialContext
	if o.ConnectTo != "" {
		dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, o.ConnectTo)
		}
	}
	return &http.Transport{
		Proxy:                 proxies(env),
		DialContext:           dial,
		TLSClientConfig:       conf,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   20 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16,
	}, nil
}

// proxies follows curl and git: lower case goes before upper case, and ALL_PROXY
// serves where nothing more specific is set. HTTP_PROXY in upper case is not read
// where a web server may have made it from a request (RFC 3875's HTTP_*).
func proxies(env *cli.Env) func(*http.Request) (*url.URL, error) {
	first := func(names ...string) string {
		for _, n := range names {
			if v := env.Getenv(n); v != "" {
				return v
			}
		}
		return ""
	}
	conf := &httpproxy.Config{
		HTTPSProxy: first("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
		HTTPProxy:  first("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
		NoProxy:    first("no_proxy", "NO_PROXY"),
		CGI:        env.Getenv("REQUEST_METHOD") != "",
	}
	choose := conf.ProxyFunc()
	return func(req *http.Request) (*url.URL, error) { return choose(req.URL) }
}

// bundles are where Linux systems and BSDs keep all authorities in one file.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Arch, Gentoo
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, older RHEL
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL
	"/etc/ssl/cert.pem",                                 // Alpine, BSDs
	"/usr/local/etc/ssl/cert.pem",                       // FreeBSD
}

// authorities returns the roots to trust; nil means the system's own verifier.
//
// On Linux, x509.SystemCertPool reads a bundle and then, one by one, the folder of
// the same certificates beside it: a tenth of the CPU of a warm start. One file
// says the same.
func authorities(env *cli.Env, caFile string) (*x509.CertPool, error) {
	if caFile != "" {
		pool := x509.NewCertPool()
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("certificate authorities: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificate authorities: no certificate in %s", caFile)
		}
		return pool, nil
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		return nil, nil
	}
	if dirs := env.Getenv("SSL_CERT_DIR"); dirs != "" && env.Getenv("SSL_CERT_FILE") == "" {
		return nil, nil
	}
	files := bundles
	if f := env.Getenv("SSL_CERT_FILE"); f != "" {
		files = []string{f}
	}
	for _, f := range files {
		pem, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		pool := x509.NewCertPool()
		if pool.AppendCertsFromPEM(pem) {
			return pool, nil
		}
	}
	if f := env.Getenv("SSL_CERT_FILE"); f != "" {
		return nil, fmt.Errorf("certificate authorities: SSL_CERT_FILE=%s holds no readable certificate", strings.TrimSpace(f))
	}
	return nil, nil
}
