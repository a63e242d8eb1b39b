package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// connector has the origin stand behind what stands before real ones: cloudflared,
// which discards what a message holds beyond 16 KiB and ends without a close frame.
func connector(a *accesstest.App) { a.MessageLimit, a.NoCloseFrame = 16<<10, true }

// Nothing is lost on the way there, nor of the answer, which begins when all has
// come; and the end is noticed at once though the input may still be open.
func TestBehindAConnector(t *testing.T) {
	const size = 5<<20 + 12345
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{2}).Read(data)
	w := newWorld(t)
	serviceToken(t, w)
	echo(t, w, func(c net.Conn) {
		c.SetReadDeadline(time.Now().Add(time.Minute)) // what is lost does not come
		got := make([]byte, size)
		if n, err := io.ReadFull(c, got); err != nil {
			if n > 0 {
				t.Errorf("the origin got %d bytes: %v", n, err)
			}
			return
		}
		fmt.Fprintf(c, "%x", sha256.Sum256(got))
		c.SetReadDeadline(time.Time{})
		c.Write(got)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	})
	w.Apps["ssh.example.com"].Set(connector)
	for _, inputEnds := range []bool{true, false} {
		t.Run(fmt.Sprintf("input ends=%v", inputEnds), func(t *testing.T) {
			p := start(t, w, "--linger=10m")
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				p.in.Write(data)
				if inputEnds {
					p.in.Close()
				}
			}()
			err := p.Wait()
			<-sent
			want := fmt.Sprintf("%x", sha256.Sum256(data)) + string(data)
			if got := p.out.String(); err != nil || p.stderr.String() != "" || got != want {
				t.Errorf("%v; %d bytes of %d, or others; told:\n%s", err, len(got), len(want), p.stderr.String())
			}
		})
	}
	// A cut is none the less one.
	echo(t, w, func(c net.Conn) { c.Write([]byte("banner")); io.Copy(io.Discard, c) })
	p := start(t, w)
	p.out.await(t, "banner")
	w.Edge.CutRelays()
	p.failed(t, "connection cut after ")
}

// However far a connection has come when it is cut, be it by a reset or by an end
// that TLS did not announce: it is no success, one line says so, and what was
// delivered before is what was sent.
func TestCutsAtRandomPoints(t *testing.T) {
	n := 20
	if full() {
		n = 100
	}
	const size = 200000
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{3}).Read(data)
	w := newWorld(t)
	serviceToken(t, w)
	echo(t, w, func(c net.Conn) {
		go io.Copy(io.Discard, c)
		c.Write(data)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	})
	told := regexp.MustCompile(`^access-ssh-proxy: error: connection cut after \d+ bytes sent and \d+ received in \d\S*s: `)
	delivered := 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	limit := make(chan struct{}, 4)
	for i := range n {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			at := rand.IntN(size)
			addr := cutting(t, w.Server.Addr(), at, i%2 == 0)
			cmd := w.Command(t.Context(), "access-ssh-proxy", "--connect-to", addr, "ssh.example.com")
			if i%3 == 0 {
				cmd.Stdin = strings.NewReader("the input ends")
			} else {
				in, err := cmd.StdinPipe()
				if err != nil {
					t.Error(err)
					return
				}
				defer in.Close()
			}
			var out, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &stderr
			err := cmd.Run()
			errorLines := strings.Count(stderr.String(), "access-ssh-proxy: error: ")
			if err == nil || cmd.ProcessState.ExitCode() != 1 || errorLines != 1 || out.Len() > 0 && !told.MatchString(stderr.String()) {
				t.Errorf("cut after %d bytes: %v, %d bytes delivered, told:\n%s", at, err, out.Len(), &stderr)
			}
			if !bytes.HasPrefix(data, out.Bytes()) {
				t.Errorf("cut after %d bytes: the %d bytes delivered are not what was sent", at, out.Len())
			}
			mu.Lock()
			delivered += out.Len()
			mu.Unlock()
		})
	}
	wg.Wait()
	if delivered == 0 {
		t.Error("no cut was in the stream: nothing was shown")
	}
}

