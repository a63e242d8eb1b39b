package webproxy

import (
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// answer changes what would lead the client past the proxy.
func (p *Proxy) answer(resp *http.Response) error {
	p.wentWell()
	at := placeOf(resp.Request)
	h := resp.Header
	for _, name := range []string{"Location", "Content-Location"} {
		if v := h.Get(name); v != "" {
			h.Set(name, p.location(v, at))
		}
	}
	rules := p.rules(at, "")
	for _, name := range []string{"Link", "Refresh", "Www-Authenticate"} {
		for i, v := range h[name] {
			v = replaceAll(v, rules)
			if name == "Link" && at.mount != "" {
				v = strings.ReplaceAll(v, "</", "<"+at.mount+"/")
			}
			h[name][i] = v
		}
	}
	setCookies(h, at)
	// They speak of the host, and the browser would take them to be about loopback.
	h.Del("Strict-Transport-Security")
	h.Del("Alt-Svc")
	if at.mount != "" {
		h.Set("Referrer-Policy", "same-origin") // the path is a secret
	}
	if kind := p.linked(resp); kind != "" {
		h.Del("Content-Length")
		resp.ContentLength = -1
		resp.Body = withLinks(resp.Body, p.rules(at, kind))
	}
	return nil
}

// location maps an address of the host to the proxy, and leaves all others.
func (p *Proxy) location(v string, at place) string {
	u, err := url.Parse(v)
	if err != nil {
		return v
	}
	switch {
	case u.Host == "" && u.Scheme == "":
		if strings.HasPrefix(v, "/") {
			return at.mount + v
		}
		return v // relative to where the client is
	case (u.Scheme == "" || u.Scheme == p.target.Scheme) && canonical(u.Host, p.target.Scheme) == canonical(p.target.Host, p.target.Scheme):
		base, err := url.Parse(at.base)
		if err != nil {
			return v
		}
		u.Scheme, u.Host, u.User = base.Scheme, base.Host, nil
		if u.RawPath != "" {
			u.RawPath = at.mount + u.RawPath
		}
		u.Path = at.mount + u.Path
		return u.String()
	}
	return v
}

// canonical leaves the default port out.
func canonical(host, scheme string) string {
	return strings.TrimSuffix(strings.ToLower(host), map[string]string{"https": ":443", "http": ":80"}[scheme])
}

// setCookies keeps the cookies of Access here and confines the host's own to the
// proxy: cookies know no ports, so another server on loopback would get those for "/".
func setCookies(h http.Header, at place) {
	lines := h.Values("Set-Cookie")
	h.Del("Set-Cookie")
	for _, line := range lines {
		c, err := http.ParseSetCookie(line)
		if err != nil || accessCookies[c.Name] {
			continue
		}
		c.Domain = ""
		if strings.HasPrefix(c.Path, "/") {
			c.Path = at.mount + c.Path
		}
		if !strings.HasPrefix(c.Name, "__") { // __Host- and __Secure- mean nothing without
			c.Secure = false
			if c.SameSite == http.SameSiteNoneMode {
				c.SameSite = http.SameSiteLaxMode
			}
		}
		h.Add("Set-Cookie", c.String())
	}
}

// linked tells in which kind of document links are changed; "" leaves it alone. What
// comes with a digest must stay as it is: manifests of containers are JSON, too.
func (p *Proxy) linked(resp *http.Response) string {
	h := resp.Header
	if p.opt.KeepBodies || resp.StatusCode == http.StatusSwitchingProtocols || resp.StatusCode == http.StatusPartialContent ||
		h.Get("Content-Encoding") != "" {
		return ""
	}
	for _, name := range []string{"Docker-Content-Digest", "Content-Digest", "Repr-Digest", "Digest", "Content-Md5"} {
		if h.Get(name) != "" {
			return ""
		}
	}
	switch media, _, _ := mime.ParseMediaType(h.Get("Content-Type")); media {
	case "text/html", "application/vnd.pypi.simple.v1+html":
		return "html"
	case "application/json", "application/vnd.git-lfs+json", "application/vnd.npm.install-v1+json", "application/vnd.pypi.simple.v1+json":
		return "json"
	}
	return ""
}
