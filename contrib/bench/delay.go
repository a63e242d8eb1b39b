package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// link is a proxy behind which everything is far away: a connection takes one round trip to be made, as TCP's does, and each
// byte half of one to arrive. The way to the proxy itself takes no time, so that what a program sees is a direct connection.
type link struct {
	net.Listener
	edge  string
	trip  time.Duration
	conns atomic.Int64
	work  sync.WaitGroup
}

func newLink(edge string, trip time.Duration) (*link, error) {
	u, err := url.Parse(edge)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &link{Listener: l, edge: u.Host, trip: trip}
	d.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.work.Go(func() { d.carry(c) })
		}
	})
	return d, nil
}

func (d *link) url() string { return "http://" + d.Addr().String() }

func (d *link) close() {
	d.Close()
	d.work.Wait()
}

func (d *link) carry(client net.Conn) {
	defer client.Close()
	from := bufio.NewReader(client)
	req, err := http.ReadRequest(from)
	if err != nil || req.Method != http.MethodConnect {
		return
	}
	d.conns.Add(1)
	edge, err := net.Dial("tcp", d.edge)
	if err != nil {
		return
	}
	defer edge.Close()
	fmt.Fprintf(edge, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", req.Host)
	back := bufio.NewReaderSize(edge, 16)
	if resp, err := http.ReadResponse(back, req); err != nil || resp.StatusCode != http.StatusOK {
		return
	}
	time.Sleep(d.trip)
	io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	up := make(chan struct{})
	go func() {
		late(edge, from, d.trip/2)
		edge.(*net.TCPConn).CloseWrite()
		close(up)
	}()
	late(client, back, d.trip/2)
	client.Close()
	<-up
}

// late copies, with each byte so much later.
func late(dst io.Writer, src io.Reader, by time.Duration) {
	type packet struct {
		at time.Time
		b  []byte
	}
	way := make(chan packet, 1<<12)
	go func() {
		defer close(way)
		for {
			b := make([]byte, 16<<10)
			n, err := src.Read(b)
			if n > 0 {
				way <- packet{time.Now().Add(by), b[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range way {
		time.Sleep(time.Until(p.at))
		if _, err := dst.Write(p.b); err != nil {
			break
		}
	}
	for range way { // until src has ended
	}
}
