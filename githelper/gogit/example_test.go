package gogit_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	"github.com/gitaccess/gitaccess/githelper/gogit"
)

// A program with a service token of its own clones into memory.
func Example_clone() {
	edge := startEdge()
	defer edge.Close()

	c, err := access.New(&access.Config{
		Transport: edge.transport, // proxy and certificate authorities; nil: those of the system
		ServiceTokens: []access.BoundServiceToken{{
			ClientID: edge.clientID, Secret: access.NewSecret(edge.clientSecret),
			Hosts: []string{"git.example.com"},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	transports, err := gogit.New(&gogit.Options{Client: c, Hosts: []string{"git.example.com"}, Transport: edge.transport})
	if err != nil {
		log.Fatal(err)
	}
	defer transports.Install()()

	repo, err := git.Clone(memory.NewStorage(), nil, &git.CloneOptions{URL: "https://git.example.com/demo.git"})
	if err != nil {
		log.Fatal(err)
	}
	head, err := repo.Head()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("cloned", head.Name())
	// Output:
	// cloned refs/heads/main
}

// A program in CI, with nothing but its environment, clones to disk and pushes.
func ExampleFromEnvironment_cloneInCI() {
	edge := startEdge()
	defer edge.Close()
	defer edge.setenv(map[string]string{
		"ACCESS_HOSTS":            "git.example.com ssh.example.com",
		"CF_ACCESS_CLIENT_ID":     edge.clientID,
		"CF_ACCESS_CLIENT_SECRET": edge.clientSecret,
		"HTTPS_PROXY":             edge.ProxyURL(),
	})()

	options, err := gogit.FromEnvironment(nil)
	if err != nil {
		log.Fatal(err)
	}
	// What the environment does not say; SSL_CERT_FILE would do on Linux.
	options.Transport.TLSClientConfig = &tls.Config{RootCAs: edge.Pool()}
	transports, err := gogit.New(options)
	if err != nil {
		log.Fatal(err)
	}
	defer transports.Install()()

	ctx := context.Background()
	repo, err := git.PlainCloneContext(ctx, filepath.Join(edge.dir, "work"), false, &git.CloneOptions{URL: "https://git.example.com/demo.git"})
	if err != nil {
		log.Fatal(err)
	}
	err = repo.PushContext(ctx, &git.PushOptions{RefSpecs: []config.RefSpec{"refs/heads/main:refs/heads/release"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("pushed release")
	// Output:
	// pushed release
}

// SSH through Access: go-git's own logins, host keys out of a known_hosts file.
func Example_cloneBySSH() {
	edge := startEdge()
	defer edge.Close()
	transports, err := gogit.New(&gogit.Options{Client: edge.client(), Hosts: []string{"ssh.example.com"}, Transport: edge.transport})
	if err != nil {
		log.Fatal(err)
	}
	client.InstallProtocol("ssh", transports.SSH()) // ssh alone
	defer client.InstallProtocol("ssh", gitssh.DefaultClient)

	known, err := gitssh.NewKnownHostsCallback(edge.knownHosts)
	if err != nil {
		log.Fatal(err)
	}
	auth := &gitssh.Password{User: "git", HostKeyCallbackHelper: gitssh.HostKeyCallbackHelper{HostKeyCallback: known}}
	repo, err := git.Clone(memory.NewStorage(), nil, &git.CloneOptions{URL: "ssh://git@ssh.example.com/demo.git", Auth: auth})
	if err != nil {
		log.Fatal(err)
	}
	head, err := repo.Head()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("cloned", head.Name())
	// Output:
	// cloned refs/heads/main
}

// What Access refuses is found behind go-git's errors.
func Example_refusals() {
	edge := startEdge()
	defer edge.Close()
	nobody, err := access.New(&access.Config{Transport: edge.transport})
	if err != nil {
		log.Fatal(err)
	}
	transports, err := gogit.New(&gogit.Options{Client: nobody, Hosts: []string{"git.example.com"}, Transport: edge.transport})
	if err != nil {
		log.Fatal(err)
	}
	defer transports.Install()()

	_, err = git.Clone(memory.NewStorage(), nil, &git.CloneOptions{URL: "https://git.example.com/demo.git"})
	var login *access.LoginRequiredError
	var refused *access.RefusedError
	switch {
	case errors.As(err, &login):
		fmt.Println("run: access login", login.App.Origin.Host())
	case errors.As(err, &refused):
		fmt.Println("refused:", refused.Cause)
	case err != nil:
		log.Fatal(err)
	}
	// Output:
	// run: access login git.example.com
}

// edge is Access on loopback, with demo.git behind git.example.com and
// ssh.example.com.
type edge struct {
	*accesstest.Server
	edge                   *accesstest.Edge
	sshd                   *origin.SSH
	dir, knownHosts        string
	transport              *http.Transport
	clientID, clientSecret string
}

func startEdge() *edge {
	e := &edge{edge: accesstest.New(nil)}
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	var err error
	e.dir, err = os.MkdirTemp("", "gogit-example-")
	check(err)
	root, err := demo()
	check(err)
	check(os.CopyFS(e.dir, os.DirFS(root)))
	e.sshd, err = origin.StartSSH(e.dir, nil)
	check(err)
	e.knownHosts = filepath.Join(e.dir, "known_hosts")
	check(os.WriteFile(e.knownHosts, []byte(e.sshd.KnownHosts("ssh.example.com")), 0o600))
	token := e.edge.Team().AddServiceToken("ci")
	e.clientID, e.clientSecret = token.ID, token.Secret()
	services := []*accesstest.ServiceToken{token}
	e.edge.AddApp(accesstest.App{Host: "git.example.com", Allow: true, Services: services, Origin: &origin.Git{Root: e.dir}})
	e.edge.AddApp(accesstest.App{Host: "ssh.example.com", Allow: true, Services: services, TCP: accesstest.DialTCP(e.sshd.Addr())})
	e.Server, err = e.edge.Start()
	check(err)
	e.transport = e.Transport()
	return e
}

func (e *edge) client() *access.Client {
	c, err := access.New(&access.Config{Transport: e.transport, ServiceTokens: []access.BoundServiceToken{{
		ClientID: e.clientID, Secret: access.NewSecret(e.clientSecret), Hosts: []string{"*.example.com"},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	return c
}

// setenv changes the environment and returns what takes that back.
func (e *edge) setenv(vars map[string]string) (restore func()) {
	vars["ACCESS_STATE_DIR"] = filepath.Join(e.dir, "state")
	before := map[string]string{}
	for name, value := range vars {
		before[name] = os.Getenv(name)
		os.Setenv(name, value)
	}
	return func() {
		for name, value := range before {
			os.Setenv(name, value)
		}
	}
}

func (e *edge) Close() {
	e.transport.CloseIdleConnections()
	if err := errors.Join(e.edge.Close(), e.sshd.Close(), os.RemoveAll(e.dir)); err != nil {
		log.Fatal(err)
	}
}
