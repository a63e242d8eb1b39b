package webproxy

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// The kernel knows whose a connection is, over IPv4, IPv6 and from a socket for both.
func TestPeerUID(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := Listen(t.Context(), address)
		if err != nil {
			if strings.Contains(address, "::1") {
				t.Logf("no IPv6 here: %v", err)
				continue
			}
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if uid, err := peerUID(c); err != nil || int(uid) != os.Geteuid() {
			t.Errorf("%s: user %d, %v", address, uid, err)
		}
		if stranger(c) {
			t.Errorf("%s: we are a stranger", address)
		}
		// Of a connection that lives, an end that the kernel does not know is elsewhere, such as on the Windows around WSL.
		if ended(c.LocalAddr().(*net.TCPAddr), c.RemoteAddr().(*net.TCPAddr)) {
			t.Errorf("%s: the connection has ended", address)
		}
		client.Close()
		c.Close()
		l.Close()
	}
}

// Another user of the machine does not get in, whatever he has read on a command line.
func TestAnotherUserDoesNotGetIn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: nobody else can be played here")
		return
	}
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 10)
	p, err := New(l, &url.URL{Scheme: "https", Host: "git.example.com"}, answering{asked}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(t.Context()) }()
	for uid, welcome := range map[uint32]bool{0: true, 65534: false} {
		cmd := exec.Command("bash", "-c", `exec 3<>"/dev/tcp/127.0.0.1/$1" && printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$2" "$1" >&3 && cat <&3`,
			"bash", p.URL().Port(), p.URL().Path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		cmd.Dir = "/"
		out, _ := cmd.CombinedOutput() // whose connection is closed may fail
		if got := strings.Contains(string(out), "fine"); got != welcome {
			t.Errorf("user %d: %q", uid, out)
		}
		if got := len(asked) > 0; got != welcome {
			t.Errorf("user %d: %d requests went on", uid, len(asked))
		}
		for len(asked) > 0 {
			<-asked
		}
	}
}

// Who sends a request and goes has no user any more by the time that the kernel is asked: such an end is nobody's, not root's.
func TestWhoHasGoneDoesNotGetIn(t *testing.T) {
	for how, leave := range map[string]func(*net.TCPConn){
		"closed": func(c *net.TCPConn) {},
		"reset":  func(c *net.TCPConn) { c.SetLinger(0) },
	} {
		l, err := Listen(t.Context(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(client, "POST / HTTP/1.1\r\n\r\n")
		leave(client.(*net.TCPConn))
		client.Close()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if !stranger(c) {
			t.Errorf("%s: a connection whose other end is nobody's gets in", how)
		}
	}
	// One end that is closed for writing is still somebody's.
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.(*net.TCPConn).CloseWrite()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if stranger(c) {
		t.Error("who waits for the answer is a stranger")
	}
}

type answering struct{ asked chan struct{} }

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked <- struct{}{}
	return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: 4, Body: io.NopCloser(strings.NewReader("fine")), Request: r}, nil
}
