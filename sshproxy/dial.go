package sshproxy

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DefaultPingInterval keeps a connection open through the edge, which closes one
	// without traffic after about 100 seconds or more; no figure is documented, see
	// https://developers.cloudflare.com/network/websockets/.
	DefaultPingInterval = 30 * time.Second

	maxErrorBody     = 1 << 10
	defaultUserAgent = "gitaccess-sshproxy"
)

// DialOptions is how to dial. A nil *DialOptions is all defaults.
type DialOptions struct {
	// Transport sends the one request of the handshake and attaches whatever
	// credential it needs. Its answer to an upgrade must have a Body that is an
	// io.ReadWriteCloser, as that of http.Transport is. Nil: one by NewTransport(nil)
	// that all share.
	Transport http.RoundTripper

	// Header is sent beside the handshake's own fields, which it cannot replace. It
	// goes to the host of the URL and nowhere else, but secrets belong into
	// Transport. It is copied.
	Header http.Header

	// Destination is the host:port that the connector shall connect to, if the
	// application lets clients choose ("bastion mode"). It is sent as
	// Cf-Access-Jump-Destination. Take it from nobody who should not reach the
	// network behind the application.
	Destination string

	// PingInterval is how long the peer may be silent before it is pinged, and
	// before a ping counts as missed. Zero: DefaultPingInterval. Negative: never.
	PingInterval time.Duration
}

var defaultTransport = sync.OnceValue(func() http.RoundTripper { return NewTransport(nil) })

// Dial asks the server at u for a WebSocket. ctx bounds the handshake, not the
// connection, which the caller closes. The schemes wss and ws mean https and http;
// http is for loopback addresses only. u is not changed.
//
// An answer that is no WebSocket is a [*HandshakeError]. Errors of the Transport
// can be found with errors.As.
func Dial(ctx context.Context, u *url.URL, o *DialOptions) (*Conn, error) {
	if o == nil {
		o = new(DialOptions)
	}
	rt := o.Transport
	if rt == nil {
		rt = defaultTransport()
	}
	var key [16]byte
	rand.Read(key[:])
	req, err := upgradeRequest(ctx, u, o, base64.StdEncoding.EncodeToString(key[:]))
	if err != nil {
		return nil, err
	}
	// The connection beneath the answer's body is what has deadlines. The last one
	// got is the one upgraded: a Transport may have sent other requests before.
	var nc atomic.Pointer[net.Conn]
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { nc.Store(&info.Conn) },
	})
	resp, err := rt.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("sshproxy: dial %s: %w", req.URL.Host, err)
	}
	stream, err := upgraded(req, resp)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	if ctx.Err() != nil {
		stream.Close()
		return nil, fmt.Errorf("sshproxy: dial %s: %w", req.URL.Host, context.Cause(ctx))
	}
	interval := o.PingInterval
	if interval == 0 {
		interval = DefaultPingInterval
	}
	beneath, _ := stream.(net.Conn)
	if p := nc.Load(); p != nil {
		beneath = *p
	}
	return newConn(stream, beneath, req.URL.Host, interval), nil
}

// upgradeRequest makes the request of RFC 6455 section 4.1.
func upgradeRequest(ctx context.Context, u *url.URL, o *DialOptions, key string) (*http.Request, error) {
	target, err := target(u)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("sshproxy: %w", err)
	}
	if o.Header != nil {
		req.Header = o.Header.Clone()
	}
	if req.Header.Get("User-Agent") == "" {
		// An honest name: Go's own is refused by some WAF rules (error 1010).
		req.Header.Set("User-Agent", defaultUserAgent)
	}
	if host := req.Header.Get("Host"); host != "" {
		return nil, errors.New("sshproxy: the host is part of the URL, not of the header")
	}
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", key)
	req.Header.Del("Sec-WebSocket-Protocol")
	req.Header.Del("Sec-WebSocket-Extensions")
	if o.Destination != "" {
		if err := checkDestination(o.Destination); err != nil {
			return nil, err
		}
		req.Header.Set("Cf-Access-Jump-Destination", o.Destination)
	}
	return req, nil
}

// target returns the URL to ask, derived from u.
func target(u *url.URL) (*url.URL, error) {
	t := *u
	t.User, t.Fragment, t.RawFragment = nil, "", ""
	switch strings.ToLower(t.Scheme) {
	case "https", "wss":
		t.Scheme = "https"
	case "http", "ws":
		t.Scheme = "http"
		if !loopback(t.Hostname()) {
			return nil, fmt.Errorf("sshproxy: %s: without TLS only loopback addresses are dialled", shown(u))
		}
	default:
		return nil, fmt.Errorf("sshproxy: %s: scheme is neither https nor wss", shown(u))
	}
	if t.Hostname() == "" {
		return nil, fmt.Errorf("sshproxy: %s: no host", shown(u))
	}
	return &t, nil
}

// shown is what errors say of a URL: of what may be a secret, nothing.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func checkDestination(d string) error {
	host, port, err := net.SplitHostPort(d)
	if err != nil || host == "" || port == "" || strings.ContainsAny(d, "/@ \t\r\n") {
		return fmt.Errorf("sshproxy: destination %q is not host:port", d)
	}
	return nil
}

// upgraded checks the answer by RFC 6455 section 4.1 and returns its stream. If it
// is none, what there is to tell about it has been read.
func upgraded(req *http.Request, resp *http.Response) (io.ReadWriteCloser, error) {
	e := &HandshakeError{URL: shown(req.URL), StatusCode: resp.StatusCode, Header: resp.Header}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		e.Body, _ = io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		return nil, e
	}
	switch {
	case !hasToken(resp.Header, "Upgrade", "websocket"):
		e.Reason = "no Upgrade: websocket"
	case !hasToken(resp.Header, "Connection", "upgrade"):
		e.Reason = "no Connection: Upgrade"
	case resp.Header.Get("Sec-WebSocket-Accept") != acceptKey(req.Header.Get("Sec-WebSocket-Key")):
		e.Reason = "Sec-WebSocket-Accept does not belong to our key"
	case len(resp.Header.Values("Sec-WebSocket-Extensions")) > 0:
		e.Reason = "an extension that was not asked for"
	case len(resp.Header.Values("Sec-WebSocket-Protocol")) > 0:
		e.Reason = "a subprotocol that was not asked for"
	}
	if e.Reason != "" {
		return nil, e
	}
	stream, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		e.Reason = "the transport gives no stream to write to"
		return nil, e
	}
	return stream, nil
}

// hasToken reports whether a field is a list that has token, RFC 9110 section 5.6.1.
func hasToken(h http.Header, name, token string) bool {
	return slices.ContainsFunc(h.Values(name), func(v string) bool {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
		return false
	})
}

// acceptKey is the proof that RFC 6455 section 4.2.2 asks of a server.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
