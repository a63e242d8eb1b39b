//go:build unix

package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// sshServer is a server that nobody here wrote the protocol of, and whose questions a test chooses. It records the answers.
type sshServer struct {
	t      *testing.T
	addr   string
	key    ssh.Signer
	ask    func(user string, challenge ssh.KeyboardInteractiveChallenge) error
	public func(key ssh.PublicKey) error

	mu      sync.Mutex
	answers []string
}

func startSSH(t *testing.T, s *sshServer) *sshServer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if s.key, err = ssh.NewSignerFromKey(key); err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{}
	if s.ask != nil {
		config.KeyboardInteractiveCallback = func(c ssh.ConnMetadata, challenge ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			return nil, s.ask(c.User(), func(name, instruction string, questions []string, echos []bool) ([]string, error) {
				answers, err := challenge(name, instruction, questions, echos)
				s.mu.Lock()
				s.answers = append(s.answers, answers...)
				s.mu.Unlock()
				return answers, err
			})
		}
	}
	if s.public != nil {
		config.PublicKeyCallback = func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) { return nil, s.public(key) }
	}
	config.AddHostKey(s.key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.t, s.addr = t, l.Addr().String()
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { s.serve(c, config) })
		}
	})
	t.Cleanup(func() { l.Close(); work.Wait() })
	return s
}

// serve answers every command with "welcome".
func (s *sshServer) serve(c net.Conn, config *ssh.ServerConfig) {
	defer c.Close()
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for nc := range channels {
		ch, reqs, err := nc.Accept()
		if err != nil {
			return
		}
		for r := range reqs {
			r.Reply(true, nil)
			if r.Type == "exec" {
				fmt.Fprintln(ch, "welcome")
				ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{0}))
				ch.Close()
			}
		}
	}
}

func (s *sshServer) answered() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.answers, ",")
}

// command is an ssh that asks by our program alone. Its known_hosts has the server, if known is set.
func (s *sshServer) command(w *scripttest.World, known bool, options ...string) *exec.Cmd {
	s.t.Helper()
	host, port, _ := net.SplitHostPort(s.addr)
	file := filepath.Join(w.Dir, "known_hosts")
	line := ""
	if known {
		line = fmt.Sprintf("[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(s.key.PublicKey()))
	}
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		s.t.Fatal(err)
	}
	args := append([]string{"-F", "none", "-p", port, "-l", "ada", "-o", "UserKnownHostsFile=" + file, "-o", "GlobalKnownHostsFile=none", "-o", "IdentityAgent=none"}, options...)
	return askingBy(w.Command(s.t.Context(), "ssh", append(args, host, "true")...))
}

// askingBy gives ssh and its kin our program to ask with.
func askingBy(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(cmd.Env, "SSH_ASKPASS=access-askpass", "SSH_ASKPASS_REQUIRE=force")
	for _, v := range cmd.Env {
		if path, ok := strings.CutPrefix(v, "PATH="); ok { // ssh looks PATH up since 9.0 alone
			for _, dir := range filepath.SplitList(path) {
				if _, err := os.Stat(filepath.Join(dir, "access-askpass")); err == nil {
					cmd.Env = append(cmd.Env, "SSH_ASKPASS="+filepath.Join(dir, "access-askpass"))
					break
				}
			}
		}
	}
	return cmd
}

// newKey makes a key that is sealed with a passphrase, and returns its file.
func newKey(t *testing.T, w *scripttest.World, name, passphrase string, options ...string) string {
	t.Helper()
	file := filepath.Join(w.Dir, name)
	args := append([]string{"-q", "-t", "ed25519", "-a", "1", "-N", passphrase, "-C", "ada", "-f", file}, options...)
	if out, err := exec.Command(scripttest.Need(t, "ssh-keygen", "openssh-client"), args...).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	return file
}

// remember asks for the passphrase as ssh-add does, and lets it be remembered.
func remember(t *testing.T, w *scripttest.World, file, passphrase string) {
	t.Helper()
	prompt := "Enter passphrase for " + file + ": "
	s := onTerminal(t, w, "access-askpass", prompt)
	s.await(prompt)
	s.hidden()
	s.Type(passphrase + "\n")
	s.keep("y")
	s.ends()
}

