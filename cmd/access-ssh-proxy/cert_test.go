package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

const certSign = "/cdn-cgi/access/cert_sign"

// newCertBed has a real sshd that trusts the team's authority and no key, and lets
// ada in as the user of the tests; ssh is configured for certificates.
func newCertBed(t *testing.T) *sshBed {
	b := newSSHBed(t)
	write(t, filepath.Join(b.dir, "ca.pub"), string(ssh.MarshalAuthorizedKey(b.Team.SSHCA())))
	write(t, filepath.Join(b.dir, "principals"), "ada\n")
	write(t, filepath.Join(b.dir, "authorized_keys"), "")
	f, err := os.OpenFile(filepath.Join(b.dir, "sshd_config"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "TrustedUserCAKeys %[1]s/ca.pub\nAuthorizedPrincipalsFile %[1]s/principals\n", b.dir)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, errs, err := command(t, b.World, "access-ssh-proxy", "config", "--install", "--multiplex=false", "--short-lived-cert", "--file", b.config, account()+"@ssh.example.com"); err != nil || errs != "" {
		t.Fatalf("%v\n%s", err, errs)
	}
	return b
}

func (b *sshBed) key() string {
	return filepath.Join(filepath.Dir(b.config), "gitaccess", "ssh.example.com")
}

// login runs ssh, which must get in.
func (b *sshBed) login(t *testing.T) {
	t.Helper()
	out, errs, err := command(t, b.World, "ssh", "-F", b.config, "ssh.example.com", "echo", "hello")
	if err != nil || out != "hello\n" {
		log, _ := os.ReadFile(filepath.Join(b.dir, "sshd.log"))
		t.Fatalf("%v %q\n%s\nsshd:\n%s", err, out, errs, log)
	}
}

func (b *sshBed) asked() int { return len(b.Edge.Requests(accesstest.ToPath(certSign))) }

func (b *sshBed) certificate(t *testing.T) *ssh.Certificate {
	t.Helper()
	text, err := os.ReadFile(b.key() + "-cert.pub")
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*ssh.Certificate)
}

// realAgent starts an ssh-agent and makes it that of the world.
func realAgent(t *testing.T, b *sshBed) (list func() string) {
	t.Helper()
	program := scripttest.Need(t, "ssh-agent", "openssh-client")
	socket := filepath.Join(shortDir(t), "agent")
	cmd := exec.Command(program, "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("ssh-agent does not listen")
		}
	}
	b.Set("SSH_AUTH_SOCK=" + socket)
	return func() string {
		out, _, _ := command(t, b.World, "ssh-add", "-l") // fails when there are none
		return out
	}
}

