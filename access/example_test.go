package access_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

// Any http.Client: requests to the host get the service token, and nobody else's do.
func ExampleClient_Transport() {
	edge, transport, id, secret := exampleEdge()
	defer edge.Close()
	defer transport.CloseIdleConnections()

	client, err := access.New(&access.Config{
		Transport: transport, // proxy and certificate authorities; nil: those of the system
		ServiceTokens: []access.BoundServiceToken{{
			ClientID: id, Secret: access.NewSecret(secret), Hosts: []string{"api.example.com"},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	web := &http.Client{Transport: client.Transport(nil, access.Policy{})}

	resp, err := web.Get("https://api.example.com/hello")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", body)
	// Output:
	// hello from behind Access
}

// A person logs in, where the program lets them; afterwards the session serves
// without anybody.
func ExampleClient_Credential() {
	edge, transport, _, _ := exampleEdge()
	defer edge.Close()
	defer transport.CloseIdleConnections()
	ctx := context.Background()
	browser, closed := edge.Person("ada@example.com").Browser(ctx)

	client, err := access.New(&access.Config{
		Transport: transport,
		Open:      func(_ context.Context, loginURL string) error { return browser(loginURL) },
	})
	if err != nil {
		log.Fatal(err)
	}
	u, err := url.Parse("https://api.example.com/")
	if err != nil {
		log.Fatal(err)
	}

	_, err = client.Credential(ctx, u, access.Policy{})
	var login *access.LoginRequiredError
	fmt.Println("nobody may be asked:", errors.As(err, &login))

	ask := access.Policy{Login: func(context.Context) error { return nil }}
	credential, err := client.Credential(ctx, u, ask)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(credential.Kind, "for", credential.Account, credential.Token())

	_, err = client.Credential(ctx, u, access.Policy{})
	fmt.Println("later:", err)
	if err := closed(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// nobody may be asked: true
	// jwt for ada@example.com [redacted]
	// later: <nil>
}

// exampleEdge is Access on loopback, with one application and a service token.
func exampleEdge() (e *accesstest.Edge, transport *http.Transport, clientID, clientSecret string) {
	e = accesstest.New(nil)
	token := e.Team().AddServiceToken("example")
	e.AddApp(accesstest.App{
		Host: "api.example.com", Allow: true, Services: []*accesstest.ServiceToken{token},
		Origin: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello from behind Access") }),
	})
	server, err := e.Start()
	if err != nil {
		log.Fatal(err)
	}
	return e, server.Transport(), token.ID, token.Secret()
}
