package gogit

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/gitaccess/gitaccess/access"
)

// hosts are the hosts that may get a credential.
type hosts struct {
	exact     []application
	wildcards []string // "example.com" or "example.com:8443"
}

type application struct {
	origin access.Origin
	url    *url.URL // with the path that it covers
}

func parseHosts(names []string) (*hosts, error) {
	h := &hosts{}
	for _, name := range names {
		if parent, ok := strings.CutPrefix(name, "*."); ok {
			o, u, err := access.ParseHost(parent)
			if err != nil {
				return nil, fmt.Errorf("gogit: %w", err)
			}
			// "*.com" is everybody.
			if !strings.Contains(o.Hostname(), ".") || strings.Trim(u.Path, "/") != "" || strings.Contains(parent, "://") {
				return nil, fmt.Errorf("gogit: %q is not a host name", name)
			}
			h.wildcards = append(h.wildcards, o.Host())
			continue
		}
		o, u, err := access.ParseHost(name)
		if err != nil {
			return nil, fmt.Errorf("gogit: %w", err)
		}
		covered := o.URL()
		covered.Path = strings.TrimRight(u.Path, "/")
		h.exact = append(h.exact, application{o, covered})
	}
	return h, nil
}

// covers reports whether a request to u may carry a credential.
func (h *hosts) covers(u *url.URL) bool {
	o, err := access.OriginOf(u)
	if err != nil {
		return false
	}
	for _, a := range h.exact {
		if a.origin == o && (a.url.Path == "" || u.Path == a.url.Path || strings.HasPrefix(u.Path, a.url.Path+"/")) {
			return true
		}
	}
	return strings.HasPrefix(string(o), "https://") && h.matches(o.Host())
}

func (h *hosts) matches(host string) bool {
	label, parent, ok := strings.Cut(host, ".")
	if !ok || label == "" {
		return false
	}
	for _, w := range h.wildcards {
		if w == parent {
			return true
		}
	}
	return false
}

// application returns where an SSH server's connections are taken: its name is
// known, the port is that of the server behind Access.
func (h *hosts) application(name string) (*url.URL, bool) {
	o, err := access.OriginOf(&url.URL{Scheme: "https", Host: name})
	if err != nil {
		return nil, false
	}
	for _, a := range h.exact {
		if a.origin.Hostname() == o.Hostname() {
			u := *a.url
			if u.Path == "" {
				u.Path = "/"
			}
			return &u, true
		}
	}
	for _, w := range h.wildcards {
		host, port, ok := strings.Cut(w, ":")
		if label, parent, cut := strings.Cut(o.Hostname(), "."); !cut || label == "" || parent != host {
			continue
		}
		u := o.URL()
		if ok {
			u.Host += ":" + port
		}
		return u, true
	}
	return nil, false
}
