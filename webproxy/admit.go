package webproxy

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// A place is how a client came in, which decides what the host's address becomes in
// answers to it.
type place struct {
	base   string // "http://127.0.0.1:41967/TOKEN", without a slash at the end
	mount  string // "/TOKEN" or ""
	authed bool   // Authorization was for us
}

type placeKey struct{}

func placeOf(r *http.Request) place { return r.Context().Value(placeKey{}).(place) }

// A refusal is an answer of our own.
type refusal struct {
	status int
	text   string
}

func (e *refusal) write(w http.ResponseWriter) {
	h := w.Header()
	clear(h)
	h.Set("Content-Type", "text/plain; charset=utf-8") // git prints such a text
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Proxy-Status", `gitaccess; error=`+map[bool]string{true: "http_request_denied", false: "destination_unavailable"}[e.status < 500]) // RFC 9209
	if e.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="access proxy"`)
	}
	w.WriteHeader(e.status)
	fmt.Fprintln(w, strings.TrimRight(e.text, "\n"))
}

// admit decides whether a request may use the proxy.
func (p *Proxy) admit(r *http.Request) (place, *refusal) {
	if !p.unix && !p.hosts[strings.ToLower(r.Host)] {
		// A name of somebody's that leads to 127.0.0.1 stands in Host (DNS rebinding).
		return place{}, &refusal{http.StatusMisdirectedRequest, "this proxy is reached by its loopback address"}
	}
	if r.Method == http.MethodTrace || r.Method == http.MethodConnect {
		// The answer to TRACE is the request, with the credential.
		return place{}, &refusal{http.StatusMethodNotAllowed, "this proxy passes no " + r.Method + " on"}
	}
	own := "http://" + r.Host
	if o := r.Header.Get("Origin"); o != "" && !strings.EqualFold(o, own) {
		return place{}, &refusal{http.StatusForbidden, "a web page of another site may not use this proxy"}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site": // other ports of this machine are same-site
		return place{}, &refusal{http.StatusForbidden, "a web page of another site may not use this proxy"}
	}
	at := place{base: own}
	if p.unix {
		return at, nil
	}
	if p.isToken(r.Header.Get(TokenHeader)) {
		return at, nil
	}
	if p.authorized(r) {
		at.authed = true
		return at, nil
	}
	if first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); p.isToken(first) {
		at.mount = "/" + p.token
		at.base += at.mount
		return at, nil
	}
	if r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/") {
		// Clients of container registries know no other path, and log in when asked to.
		return place{}, &refusal{http.StatusUnauthorized, "the password is the token of this proxy"}
	}
	return place{}, &refusal{http.StatusForbidden, "the path of the URL, or the header " + TokenHeader + ", must have the token that this proxy was started with"}
}

// authorized reads Authorization as package managers write it: a password of Basic, a
// Bearer token (npm), or the token alone (Cargo).
func (p *Proxy) authorized(r *http.Request) bool {
	if _, password, ok := r.BasicAuth(); ok {
		return p.isToken(password)
	}
	return p.isToken(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
}

func (p *Proxy) isToken(s string) bool {
	return subtle.ConstantTimeCompare([]byte(s), []byte(p.token)) == 1
}

// below takes the mount off the path of a URL of the client.
func (at place) below(u *url.URL) (path, raw string) {
	path = strings.TrimPrefix(u.Path, at.mount)
	raw = strings.TrimPrefix(u.RawPath, at.mount)
	if path == "" {
		path, raw = "/", ""
	}
	return path, raw
}
