// Package gogit lets programs that use go-git v5 reach repositories behind
// Cloudflare Access, over HTTPS and SSH.
//
//	o, err := gogit.FromEnvironment(nil) // ACCESS_HOSTS, CF_ACCESS_CLIENT_ID, sessions of "access login"
//	…
//	transports, err := gogit.New(o)
//	…
//	defer transports.Install()()
//	repo, err := git.PlainCloneContext(ctx, dir, false, &git.CloneOptions{URL: "https://git.example.com/demo.git"})
//
// A program that holds its secrets itself makes the [access.Client]:
//
//	c, err := access.New(&access.Config{ServiceTokens: []access.BoundServiceToken{{
//		ClientID: id, Secret: access.NewSecret(secret), Hosts: []string{"git.example.com"},
//	}}})
//	…
//	transports, err := gogit.New(&gogit.Options{Client: c, Hosts: []string{"git.example.com"}})
//
// # Who gets a credential
//
// Requests to the hosts in Options.Hosts, compared by scheme, host and port for
// each request, redirects and submodules included. Requests to other hosts go by
// the same network without. None of go-git's options changes this:
// InsecureSkipTLS, CABundle, ClientCert and ProxyOptions are refused with
// an [*OptionError] for a host behind Access, since they would replace the network
// that the credential and the login go by, and work as ever for other hosts.
// go-git's Auth stays what it is, the login of the server behind Access. With
// Managed OAuth there is one Authorization header for both, so Auth is refused.
//
// # Errors
//
// What Access refuses comes out of go-git's Clone, Fetch, Push and List as
// [*access.LoginRequiredError], [*access.RefusedError], [*access.TeamChangedError]
// and the others of [access.Client.Credential], which errors.As finds; a host that is
// behind Access and was not named is an [*UnnamedHostError]. What the server
// behind Access refuses stays go-git's: transport.ErrAuthenticationRequired and
// its like.
//
// A session that the edge no longer takes is renewed once, and the request sent
// once more, which go-git's requests allow: they are held in memory.
//
// # SSH
//
// The connection is a WebSocket to the application (package sshproxy), in it SSH by
// go-git, with go-git's AuthMethods. Host keys are checked by the AuthMethod's
// HostKeyCallback, or else in known_hosts ($SSH_KNOWN_HOSTS,
// ~/.ssh/known_hosts), under the name in the URL and port 22. The context of an
// operation bounds all of it, the connection included; go-git alone would dial
// without it.
//
// # Sources
//
// go-git v5.19.3: plumbing/transport/http/common.go for options, redirects and
// errors, plumbing/transport/ssh/common.go for dialling. Older ones let headers
// follow a redirect to another host, and are not supported.
package gogit
