package main

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/cmd/internal/gitnote"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// A variable is a change of an environment.
type variable struct {
	name   string
	value  access.Secret // mostly none, but what holds one must not be printed by accident
	unset  bool
	secret string // the part of the value that logs must not show; "" for none
}

func set(name, value string) variable { return variable{name: name, value: access.NewSecret(value)} }

// apply returns a changed copy of environ.
func (v variable) apply(environ []string) []string {
	out := slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		n, _, _ := strings.Cut(kv, "=")
		return n == v.name
	})
	if v.unset {
		return out
	}
	return append(out, v.name+"="+v.value.Reveal())
}

// credentialOf returns the credential of a host that a person named on our command
// line, tried by one request if it is a service token, and the policy it came by.
func credentialOf(ctx context.Context, d *door.Door, o access.Origin, u *url.URL) (access.Credential, access.Policy, error) {
	cr, p, _, err := triedCredential(ctx, d, o, u)
	return cr, p, err
}

// triedCredential is credentialOf, and tells whether the server behind Access was
// seen to want a login of its own, too.
func triedCredential(ctx context.Context, d *door.Door, o access.Origin, u *url.URL) (cr access.Credential, p access.Policy, ownLogin bool, err error) {
	p = d.Policy(door.Caller{Origin: o, Named: true, CheckEvery: 5 * time.Minute})
	if n, _, err := gitnote.Load(d, o); err == nil && n.Cookie == gitnote.CookieAccepted {
		p.JWT = true // leaves Authorization to a login of the server's own
	}
	cr, err = d.Client.Credential(ctx, u, p)
	if err == nil && cr.Kind == access.ServiceToken {
		ownLogin, err = probeLogin(ctx, d, u, p)
	}
	return cr, p, ownLogin, err
}

// gitVariables are what git and git-lfs need in their environment to send the
// credentials of the hosts, each to its own and nowhere else. Dropped are the traces
// that were set and would print them.
func gitVariables(env *cli.Env, c *urfave.Context, hosts []string) (vars []variable, dropped []string, err error) {
	d, err := open(env, c, nil)
	if err != nil {
		return nil, nil, err
	}
	var creds []access.Credential
	var logins []access.Origin
	for _, h := range hosts {
		o, u, err := parseHost(h)
		if err != nil {
			return nil, nil, err
		}
		cr, _, ownLogin, err := triedCredential(c.Context, d, o, u)
		if err != nil {
			return nil, nil, err
		}
		if ownLogin {
			logins = append(logins, o)
		}
		if cr.Kind == access.None {
			continue
		}
		if cr.Kind == access.JWT {
			if err := d.WriteJar(cr); err != nil {
				return nil, nil, err
			}
		}
		creds = append(creds, cr)
	}
	if len(creds) == 0 {
		return nil, nil, nil
	}
	environ := env.Environ()
	git, err := findGit(c.Context, environ)
	if err != nil {
		return nil, nil, err
	}
	var settings []setting
	for _, cr := range creds {
		settings = append(settings, gitSettings(d, cr, git.Version)...)
	}
	for _, o := range logins {
		// Asked for its login first, git-lfs sends no second request after a 401. Up
		// to 3.6 that one has each extra header twice, which Access refuses.
		settings = append(settings, setting{key: "lfs." + string(o) + ".access", value: "basic"})
	}
	vars = asVariables(environ, git.Version, settings)
	if slices.ContainsFunc(creds, func(cr access.Credential) bool { return printedByTraces(git.Version, cr) }) {
		off, names := withoutTraces(environ)
		vars, dropped = append(vars, off...), names
	}
	return vars, dropped, nil
}

// findGit returns the git on the PATH of the child. A machine without one gets the
// form that every git since 2.31 reads: COMMAND may bring its own.
func findGit(ctx context.Context, environ []string) (*githelper.Git, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return &githelper.Git{Version: githelper.Version{Major: 2, Minor: 31}}, nil
	}
	return githelper.FindGit(ctx, "", environ)
}

// A setting is a line of git's configuration.
type setting struct {
	key, value string
	secret     string // the part of value that is one
}

