package githelper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A Remote is the repository that git wants a remote helper to reach (gitremote-helpers(7), INVOCATION). git starts the helper for
// "access::https://HOST/REPOSITORY" and for remotes with remote.NAME.vcs.
type Remote struct {
	Name string   // of the remote, or its URL as the person wrote it
	URL  *url.URL // https, with nothing in it that two readers of URLs could take for different hosts

	raw string // as git gave it
}

// A RemoteError says why a remote is refused. It does not quote the URL, which may hold a password or a line break.
type RemoteError struct{ Problem string }

func (e *RemoteError) Error() string { return "githelper: the URL of the remote " + e.Problem }

// ReadRemote reads the arguments of a remote helper. Everything about the URL is refused that git, curl and this program might read
// differently, since the credential goes where this program reads it to lead, and that could end a line of git's own protocols
// (CVE-2020-5260).
func ReadRemote(args []string) (*Remote, error) {
	if len(args) != 2 {
		return nil, &RemoteError{fmt.Sprintf("is missing: %d arguments, and git gives the remote and its URL", len(args))}
	}
	name, raw := args[0], args[1]
	scheme, rest, _ := strings.Cut(raw, "://")
	authority, path, _ := strings.Cut(rest, "/")
	user, host, hasUser := strings.Cut(authority, "@")
	if !hasUser {
		user, host = "", authority
	}
	problem := ""
	switch {
	case name == "" || name[0] == '-' || raw == "" || raw[0] == '-':
		problem = "is empty or looks like an option"
	case strings.ContainsFunc(name+raw, isControl) || escapedControl().MatchString(raw):
		problem = "has a line break or another control character in it"
	case scheme == "http":
		problem = "is not encrypted: it must begin with https://"
	case scheme == "access":
		problem = "begins with access://: write access::https://HOST/REPOSITORY"
	case scheme != "https":
		problem = "does not begin with https://"
	case strings.ContainsAny(raw, " \\") || strings.ContainsAny(authority, "?#%") && !onlyEscapes(user) || strings.ContainsAny(host, "@?#%"):
		problem = "has a character in front of its path that programs read differently"
	case strings.Contains(user, ":"):
		problem = "holds a password, which every process on this machine could read: let git ask for it"
	case strings.ContainsAny(path, "#"):
		problem = "has a fragment"
	}
	if problem != "" {
		return nil, &RemoteError{problem}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || !isHost(&url.URL{Host: lowerASCII(u.Host)}) || u.Host != host {
		return nil, &RemoteError{"names no host"}
	}
	return &Remote{Name: name, URL: u, raw: raw}, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// escapedControl is a control character as URLs escape it: git decodes it.
var escapedControl = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)%(0[0-9a-f]|1[0-9a-f]|7f)`) })

// onlyEscapes reports whether every % of a user name begins an escape, and nothing of it ends the authority.
func onlyEscapes(user string) bool {
	_, err := url.PathUnescape(user)
	return err == nil && !strings.ContainsAny(user, "?#")
}

// RemoteOptions are what the child of [Remote.Command] sends to the host of its URL, and to no other. Nil means nothing.
type RemoteOptions struct {
	// Jar and Cookies: the cookies, and their file for systems where a file that nobody else sees cannot be handed to a child.
	Jar     *Jar
	Cookies []Cookie
	// Path is where on the host they are for, "" for all of it: a section of the configuration for a longer path would go before.
	Path string
	// Header is added to each request. git would send it to the target of a redirect, too, so that the child follows none. It stands
	// in the environment of the child.
	Header http.Header
}

// Command returns git's own remote helper for the remote, "git remote-https NAME URL": who starts it gives it the standard input and
// output, on which git waits for it. release frees what it was given and is called when it has ended.
//
// No secret is among its arguments. Cookies go by a file without a name that the child inherits, on Linux, and by the Jar elsewhere.
func (r *Remote) Command(ctx context.Context, g *Git, o *RemoteOptions) (cmd *exec.Cmd, release func() error, err error) {
	if o == nil {
		o = &RemoteOptions{}
	}
	// As specific as the sections of HostConfig and later than they are, so that these hold.
	section := "http." + r.URL.Scheme + "://" + lowerASCII(r.URL.Host) + (&url.URL{Path: strings.TrimSuffix(o.Path, "/")}).EscapedPath() + "/."
	settings := [][2]string{
		// The child has what it needs: asked before its first request, a git without credential helpers would ask the person.
		{section + "proactiveAuth", "none"},
		{section + "emptyAuth", "auto"},
	}
	if (len(o.Cookies) > 0 || len(o.Header) > 0) && !g.Version.RedactsHTTP2() {
		settings = append(settings, [2]string{section + "version", "HTTP/1.1"})
	}
	release = func() error { return nil }
	var files []*os.File
	if len(o.Cookies) > 0 {
		path, file, err := o.Jar.hand(o.Cookies, nameless)
		if err != nil {
			return nil, nil, err
		}
		if file != nil {
			files, release = []*os.File{file}, file.Close
		}
		settings = append(settings, [2]string{section + "cookieFile", path}, [2]string{section + "saveCookies", "false"})
	}
	if len(o.Header) > 0 {
		settings = append(settings, [2]string{section + "followRedirects", "false"})
		for _, name := range slices.Sorted(maps.Keys(o.Header)) {
			for _, v := range o.Header[name] {
				settings = append(settings, [2]string{section + "extraHeader", name + ": " + v})
			}
		}
	}
	environ := g.Env
	if environ == nil {
		environ = os.Environ()
	}
	if environ, err = g.Version.Configure(environ, settings); err != nil {
		return nil, nil, errors.Join(err, release())
	}
	cmd = exec.CommandContext(ctx, g.Path, "remote-https", r.Name, r.raw)
	cmd.Env, cmd.Dir, cmd.ExtraFiles = environ, g.Dir, files
	return cmd, release, nil
}
