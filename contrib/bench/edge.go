package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// The edge is a process of its own, and each of its hosts an origin inside of it, which costs next to nothing: what is measured
// is the program before the edge and what TLS costs at its other end.
const (
	startHost = "start.example.com" // a banner at once
	downHost  = "down.example.com"  // a byte, and then as many as asked for
	upHost    = "up.example.com"    // a byte, and one more when as many have come
	keyHost   = "key.example.com"   // what it gets
	sshHost   = "ssh.example.com"   // the address of --ssh
	gitHost   = "git.example.com"   // for git's helper
)

const banner = "SSH-2.0-bench\r\n"

// edgeInfo is what the edge says of itself on a line of standard output.
type edgeInfo struct {
	Proxy, CAFile, ServiceID, ServiceSecret string
}

// serveEdge serves until standard input ends.
func serveEdge(ctx context.Context, env *cli.Env, dir, ssh string, size int64) error {
	e := accesstest.New(nil)
	defer e.Close()
	svc := e.Team().AddServiceToken("bench")
	origins := map[string]func() net.Conn{
		startHost: func() net.Conn { return newOrigin([]byte(banner), 0, 0, nil) },
		downHost:  func() net.Conn { return newOrigin([]byte{'g'}, size, 0, nil) },
		upHost:    func() net.Conn { return newOrigin([]byte{'g'}, 0, size, []byte{'d'}) },
	}
	for host, origin := range origins {
		e.AddApp(accesstest.App{Host: host, Allow: true, Services: []*accesstest.ServiceToken{svc},
			TCP: func(context.Context, string) (net.Conn, error) { return origin(), nil }})
	}
	e.AddApp(accesstest.App{Host: keyHost, Allow: true, Services: []*accesstest.ServiceToken{svc},
		TCP: func(context.Context, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() { io.Copy(there, there); there.Close() }()
			return here, nil
		}})
	e.AddApp(accesstest.App{Host: gitHost, Allow: true, Services: []*accesstest.ServiceToken{svc}})
	if ssh != "" {
		e.AddApp(accesstest.App{Host: sshHost, Allow: true, Services: []*accesstest.ServiceToken{svc}, TCP: accesstest.DialTCP(ssh)})
	}
	srv, err := e.Start()
	if err != nil {
		return err
	}
	ca, err := srv.CAFile(dir)
	if err != nil {
		return err
	}
	if err := withSystemAuthorities(ca); err != nil {
		return err
	}
	if err := json.NewEncoder(env.Stdout).Encode(edgeInfo{srv.ProxyURL(), ca, svc.ID, svc.Secret()}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, env.Stdin)
	return err
}

// withSystemAuthorities puts the system's authorities before the edge's: reading some hundred and forty of them is a part of
// every start.
func withSystemAuthorities(file string) error {
	own, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, bundle := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"} {
		b, err := os.ReadFile(bundle)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		own = append(append(b, '\n'), own...)
		break
	}
	return os.WriteFile(filepath.Clean(file), own, 0o600)
}

// origin is a TCP origin that is none: it has bytes to read, and takes what is written.
type origin struct {
	first []byte // to be read at once
	down  int64  // zeros to be read then
	up    int64  // bytes to be written before last can be read
	last  []byte

	taken  chan struct{} // closed when up have been written
	end    chan struct{}
	closed sync.Once
	got    int64
}

func newOrigin(first []byte, down, up int64, last []byte) *origin {
	o := &origin{first: first, down: down, up: up, last: last, taken: make(chan struct{}), end: make(chan struct{})}
	if up == 0 {
		close(o.taken)
	}
	return o
}

func (o *origin) Read(p []byte) (int, error) {
	if len(o.first) > 0 {
		n := copy(p, o.first)
		o.first = o.first[n:]
		return n, nil
	}
	if o.down > 0 {
		n := min(int64(len(p)), o.down)
		o.down -= n
		return int(n), nil
	}
	select {
	case <-o.taken:
		if len(o.last) > 0 {
			o.first, o.last = o.last, nil
			return o.Read(p)
		}
		<-o.end
	case <-o.end:
	}
	return 0, io.EOF
}

func (o *origin) Write(p []byte) (int, error) {
	before := o.got
	o.got += int64(len(p))
	if before < o.up && o.got >= o.up {
		close(o.taken)
	}
	return len(p), nil
}

func (o *origin) Close() error {
	o.closed.Do(func() { close(o.end) })
	return nil
}

func (o *origin) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (o *origin) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (o *origin) SetDeadline(time.Time) error      { return nil }
func (o *origin) SetReadDeadline(time.Time) error  { return nil }
func (o *origin) SetWriteDeadline(time.Time) error { return nil }