// Real ssh logs in by a certificate alone, which is fetched once and then again
// near its end; a person is asked once, for session and certificate together.
func TestLoginByCertificate(t *testing.T) {
	for _, withAgent := range []bool{false, true} {
		t.Run(fmt.Sprintf("agent=%v", withAgent), func(t *testing.T) {
			b := newCertBed(t)
			list := func() string { return "" }
			if withAgent {
				list = realAgent(t, b)
				config, err := os.OpenFile(b.config, os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				config.WriteString("  IdentityAgent none\n") // for all hosts; ours is another matter
				config.Close()
				must(t, b.World, "ssh-add", "-q", filepath.Join(b.dir, "id")) // not to be offered, and to stay
			}
			for range 3 {
				b.login(t)
			}
			// A ProxyCommand that is no ssh of its own leaves scp and flags as they are
			// (https://github.com/cloudflare/cloudflared/issues/574).
			must(t, b.World, "scp", "-F", b.config, "-p", b.config, "ssh.example.com:"+filepath.Join(b.dir, "copied"))
			if readFile(t, filepath.Join(b.dir, "copied")) != readFile(t, b.config) {
				t.Error("scp copied something else")
			}
			if n := b.asked(); n != 1 {
				t.Errorf("%d certificates for four logins", n)
			}
			if tabs := b.Tabs(); len(tabs) != 1 {
				t.Errorf("%d browser tabs", len(tabs))
			}
			_, err := os.Stat(b.key())
			if agents := strings.Count(list(), "access-ssh-proxy ssh.example.com"); withAgent != (agents == 2) || withAgent != os.IsNotExist(err) {
				t.Errorf("%d entries in the agent, key file: %v", agents, err)
			}
			// A new one for a certificate that ends.
			first := b.certificate(t)
			b.Team.Set(func(s *accesstest.TeamSettings) { s.CertLifetime = 5 * time.Second })
			must(t, b.World, "access-ssh-proxy", "cert", "--renew", "--key="+b.key(), "ssh.example.com")
			short := b.certificate(t)
			if same := bytes.Equal(short.Key.Marshal(), first.Key.Marshal()); same == withAgent {
				t.Errorf("the key stayed: %v", same)
			}
			for time.Now().Unix() <= int64(short.ValidBefore) {
				time.Sleep(100 * time.Millisecond)
			}
			b.Team.Set(func(s *accesstest.TeamSettings) { s.CertLifetime = 0 })
			b.login(t)
			if n := b.asked(); n != 3 || bytes.Equal(b.certificate(t).Key.Marshal(), short.Key.Marshal()) {
				t.Errorf("%d certificates, another key: %v", n, n == 3)
			}
			if withAgent && !strings.Contains(list(), "(ED25519)") {
				t.Error("the key of somebody else is gone")
			}
			// Nothing of it stays.
			must(t, b.World, "access-ssh-proxy", "config", "--remove", "--all", "--file", b.config)
			if _, err := os.Stat(filepath.Dir(b.key())); !os.IsNotExist(err) {
				t.Errorf("left behind: %v", err)
			}
			if strings.Contains(list(), "access-ssh-proxy") {
				t.Errorf("left in the agent:\n%s", list())
			}
		})
	}
}

// A start of ssh with a good certificate asks nobody: not even the network can be
// reached.
func TestGoodCertificateNeedsNoNetwork(t *testing.T) {
	b := newCertBed(t)
	b.login(t)
	b.Edge.ClearLog()
	b.Set("HTTPS_PROXY=http://127.0.0.1:1", "ACCESS_KEYSTORE=no-such-keystore")
	out, errs, err := command(t, b.World, "access-ssh-proxy", "cert", "--key="+b.key(), "ssh.example.com")
	if err != nil || out+errs != "" {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	if n := len(b.Edge.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	// The agent that had the key is gone, or it is another one: it is missed.
	if err := os.Remove(b.key()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := command(t, b.World, "access-ssh-proxy", "cert", "--key="+b.key(), "ssh.example.com"); err == nil {
		t.Error("good without its key")
	}
}

// Many that start at once get one certificate, and all get in.
func TestOneCertificateForMany(t *testing.T) {
	b := newCertBed(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if out, errs, err := command(t, b.World, "ssh", "-F", b.config, "ssh.example.com", "echo", "hello"); err != nil || out != "hello\n" {
				t.Errorf("%v %q\n%s", err, out, errs)
			}
		})
	}
	wg.Wait()
	if n := b.asked(); n != 1 {
		t.Errorf("%d certificates", n)
	}
	if tabs := b.Tabs(); len(tabs) != 1 {
		t.Errorf("%d browser tabs", len(tabs))
	}
}

// A renewal does not take the key from under a connection that is being made.
func TestRenewalWhileConnecting(t *testing.T) {
	for _, withAgent := range []bool{false, true} {
		t.Run(fmt.Sprintf("agent=%v", withAgent), func(t *testing.T) {
			b := newCertBed(t)
			if withAgent {
				realAgent(t, b)
			}
			b.login(t)
			// The ProxyCommand runs once ssh has read key and certificate, and before
			// ssh uses them.
			script := filepath.Join(b.dir, "between")
			write(t, script, "#!/bin/sh\naccess-ssh-proxy cert --renew --key="+b.key()+" ssh.example.com || exit 1\nexec access-ssh-proxy --hostname=ssh.example.com\n")
			if err := os.Chmod(script, 0o700); err != nil {
				t.Fatal(err)
			}
			out, errs, err := command(t, b.World, "ssh", "-F", b.config, "-o", "ProxyCommand="+script, "ssh.example.com", "echo", "hello")
			if err != nil || out != "hello\n" {
				t.Errorf("%v %q\n%s", err, out, errs)
			}
			if n := b.asked(); n != 2 {
				t.Errorf("%d certificates", n)
			}
		})
	}
}

// The user name at the server is the server's to judge.
func TestWrongPrincipal(t *testing.T) {
	b := newCertBed(t)
	realAgent(t, b)
	for i := range 7 { // more than a server lets anybody try
		key := filepath.Join(b.dir, fmt.Sprint("other", i))
		must(t, b.World, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
		must(t, b.World, "ssh-add", "-q", key)
	}
	write(t, filepath.Join(b.dir, "principals"), "bob\n")
	out, errs, err := command(t, b.World, "ssh", "-F", b.config, "ssh.example.com", "true")
	if err == nil || out != "" || !strings.Contains(errs, "Permission denied (publickey)") || strings.Contains(errs, "access-ssh-proxy: error") || strings.Contains(errs, "no such identity") {
		t.Errorf("%v %q\n%s", err, out, errs)
	}
}

// The edge's own SSH server, git, and an application with Managed OAuth.
func TestCloneByCertificate(t *testing.T) {
	for _, oauth := range []*accesstest.OAuth{nil, {}} {
		t.Run(fmt.Sprintf("OAuth=%v", oauth != nil), func(t *testing.T) {
			scripttest.Need(t, "ssh", "openssh-client")
			w := newWorld(t)
			sshd, err := origin.StartSSH(filepath.Join(w.Dir, "origin"), &origin.SSHOptions{UserCA: w.Team.SSHCA()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { w.Edge.CutRelays(); sshd.Close() })
			w.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.TCP, a.OAuth = accesstest.DialTCP(sshd.Addr()), oauth })
			dir := shortDir(t)
			known, config := filepath.Join(dir, "known_hosts"), filepath.Join(dir, "config")
			write(t, known, sshd.KnownHosts("ssh.example.com"))
			write(t, config, "Host *\n  StrictHostKeyChecking yes\n  BatchMode yes\n  UserKnownHostsFile "+known)
			must(t, w, "access-ssh-proxy", "config", "--install", "--short-lived-cert", "--file", config, "ada@ssh.example.com")
			w.Set("GIT_SSH_COMMAND=ssh -F " + config)
			must(t, w, "git", "clone", "-q", "ssh://ssh.example.com/demo.git", filepath.Join(w.Dir, "clone"))
			must(t, w, "ssh", "-F", config, "-O", "exit", "ssh.example.com")
			if _, errs, err := command(t, w, "git", "ls-remote", "ssh://bob@ssh.example.com/demo.git"); err == nil || !strings.Contains(errs, "Permission denied") {
				t.Errorf("as another user: %v\n%s", err, errs)
			}
		})
	}
}

// A file that is somebody's own key stays as it is.
func TestCertLeavesOtherKeys(t *testing.T) {
	b := newCertBed(t)
	own := filepath.Join(b.dir, "id")
	before, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	_, errs, err := command(t, b.World, "access-ssh-proxy", "cert", "--key="+own, "ssh.example.com")
	after, rerr := os.ReadFile(own)
	if err == nil || rerr != nil || !bytes.Equal(before, after) || !strings.Contains(errs, "was not made by this program") || !strings.Contains(errs, "hint: name another file: --key=FILE") {
		t.Errorf("%v, %v\n%s", err, rerr, errs)
	}
	if b.asked() > 0 {
		t.Error("a certificate was asked for in vain")
	}
}

// A server that signs ECDSA keys only gets one; what it says otherwise is quoted,
// whether it is JSON or not.
func TestCertKeyTypes(t *testing.T) {
	b := newCertBed(t)
	b.Team.Set(func(s *accesstest.TeamSettings) {
		s.CertKeyTypes, s.PlainCertErrors = []string{"ecdsa-sha2-nistp256"}, true
	})
	b.login(t)
	if got := b.certificate(t).Key.Type(); got != ssh.KeyAlgoECDSA256 || b.asked() != 2 {
		t.Errorf("%s after %d requests", got, b.asked())
	}
	b.Team.Set(func(s *accesstest.TeamSettings) { s.CertKeyTypes = []string{"none"} })
	before := tree(t, filepath.Dir(b.key()))
	out, errs, err := command(t, b.World, "access-ssh-proxy", "cert", "--renew", "--key="+b.key(), "ssh.example.com")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 4 || out != "" || strings.Contains(errs, "invalid character") ||
		!strings.Contains(errs, "error: no SSH certificate for ssh.example.com: "+b.Team.Domain()+` answered with status 400: "unable to sign: `) || !strings.Contains(errs, "hint: your administrator") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	if after := tree(t, filepath.Dir(b.key())); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	// ssh says so and goes on: it may have another key. The old one still holds.
	b.login(t)
}
