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
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/gitaccess/gitaccess/internal/cli"
)

// NetworkOptions change how the network is reached.
type NetworkOptions struct {
	CAFile     string // PEM file with the only authorities to trust
	ClientCert string // PEM file with a client certificate, and its key unless ClientKey is given
	ClientKey  string
	ConnectTo  string // host:port to connect to in place of what the URL says, without a proxy
	Git        string // the git whose network settings are followed where nothing else is said; "" follows none
}

// Network returns a transport for the environment: proxies from HTTPS_PROXY,
// HTTP_PROXY, ALL_PROXY and NO_PROXY (http, https, socks5, socks5h), authorities
// from SSL_CERT_FILE and SSL_CERT_DIR.
func Network(env *cli.Env, o NetworkOptions) (*http.Transport, error) {
	roots, fill, err := authorities(env, o.CAFile)
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
	dial, proxy := dialer.DialContext, proxies(env)
	if o.ConnectTo != "" {
		proxy = nil // it would be connected to in the proxy's place, and told to connect
		dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, o.ConnectTo)
		}
	}
	if fill != nil {
		connect := dial
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if err := fill(); err != nil {
				return nil, err
			}
			return connect(ctx, network, address)
		}
	}
	return &http.Transport{
		Proxy:                  proxy,
		OnProxyConnectResponse: proxyAnswered,
		DialContext:            dial,
		TLSClientConfig:        conf,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    20 * time.Second,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    16,
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

// authorities returns the roots to trust; nil means the system's own verifier. A
// fill that is not nil puts the roots into the pool and must be called before the
// pool is used: a program that finds a valid session connects to nobody, and
// reading 140 certificates would be half of its time.
//
// On Linux, x509.SystemCertPool reads a bundle and then, one by one, the folder of
// the same certificates beside it: a tenth of the CPU of a warm start. One file
// says the same.
func authorities(env *cli.Env, caFile string) (pool *x509.CertPool, fill func() error, err error) {
	if caFile != "" {
		pool := x509.NewCertPool()
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, nil, fmt.Errorf("certificate authorities: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, nil, fmt.Errorf("certificate authorities: no certificate in %s", caFile)
		}
		return pool, nil, nil
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		return nil, nil, nil
	}
	if dirs := env.Getenv("SSL_CERT_DIR"); dirs != "" && env.Getenv("SSL_CERT_FILE") == "" {
		return nil, nil, nil
	}
	file := env.Getenv("SSL_CERT_FILE")
	if file == "" {
		i := slices.IndexFunc(bundles, func(f string) bool { _, err := os.Stat(f); return err == nil })
		if i < 0 {
			return nil, nil, nil
		}
		file = bundles[i]
	} else if _, err := os.Stat(file); err != nil {
		return nil, nil, fmt.Errorf("certificate authorities: SSL_CERT_FILE: %w", err)
	}
	pool = x509.NewCertPool()
	return pool, sync.OnceValue(func() error {
		pem, err := os.ReadFile(file)
		if err == nil && !pool.AppendCertsFromPEM(pem) {
			err = fmt.Errorf("no certificate in %s", file)
		}
		if err != nil {
			return fmt.Errorf("certificate authorities: %w", err)
		}
		return nil
	}), nil
}