// gitSettings are what git needs to send cr to its origin and nowhere else. Any
// http.extraHeader follows git to the target of a redirect, cookies of a
// cookieFile and Authorization of a helper do not; so headers go together with
// followRedirects=false.
func gitSettings(d *door.Door, cr access.Credential, v githelper.Version) []setting {
	section := "http." + string(cr.App.Origin) + (&url.URL{Path: cr.App.Path}).EscapedPath() + "/."
	var settings []setting
	if !v.RedactsHTTP2() {
		// What the command traces by itself, such as a script that sets GIT_TRACE_CURL.
		settings = append(settings, setting{key: section + "version", value: "HTTP/1.1"})
	}
	if cr.Kind == access.JWT {
		return append(settings,
			setting{key: section + "cookieFile", value: d.Jar(cr.App).Path},
			setting{key: section + "saveCookies", value: "false"})
	}
	settings = append(settings, setting{key: section + "followRedirects", value: "false"})
	header := cr.Header()
	for _, name := range []string{"Cf-Access-Client-Id", "Cf-Access-Client-Secret", "Authorization"} {
		if v := header.Get(name); v != "" {
			s := setting{key: section + "extraHeader", value: name + ": " + v}
			if name != "Cf-Access-Client-Id" {
				s.secret = strings.TrimPrefix(v, "Bearer ")
			}
			settings = append(settings, s)
		}
	}
	return settings
}

// asVariables puts settings into an environment: as GIT_CONFIG_COUNT since git 2.31,
// in GIT_CONFIG_PARAMETERS, git's own form for -c, before.
func asVariables(environ []string, v githelper.Version, settings []setting) []variable {
	lookup := func(name string) string {
		value := ""
		for _, kv := range environ {
			if n, v, _ := strings.Cut(kv, "="); n == name {
				value = v
			}
		}
		return value
	}
	if !v.AtLeast(2, 31) {
		params, secret := lookup("GIT_CONFIG_PARAMETERS"), ""
		for _, s := range settings {
			if params != "" {
				params += " "
			}
			params += "'" + strings.ReplaceAll(s.key+"="+s.value, "'", `'\''`) + "'"
			if s.secret != "" {
				secret = s.secret
			}
		}
		all := set("GIT_CONFIG_PARAMETERS", params)
		all.secret = secret
		return []variable{all}
	}
	n := 0
	_, _ = fmt.Sscan(lookup("GIT_CONFIG_COUNT"), &n) // none or nonsense counts as 0
	var vars []variable
	for _, s := range settings {
		value := set(fmt.Sprintf("GIT_CONFIG_VALUE_%d", n), s.value)
		value.secret = s.secret
		vars = append(vars, set(fmt.Sprintf("GIT_CONFIG_KEY_%d", n), s.key), value)
		n++
	}
	return append(vars, set("GIT_CONFIG_COUNT", fmt.Sprint(n)))
}

// traces are the variables that make git print request headers. Authorization and
// cookies are redacted by it (http.c) since 2.28, other headers are not; trace2
// prints configuration values and variables where it is configured to.
var traces = []string{"GIT_TRACE_CURL", "GIT_CURL_VERBOSE", "GIT_TRACE2", "GIT_TRACE2_EVENT", "GIT_TRACE2_PERF"}

// printedByTraces reports whether a trace of this git would show the credential. A
// JWT stays in the cookie file, and HTTP/2 is off where it would show.
func printedByTraces(v githelper.Version, cr access.Credential) bool {
	return cr.Kind != access.None && !(cr.Kind == access.JWT && v.RedactsHTTP1())
}

// withoutTraces takes them out of an environment that has a secret in it, and tells
// which were on. trace2 is switched off by name, since a configuration file may
// switch it on.
func withoutTraces(environ []string) (vars []variable, dropped []string) {
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !slices.Contains(traces, name) {
			continue
		}
		// GIT_CURL_VERBOSE is on if it is there at all (http.c).
		if value != "" && value != "0" && value != "false" || name == "GIT_CURL_VERBOSE" {
			dropped = append(dropped, name)
		}
		vars = append(vars, variable{name: name, unset: true})
	}
	return append(vars, set("GIT_TRACE2", "0"), set("GIT_TRACE2_EVENT", "0"), set("GIT_TRACE2_PERF", "0")), dropped
}
