package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// A listener is an access-ssh-proxy --listen.
type listener struct {
	cmd     *exec.Cmd
	network string
	addr    string
	stderr  *syncBuffer
}

// listen starts access-ssh-proxy --listen and waits until it listens.
func listen(t *testing.T, w *scripttest.World, addr string, args ...string) *listener {
	t.Helper()
	l := &listener{stderr: &syncBuffer{}, network: "tcp"}
	l.cmd = w.Command(t.Context(), "access-ssh-proxy", append([]string{"--listen", addr, "--linger=100ms", "ssh.example.com"}, args...)...)
	l.cmd.Stderr = l.stderr
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.stderr.await(t, "listening on ")
	l.addr = regexp.MustCompile(`listening on (\S+)`).FindStringSubmatch(l.stderr.String())[1]
	if strings.HasPrefix(addr, "unix:") {
		l.network = "unix"
	}
	return l
}

func (l *listener) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial(l.network, l.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// stop asks it to end, and checks how it did.
func (l *listener) stop(t *testing.T) {
	t.Helper()
	l.cmd.Process.Signal(syscall.SIGTERM)
	err := l.cmd.Wait()
	if err != nil {
		t.Errorf("ended with %v\n%s", err, l.stderr.String())
	}
}

// back sends text and wants it back.
func back(t *testing.T, c net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	go io.WriteString(c, text)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Errorf("%.20q came back as %.20q, %v", text, got, err)
	}
}

// echoes returns what it gets.
func echoes(c net.Conn) { io.Copy(c, c) }

// Many connections at once over one login; an end of one does not end the others,
// nor does one that Access refuses end the listener.
func TestListen(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "unix:"} {
		t.Run(addr, func(t *testing.T) {
			w := newWorld(t)
			echo(t, w, echoes)
			if addr == "unix:" {
				addr += filepath.Join(w.Dir, "s")
			}
			l := listen(t, w, addr)
			if tabs := w.Tabs(); len(tabs) != 1 {
				t.Errorf("%d logins before the first connection", len(tabs))
			}
			first := l.dial(t)
			back(t, first, "first")
			var wg sync.WaitGroup
			for i := range 40 {
				wg.Go(func() {
					c := l.dial(t)
					defer c.Close()
					back(t, c, strings.Repeat(fmt.Sprintf("client %d ", i), 10000))
				})
			}
			wg.Wait()
			w.Edge.Fail("ssh.example.com", 1, accesstest.TunnelDown, nil)
			if b, err := io.ReadAll(l.dial(t)); err != nil || len(b) > 0 {
				t.Errorf("a connection that was refused: %q, %v", b, err)
			}
			l.stderr.await(t, "error: no tunnel is connected for ssh.example.com")
			back(t, first, "still there")
			first.Close()
			l.stop(t)
			if _, err := net.Dial(l.network, l.addr); err == nil {
				t.Error("somebody still listens")
			}
			if tabs := w.Tabs(); len(tabs) != 1 {
				t.Errorf("%d logins", len(tabs))
			}
		})
	}
}

// The first signal lets open connections end by themselves, the second does not.
func TestListenStops(t *testing.T) {
	w := newWorld(t)
	echo(t, w, echoes)
	l := listen(t, w, "127.0.0.1:0")
	c := l.dial(t)
	back(t, c, "before")
	l.cmd.Process.Signal(syscall.SIGTERM)
	for { // until the listener is closed
		other, err := net.Dial("tcp", l.addr)
		if err != nil {
			break
		}
		other.Close()
	}
	back(t, c, "after the first signal")
	c.Close()
	if err := l.cmd.Wait(); err != nil {
		t.Errorf("ended with %v\n%s", err, l.stderr.String())
	}

	l = listen(t, w, "127.0.0.1:0")
	c = l.dial(t)
	back(t, c, "before")
	l.cmd.Process.Signal(syscall.SIGTERM)
	l.cmd.Process.Signal(syscall.SIGINT)
	if err := l.cmd.Wait(); err == nil {
		t.Error("the second signal was a success")
	}
	if b, _ := io.ReadAll(c); len(b) > 0 {
		t.Errorf("%q", b)
	}
}