// cutting is a way to addr for one connection, which is cut when it has carried n
// bytes to the client.
func cutting(t *testing.T, addr string, n int, reset bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer l.Close()
		down, err := l.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			down.Close()
			return
		}
		wg.Go(func() { io.Copy(up, down) })
		io.CopyN(down, up, int64(n))
		if reset {
			down.(*net.TCPConn).SetLinger(0)
		}
		down.Close()
		up.Close()
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// Until the origin's first byte the client speaks three times at most, and each time
// but the first it has heard from the server: with TCP's own round trip that is four
// at most. It makes one connection for that, with a token or with a session.
func TestWarmStartRoundTrips(t *testing.T) {
	w := newWorld(t)
	echo(t, w, func(c net.Conn) { c.Write([]byte("banner")); io.Copy(io.Discard, c) })
	if out, err := w.Command(t.Context(), "access", "login", "ssh.example.com").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, with := range []string{"session", "service token"} {
		if with == "service token" {
			serviceToken(t, w)
		}
		wire := &turns{}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() { wire.carry(c, w.Server.Addr()) })
			}
		})
		p := start(t, w, "--connect-to="+l.Addr().String())
		p.out.await(t, "banner")
		conns, flights := wire.counted()
		p.in.Close()
		w.Edge.CutRelays()
		_ = p.Wait()
		l.Close()
		wg.Wait()
		if conns != 1 || flights > 3 || flights < 2 {
			t.Errorf("%s: %d connections, and the client spoke %d times", with, conns, flights)
		}
	}
}

// turns counts how often the client speaks after it was silent.
type turns struct {
	mu             sync.Mutex
	conns, flights int
	client         bool // spoke last
}

func (w *turns) counted() (conns, flights int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conns, w.flights
}

func (w *turns) carry(down net.Conn, addr string) {
	defer down.Close()
	up, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer up.Close()
	w.mu.Lock()
	w.conns++
	w.mu.Unlock()
	ended := make(chan struct{}, 2)
	pipe := func(dst, src net.Conn, client bool) {
		buf := make([]byte, 64<<10)
		for {
			n, err := src.Read(buf)
			if n > 0 {
				w.mu.Lock()
				if client && !w.client {
					w.flights++
				}
				w.client = client
				w.mu.Unlock()
				if _, werr := dst.Write(buf[:n]); werr != nil {
					err = werr
				}
			}
			if err != nil {
				ended <- struct{}{}
				return
			}
		}
	}
	go pipe(up, down, true)
	go pipe(down, up, false)
	<-ended
	up.Close()
	down.Close()
	<-ended
}

// A warm start asks nothing of the machine that it does not need: one connection, no
// child, and of the authorities one file alone.
func TestWarmStartAsksNothingElse(t *testing.T) {
	strace := scripttest.Need(t, "strace", "strace")
	w := newWorld(t)
	echo(t, w, func(c net.Conn) { c.Write([]byte("banner")) })
	program := filepath.Join(scripttest.Build(t, "access-ssh-proxy"), "access-ssh-proxy")
	trace := filepath.Join(w.Dir, "trace")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := w.Command(t.Context(), name, args...).CombinedOutput(); err != nil || !strings.Contains(string(out), "banner") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	run(program, "ssh.example.com") // logs in
	w.Set("SSL_CERT_DIR=")          // the system's
	run(strace, "-f", "-qq", "-e", "trace=execve,connect,openat", "-e", "signal=none", "-o", trace, program, "ssh.example.com")
	calls := readFile(t, trace)
	if n := strings.Count(calls, "execve("); n != 1 {
		t.Errorf("%d programs were run", n)
	}
	if n := strings.Count(calls, "connect("); n != 1 {
		t.Errorf("%d connections", n)
	}
	if certificates := regexp.MustCompile(`openat\(.*(?:/certs|ssl|pki).*`).FindAllString(calls, -1); len(certificates) > 0 { // SSL_CERT_FILE is elsewhere
		t.Errorf("certificates were looked for:\n%s", strings.Join(certificates, "\n"))
	}
	if t.Failed() {
		t.Logf("\n%s", calls)
	}
}

