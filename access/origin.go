package access

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
)

// An Origin is a scheme, host and port in one canonical form, the unit to which
// credentials are bound (RFC 6454): "https://git.example.com",
// "https://git.example.com:8443". Host names are lower case, in ASCII form (IDNA),
// without a trailing dot; default ports are left out.
type Origin string

// OriginOf returns the origin of u; its user information, path and query play no
// part. It takes https, and http to a loopback address, and fails for everything
// else and for what is no host name.
func OriginOf(u *url.URL) (Origin, error) {
	if u == nil {
		return "", errors.New("access: no URL")
	}
	host, err := canonicalHost(u.Hostname())
	if err != nil {
		return "", fmt.Errorf("access: host of %q: %w", u.Redacted(), err)
	}
	port := u.Port()
	switch u.Scheme {
	case "https":
		if port == "443" {
			port = ""
		}
	case "http":
		// The edge for tests and the OAuth callback live on loopback; anything
		// else in clear would show the credential to the network.
		if !isLoopback(host) {
			return "", fmt.Errorf("access: %s is not https", u.Redacted())
		}
		if port == "80" {
			port = ""
		}
	default:
		return "", fmt.Errorf("access: %s is not an https URL", u.Redacted())
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	return Origin(u.Scheme + "://" + host), nil
}

// ParseHost returns the origin that a person means by s: a host name, a host with
// a port, or a URL, whose path is returned beside it. The host of the URL is the
// origin's: net/http does not map a name beyond ASCII to lower case in the Host
// field (httpguts.PunycodeHostPort), though it does to connect.
func ParseHost(s string) (Origin, *url.URL, error) {
	raw := s
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "", nil, fmt.Errorf("access: %q is not a host name or URL", raw)
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	o, err := OriginOf(u)
	if err != nil {
		return "", nil, err
	}
	u.Host = o.Host()
	return o, u, nil
}

// URL returns the origin's root.
func (o Origin) URL() *url.URL {
	u, err := url.Parse(string(o))
	if err != nil { // not made by OriginOf
		return &url.URL{}
	}
	u.Path = "/"
	return u
}

// Host returns host and port without the scheme: "git.example.com:8443".
func (o Origin) Host() string {
	_, h, _ := strings.Cut(string(o), "://")
	return h
}

// Hostname returns the host name alone.
func (o Origin) Hostname() string { return o.URL().Hostname() }

func sameOrigin(a, b *url.URL) bool {
	x, err := OriginOf(a)
	if err != nil {
		return false
	}
	y, err := OriginOf(b)
	return err == nil && x == y
}

func canonicalHost(h string) (string, error) {
	h = strings.TrimSuffix(h, ".")
	if h == "" {
		return "", errors.New("empty host name")
	}
	if ip := net.ParseIP(h); ip != nil {
		return ip.String(), nil
	}
	a, err := idna.Lookup.ToASCII(h)
	if err != nil {
		a = h // underscores and some hyphens are nothing for idna but do exist in DNS
	}
	a = lowerASCII(a)
	// Nothing else does, and a host name stands in commands that people copy.
	if strings.Trim(a, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || strings.Contains("."+a+".", "..") || a[0] == '-' {
		return "", fmt.Errorf("%q is not a host name", h)
	}
	return a, nil
}

// lowerASCII has the letters of ASCII in lower case. strings.ToLower makes others a
// part of it: "İ" becomes "i", and is a letter of another host.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// cacheName makes a file name of an id that may contain ports and slashes.
func cacheName(kind, id string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, id)
	if clean != id || len(clean) > 100 {
		h := sha256.Sum256([]byte(id))
		clean = clean[:min(len(clean), 100)] + "-" + hex.EncodeToString(h[:6])
	}
	return kind + "-" + clean
}
