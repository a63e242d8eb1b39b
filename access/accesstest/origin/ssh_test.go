package origin

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct{ command, verb, repo string }{
		{"git-upload-pack '/demo.git'", "upload-pack", "/demo.git"},
		{"git upload-pack 'demo.git'", "upload-pack", "demo.git"},
		{"git-receive-pack '/a b.git'", "receive-pack", "/a b.git"},
		{`git-upload-pack 'it'\''s.git'`, "upload-pack", "it's.git"},
		{`git-upload-pack 'wow'\!'.git'`, "upload-pack", "wow!.git"},
		{"git-upload-archive demo.git", "upload-archive", "demo.git"},
		{"git-upload-pack", "", ""},
		{"git-upload-pack 'a' 'b'", "", ""},
		{"git-upload-pack 'a'; id", "", ""},
		{"git-upload-pack a;id", "", ""},
		{"git-upload-pack $(id)", "", ""},
		{"git-upload-pack 'a", "", ""},
		{"git gc", "", ""},
		{"id", "", ""},
		{"", "", ""},
	} {
		verb, repo, err := parse(tc.command)
		if verb != tc.verb || repo != tc.repo || (err != nil) != (tc.verb == "") {
			t.Errorf("%q: %q %q %v", tc.command, verb, repo, err)
		}
	}
}

// FuzzUnquote: what git's quoting makes of a path is read back as that path.
func FuzzUnquote(f *testing.F) {
	f.Add("demo.git")
	f.Add("it's! 'quoted'")
	f.Fuzz(func(t *testing.T, s string) {
		quoted := "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
		if got, err := unquote(quoted); err != nil || got != s {
			t.Errorf("%q became %q, %v", s, got, err)
		}
	})
}

func signer(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// certificate has ca certify the key for principals.
func certificate(t *testing.T, ca, key ssh.Signer, life time.Duration, principals ...string) ssh.Signer {
	t.Helper()
	c := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: principals,
		ValidAfter: uint64(time.Now().Add(-time.Hour).Unix()), ValidBefore: uint64(time.Now().Add(life).Unix())}
	if err := c.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewCertSigner(c, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSSHLogin(t *testing.T) {
	key, ca := signer(t), signer(t)
	for _, tc := range []struct {
		name string
		opt  *SSHOptions
		user string
		key  ssh.Signer
		ok   bool
	}{
		{"everyone, without a key", nil, "git", nil, true},
		{"everyone, with a key", nil, "git", key, true},
		{"authorized", &SSHOptions{AuthorizedKeys: []ssh.PublicKey{key.PublicKey()}}, "git", key, true},
		{"not authorized", &SSHOptions{AuthorizedKeys: []ssh.PublicKey{key.PublicKey()}}, "git", signer(t), false},
		{"no key", &SSHOptions{AuthorizedKeys: []ssh.PublicKey{key.PublicKey()}}, "git", nil, false},
		{"certificate", &SSHOptions{UserCA: ca.PublicKey()}, "ada", certificate(t, ca, key, time.Hour, "ada"), true},
		{"certificate of another user", &SSHOptions{UserCA: ca.PublicKey()}, "root", certificate(t, ca, key, time.Hour, "ada"), false},
		{"certificate for nobody", &SSHOptions{UserCA: ca.PublicKey()}, "ada", certificate(t, ca, key, time.Hour), false},
		{"certificate that expired", &SSHOptions{UserCA: ca.PublicKey()}, "ada", certificate(t, ca, key, -time.Minute, "ada"), false},
		{"certificate of another CA", &SSHOptions{UserCA: ca.PublicKey()}, "ada", certificate(t, signer(t), key, time.Hour, "ada"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := StartSSH(t.TempDir(), tc.opt)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			config := &ssh.ClientConfig{User: tc.user, HostKeyCallback: ssh.FixedHostKey(s.opt.HostKey.PublicKey())}
			if tc.key != nil {
				config.Auth = []ssh.AuthMethod{ssh.PublicKeys(tc.key)}
			}
			c, err := ssh.Dial("tcp", s.Addr(), config)
			if (err == nil) != tc.ok {
				t.Fatalf("%v", err)
			}
			if err == nil {
				c.Close()
			}
		})
	}
}

func TestSSHRunsGitAlone(t *testing.T) {
	root := t.TempDir()
	if _, err := Init(t.Context(), root, "demo.git", map[string][]byte{"a": []byte("b")}); err != nil {
		t.Fatal(err)
	}
	s, err := StartSSH(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := ssh.Dial("tcp", s.Addr(), &ssh.ClientConfig{User: "git", HostKeyCallback: ssh.FixedHostKey(s.opt.HostKey.PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	run := func(command string) (out, errs string, status int) {
		t.Helper()
		sess, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		defer sess.Close()
		var o, e strings.Builder
		sess.Stdout, sess.Stderr = &o, &e
		if command == "" {
			in, _ := sess.StdinPipe()
			defer in.Close()
			err = sess.Shell()
			if err == nil {
				err = sess.Wait()
			}
		} else {
			err = sess.Run(command)
		}
		var exit *ssh.ExitError
		if errors.As(err, &exit) {
			status = exit.ExitStatus()
		} else if err != nil {
			t.Fatal(err)
		}
		return o.String(), e.String(), status
	}
	if out, _, status := run("git-upload-pack '/demo.git'"); !strings.Contains(out, "refs/heads/main") {
		t.Errorf("%q %d", out, status)
	}
	for command, want := range map[string]int{"": 1, "id": 128, "git-upload-pack '/missing.git'": 128, "git-upload-pack '/../../../etc'": 128, "git-upload-pack '-c x'": 128} {
		if out, errs, status := run(command); status != want || out != "" || errs == "" {
			t.Errorf("%q: %q %q %d", command, out, errs, status)
		}
	}
	if _, err := c.Dial("tcp", "127.0.0.1:1"); err == nil {
		t.Error("forwards")
	}
	sess, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := sess.Setenv("LD_PRELOAD", "x"); err == nil {
		t.Error("takes any variable")
	}
	if err := sess.RequestSubsystem("sftp"); err == nil {
		t.Error("has files")
	}
	// The client hangs up in the middle: nothing is left, or Close would hang.
	in, _ := sess.StdinPipe()
	if err := sess.Start("git-receive-pack '/demo.git'"); err == nil {
		io.WriteString(in, "00")
	}
	c.Close()
}