// ssh asks for the passphrase of a key once; from then on it is known by the key, wherever its file is.
func TestSSHKey(t *testing.T) {
	w := newWorld(t)
	scripttest.Need(t, "ssh", "openssh-client")
	server := startSSH(t, &sshServer{public: func(ssh.PublicKey) error { return nil }})
	file := newKey(t, w, "id", "first pass")
	s := play(t, server.command(w, true, "-i", file, "-o", "IdentitiesOnly=yes"))
	s.await("Enter passphrase for key '" + file + "': ")
	s.hidden()
	s.Type("first pass\n")
	s.keep("y")
	s.await("welcome")
	s.ends()

	moved := filepath.Join(w.Dir, "moved")
	if err := os.Rename(file, moved); err != nil {
		t.Fatal(err)
	}
	quiet := func(file string) (string, error) {
		out, err := server.command(w, true, "-i", file, "-o", "IdentitiesOnly=yes", "-o", "PreferredAuthentications=publickey").CombinedOutput()
		return string(out), err
	}
	if out, err := quiet(moved); err != nil || out != "welcome\n" {
		t.Errorf("%v %q", err, out)
	}
	// Another key in its place gets nothing.
	other := newKey(t, w, "id", "other pass")
	if out, err := quiet(other); err == nil || !strings.Contains(out, "nobody can be asked for the passphrase of "+other) {
		t.Errorf("%v %q", err, out)
	}
	// The passphrase was changed: ssh asks again at once, and what is kept is forgotten.
	if out, err := exec.Command("ssh-keygen", "-q", "-p", "-a", "1", "-P", "first pass", "-N", "second pass", "-f", moved).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	s = play(t, server.command(w, true, "-i", moved, "-o", "IdentitiesOnly=yes"))
	s.await("Enter passphrase for key '" + moved + "': ")
	s.hidden()
	s.Type("second pass\n")
	s.keep("y")
	s.ends()
	if out, err := quiet(moved); err != nil || out != "welcome\n" {
		t.Errorf("%v %q", err, out)
	}
}

// ssh-add asks in other words; a key in the old format has no public part, and is known by what is sealed.
func TestSSHAdd(t *testing.T) {
	w := newWorld(t)
	agent := startAgent(t, w)
	for name, options := range map[string][]string{"new": nil, "pem": {"-t", "rsa", "-b", "2048", "-m", "PEM"}} {
		file := newKey(t, w, name, "pass of "+name, options...)
		add := func(args ...string) *exec.Cmd {
			cmd := askingBy(w.Command(t.Context(), "ssh-add", append(args, file)...))
			cmd.Env = append(cmd.Env, agent)
			return cmd
		}
		s := play(t, add())
		s.await("Enter passphrase for " + file + ": ")
		s.hidden()
		s.Type("not it\n") // ssh-add says so, and nothing is offered to be remembered
		s.await("Bad passphrase, try again for " + file + ": ")
		s.hidden()
		s.Type("pass of " + name + "\n")
		s.keep("y")
		s.ends()
		if n := strings.Count(s.Text(), "Remember"); n != 1 {
			t.Errorf("offered %d times: %q", n, s.Text())
		}
		for _, args := range [][]string{nil, {"-c"}} {
			if out, err := add(args...).CombinedOutput(); err != nil || !strings.Contains(string(out), "Identity added") {
				t.Errorf("%q: %v %s", args, err, out)
			}
		}
		if out, err := w.Command(t.Context(), "access-askpass", "--forget", file).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, out)
		}
		if out, err := add().CombinedOutput(); err == nil {
			t.Errorf("it was not forgotten: %s", out)
		}
	}
}

