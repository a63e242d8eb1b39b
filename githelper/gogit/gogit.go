package gogit

import (
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/sshproxy"
)

// Options say which hosts are behind Access and how they are reached. They must
// not be modified after [New].
type Options struct {
	// Client obtains the credentials. Required.
	Client *access.Client

	// Hosts are behind Access, and nobody else is given a credential: "git.example.com",
	// "git.example.com:8443", "*.example.com", which matches one label, or the URL
	// of an application that covers a path. Required. Name them; a URL out of a
	// repository, such as a submodule's, must not decide who gets one.
	Hosts []string

	// Policy says what may be done to obtain a credential. The zero Policy asks no
	// person: it takes service tokens and stored sessions, and renews these.
	Policy access.Policy

	// Transport carries git's requests: proxies, certificate authorities and client
	// certificates are set here, and in the same way in access.Config.Transport. Nil:
	// a clone of http.DefaultTransport.
	Transport *http.Transport

	// HTTP are options of go-git's own client: its rule for redirects, and how many
	// transports it keeps for endpoints with options of their own. Nil: go-git's
	// defaults.
	HTTP *githttp.ClientOptions
}

// Transports are go-git transports that pass Access. They are safe for concurrent
// use.
type Transports struct {
	http *httpTransport
	ssh  *sshTransport
}

// New returns transports for o.
func New(o *Options) (*Transports, error) {
	if o == nil || o.Client == nil {
		return nil, errors.New("gogit: Options need a Client")
	}
	if len(o.Hosts) == 0 {
		return nil, errors.New("gogit: Options name no host that is behind Access")
	}
	guarded, err := parseHosts(o.Hosts)
	if err != nil {
		return nil, err
	}
	network := o.Transport
	if network == nil {
		def, ok := http.DefaultTransport.(*http.Transport)
		if !ok {
			return nil, fmt.Errorf("gogit: http.DefaultTransport is a %T: set Options.Transport", http.DefaultTransport)
		}
		network = def.Clone()
	}
	var opts githttp.ClientOptions
	if o.HTTP != nil {
		opts = *o.HTTP
	}
	through := opts
	through.CacheMaxEntries = 0 // go-git would panic: its cache wants an *http.Transport
	router := &router{guarded: guarded, access: o.Client.Transport(network, o.Policy), open: network}
	return &Transports{
		http: &httpTransport{
			guarded: guarded,
			through: githttp.NewClientWithOptions(&http.Client{Transport: router}, &through),
			plain:   githttp.NewClientWithOptions(&http.Client{Transport: network}, &opts),
		},
		ssh: &sshTransport{
			guarded: guarded,
			through: gitssh.NewClient(nil),
			options: &sshproxy.DialOptions{Transport: o.Client.Transport(sshproxy.NewTransport(network), o.Policy)},
		},
	}, nil
}

// HTTP is the transport for https. Installed under another name, for a program
// that needs two identities, it speaks https, too:
//
//	client.InstallProtocol("work+https", work.HTTP())
//	git.PlainClone(dir, false, &git.CloneOptions{URL: "work+https://git.example.com/demo.git"})
func (t *Transports) HTTP() transport.Transport { return t.http }

// SSH is the transport for ssh, with go-git's own AuthMethods.
func (t *Transports) SSH() transport.Transport { return t.ssh }

var installing sync.Mutex

// Install makes go-git use t for https, http and ssh in the whole process, and
// returns what takes that back. go-git keeps its transports in a map without a
// lock: install before the first goroutine that clones, and take back after the
// last.
func (t *Transports) Install() (restore func()) {
	installing.Lock()
	defer installing.Unlock()
	before := map[string]transport.Transport{}
	for scheme, own := range map[string]transport.Transport{"https": t.http, "http": t.http, "ssh": t.ssh} {
		before[scheme] = client.Protocols[scheme]
		client.InstallProtocol(scheme, own)
	}
	return sync.OnceFunc(func() {
		installing.Lock()
		defer installing.Unlock()
		for scheme, old := range before {
			client.InstallProtocol(scheme, old) // nil: none
		}
	})
}
