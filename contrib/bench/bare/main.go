// Bare is the least that carries a stream through the edge: crypto/tls, the upgrade, a frame header read or a frame masked, and
// a write, in a loop of 64 KiB. Nothing is checked. What another program takes is measured by it.
package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bare HOST")
		os.Exit(2)
	}
	if err := relay(os.Args[1]); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, "bare: error:", err)
		os.Exit(1)
	}
}

func relay(host string) error {
	pem, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	raw, err := connect(host)
	if err != nil {
		return err
	}
	c := tls.Client(raw, &tls.Config{ServerName: host, RootCAs: roots})
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nCF-Access-Client-Id: %s\r\nCF-Access-Client-Secret: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", host, os.Getenv("CF_ACCESS_CLIENT_ID"), os.Getenv("CF_ACCESS_CLIENT_SECRET"))
	r := bufio.NewReaderSize(c, 16)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("upgrade: %s", resp.Status)
	}
	early, _ := r.Peek(r.Buffered())
	ended := make(chan error, 2)
	go func() { ended <- up(c) }()
	go func() { ended <- down(io.MultiReader(bytes.NewReader(early), c)) }()
	return <-ended
}

// connect goes by the proxy of the environment.
func connect(host string) (net.Conn, error) {
	proxy, err := url.Parse(os.Getenv("HTTPS_PROXY"))
	if err != nil {
		return nil, err
	}
	c, err := net.Dial("tcp", proxy.Host)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c, "CONNECT %[1]s:443 HTTP/1.1\r\nHost: %[1]s:443\r\n\r\n", host)
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), &http.Request{Method: http.MethodConnect})
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return c, err
}

func up(c io.Writer) error {
	const head = 14
	buf := make([]byte, head+64<<10)
	key := make([]byte, 1<<10)
	rand.Read(key[:4])
	for n := 4; n < len(key); n *= 2 {
		copy(key[n:], key[:n])
	}
	for {
		n, err := os.Stdin.Read(buf[head:])
		if err != nil {
			return err
		}
		at := head - 4
		switch {
		case n < 126:
			at -= 2
			buf[at+1] = byte(n)
		case n < 1<<16:
			at -= 4
			buf[at+1] = 126
			binary.BigEndian.PutUint16(buf[at+2:], uint16(n))
		default:
			at -= 10
			buf[at+1] = 127
			binary.BigEndian.PutUint64(buf[at+2:], uint64(n))
		}
		buf[at], buf[at+1] = 0x82, buf[at+1]|0x80
		copy(buf[head-4:], key[:4])
		for p := buf[head : head+n]; len(p) > 0; {
			p = p[subtle.XORBytes(p, p, key):]
		}
		if _, err := c.Write(buf[at : head+n]); err != nil {
			return err
		}
	}
}

func down(src io.Reader) error {
	buf := make([]byte, 64<<10)
	var h [8]byte
	for {
		if _, err := io.ReadFull(src, h[:2]); err != nil || h[0] == 0x88 {
			return err
		}
		left := int(h[1])
		switch left {
		case 126:
			io.ReadFull(src, h[:2])
			left = int(binary.BigEndian.Uint16(h[:]))
		case 127:
			io.ReadFull(src, h[:8])
			left = int(binary.BigEndian.Uint64(h[:]))
		}
		for left > 0 {
			n, err := src.Read(buf[:min(left, len(buf))])
			if err != nil {
				return err
			}
			if _, err := os.Stdout.Write(buf[:n]); err != nil {
				return err
			}
			left -= n
		}
	}
}
