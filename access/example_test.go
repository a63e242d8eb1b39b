package access_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/keystore"
)

// A program with an http.Client passes Access as the person who logs in.
func Example() {
	ctx := context.Background()
	edge, network, person := startEdge(ctx)
	defer edge.Close()
	dir, _ := os.MkdirTemp("", "example-")
	defer os.RemoveAll(dir)

	store, err := keystore.Open(ctx, &keystore.Options{Backend: "file", Dir: dir}) // nil: the system's keyring
	if err != nil {
		log.Fatal(err)
	}
	client, err := access.New(&access.Config{
		Store:     store,
		Transport: network, // proxies and certificate authorities; nil: those of the system
		Open:      func(_ context.Context, url string) error { return person(url) },
	})
	if err != nil {
		log.Fatal(err)
	}
	mayLogIn := func(context.Context) error { return nil } // or why not: "CI is set"
	web := &http.Client{Transport: client.Transport(network, access.Policy{Login: mayLogIn})}

	resp, err := web.Get("https://wiki.example.com/page")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	fmt.Println(string(page), err)

	// The zero Policy asks nobody: the error says where a login is wanted.
	quiet := &http.Client{Transport: client.Transport(network, access.Policy{})}
	_, err = quiet.Get("https://other.example.com/")
	var login *access.LoginRequiredError
	if errors.As(err, &login) {
		fmt.Println("access login", login.App.Origin.Host())
	}
	// Output:
	// hello ada@example.com <nil>
	// access login other.example.com
}

// A service token goes to the hosts that it is bound to.
func ExampleClient_Credential() {
	ctx := context.Background()
	edge, network, _ := startEdge(ctx)
	defer edge.Close()
	token := edge.Team().AddServiceToken("job")
	edge.AddApp(accesstest.App{Host: "ci.example.com", Services: []*accesstest.ServiceToken{token}})

	client, err := access.New(&access.Config{
		Transport: network,
		ServiceTokens: []access.BoundServiceToken{{
			ClientID: token.ID, Secret: access.NewSecret(token.Secret()), Hosts: []string{"ci.example.com"},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, u, _ := access.ParseHost("ci.example.com")
	cr, err := client.Credential(ctx, u, access.Policy{})
	if err != nil {
		log.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://ci.example.com/", nil)
	other, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://elsewhere.example.com/", nil)
	fmt.Println(cr.Kind == access.ServiceToken, cr.Apply(req), cr.Apply(other), len(other.Header))
	// Output: true true false 0
}

// startEdge is Access on this machine, with two applications that people log in to.
func startEdge(ctx context.Context) (edge *accesstest.Edge, network *http.Transport, person func(string) error) {
	edge = accesstest.New(nil)
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello ", r.Header.Get("Cf-Access-Authenticated-User-Email"))
	})
	edge.AddApp(accesstest.App{Host: "wiki.example.com", Allow: true, Origin: hello})
	edge.AddApp(accesstest.App{Host: "other.example.com", Allow: true, Origin: hello, Team: edge.AddTeam("other")}) // the session of a team is enough for all its hosts
	server, err := edge.Start()
	if err != nil {
		log.Fatal(err)
	}
	open, _ := edge.Person("ada@example.com").Browser(ctx)
	return edge, server.Transport(), open
}
