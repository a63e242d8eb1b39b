package door

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/gitaccess/gitaccess/internal/cli"
)

// gitTransport reaches each host as git is configured to: http.proxy,
// http.sslCAInfo, http.sslCert and http.sslKey, also as http.<url>.*, and the
// variables GIT_SSL_CAINFO, GIT_SSL_CERT and GIT_SSL_KEY. Options of ours and the
// variables that all programs follow go before them. git is asked at the first
// request to a host, so that a run which needs no network starts no process.
//
// http.sslVerify=false is not followed: what we fetch is secret.
type gitTransport struct {
	env  *cli.Env
	opt  NetworkOptions
	base *http.Transport

	mu    sync.Mutex
	hosts map[string]*http.Transport
}

// RoundTrip implements [http.RoundTripper].
func (t *gitTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	own, err := t.host(req.Context(), &url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: "/"})
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, fmt.Errorf("git's network settings: %w", err)
	}
	return own.RoundTrip(req)
}

// CloseIdleConnections is for [http.Client.CloseIdleConnections].
func (t *gitTransport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.base.CloseIdleConnections()
	for _, own := range t.hosts {
		own.CloseIdleConnections()
	}
}

func (t *gitTransport) host(ctx context.Context, u *url.URL) (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own := t.hosts[u.Host]; own != nil {
		return own, nil
	}
	own, err := t.build(ctx, u)
	if err == nil {
		t.hosts[u.Host] = own
	}
	return own, err
}

func (t *gitTransport) build(ctx context.Context, u *url.URL) (*http.Transport, error) {
	set := func(names ...string) bool {
		for _, n := range names {
			if t.env.Getenv(n) != "" {
				return true
			}
		}
		return false
	}
	proxyOpen := t.opt.ConnectTo == "" && !set("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
	rootsOpen := t.opt.CAFile == "" && !set("SSL_CERT_FILE", "SSL_CERT_DIR")
	certOpen := t.opt.ClientCert == ""
	if !proxyOpen && !rootsOpen && !certOpen {
		return t.base, nil
	}
	get, err := t.ask(ctx, u)
	if err != nil {
		return nil, err
	}
	own := t.base
	if file, ok := get("sslcainfo", "GIT_SSL_CAINFO"); ok && rootsOpen && file != "" {
		opt := t.opt
		opt.CAFile = file
		if own, err = Network(t.env, opt); err != nil {
			return nil, err
		}
	} else {
		own = own.Clone()
	}
	if proxy, ok := get("proxy", ""); ok && proxyOpen {
		if own.Proxy, err = gitProxy(proxy, t.env); err != nil {
			return nil, err
		}
	}
	if cert, ok := get("sslcert", "GIT_SSL_CERT"); ok && certOpen && cert != "" {
		key, ok := get("sslkey", "GIT_SSL_KEY")
		if !ok || key == "" {
			key = cert
		}
		// Read if a server asks for it: the key may need a passphrase, and this host no certificate.
		own.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				return nil, fmt.Errorf("client certificate of git's http.sslCert: %w", err)
			}
			return &pair, nil
		}
	}
	return own, nil
}

// ask returns what git's configuration and variables say for u. A machine without
// git has no settings of it.
func (t *gitTransport) ask(ctx context.Context, u *url.URL) (get func(key, variable string) (string, bool), err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.opt.Git, "config", "-z", "--path", "--get-urlmatch", "http", u.String())
	cmd.Env = t.env.Environ()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == 1, errors.Is(err, exec.ErrNotFound): // nothing is set
	case err != nil:
		said, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return nil, fmt.Errorf("%w: %s", err, said)
	}
	values := map[string]string{}
	for entry := range strings.SplitSeq(string(out), "\x00") {
		key, value, _ := strings.Cut(entry, "\n")
		values[strings.TrimPrefix(key, "http.")] = value // the last one holds
	}
	return func(key, variable string) (string, bool) {
		if v := t.env.Getenv(variable); variable != "" && v != "" {
			return v, true
		}
		v, ok := values[key]
		return v, ok
	}, nil
}

// gitProxy reads http.proxy as git and libcurl do: empty means none, a name without
// a scheme is an HTTP proxy, and 1080 is the port that need not be said.
func gitProxy(value string, env *cli.Env) (func(*http.Request) (*url.URL, error), error) {
	if value == "" {
		return nil, nil
	}
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("http.proxy is no address of a proxy") // it may hold a password
	}
	port := "1080"
	switch u.Scheme = strings.ToLower(u.Scheme); u.Scheme {
	case "http", "socks5", "socks5h":
	case "https":
		port = "443"
	default:
		return nil, fmt.Errorf("http.proxy is of the kind %q, which is not supported here; http, https, socks5 and socks5h are", u.Scheme)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	noProxy := env.Getenv("no_proxy")
	if noProxy == "" {
		noProxy = env.Getenv("NO_PROXY")
	}
	choose := (&httpproxy.Config{HTTPSProxy: u.String(), HTTPProxy: u.String(), NoProxy: noProxy}).ProxyFunc()
	return func(req *http.Request) (*url.URL, error) { return choose(req.URL) }, nil
}
