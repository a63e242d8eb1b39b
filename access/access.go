// Package access is a client of the Cloudflare Access protocol: it recognises
// what Access answers, learns which application protects a URL, obtains a
// credential for it, keeps it renewed, and places it on requests.
//
// A program asks one door, [Client.Credential], or lets [Client.Transport] ask
// for it:
//
//	client, err := access.New(&access.Config{ServiceTokens: tokens})
//	…
//	web := &http.Client{Transport: client.Transport(nil, access.Policy{})}
//	resp, err := web.Get("https://git.example.com/api")
//
// Such a client keeps all in memory. One whose sessions outlive the process has a
// [Store] (package keystore is one), a [Locker] and a [Cache]. A WebSocket goes by
// the same transport (package sshproxy), and go-git by package githelper/gogit.
//
// # Where a credential comes from
//
// In this order: a service token bound to the host; a stored session, checked
// locally; a renewal (an OAuth refresh token, or the team's org token exchanged
// for an application token); a login by a person, if the [Policy] allows one;
// else [*LoginRequiredError]. A stored and valid credential costs no network, no
// lock and no child process. Renewals and logins are made once across processes
// (see [Locker]). A service token never falls back to a person's session or a
// browser.
//
// # To whom a credential may go
//
// Scheme, host and port are compared where a credential is attached. Nothing in
// this package follows a redirect to another host. The team of an application is
// learnt from metadata signed by the team and pinned at first use.
//
// # Errors
//
// Each way in which Access says no has a type with its facts, which errors.As
// finds behind the *url.Error of an http.Client: [*LoginRequiredError] (a person has
// to log in, and nobody was asked), [*RefusedError] (with a [Cause]),
// [*TeamChangedError], [*LoginTimeoutError], [*BusyError], [*DiscoveryError],
// [*OAuthError], [*NoRegistrationError], [*SignError]. [IsRefusal] tells the first three
// from failures of the network and the store, which come as they are. No error text,
// log record or fmt verb shows a secret (see [Secret]).
//
// # Sources
//
// Protocol facts carry their source in comments: [doc] is Cloudflare's
// documentation, [client] the observed behaviour of the public cloudflared
// client, RFC numbers are RFCs. Where they are silent, both readings are
// accepted, and the comment says so.
package access

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A Store keeps secrets at rest. Get of an absent key returns an error for which
// errors.Is(err, fs.ErrNotExist) holds; Delete of one returns nil. Put replaces
// the whole value or nothing. Package keystore satisfies Store. It must be safe
// for concurrent use, also by several processes.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, prefix string) ([]string, error)
}

// A Locker gives one process at a time the right to log in or to renew.
type Locker interface {
	// Lock waits until the caller alone holds name, or ctx ends. While another
	// process holds it, waiting is called with that process's id and its latest
	// note, each time either changes. A holder that dies frees the name at once.
	Lock(ctx context.Context, name string, waiting func(pid int, note string)) (Lease, error)
}

// A Lease is a held lock.
type Lease interface {
	Note(text string) error // shown to those who wait; a login URL
	Release() error
}

// A Cache keeps small facts that are not secret: which application protects a
// host, pinned teams, public keys. Load of an absent name returns an error for
// which errors.Is(err, fs.ErrNotExist) holds.
type Cache interface {
	Load(name string) ([]byte, error)
	Save(name string, b []byte) error
	Remove(name string) error
}

