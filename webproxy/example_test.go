package webproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/gitaccess/gitaccess/webproxy"
)

// A program that knows nothing of Access reaches a host behind it on loopback. Here
// adding stands for the transport of an access.Client.
func Example() {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s with the credential: %t\n", r.URL.Path, r.Header.Get("Cf-Access-Token") == secret)
	}))
	defer behind.Close()
	target, err := url.Parse(behind.URL + "/simple/")
	if err != nil {
		log.Fatal(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	l, err := webproxy.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	p, err := webproxy.New(l, target, adding{http.DefaultTransport}, &webproxy.Options{
		Refused: func(err error) (int, string) { return http.StatusForbidden, err.Error() },
	})
	if err != nil {
		log.Fatal(errors.Join(err, l.Close()))
	}
	served := make(chan error)
	go func() { served <- p.Serve(ctx) }()

	resp, err := http.Get(p.URL().String()) // what the program is given: http://127.0.0.1:PORT/SECRET/simple/
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	fmt.Print(string(body))
	stop()
	fmt.Println(err, <-served)
	// Output:
	// /simple/ with the credential: true
	// <nil> <nil>
}
