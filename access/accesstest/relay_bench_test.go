package accesstest_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/gitaccess/gitaccess/access/accesstest"
)

// rawUpgrade opens a WebSocket to host with nothing between the test and the frames.
func rawUpgrade(tb testing.TB, srv *accesstest.Server, host string, header http.Header) (net.Conn, *bufio.Reader) {
	tb.Helper()
	conn, err := tls.Dial("tcp", srv.Addr(), &tls.Config{RootCAs: srv.Pool(), ServerName: host})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	req, _ := http.NewRequest("GET", "https://"+host+"/", nil)
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	if err := req.Write(conn); err != nil {
		tb.Fatal(err)
	}
	br := bufio.NewReaderSize(conn, 128<<10)
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		tb.Fatal(err)
	}
	if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // the example of RFC 6455 §1.3
		tb.Fatalf("%s %v", resp.Status, resp.Header)
	}
	return conn, br
}

// tcpOrigin serves each connection with handle.
func tcpOrigin(tb testing.TB, handle func(net.Conn)) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	tb.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); handle(c) }()
		}
	}()
	return l.Addr().String()
}

func BenchmarkRelay(b *testing.B) {
	for _, frame := range []int{4 << 10, 16 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("to origin in frames of %dKiB", frame>>10), func(b *testing.B) {
			got := make(chan int64, 1)
			conn, _ := benchRelay(b, func(c net.Conn) { n, _ := io.Copy(struct{ io.Writer }{io.Discard}, c); got <- n })
			msg := make([]byte, 14+frame)
			n := 4
			msg[0], msg[1] = 0x82, 0x80|126
			binary.BigEndian.PutUint16(msg[2:], uint16(frame))
			if frame >= 1<<16 {
				n = 10
				msg[1] = 0x80 | 127
				binary.BigEndian.PutUint64(msg[2:], uint64(frame))
			}
			copy(msg[n:], "mask")
			msg = msg[:n+4+frame]
			b.SetBytes(int64(frame))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(msg); err != nil {
					b.Fatal(err)
				}
			}
			conn.Close()
			<-got
		})
	}
	b.Run("to client", func(b *testing.B) {
		buf := make([]byte, 64<<10)
		_, br := benchRelay(b, func(c net.Conn) {
			for {
				if _, err := c.Write(buf); err != nil {
					return
				}
			}
		})
		in := make([]byte, 64<<10)
		b.SetBytes(int64(len(in)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := io.ReadFull(br, in); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchRelay(b *testing.B, handle func(net.Conn)) (net.Conn, *bufio.Reader) {
	e := accesstest.New(nil)
	app := e.AddApp(accesstest.App{Host: "ssh.example.com", Allow: true, TCP: accesstest.DialTCP(tcpOrigin(b, handle))})
	srv, err := e.Start()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.Close() })
	return rawUpgrade(b, srv, "ssh.example.com", http.Header{"Cf-Access-Token": {app.Token("ada@example.com")}})
}
