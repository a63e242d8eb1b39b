package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/access"
)

// network goes to the host one step at a time: name, connection, TLS, an answer.
func (x *Exam) network(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// GET: a firewall tells what it is in the body.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.URL.String(), nil)
	if err != nil {
		x.fault("network", "network", err.Error())
		return
	}
	proxy, err := x.Door.Transport.Proxy(req)
	if err != nil {
		x.fault("proxy", "proxy", "the address of the proxy cannot be read: "+err.Error(), "set HTTPS_PROXY=http://PROXY:PORT")
		return
	}
	target := net.JoinHostPort(x.Origin.Hostname(), portOr(req.URL, "443"))
	step := "tcp"
	if proxy != nil {
		target, step = net.JoinHostPort(proxy.Hostname(), portOr(proxy, "1080")), "proxy"
		if proxy.Port() == "" && strings.HasPrefix(proxy.Scheme, "http") {
			target = net.JoinHostPort(proxy.Hostname(), map[string]string{"http": "80", "https": "443"}[proxy.Scheme])
		}
		if u := strings.ToLower(proxy.Scheme); u != "http" && u != "https" && u != "socks5" && u != "socks5h" {
			x.fault("proxy", "proxy", fmt.Sprintf("proxies of the kind %q are not known here", u), "use one of the kinds http, https, socks5, socks5h")
			return
		}
	}
	if !x.resolve(ctx, target, proxy != nil) || !x.connect(ctx, step, target) {
		return
	}
	x.answer(req, proxy)
}

func portOr(u *url.URL, port string) string {
	if p := u.Port(); p != "" {
		return p
	}
	return port
}

func (x *Exam) resolve(ctx context.Context, target string, proxy bool) bool {
	host, _, _ := net.SplitHostPort(target)
	whose := ""
	if proxy {
		whose = " (the proxy)"
	}
	if net.ParseIP(host) != nil {
		return true
	}
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		_, hints := explained(err)
		x.fault("dns", "dns", fmt.Sprintf("the name %s%s cannot be resolved: %v", host, whose, err), hints...)
		return false
	}
	x.ok("dns", fmt.Sprintf("%s%s is %s", host, whose, strings.Join(addrs, ", ")))
	return true
}

func (x *Exam) connect(ctx context.Context, step, target string) bool {
	conn, err := (&net.Dialer{Timeout: 20 * time.Second}).DialContext(ctx, "tcp", target)
	if err != nil {
		next := "check whether a firewall is in between, or a proxy is needed: HTTPS_PROXY=http://PROXY:PORT"
		if step == "proxy" {
			next = "check HTTPS_PROXY, https_proxy and ALL_PROXY, and whether the proxy runs; NO_PROXY=" + x.Host + " goes around it"
		}
		x.fault(step, step, fmt.Sprintf("%s cannot be reached: %v", target, err), next)
		return false
	}
	conn.Close()
	if step == "proxy" {
		x.ok(step, "connections go by the proxy at "+target)
	} else {
		x.ok(step, target+" can be reached")
	}
	return true
}

// answer makes one request without a credential.
func (x *Exam) answer(req *http.Request, proxy *url.URL) {
	resp, err := x.Door.Transport.RoundTrip(req)
	if err != nil {
		x.refusedTLS(err, proxy)
		return
	}
	defer resp.Body.Close()
	if s := resp.TLS; s != nil && len(s.PeerCertificates) > 0 {
		cert := s.PeerCertificates[0]
		x.ok("tls", fmt.Sprintf("%s, issued by %q until %s", tls.VersionName(s.Version), issuer(cert), cert.NotAfter.Format(time.DateOnly)))
	}
	x.clock(resp)
	cause, stopped := map[access.AnswerKind]access.Cause{
		access.AnswerBlocked: access.Blocked, access.AnswerTunnelDown: access.TunnelDown, access.AnswerOriginDown: access.OriginDown,
	}[access.ReadAnswer(resp).Kind]
	if stopped {
		x.refused("answer", &access.RefusedError{App: access.App{Origin: x.Origin}, Cause: cause, StatusCode: resp.StatusCode})
		return
	}
	x.reached = true
}

func issuer(cert *x509.Certificate) string {
	if n := cert.Issuer.CommonName; n != "" {
		return n
	}
	return strings.Join(cert.Issuer.Organization, " ")
}

func (x *Exam) refusedTLS(err error, proxy *url.URL) {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
	)
	text, hints := explained(err)
	switch {
	case errors.As(err, &unknown):
		by := ""
		if unknown.Cert != nil {
			by = fmt.Sprintf(" (issued by %q)", issuer(unknown.Cert))
		}
		x.fault("tls", "tls-issuer", "the certificate of "+x.Host+" comes from an authority that is not trusted here"+by+": "+text, hints...)
	case errors.As(err, &name):
		x.fault("tls", "tls-name", "what answers is not "+x.Host+": "+text, hints...)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		x.fault("tls", "tls-expired", "the certificate of "+x.Host+" is not valid now: "+text, hints...)
	case errors.As(err, &record):
		x.fault("tls", "tls", text, hints...)
	case proxy != nil:
		x.fault("proxy", "proxy", text, append(hints, "check HTTPS_PROXY, https_proxy and ALL_PROXY")...)
	default:
		x.fault("tls", "tls", x.Host+" does not answer: "+text, hints...)
	}
}

// mostSkew is what an edge and its tokens forgive.
const mostSkew = time.Minute

// clock compares this machine's clock with the edge's: tokens are valid from a
// second on, not from about then.
func (x *Exam) clock(resp *http.Response) {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		x.note("clock", "the answer carries no time to compare with")
		return
	}
	off := time.Since(date).Round(time.Second)
	if off.Abs() <= mostSkew {
		x.ok("clock", "agrees with the edge's")
		return
	}
	way := "ahead of"
	if off < 0 {
		way = "behind"
	}
	x.fault("clock", "clock", fmt.Sprintf("this machine's clock is %s %s the edge's: tokens look expired, or not valid yet", off.Abs(), way),
		"set the clock; on Linux: timedatectl set-ntp true")
}
