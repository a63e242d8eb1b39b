package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// full reports whether tests that take minutes are wanted, as by make test-full.
func full() bool { return os.Getenv("ACCESS_TEST_FULL") != "" }

// started is an access-ssh-proxy that relays.
type started struct {
	*exec.Cmd
	in     io.WriteCloser
	out    syncBuffer
	stderr syncBuffer
}

func start(t *testing.T, w *scripttest.World, args ...string) *started {
	t.Helper()
	p := &started{Cmd: w.Command(t.Context(), "access-ssh-proxy", append(args, "ssh.example.com")...)}
	p.Stdout, p.Stderr = &p.out, &p.stderr
	var err error
	if p.in, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.in.Close() })
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// failed waits for the end, which must have code 1 and say this in its error line.
func (p *started) failed(t *testing.T, text string) {
	t.Helper()
	err := p.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(p.stderr.String(), "access-ssh-proxy: error: "+text) {
		t.Errorf("ended with %v, told:\n%s", err, p.stderr.String())
	}
}

// When packets just stop, in either direction, the connection is given up after two
// missed pings.
func TestFrozenConnection(t *testing.T) {
	for _, direction := range []string{"idle", "up", "down"} {
		t.Run(direction, func(t *testing.T) {
			w := newWorld(t)
			serviceToken(t, w)
			echo(t, w, func(c net.Conn) {
				c.Write([]byte("banner"))
				if direction == "down" {
					for {
						if _, err := c.Write(make([]byte, 32<<10)); err != nil {
							return
						}
					}
				}
				io.Copy(io.Discard, c)
			})
			p := start(t, w, "--ping=100ms")
			p.out.await(t, "banner")
			if direction == "up" {
				go io.Copy(p.in, endless{})
			}
			for _, r := range w.Edge.Relays() {
				r.Freeze()
			}
			p.failed(t, "connection cut after ")
			if s := p.stderr.String(); !strings.Contains(s, "no sign of life for ") || !strings.Contains(s, "--ping=2m") {
				t.Errorf("told:\n%s", s)
			}
			w.Edge.CutRelays()
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// The edge's close codes: an end is one, a restart is not.
func TestCloseCodes(t *testing.T) {
	w := newWorld(t)
	serviceToken(t, w)
	echo(t, w, func(c net.Conn) { c.Write([]byte("banner")); io.Copy(io.Discard, c) })
	for code, text := range map[uint16]string{1000: "", 1001: "going away", 1012: "service restart"} {
		p := start(t, w)
		p.out.await(t, "banner")
		w.Edge.Relays()[0].CloseWith(code, "")
		if code == 1000 {
			if err := p.Wait(); err != nil || p.stderr.String() != "" {
				t.Errorf("%d: %v\n%s", code, err, p.stderr.String())
			}
			continue
		}
		p.failed(t, "connection cut after 0 bytes sent and 6 received in ")
		if s := p.stderr.String(); !strings.Contains(s, text) || !strings.Contains(s, "connect again") {
			t.Errorf("%d: told:\n%s", code, s)
		}
	}
}

// Signals end it without a word, as ssh does when it is done (SIGHUP).
func TestSignals(t *testing.T) {
	w := newWorld(t)
	serviceToken(t, w)
	echo(t, w, func(c net.Conn) { c.Write([]byte("banner")); io.Copy(io.Discard, c) })
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT} {
		p := start(t, w)
		p.out.await(t, "banner")
		p.Process.Signal(sig)
		err := p.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 128+int(sig) || p.stderr.String() != "" {
			t.Errorf("%v: %v\n%s", sig, err, p.stderr.String())
		}
	}
}

// An ssh that is killed leaves no access-ssh-proxy behind, though nothing is
// written to it and its connection is idle.
func TestNoOrphan(t *testing.T) {
	scripttest.Need(t, "ssh", "openssh-client")
	w := newWorld(t)
	serviceToken(t, w)
	echo(t, w, func(c net.Conn) { // an SSH server that says hello and nothing else
		c.Write([]byte("SSH-2.0-silent\r\n"))
		io.Copy(io.Discard, c)
	})
	log := filepath.Join(w.Dir, "log")
	cmd := w.Command(t.Context(), "ssh", "-F", "none", "-o", "ProxyCommand=access-ssh-proxy --log-file="+log+" --hostname=%h", "ssh.example.com")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for len(w.Edge.Relays()) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	for toOrigin := int64(0); toOrigin == 0; { // until ssh has spoken: the relay is under way
		toOrigin, _ = w.Edge.Relays()[0].Bytes()
		time.Sleep(5 * time.Millisecond)
	}
	cmd.Process.Kill()
	_ = cmd.Wait()
	killed := time.Now()
	for len(w.Edge.Relays()) > 0 {
		time.Sleep(5 * time.Millisecond)
		if time.Since(killed) > 2*time.Minute {
			b, _ := os.ReadFile(log)
			t.Fatalf("the relay is still open\n%s", b)
		}
	}
	t.Logf("the relay was closed %v after ssh was killed", time.Since(killed))
}

// The connector's destination is asked for, and comes from our command line alone.
func TestDestination(t *testing.T) {
	w := newWorld(t)
	serviceToken(t, w)
	asked := make(chan string, 1)
	w.Apps["ssh.example.com"].Set(func(a *accesstest.App) {
		a.TCP = func(_ context.Context, destination string) (net.Conn, error) {
			asked <- destination
			here, there := net.Pipe()
			go func() { there.Write([]byte("banner")); there.Close() }()
			return here, nil
		}
	})
	p := start(t, w, "--destination=db.internal:5432")
	if err := p.Wait(); err != nil || p.out.String() != "banner" {
		t.Errorf("%v\n%s", err, p.stderr.String())
	}
	if d := <-asked; d != "db.internal:5432" {
		t.Errorf("destination %q", d)
	}
}

// Many sessions at once, each with bytes of its own.
func TestManySessions(t *testing.T) {
	n := 20
	if full() {
		n = 200
	}
	w := newWorld(t)
	serviceToken(t, w)
	echo(t, w, func(c net.Conn) {
		b := make([]byte, 100000)
		if _, err := io.ReadFull(c, b); err == nil {
			c.Write(b)
		}
	})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			mine := bytes.Repeat(fmt.Appendf(nil, "session %06d ", i), 100000/15+1)[:100000]
			cmd := w.Command(t.Context(), "access-ssh-proxy", "ssh.example.com")
			cmd.Stdin = bytes.NewReader(mine)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil || !bytes.Equal(out, mine) {
				t.Errorf("session %d: %d bytes, %v\n%s", i, len(out), err, &stderr)
			}
		})
	}
	wg.Wait()
}

