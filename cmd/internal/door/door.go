// Package door joins the rooms for all programs of this module: the Access client
// with the keystore, the locks and the state folder of this user, the network as
// the environment describes it, and a person at the terminal.
package door

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/lease"
	"github.com/gitaccess/gitaccess/internal/state"
	"github.com/gitaccess/gitaccess/keystore"
)

// Options are what flags may change. Nil means none of them.
type Options struct {
	Network      NetworkOptions
	Team         string                    // --team
	ClientID     string                    // --client-id
	RedirectURL  string                    // --redirect-url, of that client
	Keystore     string                    // backend; "" means ACCESS_KEYSTORE or the automatic choice
	ServiceToken *access.BoundServiceToken // of the command line; goes before those of the environment
	NoBrowser    bool                      // print the login URL and open nothing
	AutoClose    bool
	LoginTimeout time.Duration
	Notify       func(access.Event) // nil: lines on standard error, see [Tell]
	// Paste is [access.Config.Paste].
	Paste  func(ctx context.Context, problem error) (string, error)
	Logger *slog.Logger
}

// A Door is the way to credentials for one run of a program.
type Door struct {
	Client    *access.Client
	State     state.Dir
	Store     *Store
	Transport *http.Transport // network only, without credentials, and without git's settings

	env *cli.Env
}

// Open reads the environment and returns a Door. It touches neither keyring nor
// network.
func Open(env *cli.Env, o *Options) (*Door, error) {
	var opt Options
	if o != nil {
		opt = *o
	}
	dir, err := state.Open(env.Getenv)
	if err != nil {
		return nil, err
	}
	transport, err := Network(env, opt.Network)
	if err != nil {
		return nil, err
	}
	var carrier http.RoundTripper = transport
	if opt.Network.Git != "" {
		carrier = &gitTransport{env: env, opt: opt.Network, base: transport, hosts: map[string]*http.Transport{}}
	}
	tokens := environmentTokens(env)
	if opt.ServiceToken != nil {
		tokens = append([]access.BoundServiceToken{*opt.ServiceToken}, tokens...)
	}
	d := &Door{
		State:     dir,
		Store:     &Store{open: &keystore.Options{Backend: opt.Keystore, Dir: dir.Path(), Getenv: env.Getenv}},
		Transport: transport,
		env:       env,
	}
	cfg := &access.Config{
		Store:         d.Store,
		Locker:        locker{dir},
		Cache:         cache{dir},
		Transport:     carrier,
		ServiceTokens: tokens,
		Team:          opt.Team,
		ClientID:      opt.ClientID,
		RedirectURL:   opt.RedirectURL,
		Notify:        opt.Notify,
		LoginTimeout:  opt.LoginTimeout,
		AutoClose:     opt.AutoClose,
		Paste:         opt.Paste,
		UserAgent:     env.Name + "/" + cli.Version(),
		Logger:        opt.Logger,
	}
	if !opt.NoBrowser {
		cfg.Open = d.openBrowser
	}
	if cfg.Notify == nil {
		cfg.Notify = Tell(env)
	}
	if d.Client, err = access.New(cfg); err != nil {
		return nil, &cli.UsageError{Err: err} // the redirect URL
	}
	return d, nil
}

// environmentTokens reads service tokens from the variables that Cloudflare's
// documents use for programs, and the ones of cloudflared. They go to the hosts in
// ACCESS_HOSTS, and to a host that a person names on the command line.
func environmentTokens(env *cli.Env) []access.BoundServiceToken {
	hosts := strings.FieldsFunc(env.Getenv("ACCESS_HOSTS"), func(r rune) bool { return r == ',' || r == ' ' || r == ';' })
	var tokens []access.BoundServiceToken
	for _, names := range [][2]string{
		{"CF_ACCESS_CLIENT_ID", "CF_ACCESS_CLIENT_SECRET"},
		{"TUNNEL_SERVICE_TOKEN_ID", "TUNNEL_SERVICE_TOKEN_SECRET"},
	} {
		id, secret := env.Getenv(names[0]), env.Getenv(names[1])
		if id == "" && secret == "" {
			continue
		}
		tokens = append(tokens, access.BoundServiceToken{
			ClientID: id, Secret: access.NewSecret(secret), Hosts: hosts, Source: names[0] + ", " + names[1],
		})
	}
	return tokens
}

// EnvironmentTokens lists the service tokens of the environment.
func (d *Door) EnvironmentTokens() []access.BoundServiceToken { return environmentTokens(d.env) }

// cache keeps what access learnt in a folder of its own, so that it can be swept.
type cache struct{ dir state.Dir }

