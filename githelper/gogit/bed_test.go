package gogit_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"github.com/go-git/go-git/v5/storage/memory"
	"golang.org/x/crypto/ssh"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	"github.com/gitaccess/gitaccess/githelper/gogit"
)

const ada = "ada@example.com"

// bed is an edge with git servers behind it.
type bed struct {
	testing.TB
	edge    *accesstest.Edge
	server  *accesstest.Server
	team    *accesstest.Team
	service *accesstest.ServiceToken
	other   *accesstest.ServiceToken // that admits to nothing
	root    string                   // of the repositories
	git     *accesstest.Application
	ssh     *accesstest.Application
	sshd    *origin.SSH
	network *http.Transport
}

// demo is demo.git, made once and copied for each test.
var demo = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gogit-demo-")
	if err != nil {
		return "", err
	}
	return dir, func() error {
		_, err := origin.Init(context.Background(), dir, "demo.git", nil)
		return err
	}()
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := demo(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func newBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{TB: t, edge: accesstest.New(&accesstest.Options{KeepBody: 1 << 20}), root: t.TempDir()}
	t.Cleanup(func() {
		if err := b.edge.Close(); err != nil {
			t.Error(err)
		}
	})
	dir, err := demo()
	b.must(err)
	b.must(os.CopyFS(b.root, os.DirFS(dir)))
	b.sshd, err = origin.StartSSH(b.root, nil)
	b.must(err)
	t.Cleanup(func() { b.sshd.Close() })
	b.team = b.edge.Team()
	b.service, b.other = b.team.AddServiceToken("ci"), b.team.AddServiceToken("other")
	services := []*accesstest.ServiceToken{b.service}
	b.git = b.edge.AddApp(accesstest.App{Host: "git.example.com", Allow: true, Services: services, Origin: &origin.Git{Root: b.root}})
	b.ssh = b.edge.AddApp(accesstest.App{Host: "ssh.example.com", Allow: true, Services: services, TCP: accesstest.DialTCP(b.sshd.Addr())})
	b.server, err = b.edge.Start()
	b.must(err)
	b.network = b.server.Transport()
	t.Cleanup(b.network.CloseIdleConnections)
	return b
}

func (b *bed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

var bothHosts = []string{"git.example.com", "ssh.example.com"}

// client returns an Access client, and what change makes of its configuration.
func (b *bed) client(change func(*access.Config)) *access.Client {
	b.Helper()
	cfg := &access.Config{Transport: b.network}
	if change != nil {
		change(cfg)
	}
	c, err := access.New(cfg)
	b.must(err)
	return c
}

func (b *bed) withToken(cfg *access.Config) {
	cfg.ServiceTokens = []access.BoundServiceToken{{ClientID: b.service.ID, Secret: access.NewSecret(b.service.Secret()), Hosts: bothHosts}}
}

// withSession has Ada log in to the hosts, and then nobody.
func (b *bed) withSession(hosts ...string) func(*access.Config) {
	b.Helper()
	store := &store{m: map[string][]byte{}}
	open, done := b.edge.Person(ada).Browser(b.ctx())
	c := b.client(func(cfg *access.Config) {
		cfg.Store = store
		cfg.Open = func(_ context.Context, u string) error { return open(u) }
	})
	for _, h := range hosts {
		o, u, err := access.ParseHost(h)
		b.must(err)
		_, err = c.Credential(b.ctx(), u, access.Policy{Named: o, Login: func(context.Context) error { return nil }})
		b.must(err)
	}
	b.must(done())
	return func(cfg *access.Config) { cfg.Store = store }
}

// install makes go-git use transports for the test.
func (b *bed) install(c *access.Client, change func(*gogit.Options)) {
	b.Helper()
	o := &gogit.Options{Client: c, Hosts: bothHosts, Transport: b.network}
	if change != nil {
		change(o)
	}
	t, err := gogit.New(o)
	b.must(err)
	b.Cleanup(t.Install())
}

func (b *bed) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	b.Cleanup(cancel)
	return ctx
}

// auth is that of git@ssh.example.com: no key is wanted, and the host's is checked.
func (b *bed) auth() gitssh.AuthMethod { return b.authAt("ssh.example.com") }

// authAt knows the server's key by another name.
func (b *bed) authAt(name string) gitssh.AuthMethod {
	b.Helper()
	file := filepath.Join(b.TempDir(), "known_hosts")
	b.must(os.WriteFile(file, []byte(b.sshd.KnownHosts(name)), 0o600))
	check, err := gitssh.NewKnownHostsCallback(file)
	b.must(err)
	return &gitssh.Password{User: "git", Password: "not asked for", HostKeyCallbackHelper: gitssh.HostKeyCallbackHelper{HostKeyCallback: check, HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}}}
}

func (b *bed) clone(o *git.CloneOptions) (*git.Repository, error) {
	return git.CloneContext(b.ctx(), memory.NewStorage(), nil, o)
}

// commit makes a commit without files on top of a branch.
func commit(r *git.Repository, branch plumbing.ReferenceName, message string) (plumbing.Hash, error) {
	tip, err := r.Reference(branch, true)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	parent, err := r.CommitObject(tip.Hash())
	if err != nil {
		return plumbing.ZeroHash, err
	}
	who := object.Signature{Name: "Ada", Email: ada, When: time.Unix(1767225600, 0)}
	c := &object.Commit{Author: who, Committer: who, Message: message, TreeHash: parent.TreeHash, ParentHashes: []plumbing.Hash{tip.Hash()}}
	o := r.Storer.NewEncodedObject()
	if err := c.Encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	hash, err := r.Storer.SetEncodedObject(o)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return hash, r.Storer.SetReference(plumbing.NewHashReference(branch, hash))
}

// noLeaks fails if a secret went anywhere but to the hosts that it is for.
func (b *bed) noLeaks(secret string, allowed ...string) {
	b.Helper()
	for _, leak := range b.edge.Leaks(secret, allowed...) {
		b.Errorf("a secret left: %v", leak)
	}
}

// store is a Store that several clients of a test share.
type store struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (s *store) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.m[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return v, nil
}

func (s *store) Put(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[key] = append([]byte(nil), value...)
	return nil
}

func (s *store) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, key)
	return nil
}

func (s *store) List(_ context.Context, prefix string) (keys []string, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.m {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// push pushes main to a new branch and to main.
func push(ctx context.Context, r *git.Repository, auth transport.AuthMethod) error {
	err := r.PushContext(ctx, &git.PushOptions{RemoteName: "origin", Auth: auth, RefSpecs: []config.RefSpec{"refs/heads/main:refs/heads/main"}})
	if errors.Is(err, git.NoErrAlreadyUpToDate) {
		return nil
	}
	return err
}
