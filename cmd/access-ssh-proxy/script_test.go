package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

func TestMain(m *testing.M) {
	scripttest.Main(m, map[string]func(){"access-ssh-proxy": main}, "access")
}

func TestScripts(t *testing.T) { scripttest.Run(t, nil) }

// newWorld is a world where a person may be asked without a terminal.
func newWorld(t *testing.T) *scripttest.World {
	w := scripttest.NewWorld(t, scripttest.Git{})
	w.Set("ACCESS_INTERACTIVE=always")
	return w
}

// echo puts a TCP server behind the application for ssh.
func echo(t *testing.T, w *scripttest.World, serve func(net.Conn)) {
	t.Helper()
	w.ServeTCP(t, "ssh.example.com", serve)
}

// Fifty programs that start at once with no session make one login and open one
// browser tab.
func TestOneLoginForFiftyProcesses(t *testing.T) {
	w := newWorld(t)
	echo(t, w, func(c net.Conn) { c.Write([]byte("banner")) })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			cmd := w.Command(t.Context(), "access-ssh-proxy", "ssh.example.com")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil || string(out) != "banner" {
				t.Errorf("%q, %v\n%s", out, err, &stderr)
			}
		})
	}
	wg.Wait()
	if tabs := w.Tabs(); len(tabs) != 1 {
		t.Errorf("%d browser tabs: %v", len(tabs), tabs)
	}
	polls := map[string]bool{}
	for _, r := range w.Edge.Requests(accesstest.ToHost("login.cloudflareaccess.org")) {
		polls[r.Path] = true
	}
	if len(polls) != 1 {
		t.Errorf("%d logins", len(polls))
	}
}

// On a machine without a browser the address is told where people read, and the login
// is done elsewhere: nothing has to reach this machine.
func TestLoginWithoutABrowser(t *testing.T) {
	w := newWorld(t)
	echo(t, w, func(c net.Conn) { c.Write([]byte("banner")) })
	w.Set("BROWSER=/nonexistent", "SSH_CONNECTION=192.0.2.1 1 192.0.2.2 22", "DISPLAY=")
	p := start(t, w)
	link := regexp.MustCompile(`https://\S+/cdn-cgi/access/\S+`)
	p.stderr.await(t, "https://")
	p.stderr.await(t, "\n")
	page := link.FindString(p.stderr.String())
	if err := w.Edge.Person("ada@example.com").Approve(t.Context(), page); err != nil {
		t.Fatalf("%q: %v\n%s", page, err, p.stderr.String())
	}
	if err := p.Wait(); err != nil || p.out.String() != "banner" {
		t.Errorf("%v, %q\n%s", err, p.out.String(), p.stderr.String())
	}
	if tabs := w.Tabs(); len(tabs) > 0 {
		t.Errorf("browser tabs %v", tabs)
	}
}

