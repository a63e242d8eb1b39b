package gogit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/net/proxy"

	"github.com/gitaccess/gitaccess/sshproxy"
)

// sshTransport gives go-git's SSH client a connection through Access. go-git v5
// has one place for a dialer, the proxy of an endpoint, and dials without the
// caller's context when a session is made; so sessions are made at the first call
// that has a context, and find their dialer by a proxy URL of their own.
type sshTransport struct {
	guarded *hosts
	through transport.Transport
	options *sshproxy.DialOptions
}

func (t *sshTransport) NewUploadPackSession(ep *transport.Endpoint, auth transport.AuthMethod) (transport.UploadPackSession, error) {
	app, err := t.application(ep)
	if err != nil {
		return nil, err
	}
	if app == nil {
		return t.through.NewUploadPackSession(ep, auth)
	}
	return &sshUploadPack{lazy[transport.UploadPackSession]{t: t, app: app, ep: *ep, auth: auth, start: t.through.NewUploadPackSession}}, nil
}

func (t *sshTransport) NewReceivePackSession(ep *transport.Endpoint, auth transport.AuthMethod) (transport.ReceivePackSession, error) {
	app, err := t.application(ep)
	if err != nil {
		return nil, err
	}
	if app == nil {
		return t.through.NewReceivePackSession(ep, auth)
	}
	return &sshReceivePack{lazy[transport.ReceivePackSession]{t: t, app: app, ep: *ep, auth: auth, start: t.through.NewReceivePackSession}}, nil
}

// application returns the application through which the server is reached, or nil.
// The name is the one in the URL, or the one by which ~/.ssh/config replaces it, as
// go-git does.
func (t *sshTransport) application(ep *transport.Endpoint) (*url.URL, error) {
	app, ok := t.guarded.application(ep.Host)
	if !ok && gitssh.DefaultSSHConfig != nil {
		app, ok = t.guarded.application(gitssh.DefaultSSHConfig.Get(ep.Host, "Hostname"))
	}
	if !ok {
		return nil, nil
	}
	if option := optionOf(ep); option != "" {
		return nil, &OptionError{Option: option, Host: ep.Host}
	}
	return app, nil
}

// lazy is a session that connects when there is a context.
type lazy[S transport.Session] struct {
	t     *sshTransport
	app   *url.URL
	ep    transport.Endpoint
	auth  transport.AuthMethod
	start func(*transport.Endpoint, transport.AuthMethod) (S, error)

	once    sync.Once
	session S
	err     error
}

func (l *lazy[S]) open(ctx context.Context) (S, error) {
	l.once.Do(func() {
		r := &route{ctx: ctx, dialer: &sshproxy.Dialer{URL: l.app, Options: l.t.options}}
		ep := l.ep
		ep.Proxy = transport.ProxyOptions{URL: r.add()}
		defer r.remove()
		l.session, l.err = l.start(&ep, l.auth)
		l.err = ended(ctx, l.err)
	})
	return l.session, l.err
}

func (l *lazy[S]) advertised(ctx context.Context) (*packp.AdvRefs, error) {
	s, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	refs, err := s.AdvertisedReferencesContext(ctx)
	return refs, ended(ctx, err)
}

// AdvertisedReferences implements [transport.Session].
func (l *lazy[S]) AdvertisedReferences() (*packp.AdvRefs, error) {
	return l.advertised(context.Background())
}

// AdvertisedReferencesContext implements [transport.Session].
func (l *lazy[S]) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	return l.advertised(ctx)
}

// Close implements [transport.Session].
func (l *lazy[S]) Close() error {
	l.once.Do(func() { l.err = net.ErrClosed })
	if l.err != nil {
		return nil // there never was a connection
	}
	return l.session.Close()
}

type sshUploadPack struct {
	lazy[transport.UploadPackSession]
}

func (s *sshUploadPack) UploadPack(ctx context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	up, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := up.UploadPack(ctx, req)
	return resp, ended(ctx, err)
}

type sshReceivePack struct {
	lazy[transport.ReceivePackSession]
}

func (s *sshReceivePack) ReceivePack(ctx context.Context, req *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error) {
	rp, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	status, err := rp.ReceivePack(ctx, req)
	return status, ended(ctx, err)
}

// ended says of an error that came of the context's end that it did: a connection
// that is closed under way fails in many words.
func ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("gogit: %w: %w", cause, err)
	}
	return err
}

// scheme is that of the proxy URLs by which sessions find their dialer.
const scheme = "gitaccess"

// Before any session: the map behind it has no lock.
func init() {
	proxy.RegisterDialerType(scheme, func(u *url.URL, _ proxy.Dialer) (proxy.Dialer, error) {
		r, ok := routes.Load(u.Host)
		if !ok {
			return nil, fmt.Errorf("gogit: %s URLs are of one session each", scheme)
		}
		return r.(*route), nil
	})
}

var routes sync.Map // id → *route

// A route is how one session connects.
type route struct {
	ctx    context.Context // of the operation
	dialer *sshproxy.Dialer
	id     string
}

func (r *route) add() (proxyURL string) {
	r.id = rand.Text()
	routes.Store(r.id, r)
	return scheme + "://" + r.id
}

func (r *route) remove() { routes.Delete(r.id) }

// Dial implements [proxy.Dialer].
func (r *route) Dial(network, address string) (net.Conn, error) {
	return r.DialContext(context.Background(), network, address)
}

// DialContext implements [proxy.ContextDialer]. limit is go-git's: the Timeout of
// an SSH configuration, if it has one. The connection ends with the operation.
func (r *route) DialContext(limit context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	defer context.AfterFunc(limit, func() { cancel(context.Cause(limit)) })()
	conn, err := r.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, ended(ctx, err)
	}
	bound := &boundConn{Conn: conn}
	bound.stop = context.AfterFunc(r.ctx, func() { conn.Close() })
	return bound, nil
}

type boundConn struct {
	net.Conn
	stop func() bool
}

func (c *boundConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
