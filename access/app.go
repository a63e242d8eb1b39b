package access

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// A Mode is how an application lets programs in.
type Mode string

const (
	// ModeOpen: Access does not ask for anything here (a Bypass policy, or no
	// application at all).
	ModeOpen Mode = "open"
	// ModeLogin: a person's session is wanted; Access answers 302 to its login.
	ModeLogin Mode = "login"
	// ModeOAuth: Managed OAuth; Access answers 401 with a Bearer challenge.
	ModeOAuth Mode = "oauth"
	// ModeServiceToken: only service tokens may pass; Access answers 403.
	ModeServiceToken Mode = "service-token"
)

// An App is an Access application as seen from one origin.
type App struct {
	Origin   Origin `json:"origin"`
	Path     string `json:"path,omitempty"`     // prefix that it covers; "" is the whole origin
	Mode     Mode   `json:"mode"`               //
	Team     string `json:"team,omitempty"`     // team domain, "example.cloudflareaccess.com"
	Audience string `json:"audience,omitempty"` // the application's AUD tag
	Hostname string `json:"hostname,omitempty"` // as the application defines it, wildcards included
	Resource string `json:"resource,omitempty"` // ModeOAuth: URL of its resource metadata (RFC 9728)

	Seen time.Time `json:"seen"` // when it was last discovered

	byJWT bool // wanted by Policy.JWT: log in by transfer though it offers OAuth
}

// bearer reports whether the application's sessions are OAuth tokens.
func (a App) bearer() bool { return a.Mode == ModeOAuth && !a.byJWT }

// covers reports whether p lies under the application's path.
func (a App) covers(p string) bool {
	return a.Path == "" || p == a.Path || strings.HasPrefix(p, a.Path+"/")
}

// sessionKey names the application's session in a Store. Audience and team make
// it: one application may span hosts, and its token is valid on all of them. It
// does not span ports: the metadata that proves a host's application names none,
// and whoever has another port of the host can repeat it.
func (a App) sessionKey() string {
	if a.bearer() {
		return "oauth/" + a.Team + "/" + string(a.Origin) + a.Path
	}
	key := "session/" + a.Team + "/" + a.Audience
	if u := a.Origin.URL(); u.Scheme != "https" || u.Port() != "" {
		key += "/" + u.Scheme + ":" + u.Port()
	}
	return key
}

func orgKey(team string) string { return "org/" + team }

// hostRecord is everything that is known about one origin, in one Cache entry, so
// that a warm call reads one file.
type hostRecord struct {
	Version      int       `json:"v"`
	Origin       Origin    `json:"origin"`
	Pinned       string    `json:"pinned_team,omitempty"`
	Apps         []App     `json:"apps,omitempty"`
	ServiceToken bool      `json:"service_token,omitempty"` // the Store has one for this origin
	Checked      time.Time `json:"checked,omitzero"`        // when a stored session was last seen accepted
	Paths        []string  `json:"paths,omitempty"`         // seen to belong to the application that covers them, latest last
}

// maxPaths and maxPath bound hostRecord.Paths: a server chooses where its redirects
// lead to. A longer path is asked about each time.
const (
	maxPaths = 256
	maxPath  = 1 << 10
)

// sawPath notes that the application which covers p is p's own.
func (r *hostRecord) sawPath(p string) {
	if p = cleanPath(p); p == "" || len(p) > maxPath || slices.Contains(r.Paths, p) {
		return
	}
	r.Paths = append(r.Paths, p)
	r.Paths = r.Paths[max(0, len(r.Paths)-maxPaths):]
}

// knowsPath reports whether p needs no question. The root's application is known
// from its discovery; any other path may have one of its own.
func (r *hostRecord) knowsPath(p string) bool {
	p = cleanPath(p)
	return p == "" || slices.Contains(r.Paths, p)
}

// attempt is the latest login by a person, so that one that was left undone is
// not followed by a row of others.
type attempt struct {
	Began time.Time `json:"began,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
	Error string    `json:"error,omitempty"`
	Done  bool      `json:"done,omitempty"`
}

// match returns the application with the longest path that covers p.
func (r *hostRecord) match(p string) (App, bool) {
	p = cleanPath(p)
	best, found := App{}, false
	for _, a := range r.Apps {
		if a.covers(p) && (!found || len(a.Path) > len(best.Path)) {
			best, found = a, true
		}
	}
	return best, found
}

// put replaces the application with a's path, or adds it.
func (r *hostRecord) put(a App) {
	for i := range r.Apps {
		if r.Apps[i].Path == a.Path {
			r.Apps[i] = a
			return
		}
	}
	r.Apps = append(r.Apps, a)
}

// cleanPath gives "" for the root and no trailing slash otherwise.
func cleanPath(p string) string {
	if p == "" {
		return ""
	}
	p = path.Clean("/" + p)
	if p == "/" {
		return ""
	}
	return p
}

// host loads the record of o; one that cannot be read counts as absent.
func (c *Client) host(o Origin) *hostRecord {
	r, err := c.loadHost(o)
	if err != nil {
		c.log.Warn("host record not read", "origin", string(o), "err", err)
	}
	return r
}

// loadHost loads the record of o. One that is damaged counts as absent: the pin is
// kept beside it as well, and all else can be learnt again. After an error there may
// be a record that could not be read, and nothing may be learnt in its place.
func (c *Client) loadHost(o Origin) (*hostRecord, error) {
	r := &hostRecord{Version: 1, Origin: o}
	b, err := c.cfg.Cache.Load(cacheName("host", string(o)))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	var got hostRecord
	if err := json.Unmarshal(b, &got); err != nil || got.Version != 1 || got.Origin != o {
		c.log.Warn("host record unreadable", "origin", string(o))
		return r, nil
	}
	return &got, nil
}

// updateHost changes the record of o, one process at a time.
func (c *Client) updateHost(ctx context.Context, o Origin, change func(*hostRecord)) error {
	// Not cancelled with ctx: this takes milliseconds, and what was learnt is worth
	// them.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	lease, err := c.cfg.Locker.Lock(ctx, cacheName("record", string(o)), nil)
	if err != nil {
		return err
	}
	defer lease.Release()
	r, err := c.loadHost(o)
	if err != nil {
		return err
	}
	pin, err := c.loadPin(o)
	if err != nil {
		return err
	}
	if r.Pinned == "" {
		r.Pinned = pin
	}
	change(r)
	if r.Pinned != pin {
		if err := c.cfg.Cache.Save(pinName(o), []byte(r.Pinned+"\n")); err != nil {
			return err
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return c.cfg.Cache.Save(cacheName("host", string(o)), b)
}

// pinName is the Cache's name for the team that o was first seen with. It stands
// beside the record, so that what is known of a host can be forgotten and learnt
// again without trusting whoever has the name by then.
func pinName(o Origin) string { return cacheName(PinPrefix, string(o)) }

// PinPrefix begins the names under which a [Cache] keeps pins, followed by "-": a
// Cache that is emptied should keep these.
const PinPrefix = "pin"

func (c *Client) loadPin(o Origin) (string, error) {
	b, err := c.cfg.Cache.Load(pinName(o))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}
