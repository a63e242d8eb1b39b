package webproxy

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
)

// accessCookies belong to Access and its clients, of which the proxy is one:
// https://developers.cloudflare.com/cloudflare-one/access-controls/applications/http-apps/authorization-cookie/
var accessCookies = map[string]bool{"CF_Authorization": true, "CF_Binding": true, "CF_AppSession": true, "CF_Session": true}

// rewrite makes the request to the host. ReverseProxy has taken hop-by-hop headers
// and X-Forwarded-* off before.
func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	at := placeOf(r.In)
	out := r.Out
	out.URL.Scheme, out.URL.Host = p.target.Scheme, p.target.Host
	out.URL.Path, out.URL.RawPath = at.below(r.In.URL)
	out.URL.RawQuery = r.In.URL.RawQuery // also what Go cannot parse
	out.URL.Opaque = ""                  // "GET x:http://evil.example/": it would be sent in place of the path
	out.Host = p.target.Host
	h := out.Header
	h.Del(TokenHeader)
	if at.authed {
		h.Del("Authorization")
	}
	for name := range h {
		if strings.HasPrefix(name, "Cf-Access-") { // one credential, and it is ours
			delete(h, name)
		}
	}
	p.rewriteCookies(h)
	host := p.target.Scheme + "://" + p.target.Host
	if h.Get("Origin") != "" {
		h.Set("Origin", host)
	}
	if ref := h.Get("Referer"); ref != "" {
		if rest, ok := strings.CutPrefix(ref, at.base); ok && (rest == "" || rest[0] == '/' || rest[0] == '?') {
			h.Set("Referer", host+rest)
		} else {
			h.Del("Referer")
		}
	}
	if !p.opt.KeepBodies {
		// The transport then asks for gzip and undoes it, and documents can be read.
		h.Del("Accept-Encoding")
	}
}

func (p *Proxy) rewriteCookies(h http.Header) {
	lines := h.Values("Cookie")
	if len(lines) == 0 {
		return
	}
	h.Del("Cookie")
	var keep []string
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ";") {
			part = strings.TrimSpace(part)
			if name, _, _ := strings.Cut(part, "="); part != "" && !accessCookies[name] {
				keep = append(keep, part)
			}
		}
	}
	if len(keep) > 0 {
		h.Set("Cookie", strings.Join(keep, "; "))
	}
}

// smallBody is what is read ahead, so that a request can be sent once more after a
// renewal. Larger ones stream; so do those without a length, whose client may wait for
// an answer before it goes on.
const smallBody = 64 << 10

// withSmallBody gives the request a GetBody if its body is small.
func withSmallBody(r *http.Request) (*http.Request, error) {
	if r.ContentLength <= 0 || r.ContentLength > smallBody {
		return r, nil
	}
	b := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, b); err != nil {
		return nil, err
	}
	r = r.WithContext(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(b))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	return r, nil
}
