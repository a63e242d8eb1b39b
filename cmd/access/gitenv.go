package main

import (
	"context"
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
	name    string
	value   access.Secret // mostly none, but what holds one must not be printed by accident
	unset   bool
	secrets []string // the parts of the value that logs must not show
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
// that were set and would print them ([githelper.WithoutTraces]).
func gitVariables(env *cli.Env, c *urfave.Context, hosts []string) (vars []variable, dropped []string, err error) {
	d, err := open(env, c, nil)
	if err != nil {
		return nil, nil, err
	}
	var creds []access.Credential
	var logins []access.Origin
	for _, h := range hosts {
		o, u, err := door.ParseHost(h)
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
	shown := slices.ContainsFunc(creds, func(cr access.Credential) bool { return printedByTraces(git.Version, cr) })
	return configured(environ, git.Version, settings, shown)
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

// configured are the changes of an environment that give git settings on top of its
// configuration files. With quiet, no trace prints them: dropped are those that were
// to.
func configured(environ []string, v githelper.Version, settings []setting, quiet bool) (vars []variable, dropped []string, err error) {
	var lines [][2]string
	var secrets []string
	for _, s := range settings {
		lines = append(lines, [2]string{s.key, s.value})
		if s.secret != "" {
			secrets = append(secrets, s.secret)
		}
	}
	changed, err := v.Configure(environ, lines)
	if err != nil {
		return nil, nil, err
	}
	if quiet {
		changed, dropped = githelper.WithoutTraces(changed)
	}
	return changes(environ, changed, secrets), dropped, nil
}

// changes are what makes one environment of another, in which secrets may stand.
func changes(from, to, secrets []string) (vars []variable) {
	stays := map[string]bool{}
	for _, kv := range to {
		name, value, _ := strings.Cut(kv, "=")
		stays[name] = true
		if slices.Contains(from, kv) {
			continue
		}
		v := set(name, value)
		for _, secret := range secrets {
			if strings.Contains(value, secret) {
				v.secrets = append(v.secrets, secret)
			}
		}
		vars = append(vars, v)
	}
	for _, kv := range from {
		if name, _, _ := strings.Cut(kv, "="); !stays[name] {
			stays[name] = true // it may stand there twice
			vars = append(vars, variable{name: name, unset: true})
		}
	}
	return vars
}

// printedByTraces reports whether a trace of this git would show the credential. A
// JWT stays in the cookie file, and HTTP/2 is off where it would show.
func printedByTraces(v githelper.Version, cr access.Credential) bool {
	return cr.Kind != access.None && !(cr.Kind == access.JWT && v.RedactsHTTP1())
}
