//go:build unix

package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// newUser makes a person of this machine with a password, who is gone with the test. It needs root; without, the test of a server's
// questions (TestServersQuestions) is all there is.
func newUser(t *testing.T) (name, password string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a user with a password")
	}
	for _, p := range []string{"useradd", "chpasswd", "userdel"} {
		scripttest.Need(t, p, "passwd")
	}
	name, password = "askpass-"+strings.ToLower(rand.Text()[:8]), rand.Text()
	if out, err := exec.Command("useradd", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/sh", name).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("userdel", name).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, out)
		}
	})
	set := exec.Command("chpasswd")
	set.Stdin = strings.NewReader(name + ":" + password)
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	return name, password
}

// The password of an account at a real sshd: asked each time, by both of its ways, and not offered to be remembered, since the text does
// not tell the port.
func TestSSHDPassword(t *testing.T) {
	sshd := scripttest.Need(t, "sshd", "openssh-server")
	name, password := newUser(t)
	w := newWorld(t)
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	hostKey := newKey(t, w, "host", "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	config := filepath.Join(w.Dir, "sshd_config")
	if err := os.WriteFile(config, []byte(fmt.Sprintf("HostKey %s\nUsePAM yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication yes\nPrintMotd no\nPrintLastLog no\nPidFile none\n", hostKey)), 0o600); err != nil {
		t.Fatal(err)
	}
	// sshd -i talks to one client, on a connection that is there already: no port to be chosen.
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f, err := c.(*net.TCPConn).File()
			c.Close()
			if err != nil {
				return
			}
			cmd := exec.Command(sshd, "-i", "-f", config)
			cmd.Stdin, cmd.Stdout = f, f
			if cmd.Start() == nil {
				go cmd.Wait()
			}
			f.Close()
		}
	}()
	public, err := os.ReadFile(hostKey + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(l.Addr().String())
	known := filepath.Join(w.Dir, "known_hosts")
	if err := os.WriteFile(known, []byte("["+host+"]:"+port+" "+string(public)), 0o600); err != nil {
		t.Fatal(err)
	}
	for method, prompt := range map[string]string{"password": name + "@127.0.0.1's password: ", "keyboard-interactive": "(" + name + "@127.0.0.1) Password: "} {
		s := play(t, askingBy(w.Command(t.Context(), "ssh", "-F", "none", "-p", port, "-l", name, "-o", "UserKnownHostsFile="+known, "-o", "IdentityAgent=none",
			"-o", "IdentityFile=none", "-o", "PreferredAuthentications="+method, host, "id -un")))
		s.await(prompt)
		s.hidden()
		s.Type("not it\n") // sshd lets some time pass, and asks again
		s.await(prompt)
		s.hidden()
		s.Type(password + "\n")
		s.await(name + "\r\n")
		s.ends()
		if got := s.Text(); strings.Contains(got, "Remember") || strings.Contains(got, password) {
			t.Errorf("%s: %q", method, got)
		}
	}
}

// sudo -A asks for the password of a person of this machine.
func TestSudo(t *testing.T) {
	sudo := scripttest.Need(t, "sudo", "sudo")
	name, password := newUser(t)
	w := newWorld(t)
	// sudoers(5) of this test alone: this person may run one command, with their password. The file goes with the test.
	rule := filepath.Join("/etc/sudoers.d", name)
	if err := os.WriteFile(rule, []byte(name+" ALL=(root) /usr/bin/id\nDefaults:"+name+" !lecture, timestamp_timeout=0\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(rule) })
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	program := publicProgram(t)
	cmd := w.Command(t.Context(), scripttest.Need(t, "setpriv", "util-linux"), "--reuid="+u.Uid, "--regid="+u.Gid, "--clear-groups",
		"env", "HOME=/nonexistent", "ACCESS_STATE_DIR="+filepath.Dir(program)+"/state", "SUDO_ASKPASS="+program, sudo, "-A", "/usr/bin/id", "-un")
	cmd.Dir = "/"
	s := play(t, cmd)
	s.await("[sudo] password for " + name + ": ")
	s.hidden()
	s.Type("not it\n")
	s.await("Sorry, try again")
	s.await("[sudo] password for " + name + ": ")
	s.hidden()
	s.Type(password + "\n")
	s.await("root\r\n")
	s.ends()
	if got := s.Text(); strings.Contains(got, "Remember") || strings.Contains(got, password) {
		t.Errorf("%q", got)
	}
}

// publicProgram is our program where every user may run it.
func publicProgram(t *testing.T) string {
	t.Helper()
	built := filepath.Join(scripttest.Build(t, "access-askpass"), "access-askpass")
	b, err := os.ReadFile(built)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "askpass-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "access-askpass")
	if err := os.WriteFile(program, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

// pinentry-curses asks on the terminal that GPG_TTY names, for a program that has none.
func TestPinentry(t *testing.T) {
	tmux, pinentry := scripttest.Need(t, "tmux", "tmux"), scripttest.Need(t, "pinentry-curses", "pinentry-curses")
	w := newWorld(t)
	w.Set("ACCESS_PINENTRY="+pinentry, "LC_ALL=C.UTF-8")
	socket := filepath.Join(t.TempDir(), "tmux")
	control := func(args ...string) string {
		t.Helper()
		out, err := w.Command(t.Context(), tmux, append([]string{"-S", socket, "-f", "/dev/null"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %q: %v %s", args, err, out)
		}
		return string(out)
	}
	// Within: git in a session without a terminal.
	const script = `export GPG_TTY=$(tty); setsid -w git ls-remote -q https://ada@login.example.com/demo.git </dev/null >"$1/out" 2>"$1/err"; echo "code $?" >"$1/code"; stty -a >"$1/stty"; tmux wait-for -S over; sleep 600`
	control("new-session", "-d", "-x", "120", "-y", "40", "sh", "-c", script, "sh", w.Dir)
	defer control("kill-server")
	shows := func(texts ...string) string {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			screen := control("capture-pane", "-p")
			all := true
			for _, text := range texts {
				all = all && strings.Contains(screen, text)
			}
			if all {
				return screen
			}
			if time.Now().After(deadline) {
				t.Fatalf("not on the screen: %q\n%s", texts, screen)
			}
		}
	}
	shows("Password for 'https://ada@login.example.com':", "<OK>", "<Cancel>")
	control("send-keys", "origin-password")
	screen := shows("***************")
	control("send-keys", "Enter")
	t.Log("\n" + screen)
	t.Log("\n" + shows("Remember this password?", "<Yes>", "<No>"))
	control("send-keys", "Enter")
	control("wait-for", "over")
	for file, want := range map[string]string{"code": "code 0\n", "err": ""} {
		if b, err := os.ReadFile(filepath.Join(w.Dir, file)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", file, b, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(w.Dir, "stty")); err != nil || bytes.Contains(b, []byte("-echo ")) || bytes.Contains(b, []byte("-icanon")) {
		t.Errorf("the terminal was left as\n%s%v", b, err)
	}
	if out, err := w.Command(t.Context(), "git", "ls-remote", "-q", "https://ada@login.example.com/demo.git").CombinedOutput(); err != nil {
		t.Errorf("not remembered: %v %s", err, out)
	}
}
