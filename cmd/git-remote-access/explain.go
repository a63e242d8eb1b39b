package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// explain finds out, by one request, why git failed: git has no word for Access. It says "unable to update url base from redirection"
// of a login page, and "not valid: is this a git repository?" of one that comes with status 200. A session that Access refuses is dropped, and
// renewed if that needs no person.
func (r *remote) explain(ctx context.Context, err error) error {
	var exit *exec.ExitError
	if ctx.Err() != nil || !errors.As(err, &exit) || !exit.Exited() {
		return failed(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	p := r.policy
	p.Login, p.CheckEvery = nil, 0
	resp, perr := r.door.Client.Transport(nil, p).RoundTrip(r.probe(ctx))
	if perr != nil {
		if access.IsRefusal(perr) {
			return perr
		}
		return failed(err)
	}
	defer resp.Body.Close()
	if page := r.loginPage(resp); page != nil {
		return page
	}
	if now, cerr := r.door.Client.Credential(ctx, r.URL, p); cerr == nil && now.Kind == r.cr.Kind && !now.Token().Equal(r.cr.Token()) {
		return &cli.Error{
			Err:   fmt.Errorf("the session of %s had ended, and there is a new one now", r.origin.Host()),
			Hints: []string{"run the command again"},
		}
	}
	return failed(err)
}

// probe is git's first request.
func (r *remote) probe(ctx context.Context) *http.Request {
	u := *r.URL
	u.User = nil
	u.Path = strings.TrimSuffix(u.Path, "/") + "/info/refs"
	u.RawPath = ""
	if raw := r.URL.RawPath; raw != "" {
		u.RawPath = strings.TrimSuffix(raw, "/") + "/info/refs"
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "service=git-upload-pack"
	req := &http.Request{Method: http.MethodGet, URL: &u, Header: http.Header{"User-Agent": {"git/" + r.git.Version.String()}}}
	return req.WithContext(ctx)
}

// loginPage names an answer that is a page for people, which Access did not send.
func (r *remote) loginPage(resp *http.Response) error {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	var what string
	switch to := location(resp); {
	case to != nil && strings.HasSuffix(to.Path, "/info/refs") && r.cr.Kind != access.Bearer && r.cr.Kind != access.ServiceToken:
		return nil // git follows it
	case to != nil && strings.HasSuffix(to.Path, "/info/refs"):
		e := &cli.Error{Err: fmt.Errorf("%s sends git on to %s, and git would take the credential along, so that it does not follow", r.origin.Host(), hostOf(to))}
		if repository := repositoryOf(to); repository != "" {
			e.Hints = []string{"use the URL that it leads to: " + repository}
		}
		return e
	case to != nil:
		what = fmt.Sprintf("sends git to a page at %s", hostOf(to))
	default:
		if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "text/html" || resp.StatusCode != http.StatusOK {
			return nil
		}
		what = "answers with a page for people (text/html, status 200)"
	}
	return &cli.Error{
		Err: fmt.Errorf("%s %s where git expects a repository: a login that is not Access's", r.origin.Host(), what),
		Hints: []string{
			"compare the URL with the one that the server shows for cloning",
			"open it in a browser: another sign-on may stand between Access and the server, or a network that wants a login of its own",
		},
	}
}

// hostOf is the host of a URL that a server chose.
func hostOf(u *url.URL) string { return fmt.Sprintf("%q", u.Host) }

// repositoryOf is the URL of a repository for people to copy into a shell, out of one that a server chose; "" if it names no host. Neither
// name nor path has a quotation mark then.
func repositoryOf(u *url.URL) string {
	o, err := access.OriginOf(u)
	if err != nil {
		return ""
	}
	return "'" + string(o) + (&url.URL{Path: strings.TrimSuffix(u.Path, "/info/refs")}).EscapedPath() + "'"
}

// location returns where a redirect leads to, or nil.
func location(resp *http.Response) *url.URL {
	if resp.StatusCode < 300 || resp.StatusCode >= 400 {
		return nil
	}
	u, err := resp.Location()
	if err != nil {
		return nil
	}
	return u
}
