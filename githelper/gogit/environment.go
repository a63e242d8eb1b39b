package gogit

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"golang.org/x/net/http/httpproxy"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/internal/lease"
	"github.com/gitaccess/gitaccess/internal/state"
	"github.com/gitaccess/gitaccess/keystore"
)

// FromEnvironment returns Options for a program that is told everything by its
// environment, and shares sessions, locks and pinned teams with the programs of this
// module: what "access login" stored for a host serves here, and is renewed once
// for all of them.
//
//	ACCESS_HOSTS                                     the hosts behind Access: "git.example.com *.ci.example.com"; required
//	CF_ACCESS_CLIENT_ID, CF_ACCESS_CLIENT_SECRET     a service token for them, as in CI
//	TUNNEL_SERVICE_TOKEN_ID, …_SECRET                the same, by cloudflared's names
//	ACCESS_KEYSTORE, ACCESS_STATE_DIR                where secrets and state are
//	HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE  the network
//
// No person is asked. The keystore is opened when a secret is needed that the
// environment does not give. getenv nil is os.Getenv.
func FromEnvironment(getenv func(string) string) (*Options, error) {
	if getenv == nil {
		getenv = os.Getenv
	}
	hosts := strings.FieldsFunc(getenv("ACCESS_HOSTS"), func(r rune) bool { return r == ',' || r == ' ' || r == ';' })
	if len(hosts) == 0 {
		return nil, errors.New("gogit: ACCESS_HOSTS names no host that is behind Access")
	}
	dir, err := state.Open(getenv)
	if err != nil {
		return nil, err
	}
	network := http.DefaultTransport.(*http.Transport).Clone()
	network.Proxy = proxies(getenv)
	config := &access.Config{
		Store: &lazyStore{open: sync.OnceValues(func() (*keystore.Store, error) {
			return keystore.Open(context.Background(), &keystore.Options{Dir: dir.Path(), Getenv: getenv})
		})},
		Locker:    locker{dir},
		Cache:     cache{dir},
		Transport: network,
		UserAgent: "gitaccess-gogit",
	}
	for _, names := range [][2]string{
		{"CF_ACCESS_CLIENT_ID", "CF_ACCESS_CLIENT_SECRET"},
		{"TUNNEL_SERVICE_TOKEN_ID", "TUNNEL_SERVICE_TOKEN_SECRET"},
	} {
		id, secret := getenv(names[0]), access.NewSecret(getenv(names[1]))
		if id == "" && secret.Empty() {
			continue
		}
		if err := access.CheckServiceToken(id, secret); err != nil {
			return nil, err
		}
		config.ServiceTokens = append(config.ServiceTokens, access.BoundServiceToken{
			ClientID: id, Secret: secret, Hosts: hosts, Source: names[0] + ", " + names[1],
		})
	}
	client, err := access.New(config)
	if err != nil {
		return nil, err
	}
	return &Options{Client: client, Hosts: hosts, Transport: network}, nil
}

// proxies follows curl and git, as our programs do (cmd/internal/door): lower case
// goes before upper case, ALL_PROXY serves where nothing more specific is set.
func proxies(getenv func(string) string) func(*http.Request) (*url.URL, error) {
	first := func(names ...string) string {
		for _, n := range names {
			if v := getenv(n); v != "" {
				return v
			}
		}
		return ""
	}
	choose := (&httpproxy.Config{
		HTTPSProxy: first("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
		HTTPProxy:  first("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
		NoProxy:    first("no_proxy", "NO_PROXY"),
		CGI:        getenv("REQUEST_METHOD") != "",
	}).ProxyFunc()
	return func(req *http.Request) (*url.URL, error) { return choose(req.URL) }
}

// lazyStore opens the keystore at the first call.
type lazyStore struct {
	open func() (*keystore.Store, error)
}

func (s *lazyStore) Get(ctx context.Context, key string) ([]byte, error) {
	ks, err := s.open()
	if err != nil {
		return nil, err
	}
	return ks.Get(ctx, key)
}

func (s *lazyStore) Put(ctx context.Context, key string, value []byte) error {
	ks, err := s.open()
	if err != nil {
		return err
	}
	return ks.Put(ctx, key, value)
}

func (s *lazyStore) Delete(ctx context.Context, key string) error {
	ks, err := s.open()
	if err != nil {
		return err
	}
	return ks.Delete(ctx, key)
}

func (s *lazyStore) List(ctx context.Context, prefix string) ([]string, error) {
	ks, err := s.open()
	if err != nil {
		return nil, err
	}
	return ks.List(ctx, prefix)
}

// cache and locker use the files of our programs (cmd/internal/door).
type cache struct{ dir state.Dir }

func (c cache) Load(name string) ([]byte, error) { return c.dir.Load("cache/" + name) }
func (c cache) Save(name string, b []byte) error { return c.dir.Save("cache/"+name, b) }
func (c cache) Remove(name string) error         { return c.dir.Remove("cache/" + name) }

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