// startAgent starts an agent that asks by our program on the terminal, and returns its variable.
func startAgent(t *testing.T, w *scripttest.World, vars ...string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	cmd := askingBy(w.Command(t.Context(), scripttest.Need(t, "ssh-agent", "openssh-client"), "-D", "-a", socket))
	cmd.Env = append(cmd.Env, vars...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return "SSH_AUTH_SOCK=" + socket
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// What a server asks is asked, whatever it says. What is kept stays: ssh writes "(user@host)" before a server's words, and those that
// come from an ssh which does not are no better.
func TestServersQuestions(t *testing.T) {
	w := newWorld(t)
	scripttest.Need(t, "ssh", "openssh-client")
	file := newKey(t, w, "id", "pass of the key")
	remember(t, w, file, "pass of the key")
	questions := []string{
		"Password: ", "Verification code: ",
		"Enter passphrase for key '" + file + "': ",
		"Password for 'https://ada@login.example.com': ",
	}
	server := startSSH(t, &sshServer{ask: func(_ string, challenge ssh.KeyboardInteractiveChallenge) error {
		answers, err := challenge("", "", questions, []bool{false, true, false, false})
		if err == nil && strings.Join(answers, ",") != "a,b,c,d" {
			err = errors.New("wrong")
		}
		return err
	}})
	only := []string{"-o", "PreferredAuthentications=keyboard-interactive", "-o", "NumberOfPasswordPrompts=1"}
	cmd := server.command(w, true, only...)
	cmd.Env = append(cmd.Env, "ACCESS_ORIGIN_HOST=login.example.com", "ACCESS_ORIGIN_USERNAME=ada", "ACCESS_ORIGIN_PASSWORD=origin-password")
	s := play(t, cmd)
	for i, q := range questions {
		s.await("(ada@127.0.0.1) " + q)
		s.hidden()
		s.Type(string(rune('a'+i)) + "\n")
	}
	s.await("welcome")
	s.ends()
	if got := server.answered(); got != "a,b,c,d" {
		t.Errorf("the server was told %q", got)
	}
	if strings.Contains(s.Text(), "Remember") {
		t.Errorf("offered to keep a server's answer: %q", s.Text())
	}

	// An ssh before 8.5 and other clients, as far as our program can tell: it goes by the name of the program that asks, and by what
	// ssh says of its version. What a copy of perl says is not that of a new OpenSSH.
	perl, err := os.ReadFile(needPerl(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]string{"ssh": {"", ""}, "dbclient": {"", ""}, "sudo": {"", ""}, "ssh-add": {"pass of the key\n", ""}, "asker": {"pass of the key\n", "origin-password\n"}} {
		program := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(program, perl, 0o755); err != nil {
			t.Fatal(err)
		}
		for i, q := range questions[2:] {
			if i == 1 {
				rememberLogin(t, w)
			}
			cmd := w.Command(t.Context(), program, "-e", `exit(system("access-askpass", $ARGV[0]) ? 1 : 0)`, q)
			if out, err := cmd.Output(); string(out) != want[i] || (err == nil) != (want[i] != "") {
				t.Errorf("%s was told %q for %q, %v", name, out, q, err)
			}
		}
		// The account of a job is as little a server's as what is kept.
		cmd := w.Command(t.Context(), program, "-e", `exit(system("access-askpass", $ARGV[0]) ? 1 : 0)`, questions[3])
		cmd.Env = append(cmd.Env, "ACCESS_ORIGIN_HOST=login.example.com", "ACCESS_ORIGIN_USERNAME=ada", "ACCESS_ORIGIN_PASSWORD=password-of-the-job")
		want := map[bool]string{true: "password-of-the-job\n"}[name == "asker"]
		if out, err := cmd.Output(); string(out) != want || (err == nil) != (want != "") {
			t.Errorf("%s was told %q for the account of a job, %v", name, out, err)
		}
	}
}

func TestMarksQuestions(t *testing.T) {
	for version, want := range map[string]bool{
		"OpenSSH_8.4p1 Debian-5, OpenSSL 1.1.1n": false, "OpenSSH_8.5p1": true, "OpenSSH_9.2p1 Debian-2+deb12u10": true, "OpenSSH_10.0p2": true,
		"OpenSSH_for_Windows_8.1p1, LibreSSL 3.0.2": false, "OpenSSH_for_Windows_9.5p1": true, "OpenSSH_7.9p1": false, "Dropbear v2022.83": false, "": false,
	} {
		if marksQuestions(version) != want {
			t.Errorf("%q: %t", version, !want)
		}
	}
}

// rememberLogin keeps a login as git-credential-access --store does.
func rememberLogin(t *testing.T, w *scripttest.World) {
	t.Helper()
	cmd := w.Command(t.Context(), "git-credential-access", "--store", "store")
	cmd.Stdin = strings.NewReader("protocol=https\nhost=login.example.com\nusername=ada\npassword=origin-password\n\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
}

// Whether a host is the right one is asked and never answered by itself, and without an answer it is not.
func TestHostKey(t *testing.T) {
	w := newWorld(t)
	scripttest.Need(t, "ssh", "openssh-client")
	server := startSSH(t, &sshServer{public: func(ssh.PublicKey) error { return nil }})
	file := newKey(t, w, "id", "")
	options := []string{"-i", file, "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=ask"}
	out, err := server.command(w, false, options...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "nobody can be asked") || !strings.Contains(string(out), "Host key verification failed") {
		t.Errorf("%v %s", err, out)
	}
	for answer, good := range map[string]bool{"yes": true, "no": false, "": false, ssh.FingerprintSHA256(server.key.PublicKey()): true} {
		s := play(t, server.command(w, false, options...))
		s.await("The authenticity of host")
		s.await(ssh.FingerprintSHA256(server.key.PublicKey()))
		s.await("(yes/no/[fingerprint])? ")
		s.Type(answer + "\n")
		err := s.Wait()
		if (err == nil) != good || strings.Contains(s.Text(), "welcome") != good {
			t.Errorf("%q: %v %q", answer, err, s.Text())
		}
	}
}

// A key of an agent that wants consent for each use: only a yes is one.
func TestConsent(t *testing.T) {
	w := newWorld(t)
	for answer, good := range map[string]bool{"y": true, "n": false, "": false} {
		// ssh-agent asks without a terminal of its own, so that the answer comes on one here.
		s := onTerminal(t, w, "sh", "-c", `SSH_ASKPASS_PROMPT=confirm access-askpass "$1"; echo "over $?"`, "sh", "Allow use of key ada?\nKey fingerprint SHA256:abc.")
		s.await("Allow use of key ada?")
		s.await("[y/N] ")
		s.Type(answer + "\n")
		if good {
			s.await("yes\r\nover 0")
		} else {
			s.await("over 1")
		}
		s.ends()
	}
	// The real agent, and nobody to ask: it refuses.
	agent := startAgent(t, w)
	file := newKey(t, w, "id", "")
	add := w.Command(t.Context(), "ssh-add", "-q", "-c", file)
	add.Env = append(add.Env, agent)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	sign := w.Command(t.Context(), "ssh-keygen", "-Y", "sign", "-n", "file", "-f", file+".pub", "-q")
	sign.Env, sign.Stdin = append(sign.Env, agent), strings.NewReader("text")
	if out, err := sign.CombinedOutput(); err == nil {
		t.Errorf("a key was used without consent: %s", out)
	}
}

// The notice to touch a key is there until ssh ends it, and leaves no trace.
func TestTouch(t *testing.T) {
	w := newWorld(t)
	const text = "Confirm user presence for key ED25519-SK SHA256:abc"
	// What ssh does (notify_start, notify_complete): input and output at the null device, SIGTERM, wait.
	const ssh = `$ENV{SSH_ASKPASS_PROMPT} = "none"; $pid = fork;
if (!$pid) { open STDIN, "<", "/dev/null"; open STDOUT, ">", "/dev/null"; exec "access-askpass", $ARGV[0]; }
$_ = <STDIN>; print kill(0, $pid), " there\n"; kill "TERM", $pid; waitpid $pid, 0; print "gone ", $? >> 8, "\n";`
	s := onTerminal(t, w, needPerl(t), "-e", "$|=1; "+ssh, text)
	s.await(text)
	s.Type("\n")
	s.await("1 there")
	s.await("\r\x1b[K")
	s.await("gone 143")
	s.ends()
	if strings.Contains(s.Text(), "error") || !s.Echoes() {
		t.Errorf("echo %t: %q", s.Echoes(), s.Text())
	}

	// ssh that is killed cannot end it.
	s = onTerminal(t, w, "sh", "-c", `perl -e 'print "pid $$\n"; $|=1; $ENV{SSH_ASKPASS_PROMPT} = "none"; system("access-askpass", $ARGV[0])' "$1" & read -r line; echo "read $line"; wait`, "sh", text)
	s.await("pid ")
	s.await(text)
	var pid int
	if _, err := fmt.Sscanf(s.Text()[strings.Index(s.Text(), "pid "):], "pid %d", &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.await("\r\x1b[K")
	s.Type("on\n")
	s.await("read on")
	s.ends()
}