// A log holds nothing that opens a door, at its most talkative and through a login, a
// token that was revoked and a refusal.
func TestLogHoldsNoSecrets(t *testing.T) {
	w := newWorld(t)
	echo(t, w, func(c net.Conn) { c.Write([]byte("banner")) })
	log := filepath.Join(w.Dir, "log")
	var told strings.Builder
	run := func(args ...string) {
		t.Helper()
		cmd := w.Command(t.Context(), "access-ssh-proxy", append(args, "--log-file="+log, "--log-level=debug", "ssh.example.com")...)
		var out, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &stderr
		_ = cmd.Run()
		told.WriteString(stderr.String())
		if s := out.String(); s != "" && s != "banner" {
			t.Errorf("standard output %q", s)
		}
	}
	token := func() string {
		out, err := w.Command(t.Context(), "access", "token", "ssh.example.com").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	run("--header=X-Api-Key: header-secret")
	first := token()
	w.Apps["ssh.example.com"].Revoke()
	run()
	second := token()
	serviceToken(t, w)
	run()
	w.Service.Disable(true)
	run()
	w.Set("HTTPS_PROXY=http://ada:proxy-secret@127.0.0.1:1", "https_proxy=")
	run()
	text := readFile(t, log) + told.String()
	if first == second || !strings.Contains(text, "level=DEBUG") || !strings.Contains(text, "refused the service token") {
		t.Fatalf("nothing was shown: %v\n%s", first == second, text)
	}
	for name, secret := range map[string]string{"token": first, "signature": first[strings.LastIndex(first, ".")+1:], "second token": second,
		"service token": w.Service.Secret(), "header": "header-secret", "proxy's password": "proxy-secret"} {
		if strings.Contains(text, secret) {
			t.Errorf("the %s is in:\n%s", name, text)
		}
	}
}

// Every option of this program's documents is one, and --help goes where it cannot
// be taken for a stream.
func TestHelpHasEveryOption(t *testing.T) {
	w := newWorld(t)
	cmd := w.Command(t.Context(), "access-ssh-proxy", "--help")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil || out.Len() > 0 {
		t.Errorf("%v, standard output %q", err, &out)
	}
	for _, option := range []string{"hostname", "destination", "listen", "header", "service-token-id", "service-token-secret-file", "connect-to",
		"ca-file", "client-cert", "team", "ping", "linger", "log-file", "log-level"} {
		if !strings.Contains(stderr.String(), "\n  --"+option+"=") {
			t.Errorf("no --%s", option)
		}
	}
	if !strings.Contains(stderr.String(), "\n  -v ") {
		t.Error("no -v")
	}
	if out, err := w.Command(t.Context(), "access-ssh-proxy", "--service-token-secret=x", "ssh.example.com").CombinedOutput(); err == nil || !bytes.Contains(out, []byte(`unknown flag "--service-token-secret"`)) {
		t.Errorf("a secret on the command line: %v\n%s", err, out)
	}
}

// A listener may have an address of version 6; one that others reach is warned of.
func TestListenAddresses(t *testing.T) {
	w := newWorld(t)
	echo(t, w, echoes)
	serviceToken(t, w)
	for addr, warned := range map[string]bool{"[::1]:0": false, "localhost:0": false, "0.0.0.0:0": true} {
		if addr == "[::1]:0" {
			if probe, err := net.Listen("tcp", addr); err != nil {
				t.Logf("this machine has no IPv6, and nothing is shown: %v", err)
				continue
			} else {
				probe.Close()
			}
		}
		l := listen(t, w, addr)
		c := l.dial(t)
		back(t, c, "hello")
		c.Close()
		l.stop(t)
		if got := strings.Contains(l.stderr.String(), "warning: whoever reaches "); got != warned {
			t.Errorf("%s: warned %v\n%s", addr, got, l.stderr.String())
		}
	}
}

// A connection that is cut under a real ssh is told by us, and no success to it.
func TestCutUnderSSH(t *testing.T) {
	sshd := scripttest.Need(t, "sshd", "openssh-server")
	scripttest.Need(t, "ssh", "openssh-client")
	w := newWorld(t)
	serviceToken(t, w)
	dir := t.TempDir()
	addr := startSSHD(t, sshd, dir)
	w.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.TCP = accesstest.DialTCP(addr); connector(a) })
	cmd := w.Command(t.Context(), "ssh", "-F", sshConfig(t, dir), "ssh.example.com", "echo begun; cat >/dev/null")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out, stderr syncBuffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.await(t, "begun")
	w.Edge.CutRelays()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 255 || out.String() != "begun\n" {
		t.Errorf("ssh ended with %d, %q", code, out.String())
	}
	stderr.await(t, "access-ssh-proxy: error: connection cut after ") // ssh may end before us
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
