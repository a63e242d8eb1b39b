package main

import (
	"net/url"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/cmd/internal/gitnote"
	"github.com/gitaccess/gitaccess/githelper"
)

// host is the host that a request is about, if it is one of ours.
type host struct {
	*door.Door
	req    *githelper.Request
	url    *url.URL
	origin access.Origin
	note   gitnote.Note
	setUp  bool // a person set the host up, for git or by a login
	reads  bool // git reads our cookie file
}

// host returns nil if the request is about a host that we have nothing to do with: one that no person set up, and for which no session
// was ever asked.
func (h *helper) host(req *githelper.Request) (*host, error) {
	u, err := req.URL()
	if err != nil {
		return nil, nil // smtp, a certificate's password, a name that is none: somebody else's
	}
	o, err := access.OriginOf(u)
	if err != nil {
		return nil, nil
	}
	d, err := h.open()
	if err != nil {
		return nil, err
	}
	t := &host{Door: d, req: req, url: u, origin: o}
	if t.note, t.setUp, err = gitnote.Load(d, o); err != nil {
		return nil, err
	}
	t.reads = h.setUp || len(t.note.Files) > 0
	if h.setUp {
		if err := h.setUpForAll(t); err != nil {
			return nil, err
		}
	}
	switch {
	case t.setUp:
	case d.IsSetUp(o):
		t.setUp = true
	default:
		app, known := d.Client.Lookup(u)
		if !known || app.Mode != access.ModeLogin && app.Mode != access.ModeOAuth {
			return nil, nil
		}
	}
	return t, nil
}

// setUpForAll takes what the configuration of this machine says of the host: whoever wrote it set the host up for all who use it.
func (h *helper) setUpForAll(t *host) error {
	t.note.OwnLogin = t.note.OwnLogin || h.ownLogin
	t.note.Paths = append(t.note.Paths, h.paths...)
	if h.cookieAccepted && t.note.Cookie == gitnote.CookieUntried {
		t.note.Cookie = gitnote.CookieAccepted
	}
	if t.setUp {
		return nil
	}
	t.setUp = true
	return gitnote.Save(t.Door, t.origin, t.note)
}

// byAccess reports whether the 401 that made git ask came from Access and not from the server behind it.
func (t *host) byAccess() bool { return byAccess(t.req) }

func byAccess(req *githelper.Request) bool {
	bearer, ok := req.Wants("bearer")
	if ok && bearer.Params["resource_metadata"] != "" { // RFC 9728 §5.1, Managed OAuth
		return true
	}
	_, ok = req.Wants("cloudflare-access")
	return ok
}

// byServer reports whether it came from the server: Access let the request pass.
func (t *host) byServer() bool { return len(t.req.WWWAuth) > 0 && !t.byAccess() }

// pathApplication returns the path of an application that guards a part of the host, if one is known.
func (t *host) pathApplication() string {
	for _, app := range t.Client.Applications(t.origin) {
		if app.Path != "" && app.Mode != access.ModeOpen {
			return app.Path
		}
	}
	return ""
}

// learnOwnLogin notes that the server behind Access wants a login of its own, and tells the person what follows, once.
func (h *helper) learnOwnLogin(t *host) {
	if t.note.OwnLogin {
		return
	}
	h.env.Note("%s lets you pass Access and wants a login of its own; to have git give it: access setup git %s", t.origin.Host(), t.origin.Host())
	h.learn(t, func(n *gitnote.Note) { n.OwnLogin = true })
}

// learn changes what is known of the host. That it could not be kept stops nothing: it can be learnt again.
func (h *helper) learn(t *host, change func(*gitnote.Note)) {
	change(&t.note)
	if err := gitnote.Save(t.Door, t.origin, t.note); err != nil {
		h.env.Warn("%v", err)
	}
}