// The one that logs in is killed: the next takes over at once.
func TestNextTakesOverALogin(t *testing.T) {
	w := newWorld(t)
	echo(t, w, func(c net.Conn) { c.Write([]byte("banner")) })
	w.Behave("nothing")
	first := w.Command(t.Context(), "access-ssh-proxy", "ssh.example.com")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	isPoll := func(r accesstest.Request) bool { return r.Host == "login.cloudflareaccess.org" }
	firstPoll, err := w.Edge.Await(t.Context(), isPoll)
	if err != nil {
		t.Fatal(err)
	}
	var out, stderr syncBuffer
	second := w.Command(t.Context(), "access-ssh-proxy", "ssh.example.com")
	second.Stdout, second.Stderr = &out, &stderr
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	// It says whom it waits for, and shows the address of that login.
	stderr.await(t, fmt.Sprintf("process %d has begun", first.Process.Pid))
	w.Behave("approve")
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	killed := time.Now()
	if err := second.Wait(); err != nil || out.String() != "banner" {
		t.Errorf("%q, %v\n%s", out.String(), err, stderr.String())
	}
	t.Logf("the second was done %v after the first was killed", time.Since(killed))
	if _, err := w.Edge.Await(t.Context(), isPoll, func(r accesstest.Request) bool { return r.Path != firstPoll.Path }); err != nil {
		t.Error(err)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *syncBuffer) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !strings.Contains(s.String(), text); {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in\n%s", text, s.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A warm start is one connection to the edge, and nothing else.
func TestWarmStartIsOneConnection(t *testing.T) {
	w := newWorld(t)
	echo(t, w, func(c net.Conn) { c.Write([]byte("banner")) })
	for i := range 2 {
		w.Edge.ClearLog()
		out, err := w.Command(t.Context(), "access-ssh-proxy", "ssh.example.com").Output()
		if err != nil || string(out) != "banner" {
			t.Fatalf("%q, %v", out, err)
		}
		if i == 0 {
			continue
		}
		total := 0
		for _, host := range []string{"ssh.example.com", w.Team.Domain(), "login.cloudflareaccess.org"} {
			total += len(w.Edge.Connections(host))
		}
		if requests := w.Edge.Requests(); total != 1 || len(requests) != 1 || !requests[0].WebSocket {
			t.Errorf("%d connections, requests %v", total, requests)
		}
	}
}

// After the end of the input, all that the origin still sends is delivered.
func TestAnswerAfterEndOfInput(t *testing.T) {
	w := newWorld(t)
	go_ := make(chan struct{})
	echo(t, w, func(c net.Conn) {
		buf := make([]byte, 5)
		if _, err := c.Read(buf); err != nil {
			return
		}
		<-go_
		for range 64 {
			c.Write(bytes.Repeat([]byte("x"), 16<<10))
		}
	})
	cmd := w.Command(t.Context(), "access-ssh-proxy", "ssh.example.com")
	cmd.Stdin = strings.NewReader("hello")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Edge.Await(t.Context(), func(r accesstest.Request) bool { return r.WebSocket }); err != nil {
		t.Fatal(err)
	}
	close(go_)
	if err := cmd.Wait(); err != nil || out.Len() != 1<<20 {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
}

// A connection that is cut in mid-transfer is told, with bytes and seconds, and is
// no success.
func TestCutIsTold(t *testing.T) {
	w := newWorld(t)
	echo(t, w, func(c net.Conn) {
		c.Write([]byte("some bytes"))
		buf := make([]byte, 1)
		c.Read(buf)
	})
	cmd := w.Command(t.Context(), "access-ssh-proxy", "ssh.example.com")
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
	out.await(t, "some bytes")
	w.Edge.CutRelays()
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v", err)
	}
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	last := lines[len(lines)-1]
	for _, l := range lines {
		if strings.Contains(l, "error:") {
			last = l
		}
	}
	if !strings.Contains(last, "access-ssh-proxy: error: connection cut after") || !strings.Contains(last, "bytes") {
		t.Errorf("told:\n%s", stderr.String())
	}
}

// Real ssh, scp, sftp and git through a real sshd behind the edge.
func TestOpenSSH(t *testing.T) {
	sshd := scripttest.Need(t, "sshd", "openssh-server")
	for _, p := range []string{"ssh", "scp", "sftp", "ssh-keygen"} {
		scripttest.Need(t, p, "openssh-client")
	}
	w := newWorld(t)
	dir := t.TempDir()
	addr := startSSHD(t, sshd, dir)
	w.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.TCP = accesstest.DialTCP(addr) })
	config := sshConfig(t, dir)
	run := func(stdin, name string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := w.Command(ctx, name, args...)
		cmd.Stdin = strings.NewReader(stdin)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			log, _ := os.ReadFile(filepath.Join(dir, "sshd.log"))
			t.Fatalf("%s %v: %v\n%s\nsshd:\n%s", name, args, err, &stderr, log)
		}
		return string(out)
	}
	if got := run("over the wire", "ssh", "-F", config, "ssh.example.com", "cat"); got != "over the wire" {
		t.Errorf("ssh: %q", got)
	}
	big := filepath.Join(dir, "big")
	write(t, big, strings.Repeat("0123456789abcdef", 1<<18)) // 4 MiB
	run("", "scp", "-F", config, big, "ssh.example.com:"+filepath.Join(dir, "up"))
	run("", "scp", "-F", config, "ssh.example.com:"+filepath.Join(dir, "up"), filepath.Join(dir, "down"))
	want, _ := os.ReadFile(big)
	got, err := os.ReadFile(filepath.Join(dir, "down"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("scp: %d bytes of %d, %v", len(got), len(want), err)
	}
	run("put "+big+" "+filepath.Join(dir, "sftp")+"\n", "sftp", "-F", config, "-b", "-", "ssh.example.com")
	if info, err := os.Stat(filepath.Join(dir, "sftp")); err != nil || info.Size() != int64(len(want)) {
		t.Errorf("sftp: %v", err)
	}
	repo := filepath.Join(dir, "repo.git")
	run("", "git", "init", "-q", "--bare", repo)
	clone := filepath.Join(dir, "clone")
	w.Set("GIT_SSH_COMMAND=ssh -F " + config)
	run("", "git", "clone", "-q", "ssh://ssh.example.com"+repo, clone)
	run("", "git", "-C", clone, "commit", "-q", "--allow-empty", "-m", "one")
	run("", "git", "-C", clone, "push", "-q", "origin", "HEAD:refs/heads/main")
	if got := run("", "git", "-C", repo, "log", "--format=%s", "main"); got != "one\n" {
		t.Errorf("git: %q", got)
	}
	if tabs := w.Tabs(); len(tabs) != 1 {
		t.Errorf("%d browser tabs", len(tabs))
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sshConfig writes an ssh_config for the sshd whose keys are in dir.
func sshConfig(t *testing.T, dir string) (config string) {
	t.Helper()
	user := os.Getenv("USER")
	if user == "" {
		user = "root"
	}
	config = filepath.Join(dir, "config")
	write(t, config, fmt.Sprintf(`Host ssh.example.com
  ProxyCommand access-ssh-proxy --hostname=%%h
  User %s
  IdentityFile %s
  IdentitiesOnly yes
  UserKnownHostsFile %s
  StrictHostKeyChecking yes
  BatchMode yes
`, user, filepath.Join(dir, "id"), filepath.Join(dir, "known_hosts")))
	return config
}

// startSSHD runs a real sshd for this user, and returns its address.
func startSSHD(t *testing.T, sshd, dir string) string {
	t.Helper()
	for _, key := range []string{"host", "id"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	public, err := os.ReadFile(filepath.Join(dir, "id.pub"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "authorized_keys"), string(public))
	host, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "known_hosts"), "ssh.example.com "+string(host))
	write(t, filepath.Join(dir, "sshd_config"), fmt.Sprintf(`HostKey %[1]s/host
PidFile none
AuthorizedKeysFile %[1]s/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
`, dir))
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // privilege separation
			t.Fatal(err)
		}
	}
	// sshd listens by itself only, so each connection gets an sshd of its own, as by inetd.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f, err := c.(*net.TCPConn).File()
			c.Close()
			if err != nil {
				t.Error(err)
				return
			}
			cmd := exec.Command(sshd, "-i", "-f", filepath.Join(dir, "sshd_config"), "-E", filepath.Join(dir, "sshd.log"))
			cmd.Stdin, cmd.Stdout = f, f
			if err := cmd.Start(); err != nil {
				t.Error(err)
			} else {
				serving.Go(func() { _ = cmd.Wait() })
			}
			f.Close()
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return l.Addr().String()
}
