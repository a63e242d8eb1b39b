package main

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// curlOptions are the options of a curl, as its own help lists them: each name, with
// and without dashes, and whether a value follows.
type curlOptions struct {
	short map[byte]bool
	long  map[string]bool
}

func readCurlHelp(help string) curlOptions {
	helpLine := regexp.MustCompile(`^\s*(?:-(\S), +)?--([a-z0-9][a-z0-9.-]*)( <)?`)
	o := curlOptions{short: map[byte]bool{}, long: map[string]bool{}}
	for line := range strings.Lines(help) {
		m := helpLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if m[1] != "" {
			o.short[m[1][0]] = m[3] != ""
		}
		o.long[m[2]] = m[3] != ""
	}
	return o
}

// full returns the option that a long one, perhaps shortened, stands for.
func (o curlOptions) full(name string) (full string, takesValue bool) {
	if v, ok := o.long[name]; ok {
		return name, v
	}
	var found []string
	for n := range o.long {
		if strings.HasPrefix(n, name) {
			found = append(found, n)
		}
	}
	if len(found) == 1 {
		return found[0], o.long[found[0]]
	}
	return name, false // --no-…, and what curl itself will refuse
}

// curlCall is a command line of curl, as far as we must understand it.
type curlCall struct {
	args   []string // for curl: URLs have a scheme
	origin access.Origin
	url    *url.URL // the first

	allowRequest bool // ours
	login        bool // it has an Authorization or a login of its own
	verbose      bool
	stderr       bool     // goes where we do not see it
	prints       []string // options that make curl print the credential
	keepsCookies bool
	more         bool // a file has more arguments
}

// parseCurl finds the URLs among the arguments, wherever they stand. All must be of
// one origin: what curl sends along, it sends to each of them.
func parseCurl(args []string, o curlOptions) (*curlCall, error) {
	c := &curlCall{}
	addURL := func(s string) error {
		if !strings.Contains(s, "://") {
			s = "https://" + s // curl's own guess would be http
		}
		origin, u, err := access.ParseHost(s)
		if err != nil {
			return &cli.UsageError{Err: err}
		}
		if c.origin != "" && origin != c.origin {
			return &cli.UsageError{
				Err:   fmt.Errorf("the URLs are of two hosts, %s and %s, and a credential goes to one", c.origin.Host(), origin.Host()),
				Hints: []string{"run access curl for each of them"},
			}
		}
		if full, err := url.Parse(s); err == nil && full.User != nil {
			c.login = true
		}
		if c.origin == "" {
			c.origin, c.url = origin, u
		}
		c.args = append(c.args, s)
		return nil
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--allow-request" || arg == "-ar" {
			c.allowRequest = true
			continue
		}
		if len(arg) < 2 || arg[0] != '-' {
			if arg == "" {
				continue
			}
			if err := addURL(arg); err != nil {
				return nil, err
			}
			continue
		}
		var names []string
		value, hasValue, takes := "", false, false
		if long, ok := strings.CutPrefix(arg, "--"); ok {
			name, v, equals := strings.Cut(long, "=")
			name, takes = o.full(name)
			names, value, hasValue = []string{name}, v, equals
		} else {
			for j := 1; j < len(arg) && !takes; j++ {
				names = append(names, arg[j:j+1])
				if takes = o.short[arg[j]]; takes && j+1 < len(arg) {
					value, hasValue = arg[j+1:], true
				}
			}
		}
		separate := takes && !hasValue
		if separate && i+1 < len(args) {
			i++
			value = args[i]
		}
		if last := names[len(names)-1]; last == "url" {
			if err := addURL(value); err != nil {
				return nil, err
			}
			continue
		}
		for n, name := range names {
			v := ""
			if n == len(names)-1 {
				v = value
			}
			if err := c.option(name, v); err != nil {
				return nil, err
			}
		}
		c.args = append(c.args, arg)
		if separate {
			c.args = append(c.args, value)
		}
	}
	if c.origin == "" {
		return nil, &cli.UsageError{Err: fmt.Errorf("no URL is among the arguments"), Hints: []string{"access curl --help shows the usage"}}
	}
	return c, nil
}

func (c *curlCall) option(name, value string) error {
	switch name {
	case "next", ":":
		return cli.Usagef("--next cannot be used: curl forgets the credential there; run access curl twice")
	case "location-trusted":
		return cli.Usagef("--location-trusted cannot be used: it sends the credential to every host that a redirect names; --location does not")
	case "u", "user", "n", "netrc", "netrc-file", "netrc-optional", "oauth2-bearer", "negotiate", "ntlm", "aws-sigv4":
		c.login = true
	case "H", "header":
		if h, _, _ := strings.Cut(value, ":"); strings.EqualFold(strings.TrimSpace(h), "authorization") {
			c.login = true
		}
	case "v", "verbose":
		c.verbose = true
	case "stderr":
		c.stderr = true
	case "trace", "trace-ascii", "libcurl":
		c.prints = append(c.prints, name)
	case "K", "config":
		c.more = true
	case "c", "cookie-jar":
		c.keepsCookies = true
	}
	return nil
}