// A socket is for this user alone; one that is left over is replaced, one that is in use is not.
func TestListenUnixSocket(t *testing.T) {
	w := newWorld(t)
	echo(t, w, echoes)
	path := filepath.Join(w.Dir, "s")
	l := listen(t, w, "unix:"+path)
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	out, err := w.Command(t.Context(), "access-ssh-proxy", "--listen", "unix:"+path, "ssh.example.com").CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("somebody serves")) {
		t.Errorf("second listener: %v\n%s", err, out)
	}
	l.cmd.Process.Kill()
	_ = l.cmd.Wait()
	l = listen(t, w, "unix:"+path)
	back(t, l.dial(t), "hello")
	if err := os.WriteFile(filepath.Join(w.Dir, "file"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = w.Command(t.Context(), "access-ssh-proxy", "--listen", "unix:"+filepath.Join(w.Dir, "file"), "ssh.example.com").CombinedOutput()
	if b, _ := os.ReadFile(filepath.Join(w.Dir, "file")); err == nil || string(b) != "precious" {
		t.Errorf("a file in the way: %v, now %q\n%s", err, b, out)
	}
	l.cmd.Process.Kill()
	_ = l.cmd.Wait()
}

// systemd opens the socket and hands it over, sd_listen_fds(3).
func TestListenSystemd(t *testing.T) {
	w := newWorld(t)
	echo(t, w, echoes)
	w.Set("CF_ACCESS_CLIENT_ID="+w.Service.ID, "CF_ACCESS_CLIENT_SECRET="+w.Service.Secret())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// The shell stands for systemd: it knows the process id of the one that it becomes.
	cmd := w.Command(t.Context(), "sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec access-ssh-proxy --listen systemd --linger=100ms ssh.example.com`)
	cmd.ExtraFiles = []*os.File{f}
	stderr := &syncBuffer{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	back(t, c, "hello")
	c.Close()
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, stderr.String())
	}
	out, err := w.Command(t.Context(), "access-ssh-proxy", "--listen", "systemd", "ssh.example.com").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "no socket from systemd") {
		t.Errorf("without systemd: %v\n%s", err, out)
	}
}

// The same by systemd's own program, with a socket in the file system.
func TestListenBySystemdItself(t *testing.T) {
	activate := scripttest.Need(t, "systemd-socket-activate", "systemd")
	w := newWorld(t)
	echo(t, w, echoes)
	serviceToken(t, w)
	path := filepath.Join(w.Dir, "s")
	args := []string{"-l", path}
	for _, v := range w.Environ() { // it passes on little by itself
		args = append(args, "-E", v)
	}
	program, err := exec.LookPath("access-ssh-proxy")
	if err != nil {
		t.Fatal(err)
	}
	cmd := w.Command(t.Context(), activate, append(args, program, "--listen=systemd", "--linger=100ms", "ssh.example.com")...)
	stderr := &syncBuffer{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stderr.await(t, "Listening on "+path)
	for _, text := range []string{"first", "second"} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		back(t, c, text)
		c.Close()
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, stderr.String())
	}
}

// The secret of a service token comes from a file, or from standard input if that
// is not the stream; never from the command line.
func TestServiceTokenSecret(t *testing.T) {
	w := newWorld(t)
	echo(t, w, echoes)
	w.Set("ACCESS_INTERACTIVE=never")
	secret := filepath.Join(w.Dir, "secret")
	write(t, secret, w.Service.Secret()+"\n")
	token := "--service-token-id=" + w.Service.ID
	cmd := w.Command(t.Context(), "access-ssh-proxy", token, "--service-token-secret-file="+secret, "--linger=1ms", "ssh.example.com")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("from a file: %v\n%s", err, out)
	}

	l := &listener{stderr: &syncBuffer{}, network: "tcp"}
	l.cmd = w.Command(t.Context(), "access-ssh-proxy", token, "--service-token-secret-file=-", "--listen=127.0.0.1:0", "--linger=100ms", "ssh.example.com")
	l.cmd.Stdin, l.cmd.Stderr = strings.NewReader(w.Service.Secret()), l.stderr
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.stderr.await(t, "listening on ")
	l.addr = regexp.MustCompile(`listening on (\S+)`).FindStringSubmatch(l.stderr.String())[1]
	c := l.dial(t)
	back(t, c, "hello")
	c.Close()
	l.stop(t)

	for name, args := range map[string][]string{
		"standard input is the stream": {"--service-token-secret-file=-"},
		"no file":                      {"--service-token-secret-file=" + secret + ".not"},
		"empty":                        {"--service-token-secret-file=" + os.DevNull},
	} {
		out, err := w.Command(t.Context(), "access-ssh-proxy", append(args, token, "ssh.example.com")...).CombinedOutput()
		if err == nil || strings.Contains(string(out), w.Service.Secret()) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if leaks := w.Edge.Leaks(w.Service.Secret(), "ssh.example.com"); len(leaks) > 0 {
		t.Errorf("the secret was seen: %v", leaks)
	}
}
