//go:build unix

package sshproxy_test

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/sshproxy"
)

// The kinds of files that standard input and output may be.
var fileKinds = map[string]func(t *testing.T) (r, w *os.File){
	"pipe as ssh makes it": func(t *testing.T) (r, w *os.File) {
		var p [2]int
		if err := syscall.Pipe(p[:]); err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(p[0]), "r"), os.NewFile(uintptr(p[1]), "w")
	},
	"non-blocking pipe": func(t *testing.T) (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return r, w
	},
	"socket": func(t *testing.T) (r, w *os.File) {
		p, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(p[0]), "r"), os.NewFile(uintptr(p[1]), "w")
	},
}

// When the origin ends, Relay returns at once, though a read of the input waits;
// no goroutine is left in it (TestMain checks), and what comes afterwards belongs
// to the next reader.
func TestOriginEndsWhileInputIsOpen(t *testing.T) {
	for name, files := range fileKinds {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(p *peer) {
				if f, _ := readClientFrame(p.r); string(f.Payload) != "hello" {
					t.Errorf("frame %v", f)
				}
				p.Write(closeFrame(1000, ""))
				readClientFrame(p.r)
			})
			r, w := files(t)
			defer r.Close()
			defer w.Close()
			w.Write([]byte("hello"))
			stats, err := sshproxy.Relay(t.Context(), s.dial(t, nil), r, io.Discard, nil)
			if err != nil || stats.End != sshproxy.EndOrigin || stats.Sent != 5 {
				t.Errorf("%+v, %v", stats, err)
			}
			if left := leaked(time.Minute); left != "" {
				t.Errorf("left behind:\n%s", left)
			}
			w.Write([]byte("next"))
			buf := make([]byte, 10)
			if n, err := r.Read(buf); string(buf[:n]) != "next" || err != nil {
				t.Errorf("%q, %v", buf[:n], err)
			}
		})
	}
}

// When the reader of the output goes away, Relay ends, though nothing is written
// and the input stays open. So no ProxyCommand outlives its ssh.
func TestReaderGoesAway(t *testing.T) {
	for name, files := range fileKinds {
		t.Run(name, func(t *testing.T) {
			closed := make(chan clientFrame, 1)
			s := newServer(t, func(p *peer) {
				p.Write(fin(opBinary, []byte("hello")))
				f, _ := readClientFrame(p.r)
				p.Write(closeFrame(1000, ""))
				closed <- f
			})
			in, inW, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			defer inW.Close()
			r, w := files(t)
			defer w.Close()
			go func() {
				io.ReadFull(r, make([]byte, 5))
				r.Close()
			}()
			stats, err := sshproxy.Relay(t.Context(), s.dial(t, nil), in, w, nil)
			if err != nil || stats.End != sshproxy.EndReader || stats.Received != 5 {
				t.Errorf("%+v, %v", stats, err)
			}
			if f := <-closed; f.Op != opClose {
				t.Errorf("the server saw %v", f)
			}
		})
	}
}

// A client that resets its connection is gone; one that only ends its half is not.
func TestReaderOfASocket(t *testing.T) {
	for _, how := range []string{"reset", "half-closed"} {
		t.Run(how, func(t *testing.T) {
			s := newServer(t, func(p *peer) {
				if how == "half-closed" {
					f, _ := readClientFrame(p.r)
					p.Write(fin(opBinary, f.Payload))
					p.Write(closeFrame(1000, ""))
				}
				discardPings(p)
			})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			client, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			local, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer local.Close()
			want, reply := sshproxy.EndReader, make(chan string, 1)
			if how == "reset" {
				client.(*net.TCPConn).SetLinger(0)
				client.Close()
			} else {
				want = sshproxy.EndOrigin
				client.Write([]byte("request"))
				client.(*net.TCPConn).CloseWrite()
				go func() {
					b, _ := io.ReadAll(client)
					reply <- string(b)
				}()
			}
			stats, err := sshproxy.Relay(t.Context(), s.dial(t, nil), local, local, nil)
			if err != nil || stats.End != want {
				t.Errorf("%+v, %v", stats, err)
			}
			local.Close()
			if how == "half-closed" {
				if got := <-reply; got != "request" {
					t.Errorf("reply %q", got)
				}
			}
		})
	}
}

// A regular file and /dev/null are inputs and outputs like any other.
func TestRelayFiles(t *testing.T) {
	s := newServer(t, func(p *peer) {
		sum := 0
		for sum < 1<<20 {
			f, err := readClientFrame(p.r)
			if err != nil {
				return
			}
			sum += len(f.Payload)
			p.Write(fin(opBinary, f.Payload))
		}
		p.Write(closeFrame(1000, ""))
		discardPings(p)
	})
	in, err := os.CreateTemp(t.TempDir(), "in")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	in.Write(make([]byte, 1<<20))
	in.Seek(0, 0)
	for _, path := range []string{t.TempDir() + "/out", os.DevNull} {
		out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		stats, err := sshproxy.Relay(t.Context(), s.dial(t, nil), in, out, &sshproxy.RelayOptions{Linger: time.Hour})
		if err != nil || stats.Sent != 1<<20 || stats.Received != 1<<20 {
			t.Errorf("%s: %+v, %v", path, stats, err)
		}
		in.Seek(0, 0)
	}
}