// Much data through a real sshd, by ssh both ways and by rsync, is what it was.
func TestMuchData(t *testing.T) {
	sshd := scripttest.Need(t, "sshd", "openssh-server")
	rsync := scripttest.Need(t, "rsync", "rsync")
	size := int64(32 << 20)
	if full() {
		size = 1 << 30
	}
	w := newWorld(t)
	serviceToken(t, w)
	dir := t.TempDir()
	addr := startSSHD(t, sshd, dir)
	w.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.TCP = accesstest.DialTCP(addr); connector(a) })
	config := sshConfig(t, dir)
	big := filepath.Join(dir, "big")
	want := writeRandom(t, big, size)

	ssh := func(stdin io.Reader, stdout io.Writer, command string) {
		t.Helper()
		cmd := w.Command(t.Context(), "ssh", "-F", config, "ssh.example.com", command)
		cmd.Stdin, cmd.Stdout = stdin, stdout
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("ssh %s: %v\n%s", command, err, &stderr)
		}
	}
	f, err := os.Open(big)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ssh(f, io.Discard, "cat >"+filepath.Join(dir, "up"))
	if got := sum(t, filepath.Join(dir, "up")); got != want {
		t.Error("what went up is not what was sent")
	}
	h := sha256.New()
	ssh(nil, h, "cat "+filepath.Join(dir, "up"))
	if [32]byte(h.Sum(nil)) != want {
		t.Error("what came down is not what was sent")
	}
	cmd := w.Command(t.Context(), rsync, "-e", "ssh -F "+config, big, "ssh.example.com:"+filepath.Join(dir, "rsync"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("rsync: %v\n%s", err, out)
	}
	if got := sum(t, filepath.Join(dir, "rsync")); got != want {
		t.Error("what rsync copied is not what was sent")
	}
}

func writeRandom(t *testing.T, path string, size int64) [32]byte {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8([32]byte{1}), size); err != nil {
		t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}

func sum(t *testing.T, path string) [32]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}
