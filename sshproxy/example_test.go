package sshproxy_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/coder/websocket"
	"github.com/gitaccess/gitaccess/sshproxy"
	"golang.org/x/crypto/ssh"
)

// What "ssh -o ProxyCommand" needs: os.Stdin and os.Stdout in place of the two here.
func ExampleRelay() {
	edge, transport := exampleEdge(func(c net.Conn) {
		request := make([]byte, 6)
		io.ReadFull(c, request)
		fmt.Fprintf(c, "%s yourself", request)
	})
	defer edge.Close()
	u, _ := url.Parse(edge.URL)

	ctx := context.Background()
	conn, err := sshproxy.Dial(ctx, u, &sshproxy.DialOptions{
		Transport: transport, // one that attaches the credential, over sshproxy.NewTransport
	})
	if err != nil {
		log.Fatal(err)
	}
	var stdout bytes.Buffer
	stats, err := sshproxy.Relay(ctx, conn, strings.NewReader("please"), &stdout, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stdout.String())
	fmt.Println(stats.End)
	// Output:
	// please yourself
	// origin ended
}

// A program that speaks SSH itself, with golang.org/x/crypto/ssh.
func ExampleDialer_DialContext() {
	hostKey, serveSSH := exampleSSHServer()
	edge, transport := exampleEdge(serveSSH)
	defer edge.Close()
	app, _ := url.Parse(edge.URL)

	d := &sshproxy.Dialer{
		URL:     app, // without it: https://git.example.com/, from the address
		Options: &sshproxy.DialOptions{Transport: transport},
	}
	conn, err := d.DialContext(context.Background(), "tcp", "git.example.com:22")
	if err != nil {
		log.Fatal(err)
	}
	c, chans, reqs, err := ssh.NewClientConn(conn, "git.example.com:22", &ssh.ClientConfig{
		User:            "git",
		HostKeyCallback: ssh.FixedHostKey(hostKey),
	})
	if err != nil {
		log.Fatal(err)
	}
	client := ssh.NewClient(c, chans, reqs)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		log.Fatal(err)
	}
	out, err := session.Output("whoami")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", out)
	// Output:
	// git runs "whoami"
}

// A local port behind which is a service behind Access, until the context ends.
func ExampleServe() {
	edge, transport := exampleEdge(func(c net.Conn) { io.WriteString(c, "220 ready\r\n") })
	defer edge.Close()
	app, _ := url.Parse(edge.URL)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() {
		d := &sshproxy.Dialer{URL: app, Options: &sshproxy.DialOptions{Transport: transport}}
		served <- sshproxy.Serve(ctx, l, d, nil)
	}()

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	greeting, err := io.ReadAll(c)
	fmt.Printf("%q, %v\n", greeting, err)
	c.Close()
	stop()
	fmt.Println(<-served)
	// Output:
	// "220 ready\r\n", <nil>
	// <nil>
}

// exampleEdge is a server that hands the stream within each WebSocket to origin,
// and a transport that trusts it.
func exampleEdge(origin func(net.Conn)) (*httptest.Server, http.RoundTripper) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		nc := websocket.NetConn(r.Context(), c, websocket.MessageBinary)
		origin(nc)
		nc.Close()
	}))
	return s, sshproxy.NewTransport(s.Client().Transport.(*http.Transport))
}

// exampleSSHServer says who asked it to run what.
func exampleSSHServer() (ssh.PublicKey, func(net.Conn)) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	signer, _ := ssh.NewSignerFromKey(key)
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	return signer.PublicKey(), func(c net.Conn) {
		conn, chans, reqs, err := ssh.NewServerConn(c, config)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(reqs)
		for ch := range chans {
			session, requests, err := ch.Accept()
			if err != nil {
				return
			}
			go func() {
				for r := range requests {
					r.Reply(r.Type == "exec", nil)
					if r.Type == "exec" {
						fmt.Fprintf(session, "%s runs %q", conn.User(), r.Payload[4:])
						session.SendRequest("exit-status", false, make([]byte, 4))
						session.Close()
					}
				}
			}()
		}
	}
}
