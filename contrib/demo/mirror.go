package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/browser"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// mirror shows the edge's pages to any browser on this machine, without a proxy setting and without trust in the edge's CA: the page
// https://team.cloudflareaccess.com/x is http://team.cloudflareaccess.com.localhost:PORT/x. Browsers take *.localhost for loopback
// (RFC 6761, section 6.3).
type mirror struct {
	env       *cli.Env
	server    *http.Server
	transport *http.Transport
	port      string
}

const suffix = ".localhost"

func newMirror(srv *accesstest.Server, env *cli.Env) (*mirror, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, err
	}
	m := &mirror{env: env, transport: srv.Transport(), port: port}
	m.server = &http.Server{Handler: &httputil.ReverseProxy{
		Transport:      m.transport,
		Rewrite:        m.request,
		ModifyResponse: m.response,
	}}
	go m.server.Serve(l)
	return m, nil
}

// link is where a browser finds the page.
func (m *mirror) link(page string) (string, error) {
	u, err := url.Parse(page)
	if err != nil {
		return "", err
	}
	if u.Scheme == "https" {
		u.Scheme, u.Host = "http", u.Hostname()+suffix+":"+m.port
	}
	return u.String(), nil
}

// show prints the link, and opens it where there is a browser to open.
func (m *mirror) show(ctx context.Context, page string) error {
	link, err := m.link(page)
	if err != nil {
		return err
	}
	fmt.Fprintf(m.env.Stdout, "  → click through %s\n", link)
	err = browser.Open(ctx, link, &browser.Options{Getenv: m.env.Getenv, Environ: m.env.Environ})
	var none *browser.NoBrowserError
	if errors.As(err, &none) {
		fmt.Fprintf(m.env.Stdout, "    (%v; from another machine: ssh -L %s:127.0.0.1:%s …)\n", none, m.port, m.port)
		return nil
	}
	return err
}

func (m *mirror) request(r *httputil.ProxyRequest) {
	host, _, _ := strings.Cut(r.In.Host, ":")
	host = strings.TrimSuffix(host, suffix)
	r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "https", host, host
	for _, name := range []string{"Origin", "Referer"} {
		if v := r.In.Header.Get(name); v != "" {
			r.Out.Header.Set(name, m.outward(v))
		}
	}
	r.Out.Header.Del("Accept-Encoding") // pages are changed on their way
}

var mirrored = regexp.MustCompile(`http://([a-z0-9.-]+)\.localhost:[0-9]+`)

// outward turns a mirrored address into the edge's.
func (m *mirror) outward(s string) string { return mirrored.ReplaceAllString(s, "https://$1") }

func (m *mirror) response(r *http.Response) error {
	if to := r.Header.Get("Location"); to != "" {
		link, err := m.link(to)
		if err != nil {
			return err
		}
		r.Header.Set("Location", link)
	}
	cookies := r.Cookies()
	r.Header.Del("Set-Cookie")
	for _, c := range cookies {
		c.Secure, c.Domain, c.SameSite = false, "", http.SameSiteLaxMode
		r.Header.Add("Set-Cookie", c.String())
	}
	// A form may only be sent where the page's policy says, and that names https.
	r.Header.Del("Content-Security-Policy")
	r.Header.Del("Strict-Transport-Security")
	return nil
}

func (m *mirror) close() error {
	err := m.server.Close()
	m.transport.CloseIdleConnections()
	return err
}
