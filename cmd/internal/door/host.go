package door

import (
	"net/url"
	"strings"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// ParseHost is [access.ParseHost] for a command line: what is wrong with s is a usage error, with the host that git's URLs for
// SSH name, which are what people have at hand.
func ParseHost(s string) (access.Origin, *url.URL, error) {
	o, u, err := access.ParseHost(s)
	if err != nil {
		e := &cli.UsageError{Err: spoken{err, err}}
		if host := hostIn(s); host != "" {
			e.Hints = []string{"name the host alone: " + host}
		}
		return "", nil, e
	}
	return o, u, nil
}

// hostIn returns the host in ssh://git@HOST:22/code.git, git@HOST:code.git and the like.
func hostIn(s string) string {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s, _, _ = strings.Cut(rest, "/")
	}
	if _, after, ok := strings.Cut(s, "@"); ok {
		s = after
	}
	s, _, _ = strings.Cut(s, ":")
	o, _, err := access.ParseHost(s)
	if err != nil || strings.ContainsAny(s, " \t/") {
		return ""
	}
	return o.Host()
}
