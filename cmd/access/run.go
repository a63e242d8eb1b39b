package main

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/cmd/internal/gitnote"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func runCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "run",
		Usage:     "run a program whose git has the credential of a host",
		ArgsUsage: "HOST -- COMMAND [ARGUMENT...]",
		Description: `Runs COMMAND with git configured, through its environment alone, to send the
credential of HOST to HOST: the service token in CF_ACCESS_CLIENT_ID and
CF_ACCESS_CLIENT_SECRET, a stored one, or the session of a person. Nothing is written
to a configuration file, and no secret stands on a command line.

The credential is tried first: a service token that HOST refuses ends the run with
exit code 4 and the reason.

  access run git.example.com -- git clone https://git.example.com/code.git`,
		Action: func(c *urfave.Context) error { return runProgram(env, c) },
	}
}

func runProgram(env *cli.Env, c *urfave.Context) error {
	before, command, dashed := cli.AfterDash(c)
	if !dashed && len(before) > 1 {
		before, command = before[:1], before[1:]
	}
	if len(before) != 1 || len(command) == 0 {
		return cli.Usagef("run wants HOST -- COMMAND")
	}
	o, u, err := parseHost(before[0])
	if err != nil {
		return err
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return &cli.Error{Err: err, Code: 127}
	}
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	p := d.Policy(door.Caller{Origin: o, Named: true, CheckEvery: 5 * time.Minute})
	if n, _, err := gitnote.Load(d, o); err == nil && n.Cookie == gitnote.CookieAccepted {
		p.JWT = true // leaves Authorization to a login of the server's own
	}
	cr, err := d.Client.Credential(c.Context, u, p)
	if err != nil {
		return err
	}
	if cr.Kind == access.ServiceToken {
		if err := probe(c.Context, d, u, p); err != nil {
			return err
		}
	}
	if cr.Kind == access.JWT {
		if err := d.WriteJar(cr); err != nil {
			return err
		}
	}
	environ := env.Environ()
	if cr.Kind != access.None {
		git, err := findGit(c.Context, environ)
		if err != nil {
			return err
		}
		settings := gitSettings(d, cr, git.Version)
		environ = withGitSettings(environ, git.Version, settings)
		var dropped []string
		if environ, dropped = withoutTraces(environ, git.Version, cr); len(dropped) > 0 {
			env.Warn("%s would print the credential and is not passed on", strings.Join(dropped, ", "))
		}
	}
	return execute(c.Context, env, path, command, environ)
}

// findGit returns the git on the PATH of the child. A machine without one gets the
// form that every git since 2.31 reads: COMMAND may bring its own.
func findGit(ctx context.Context, environ []string) (*githelper.Git, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return &githelper.Git{Version: githelper.Version{Major: 2, Minor: 31}}, nil
	}
	return githelper.FindGit(ctx, "", environ)
}

// gitSettings are what git needs to send cr to its origin and nowhere else. Any
// http.extraHeader follows git to the target of a redirect, cookies of a
// cookieFile and Authorization of a helper do not; so headers go together with
// followRedirects=false.
func gitSettings(d *door.Door, cr access.Credential, v githelper.Version) [][2]string {
	section := "http." + string(cr.App.Origin) + (&url.URL{Path: cr.App.Path}).EscapedPath() + "/."
	var settings [][2]string
	if !v.RedactsHTTP2() {
		// What the command traces by itself, such as a script that sets GIT_TRACE_CURL.
		settings = append(settings, [2]string{section + "version", "HTTP/1.1"})
	}
	if cr.Kind == access.JWT {
		return append(settings,
			[2]string{section + "cookieFile", d.Jar(cr.App).Path},
			[2]string{section + "saveCookies", "false"})
	}
	settings = append(settings, [2]string{section + "followRedirects", "false"})
	for _, name := range []string{"Cf-Access-Client-Id", "Cf-Access-Client-Secret", "Authorization"} {
		if v := cr.Header().Get(name); v != "" {
			settings = append(settings, [2]string{section + "extraHeader", name + ": " + v})
		}
	}
	return settings
}

// withGitSettings adds settings to an environment: as GIT_CONFIG_COUNT since git
// 2.31, in GIT_CONFIG_PARAMETERS, git's own form for -c, before.
func withGitSettings(environ []string, v githelper.Version, settings [][2]string) []string {
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
		params := lookup("GIT_CONFIG_PARAMETERS")
		for _, s := range settings {
			if params != "" {
				params += " "
			}
			params += "'" + strings.ReplaceAll(s[0]+"="+s[1], "'", `'\''`) + "'"
		}
		return setenv(environ, "GIT_CONFIG_PARAMETERS", params)
	}
	n := 0
	_, _ = fmt.Sscan(lookup("GIT_CONFIG_COUNT"), &n) // none or nonsense counts as 0
	for _, s := range settings {
		environ = setenv(environ, fmt.Sprintf("GIT_CONFIG_KEY_%d", n), s[0])
		environ = setenv(environ, fmt.Sprintf("GIT_CONFIG_VALUE_%d", n), s[1])
		n++
	}
	return setenv(environ, "GIT_CONFIG_COUNT", fmt.Sprint(n))
}

// traces are the variables that make git print request headers. Authorization and
// cookies are redacted by it (http.c) since 2.28, other headers are not; trace2 prints configuration values and variables where it is
// configured to.
var traces = []string{"GIT_TRACE_CURL", "GIT_CURL_VERBOSE", "GIT_TRACE2", "GIT_TRACE2_EVENT", "GIT_TRACE2_PERF"}

// withoutTraces takes them out of the environment of a child that has a secret in
// it, and returns which were set. trace2 is switched off by name, since a
// configuration file may switch it on.
func withoutTraces(environ []string, v githelper.Version, cr access.Credential) (clean, dropped []string) {
	if cr.Kind == access.JWT && v.RedactsHTTP1() {
		return environ, nil // in the cookie file, and HTTP/2 is off where it would show
	}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if isTrace(name) {
			if value != "" && value != "0" && value != "false" {
				dropped = append(dropped, name)
			}
			continue
		}
		clean = append(clean, kv)
	}
	return append(clean, "GIT_TRACE2=0", "GIT_TRACE2_EVENT=0", "GIT_TRACE2_PERF=0"), dropped
}

func isTrace(name string) bool {
	for _, t := range traces {
		if name == t {
			return true
		}
	}
	return false
}

func setenv(environ []string, name, value string) []string {
	out := make([]string, 0, len(environ)+1)
	for _, kv := range environ {
		if n, _, _ := strings.Cut(kv, "="); n != name {
			out = append(out, kv)
		}
	}
	return append(out, name+"="+value)
}