func (c cache) Load(name string) ([]byte, error) { return c.dir.Load(cachePath(name)) }
func (c cache) Save(name string, b []byte) error { return c.dir.Save(cachePath(name), b) }
func (c cache) Remove(name string) error         { return c.dir.Remove(cachePath(name)) }

// cachePath puts the pins of teams beside the set-up marks: whoever logs out still
// knows whom to trust.
func cachePath(name string) string {
	if strings.HasPrefix(name, access.PinPrefix+"-") {
		return "pin/" + name
	}
	return "cache/" + name
}

// RemoveTraces deletes what was learnt about hosts, their cookie files, leases, and
// the marks of logins. Set-up marks, pinned teams and the keystore stay.
func (d *Door) RemoveTraces() error {
	var errs []error
	for _, folder := range []string{"cache", "jar", "lease"} {
		errs = append(errs, os.RemoveAll(d.State.Path(folder)))
	}
	marks, err := os.ReadDir(d.State.Path("setup"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, m := range marks {
		name := "setup/" + m.Name()
		if b, err := d.State.Load(name); err == nil && strings.TrimSpace(string(b)) == "{}" {
			errs = append(errs, d.State.Remove(name)) // no setup command has noted anything
		}
	}
	return errors.Join(errs...)
}

// ClearKeystore deletes everything that was kept in any keystore by programs with
// this state folder, see [keystore.ClearAll].
func (d *Door) ClearKeystore(ctx context.Context) error {
	o := *d.Store.open
	o.Interactive = true
	return keystore.ClearAll(ctx, &o)
}

// locker gives access the OS locks of package lease.
type locker struct{ dir state.Dir }

func (l locker) Lock(ctx context.Context, name string, waiting func(pid int, note string)) (access.Lease, error) {
	var show func(lease.Holder)
	if waiting != nil {
		show = func(h lease.Holder) { waiting(h.PID, h.Note) }
	}
	held, err := lease.Acquire(ctx, l.dir.Path("lease", name), show)
	if err != nil {
		return nil, err
	}
	return held, nil
}

// A Store opens the keystore at its first use, so that a run which needs no
// secret (a service token in the environment) touches no keyring.
type Store struct {
	open *keystore.Options
	once sync.Once
	ks   *keystore.Store
	err  error
}

// Keystore opens the keystore if need be.
func (s *Store) Keystore(ctx context.Context) (*keystore.Store, error) {
	s.once.Do(func() { s.ks, s.err = keystore.Open(ctx, s.open) })
	return s.ks, s.err
}

// Get implements [access.Store].
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	ks, err := s.Keystore(ctx)
	if err != nil {
		return nil, err
	}
	return ks.Get(ctx, key)
}

// Put implements [access.Store].
func (s *Store) Put(ctx context.Context, key string, value []byte) error {
	ks, err := s.Keystore(ctx)
	if err != nil {
		return err
	}
	return ks.Put(ctx, key, value)
}

// Delete implements [access.Store].
func (s *Store) Delete(ctx context.Context, key string) error {
	ks, err := s.Keystore(ctx)
	if err != nil {
		return err
	}
	return ks.Delete(ctx, key)
}

// List implements [access.Store].
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	ks, err := s.Keystore(ctx)
	if err != nil {
		return nil, err
	}
	return ks.List(ctx, prefix)
}

// IsSetUp reports whether a person set the origin up on this machine, by a setup
// command or a login.
func (d *Door) IsSetUp(o access.Origin) bool {
	_, err := d.State.Load(setupName(o))
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}

// MarkSetUp notes that a person set the origin up; note is kept with it.
func (d *Door) MarkSetUp(o access.Origin, note []byte) error { return d.State.Save(setupName(o), note) }

// SetUpNote returns what was kept by MarkSetUp.
func (d *Door) SetUpNote(o access.Origin) ([]byte, error) { return d.State.Load(setupName(o)) }

// ForgetSetUp takes the mark away.
func (d *Door) ForgetSetUp(o access.Origin) error { return d.State.Remove(setupName(o)) }

// SetUpHosts lists the origins that were set up, for completion and reports.
func (d *Door) SetUpHosts() []access.Origin {
	files, err := os.ReadDir(d.State.Path("setup"))
	if err != nil {
		return nil
	}
	var all []access.Origin
	for _, f := range files {
		name, err := url.PathUnescape(f.Name())
		scheme, host, ok := strings.Cut(name, ":__")
		if err != nil || !ok {
			continue
		}
		if o, _, err := access.ParseHost(scheme + "://" + host); err == nil && setupName(o) == "setup/"+name {
			all = append(all, o)
		}
	}
	return all
}

func setupName(o access.Origin) string { return "setup/" + strings.ReplaceAll(string(o), "/", "_") }
