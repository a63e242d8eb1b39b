// Package faultproxy is a network that breaks, for tests: a proxy in front of a proxy, which resets, freezes, cuts, garbles or slows
// the connections that programs make through it.
package faultproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// A Kind is a way to break.
type Kind int

const (
	Pass    Kind = iota
	Refuse       // the connection is reset instead of an answer to CONNECT
	Reset        // a reset (RST)
	Close        // an end in order (FIN), in the middle of whatever it was
	Freeze       // no packet passes any more, in either direction
	Garble       // the bits of all further bytes are turned
	NotTLS       // the answer to the client's first bytes is a line of text
	Trickle      // everything passes, one byte at a time
	Drip         // from here on a byte a second: never idle, never done
)

// A Fault is a Kind and where it begins: after so many bytes of the server.
type Fault struct {
	Kind  Kind
	After int
}

// A Proxy is safe for concurrent use.
type Proxy struct {
	upstream string
	listener net.Listener
	done     chan struct{}
	work     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	choose func(host string, n int) Fault
	counts map[string]int
	conns  map[net.Conn]struct{}
}

// Start serves on loopback in front of the proxy with the URL upstream.
func Start(upstream string) (*Proxy, error) {
	u, err := url.Parse(upstream)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{upstream: u.Host, listener: l, done: make(chan struct{}), counts: map[string]int{}, conns: map[net.Conn]struct{}{}}
	p.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if p.keep(c) {
				p.work.Go(func() { p.serve(c) })
			}
		}
	})
	return p, nil
}

// URL is the value for HTTPS_PROXY.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// Set says what becomes of the connections from now on: choose gets the host
// and how many connections it had since Set. Nil lets all of them pass.
func (p *Proxy) Set(choose func(host string, n int) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.choose = choose
	clear(p.counts)
}

// Connections is the number of connections to the host since Set.
func (p *Proxy) Connections(host string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[host]
}

// Close ends all connections and waits for their goroutines.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.done)
	}
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
	return err
}

// keep notes a connection that Close has to end.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) fault(host string) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.counts[host]
	p.counts[host]++
	if p.choose == nil {
		return Fault{}
	}
	return p.choose(host, n)
}

func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	in := bufio.NewReader(client)
	req, err := http.ReadRequest(in)
	if err != nil || req.Method != http.MethodConnect {
		return
	}
	host, _, err := net.SplitHostPort(req.Host)
	if err != nil {
		return
	}
	f := p.fault(host)
	if f.Kind == Refuse {
		reset(client)
		return
	}
	server, err := net.Dial("tcp", p.upstream)
	if err != nil || !p.keep(server) {
		return
	}
	defer p.drop(server)
	fmt.Fprintf(server, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", req.Host, req.Host)
	out := bufio.NewReader(server)
	resp, err := http.ReadResponse(out, req)
	if err != nil || resp.StatusCode != http.StatusOK {
		fmt.Fprintf(client, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")

	t := &tunnel{fault: f, broken: make(chan struct{}), spoke: make(chan struct{}), done: p.done, client: client, server: server}
	var up sync.WaitGroup
	up.Go(func() { t.up(in) })
	t.down(out)
	up.Wait()
}

// tunnel is one connection through the proxy.
type tunnel struct {
	fault          Fault
	broken         chan struct{} // closed where the fault begins
	spoke          chan struct{} // closed when the client has said something, or nothing more
	done           chan struct{} // of the proxy
	client, server net.Conn
}

// up passes what the client says.
func (t *tunnel) up(in io.Reader) {
	b := make([]byte, 32<<10)
	var spoke sync.Once
	for {
		n, err := in.Read(b)
		spoke.Do(func() { close(t.spoke) })
		select {
		case <-t.broken:
			if t.fault.Kind == Freeze {
				if err == nil {
					continue // read and lost
				}
			}
		default:
		}
		if _, werr := t.write(t.server, b[:n]); err == nil {
			err = werr
		}
		if err != nil {
			end(t.server)
			return
		}
	}
}

// down passes what the server says, until the fault begins.
func (t *tunnel) down(out io.Reader) {
	left := t.fault.After
	b := make([]byte, 32<<10)
	for t.fault.Kind == Pass || t.fault.Kind == Trickle || left > 0 {
		room := b
		if t.fault.Kind != Pass && t.fault.Kind != Trickle {
			room = b[:min(left, len(b))]
		}
		n, err := out.Read(room)
		left -= n
		if _, werr := t.write(t.client, room[:n]); err == nil {
			err = werr
		}
		if err != nil {
			end(t.client)
			return
		}
	}
	close(t.broken)
	switch t.fault.Kind {
	case Reset:
		reset(t.client)
		t.server.Close()
	case Close:
		end(t.client)
		io.Copy(io.Discard, out) // what the client still says may arrive
	case NotTLS:
		<-t.spoke
		io.WriteString(t.client, "500 what is this?\r\n")
		end(t.client)
		io.Copy(io.Discard, out)
	case Freeze:
		io.Copy(io.Discard, out) // until the client or Close ends it
	case Garble:
		for {
			n, err := out.Read(b)
			for i := range b[:n] {
				b[i] ^= 0xff
			}
			if _, werr := t.client.Write(b[:n]); err != nil || werr != nil {
				end(t.client)
				return
			}
		}
	case Drip:
		for {
			if _, err := out.Read(b[:1]); err != nil {
				end(t.client)
				return
			}
			select {
			case <-t.done:
				return
			case <-time.After(time.Second):
			}
			if _, err := t.client.Write(b[:1]); err != nil {
				t.server.Close()
				return
			}
		}
	}
}

func (t *tunnel) write(c net.Conn, b []byte) (int, error) {
	if t.fault.Kind != Trickle {
		return c.Write(b)
	}
	for i := range b {
		if _, err := c.Write(b[i : i+1]); err != nil { // Go sets TCP_NODELAY: a packet each
			return i, err
		}
	}
	return len(b), nil
}

// reset closes with RST.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}

// end closes the side that is written to.
func end(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.CloseWrite()
	}
}
