package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// The benchmarks run programs in turn, so that each meets the same machine: ours as
// it is released; a bare one, which is crypto/tls, a frame header read or a frame
// masked, and a write, in a loop of 64 KiB; and cloudflared, if CLOUDFLARED names
// one. Figures of ours stand for themselves, those of the others are ratios:
// "x-bare" 1.2 is 1.2 times the bare program's.
//
// Origin, edge and the reader at the pipe share the test's process.

// contender is a program under measurement.
type contender struct {
	name string
	args []string
	runs []sample
}

type sample struct {
	wall, cpu time.Duration
	rss       int64 // KiB
}

func contenders(b *testing.B, w *scripttest.World) []*contender {
	all := []*contender{
		{name: "ours", args: []string{filepath.Join(scripttest.Build(b, "access-ssh-proxy"), "access-ssh-proxy"), "--hostname=ssh.example.com"}},
		{name: "bare", args: []string{"bare-relay"}}, // played by the test binary
	}
	if peer := os.Getenv("CLOUDFLARED"); peer != "" {
		all = append(all, &contender{name: "peer", args: []string{peer, "access", "ssh", "--hostname", "ssh.example.com"}})
	}
	return all
}

// run measures c while use has its standard input and output.
func (c *contender) run(b *testing.B, w *scripttest.World, use func(in io.WriteCloser, out io.Reader)) {
	cmd := w.Command(context.Background(), c.args[0], c.args[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	r, out, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout = out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	out.Close()
	use(in, r)
	s := sample{wall: time.Since(began), rss: peakMemory(cmd.Process.Pid)}
	in.Close()
	r.Close()
	_ = cmd.Wait()
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	c.runs = append(c.runs, s)
}

// peakMemory returns the VmHWM of a process in KiB, zero where there is no /proc.
// The maximum of getrusage(2) would be that of the test, from which it was forked.
func peakMemory(pid int) (kib int64) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if _, line, ok := bytes.Cut(status, []byte("VmHWM:")); ok {
		fmt.Sscan(string(line), &kib)
	}
	return kib
}

func (c *contender) median(of func(sample) float64) float64 {
	v := make([]float64, len(c.runs))
	for i, s := range c.runs {
		v[i] = of(s)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// report tells a figure of ours and its ratio to the others'.
func report(b *testing.B, all []*contender, unit string, of func(sample) float64) {
	ours := all[0].median(of)
	b.ReportMetric(ours, unit)
	for _, c := range all[1:] {
		b.ReportMetric(ours/c.median(of), unit+"-x-"+c.name)
	}
}

// benchWorld is a world with the service token and an origin.
func benchWorld(b *testing.B, serve func(net.Conn)) *scripttest.World {
	w := scripttest.NewWorld(b, scripttest.Git{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { serve(c); c.Close() }()
		}
	}()
	w.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.TCP = accesstest.DialTCP(l.Addr().String()) })
	w.Set("CF_ACCESS_CLIENT_ID="+w.Service.ID, "CF_ACCESS_CLIENT_SECRET="+w.Service.Secret(),
		"TUNNEL_SERVICE_TOKEN_ID="+w.Service.ID, "TUNNEL_SERVICE_TOKEN_SECRET="+w.Service.Secret())
	return w
}

const relayed = 256 << 20

// BenchmarkRelayDown carries 256 MiB from the origin to standard output.
func BenchmarkRelayDown(b *testing.B) {
	w := benchWorld(b, func(c net.Conn) {
		buf := make([]byte, 256<<10)
		for range relayed / len(buf) {
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
		io.Copy(io.Discard, c)
	})
	benchRelay(b, w, func(_ io.WriteCloser, out io.Reader) {
		if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(out, relayed), make([]byte, 64<<10)); n != relayed {
			b.Fatal(n, err)
		}
	})
}

// BenchmarkRelayUp carries 256 MiB from standard input to the origin.
func BenchmarkRelayUp(b *testing.B) {
	w := benchWorld(b, func(c net.Conn) {
		if _, err := io.CopyN(struct{ io.Writer }{io.Discard}, c, relayed); err == nil {
			c.Write([]byte("done"))
			io.Copy(io.Discard, c)
		}
	})
	benchRelay(b, w, func(in io.WriteCloser, out io.Reader) {
		buf := make([]byte, 64<<10)
		for range relayed / len(buf) {
			if _, err := in.Write(buf); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := io.ReadFull(out, buf[:4]); err != nil {
			b.Fatal(err)
		}
	})
}

func benchRelay(b *testing.B, w *scripttest.World, use func(io.WriteCloser, io.Reader)) {
	all := contenders(b, w)
	for b.Loop() {
		for _, c := range all {
			c.run(b, w, use)
		}
	}
	b.ReportMetric(0, "ns/op") // of all together: says nothing
	report(b, all, "MB/s", func(s sample) float64 { return relayed / 1e6 / s.wall.Seconds() })
	report(b, all, "cpu-s/GiB", func(s sample) float64 { return s.cpu.Seconds() * (1 << 30) / relayed })
	report(b, all, "rss-MiB", func(s sample) float64 { return float64(s.rss) / 1024 })
}

// BenchmarkStart is from the start of the program to the first byte of the origin.
func BenchmarkStart(b *testing.B) {
	w := benchWorld(b, func(c net.Conn) { c.Write([]byte("SSH-2.0-bench\r\n")) })
	all := contenders(b, w)
	all = slices.DeleteFunc(all, func(c *contender) bool { return c.name == "bare" }) // a test binary starts slowly
	for b.Loop() {
		for range 10 {
			for _, c := range all {
				c.run(b, w, func(_ io.WriteCloser, out io.Reader) {
					if _, err := io.ReadFull(out, make([]byte, 15)); err != nil {
						b.Fatal(c.name, err)
					}
				})
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	report(b, all, "ms", func(s sample) float64 { return s.wall.Seconds() * 1e3 })
	report(b, all, "cpu-ms", func(s sample) float64 { return s.cpu.Seconds() * 1e3 })
}

// BenchmarkKey is a keystroke there and its echo back.
func BenchmarkKey(b *testing.B) {
	w := benchWorld(b, func(c net.Conn) { io.Copy(struct{ io.Writer }{c}, c) })
	all := contenders(b, w)
	const keys = 2000
	took := map[string]time.Duration{}
	for b.Loop() {
		for _, c := range all {
			c.run(b, w, func(in io.WriteCloser, out io.Reader) {
				key := []byte{'x'}
				began := time.Now()
				for i := range keys + 1 {
					in.Write(key)
					if n, err := out.Read(key); n != 1 {
						b.Fatal(err)
					}
					if i == 0 { // the start is not meant
						began = time.Now()
					}
				}
				took[c.name] = time.Since(began)
			})
			last := &c.runs[len(c.runs)-1]
			last.wall = took[c.name]
		}
	}
	b.ReportMetric(0, "ns/op")
	report(b, all, "µs/key", func(s sample) float64 { return s.wall.Seconds() * 1e6 / keys })
	report(b, all, "cpu-µs/key", func(s sample) float64 { return s.cpu.Seconds() * 1e6 / keys })
}

// bareMain relays as simply as can be, to the edge at EDGE_ADDR.
func bareMain() {
	if err := bare(); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func bare() error {
	pem, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c, err := tls.Dial("tcp", os.Getenv("EDGE_ADDR"), &tls.Config{ServerName: "ssh.example.com", RootCAs: roots})
	if err != nil {
		return err
	}
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: ssh.example.com\r\nCF-Access-Client-Id: %s\r\nCF-Access-Client-Secret: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", os.Getenv("CF_ACCESS_CLIENT_ID"), os.Getenv("CF_ACCESS_CLIENT_SECRET"))
	r := bufio.NewReaderSize(c, 16)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("upgrade: %v, %v", resp, err)
	}
	early, _ := r.Peek(r.Buffered())
	go func() {
		_ = bareUp(c)
		os.Exit(0)
	}()
	return bareDown(io.MultiReader(bytes.NewReader(early), c))
}

func bareUp(c io.Writer) error {
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

func bareDown(src io.Reader) error {
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
