package gogit

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/gitaccess/gitaccess/access"
)

// router gives a credential to the hosts that were named, and to no other.
type router struct {
	guarded *hosts
	access  http.RoundTripper
	open    http.RoundTripper
}

func (r *router) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.guarded.covers(req.URL) {
		return r.access.RoundTrip(req)
	}
	resp, err := r.open.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch access.ReadAnswer(resp).Kind {
	case access.AnswerLogin, access.AnswerServiceOnly:
		resp.Body.Close()
		return nil, &UnnamedHostError{Host: req.URL.Host}
	}
	return resp, nil
}

// httpTransport keeps go-git's options away from the transport that carries
// credentials. go-git v5 (plumbing/transport/http/common.go, newSession) wants the
// *http.Transport beneath for CABundle, ClientCert, InsecureSkipTLS and
// ProxyOptions: it gives an error for any other RoundTripper, or panics if it
// keeps a cache.
type httpTransport struct {
	guarded *hosts
	through transport.Transport // by the router
	plain   transport.Transport // without credentials
}

func (t *httpTransport) NewUploadPackSession(ep *transport.Endpoint, auth transport.AuthMethod) (transport.UploadPackSession, error) {
	by, ep, err := t.choose(ep)
	if err != nil {
		return nil, err
	}
	s, err := by.NewUploadPackSession(ep, auth)
	if err != nil {
		return nil, reveal(err)
	}
	return &uploadPack{s}, nil
}

func (t *httpTransport) NewReceivePackSession(ep *transport.Endpoint, auth transport.AuthMethod) (transport.ReceivePackSession, error) {
	by, ep, err := t.choose(ep)
	if err != nil {
		return nil, err
	}
	s, err := by.NewReceivePackSession(ep, auth)
	if err != nil {
		return nil, reveal(err)
	}
	return &receivePack{s}, nil
}

// choose returns the transport for an endpoint, and a copy of it, since go-git
// changes it when it follows a redirect.
func (t *httpTransport) choose(ep *transport.Endpoint) (transport.Transport, *transport.Endpoint, error) {
	out := *ep
	if out.Protocol != "http" {
		out.Protocol = "https"
	}
	option := optionOf(&out)
	switch u := endpointURL(&out); {
	case option == "":
		return t.through, &out, nil
	case t.guarded.covers(u):
		return nil, nil, &OptionError{Option: option, Host: u.Host}
	}
	return t.plain, &out, nil
}

// optionOf names what go-git would change of the network for the endpoint.
func optionOf(ep *transport.Endpoint) string {
	switch {
	case ep.InsecureSkipTLS:
		return "InsecureSkipTLS"
	case len(ep.CaBundle) > 0:
		return "CABundle"
	case len(ep.ClientCert) > 0 || len(ep.ClientKey) > 0:
		return "ClientCert"
	case ep.Proxy.URL != "":
		return "ProxyOptions"
	}
	return ""
}

func endpointURL(ep *transport.Endpoint) *url.URL {
	host := strings.Trim(ep.Host, "[]")
	switch {
	case ep.Port != 0:
		host = net.JoinHostPort(host, strconv.Itoa(ep.Port))
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return &url.URL{Scheme: ep.Protocol, Host: host, Path: ep.Path}
}

type uploadPack struct{ transport.UploadPackSession }

func (s *uploadPack) AdvertisedReferences() (*packp.AdvRefs, error) {
	return s.AdvertisedReferencesContext(context.Background())
}

func (s *uploadPack) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	refs, err := s.UploadPackSession.AdvertisedReferencesContext(ctx)
	return refs, reveal(err)
}

func (s *uploadPack) UploadPack(ctx context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	resp, err := s.UploadPackSession.UploadPack(ctx, req)
	return resp, reveal(err)
}

type receivePack struct{ transport.ReceivePackSession }

func (s *receivePack) AdvertisedReferences() (*packp.AdvRefs, error) {
	return s.AdvertisedReferencesContext(context.Background())
}

func (s *receivePack) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	refs, err := s.ReceivePackSession.AdvertisedReferencesContext(ctx)
	return refs, reveal(err)
}

func (s *receivePack) ReceivePack(ctx context.Context, req *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error) {
	status, err := s.ReceivePackSession.ReceivePack(ctx, req)
	return status, reveal(err)
}