// Config configures a [Client]. It must not be modified after New.
type Config struct {
	// Store keeps sessions, registrations and stored service tokens; nil keeps
	// them in memory, for this Client alone.
	Store Store
	// Locker makes renewals and logins happen once; nil: once in this Client.
	Locker Locker
	// Cache keeps what was learnt about hosts; nil keeps it in memory, and a team
	// is then pinned for no longer than the Client lives, so set Team, too.
	Cache Cache

	// Transport carries every request; nil means a clone of http.DefaultTransport.
	// Proxies, certificate authorities and client certificates are its business.
	Transport http.RoundTripper

	// ServiceTokens are the service tokens of the environment, each bound to
	// hosts. Stored ones come from the Store.
	ServiceTokens []BoundServiceToken

	// Team, when not empty, is the only team domain that is accepted, and need
	// not end in .cloudflareaccess.com ("auth.example.com").
	Team string

	// ClientID is a pre-registered OAuth client, for teams whose authorization
	// server offers no dynamic registration.
	ClientID string
	// RedirectURL is the redirect URI that ClientID was registered with, such as
	// "http://localhost:8400/callback": http, a loopback host, any path. Without a
	// port, a free one is added (RFC 8252 §7.3). "" means "http://localhost/callback".
	RedirectURL string

	// Open shows a login URL to a person, and returns when it was handed over: the
	// login is waited for after that. Nil: a person is told by Notify alone.
	Open func(ctx context.Context, url string) error
	// Notify is told what a caller waits for. It is called from one goroutine at
	// a time and must not block.
	Notify func(Event)

	// Paste, when not nil, is asked for the address at which the browser ended,
	// during a login by Managed OAuth: the browser may be on another machine and
	// cannot bring it here then. Whoever is first, the browser or Paste, ends the
	// wait. An address that does not belong to the login is asked for again;
	// problem says why. Paste returns soon after ctx ends; after an error of its
	// own it is not asked any more.
	Paste func(ctx context.Context, problem error) (address string, err error)

	// LoginTimeout bounds one login by a person; 0 means ten minutes.
	LoginTimeout time.Duration
	// AutoClose asks the login page to close its window when it is done.
	AutoClose bool
	// UserAgent is sent with each request; "" means "gitaccess". Cloudflare's
	// WAF blocks many default agents of scripts (error 1010).
	UserAgent string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger gets what happens, without secrets; nil discards.
	Logger *slog.Logger
}

// A Client obtains credentials for applications behind Access. It is safe for
// concurrent use.
type Client struct {
	cfg  Config
	team string   // canonical form of cfg.Team
	back redirect // of cfg.RedirectURL
	http *http.Client
	log  *slog.Logger

	mu       sync.Mutex
	rejected map[string]bool // fingerprints of tokens that the server refused
	notify   sync.Mutex
	keys     keyCache
}

// New returns a Client for cfg. It touches neither store nor network. A nil cfg is
// the zero Config. It fails if Config.RedirectURL is not one that this machine can
// be reached at, and no other.
func New(cfg *Config) (*Client, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	c := &Client{cfg: *cfg, rejected: make(map[string]bool)}
	if c.cfg.Store == nil {
		c.cfg.Store = &memory{}
	}
	if c.cfg.Locker == nil {
		c.cfg.Locker = &within{}
	}
	if c.cfg.Cache == nil {
		c.cfg.Cache = &memory{}
	}
	if c.cfg.Transport == nil {
		c.cfg.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	if c.cfg.Now == nil {
		c.cfg.Now = time.Now
	}
	if c.cfg.UserAgent == "" {
		c.cfg.UserAgent = "gitaccess"
	}
	if c.cfg.LoginTimeout == 0 {
		c.cfg.LoginTimeout = 10 * time.Minute
	}
	if c.log = c.cfg.Logger; c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.team = canonicalTeam(c.cfg.Team)
	var err error
	if c.back, err = parseRedirect(c.cfg.RedirectURL); err != nil {
		return nil, err
	}
	c.cfg.ServiceTokens = append([]BoundServiceToken(nil), cfg.ServiceTokens...)
	// No redirect is ever followed by itself: each hop of a flow is checked
	// before anything is sent to it.
	c.http = &http.Client{
		Transport:     ownRequests{c},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// EventKind says what an [Event] is about.
type EventKind int

const (
	// LoginURL: a person is to open URL and log in; Deadline says how long it waits.
	LoginURL EventKind = iota + 1
	// LoginDone: the login succeeded; Account says whose session it is.
	LoginDone
	// WaitingForProcess: another process, PID, logs in or renews; URL is its
	// login page, when it has one.
	WaitingForProcess
	// BrowserFailed: Open failed with Err; the person must open the URL by hand.
	BrowserFailed
)

// An Event tells a person or a program what a call is waiting for.
type Event struct {
	Kind     EventKind
	App      App
	URL      string    // LoginURL, BrowserFailed; WaitingForProcess if it has one
	PID      int       // WaitingForProcess
	Account  string    // LoginDone, as far as the token tells
	Expiry   time.Time // LoginDone: of the session
	Deadline time.Time // LoginURL: when the login is given up
	Err      error     // BrowserFailed
}

func (c *Client) tell(e Event) {
	if c.cfg.Notify == nil {
		return
	}
	c.notify.Lock()
	defer c.notify.Unlock()
	c.cfg.Notify(e)
}

func (c *Client) now() time.Time { return c.cfg.Now() }

// canonicalTeam reduces "https://Team.cloudflareaccess.com/" to its host name.
func canonicalTeam(s string) string {
	s = lowerASCII(strings.TrimSpace(s))
	s = strings.TrimPrefix(s, "https://")
	return strings.TrimSuffix(strings.TrimSuffix(s, "/"), ".")
}
