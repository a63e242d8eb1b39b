package sshproxy_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/gitaccess/gitaccess/internal/scripttest"
	"github.com/gitaccess/gitaccess/sshproxy"
)

const comment = "access-ssh-proxy git.example.com"

// authority certifies keys.
type authority struct {
	signer ssh.Signer
	change func(*ssh.Certificate)
	refuse string // a type of key

	asked []string
}

func newSigner(t *testing.T) ssh.Signer {
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

// certify gives four minutes, with one before now.
func (a *authority) certify(t *testing.T) sshproxy.SignFunc {
	return func(_ context.Context, text string) (string, error) {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
		if err != nil {
			t.Errorf("asked to sign %q", text)
			return "", err
		}
		a.asked = append(a.asked, key.Type())
		if key.Type() == a.refuse {
			return "", fmt.Errorf("%w: unsupported key type", sshproxy.ErrKeyType)
		}
		c := &ssh.Certificate{
			Key: key, CertType: ssh.UserCert, ValidPrincipals: []string{"ada"}, KeyId: "ada@example.com",
			ValidAfter: uint64(time.Now().Add(-time.Minute).Unix()), ValidBefore: uint64(time.Now().Add(4 * time.Minute).Unix()),
		}
		if a.change != nil {
			a.change(c)
		}
		if err := c.SignCert(rand.Reader, a.signer); err != nil {
			return "", err
		}
		return string(ssh.MarshalAuthorizedKey(c)), nil
	}
}

// serveAgent serves an agent in memory.
func serveAgent(t *testing.T, a agent.Agent) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // t.TempDir is too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
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
			serving.Go(func() { _ = agent.ServeAgent(a, c); c.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait(); os.RemoveAll(dir) })
	return socket
}

func newIdentity(t *testing.T, agent string) *sshproxy.Identity {
	return &sshproxy.Identity{Path: filepath.Join(t.TempDir(), "keys", "git.example.com"), Comment: comment, Agent: agent}
}

func fileNames(t *testing.T, id *sshproxy.Identity) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(id.Path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
		names = append(names, e.Name())
	}
	return names
}

func certificateOf(t *testing.T, id *sshproxy.Identity) *ssh.Certificate {
	t.Helper()
	b, err := os.ReadFile(id.Path + "-cert.pub")
	if err != nil {
		t.Fatal(err)
	}
	key, got, _, _, err := ssh.ParseAuthorizedKey(b)
	cert, ok := key.(*ssh.Certificate)
	if err != nil || !ok || got != comment {
		t.Fatalf("%q: %v", b, err)
	}
	return cert
}

var (
	withFiles = []string{"git.example.com", "git.example.com-cert.pub", "git.example.com.pub"}
	withAgent = withFiles[1:]
)

func TestIdentityInFiles(t *testing.T) {
	id := newIdentity(t, "")
	ca := &authority{signer: newSigner(t)}
	if id.Fresh(t.Context()) {
		t.Error("fresh without a key")
	}
	if err := id.Renew(t.Context(), ca.certify(t)); err != nil {
		t.Fatal(err)
	}
	if got := fileNames(t, id); !slices.Equal(got, withFiles) {
		t.Errorf("files: %q", got)
	}
	if !id.Fresh(t.Context()) {
		t.Error("not fresh right after")
	}
	first := certificateOf(t, id)
	if first.Key.Type() != ssh.KeyAlgoED25519 {
		t.Errorf("key of type %s", first.Key.Type())
	}
	key, err := os.ReadFile(id.Path)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil || !bytes.Equal(signer.PublicKey().Marshal(), first.Key.Marshal()) {
		t.Errorf("the private key is another: %v", err)
	}
	// As long as the certificate holds, its key stays: somebody may be about to use both.
	if err := id.Renew(t.Context(), ca.certify(t)); err != nil {
		t.Fatal(err)
	}
	second := certificateOf(t, id)
	if !bytes.Equal(second.Key.Marshal(), first.Key.Marshal()) || second.Nonce == nil || bytes.Equal(second.Nonce, first.Nonce) {
		t.Error("renewed ahead: want another certificate for the same key")
	}
	// Afterwards it is another one.
	id.Now = func() time.Time { return time.Now().Add(5 * time.Minute) }
	ca.change = func(c *ssh.Certificate) { c.ValidBefore += 600 }
	if err := id.Renew(t.Context(), ca.certify(t)); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(certificateOf(t, id).Key.Marshal(), first.Key.Marshal()) {
		t.Error("the key outlives its certificate")
	}
	if err := id.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if got := fileNames(t, id); got != nil {
		t.Errorf("left: %q", got)
	}
	if err := id.Remove(t.Context()); err != nil {
		t.Errorf("remove nothing: %v", err)
	}
}

// A certificate is renewed near its end and not before.
func TestIdentityFresh(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) uint64 { return uint64(now.Add(d).Unix()) }
	tests := []struct {
		name          string
		after, before uint64
		age           time.Duration // since it was put there
		later         time.Duration // of the question
		want          bool
	}{
		{"new", at(-time.Minute), at(4 * time.Minute), 0, 0, true},
		{"a minute and some left", at(-time.Minute), at(4 * time.Minute), 0, 175 * time.Second, true},
		{"less than a minute left", at(-time.Minute), at(4 * time.Minute), 0, 185 * time.Second, false},
		{"ended", at(-time.Minute), at(4 * time.Minute), 0, 5 * time.Minute, false},
		{"ten hours, one and some left", at(0), at(10 * time.Hour), 0, 10*time.Hour - 61*time.Minute, true},
		{"ten hours, less than one left", at(0), at(10 * time.Hour), 0, 10*time.Hour - 59*time.Minute, false},
		{"one minute in all", at(0), at(time.Minute), 0, 20 * time.Second, true},
		{"one minute in all, near its end", at(0), at(time.Minute), 0, 40 * time.Second, false},
		{"begins at the epoch", 0, at(4 * time.Minute), 0, 0, true},
		{"begins at the epoch, near its end", 0, at(4 * time.Minute), 0, 185 * time.Second, false},
		{"without an end", 0, ssh.CertTimeInfinity, time.Hour, 24 * time.Hour, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id := newIdentity(t, "")
			ca := &authority{signer: newSigner(t), change: func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = tt.after, tt.before }}
			if err := id.Renew(t.Context(), ca.certify(t)); err != nil {
				t.Fatal(err)
			}
			written := now.Add(-tt.age)
			if err := os.Chtimes(id.Path+"-cert.pub", written, written); err != nil {
				t.Fatal(err)
			}
			id.Now = func() time.Time { return now.Add(tt.later) }
			if got := id.Fresh(t.Context()); got != tt.want {
				t.Errorf("fresh: %v", got)
			}
		})
	}
}

// Files that do not belong together are not taken for a good key.
func TestIdentityIsWhole(t *testing.T) {
	ca := &authority{signer: newSigner(t)}
	other := newIdentity(t, "")
	if err := other.Renew(t.Context(), ca.certify(t)); err != nil {
		t.Fatal(err)
	}
	for suffix, name := range map[string]string{"": "key", ".pub": "public key", "-cert.pub": "certificate"} {
		for _, spoil := range []string{"missing", "another's", "cut off"} {
			id := newIdentity(t, "")
			if err := id.Renew(t.Context(), ca.certify(t)); err != nil {
				t.Fatal(err)
			}
			var err error
			switch spoil {
			case "missing":
				err = os.Remove(id.Path + suffix)
			case "another's":
				var b []byte
				if b, err = os.ReadFile(other.Path + suffix); err == nil {
					err = os.WriteFile(id.Path+suffix, b, 0o600)
				}
			case "cut off":
				err = os.Truncate(id.Path+suffix, 20)
			}
			if err != nil {
				t.Fatal(err)
			}
			if id.Fresh(t.Context()) {
				t.Errorf("fresh with the %s %s", name, spoil)
			}
		}
	}
}

func TestIdentityInAgent(t *testing.T) {
	keyring := agent.NewKeyring()
	id := newIdentity(t, serveAgent(t, keyring))
	ca := &authority{signer: newSigner(t)}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.Add(agent.AddedKey{PrivateKey: private, Comment: "ada@laptop"}); err != nil {
		t.Fatal(err)
	}
	// A file from a time without an agent.
	if err := (&sshproxy.Identity{Path: id.Path, Comment: comment}).Renew(t.Context(), ca.certify(t)); err != nil {
		t.Fatal(err)
	}
	renew := func() *ssh.Certificate {
		t.Helper()
		if err := id.Renew(t.Context(), ca.certify(t)); err != nil {
			t.Fatal(err)
		}
		if got := fileNames(t, id); !slices.Equal(got, withAgent) {
			t.Errorf("files: %q", got)
		}
		if !id.Fresh(t.Context()) {
			t.Error("not fresh right after")
		}
		return certificateOf(t, id)
	}
	held := func(c *ssh.Certificate) (n int) {
		t.Helper()
		keys, err := keyring.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if bytes.Equal(k.Blob, c.Marshal()) || bytes.Equal(k.Blob, c.Key.Marshal()) {
				n++
			}
		}
		return n
	}
	first := renew()
	// The certificate before still holds: a connection under way can use it.
	second := renew()
	third := renew()
	if a, b, c := held(first), held(second), held(third); a != 0 || b != 2 || c != 2 {
		t.Errorf("the agent has %d, %d and %d of the first, second and third", a, b, c)
	}
	id.Now = func() time.Time { return time.Now().Add(5 * time.Minute) }
	ca.change = func(c *ssh.Certificate) { c.ValidBefore += 600 }
	fourth := renew()
	if a, b := held(third), held(fourth); a != 0 || b != 2 {
		t.Errorf("the agent has %d of the one that ended, %d of the new one", a, b)
	}
	// The agent forgot it, or another one runs now.
	if err := keyring.Remove(fourth.Key); err != nil {
		t.Fatal(err)
	}
	if id.Fresh(t.Context()) {
		t.Error("fresh without the key")
	}
	renew()
	if (&sshproxy.Identity{Path: id.Path, Comment: comment, Now: id.Now}).Fresh(t.Context()) {
		t.Error("fresh without an agent")
	}
	if err := id.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	keys, err := keyring.List()
	if err != nil || len(keys) != 1 || keys[0].Comment != "ada@laptop" {
		t.Errorf("left in the agent: %v, %v", keys, err)
	}
}

// A person may log in before the certificate is signed, which takes longer than an
// agent may take for an answer. The key comes to the agent all the same, and not on
// the disk.
func TestIdentityInAgentAfterALogin(t *testing.T) {
	t.Parallel()
	keyring := agent.NewKeyring()
	id := newIdentity(t, serveAgent(t, keyring))
	a := &authority{signer: newSigner(t)}
	sign := a.certify(t)
	err := id.Renew(t.Context(), func(ctx context.Context, key string) (string, error) {
		time.Sleep(sshproxy.AgentTime + 100*time.Millisecond)
		return sign(ctx, key)
	})
	if err != nil {
		t.Fatal(err)
	}
	if names := fileNames(t, id); slices.Contains(names, filepath.Base(id.Path)) {
		t.Errorf("the private key is on the disk: %v", names)
	}
	if keys, err := keyring.List(); err != nil || len(keys) != 2 {
		t.Errorf("the agent has %v, %v", keys, err)
	}
}

// constraintless is an agent without lifetimes, as that of Windows; halfway takes
// plain keys and no certificates.
type constraintless struct {
	agent.Agent
	halfway bool
}

func (c constraintless) Add(k agent.AddedKey) error {
	if k.LifetimeSecs != 0 && !(c.halfway && k.Certificate == nil) {
		return errors.New("unsupported constraint")
	}
	return c.Agent.Add(k)
}

// Where the agent cannot have the key, files serve.
func TestIdentityWithoutAgent(t *testing.T) {
	locked := agent.NewKeyring()
	if err := locked.Lock([]byte("x")); err != nil {
		t.Fatal(err)
	}
	refusing, halfway := agent.NewKeyring(), agent.NewKeyring()
	gpg := serveAgent(t, agent.NewKeyring())
	link := filepath.Join(filepath.Dir(gpg), "S.gpg-agent.ssh")
	if err := os.Symlink(gpg, link); err != nil {
		t.Fatal(err)
	}
	for name, socket := range map[string]string{
		"gone":           filepath.Join(t.TempDir(), "gone"),
		"locked":         serveAgent(t, locked),
		"no lifetimes":   serveAgent(t, constraintless{refusing, false}),
		"no certificate": serveAgent(t, constraintless{halfway, true}),
		"gpg-agent":      link,
	} {
		t.Run(name, func(t *testing.T) {
			id := newIdentity(t, socket)
			ca := &authority{signer: newSigner(t)}
			if err := id.Renew(t.Context(), ca.certify(t)); err != nil {
				t.Fatal(err)
			}
			if got := fileNames(t, id); !slices.Equal(got, withFiles) {
				t.Errorf("files: %q", got)
			}
			if !id.Fresh(t.Context()) {
				t.Error("not fresh right after")
			}
			for _, keyring := range []agent.Agent{refusing, halfway} {
				if keys, err := keyring.List(); err != nil || len(keys) > 0 {
					t.Errorf("left in an agent: %v, %v", keys, err)
				}
			}
		})
	}
}

func TestIdentityKeyTypes(t *testing.T) {
	id := newIdentity(t, "")
	ca := &authority{signer: newSigner(t), refuse: ssh.KeyAlgoED25519}
	for range 2 {
		if err := id.Renew(t.Context(), ca.certify(t)); err != nil {
			t.Fatal(err)
		}
		if got := certificateOf(t, id).Key.Type(); got != ssh.KeyAlgoECDSA256 || !id.Fresh(t.Context()) {
			t.Errorf("key of type %s", got)
		}
	}
	// The second time it is not asked in vain, and should it change its mind, neither.
	if want := []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA256}; !slices.Equal(ca.asked, want) {
		t.Errorf("asked for %q", ca.asked)
	}
	ca.refuse = ssh.KeyAlgoECDSA256
	if err := id.Renew(t.Context(), ca.certify(t)); err != nil {
		t.Fatal(err)
	}
	if got := certificateOf(t, id).Key.Type(); got != ssh.KeyAlgoED25519 {
		t.Errorf("key of type %s", got)
	}
	// An error that is not about the key is told at once; nothing changes.
	before := certificateOf(t, id)
	want := errors.New("login required")
	n := 0
	err := id.Renew(t.Context(), func(context.Context, string) (string, error) { n++; return "", want })
	if !errors.Is(err, want) || n != 1 || !bytes.Equal(certificateOf(t, id).Marshal(), before.Marshal()) {
		t.Errorf("%v after %d tries", err, n)
	}
	err = id.Renew(t.Context(), func(_ context.Context, key string) (string, error) {
		return "", fmt.Errorf("%w: no %s", sshproxy.ErrKeyType, strings.Fields(key)[0])
	})
	if !errors.Is(err, sshproxy.ErrKeyType) || !strings.Contains(err.Error(), "no ssh-ed25519") {
		t.Errorf("both refused: %v", err)
	}
}

// A certificate is looked at before it takes the place of what is there.
func TestIdentityChecksCertificates(t *testing.T) {
	ca := &authority{signer: newSigner(t)}
	other := newSigner(t)
	sign := func(change func(*ssh.Certificate), spoil func(string) string) sshproxy.SignFunc {
		a := &authority{signer: ca.signer, change: change}
		return func(ctx context.Context, key string) (string, error) {
			text, err := a.certify(t)(ctx, key)
			if spoil != nil {
				text = spoil(text)
			}
			return text, err
		}
	}
	tests := []struct {
		name   string
		change func(*ssh.Certificate)
		spoil  func(string) string
		want   string // of the reason; "" is installed
	}{
		{"good", nil, nil, ""},
		{"with options of its own", func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"source-address": "10.0.0.0/8"} }, nil, ""},
		{"without principals", func(c *ssh.Certificate) { c.ValidPrincipals = nil }, nil, ""},
		{"a clock that is ahead", func(c *ssh.Certificate) { c.ValidAfter += 240; c.ValidBefore += 240 }, nil, ""},
		{"another key", func(c *ssh.Certificate) { c.Key = other.PublicKey() }, nil, "another key"},
		{"for servers", func(c *ssh.Certificate) { c.CertType = ssh.HostCert }, nil, "for servers"},
		{"ended", func(c *ssh.Certificate) { c.ValidBefore = uint64(time.Now().Add(-time.Second).Unix()) }, nil, "clock"},
		{"tomorrow", func(c *ssh.Certificate) {
			c.ValidAfter = uint64(time.Now().Add(20 * time.Hour).Unix())
			c.ValidBefore = uint64(time.Now().Add(24 * time.Hour).Unix())
		}, nil, "begins at"},
		{"ends before it begins", func(c *ssh.Certificate) { c.ValidAfter = c.ValidBefore + 60 }, nil, "expired"},
		{"plain key", nil, func(string) string { return string(ssh.MarshalAuthorizedKey(other.PublicKey())) }, "plain key"},
		{"nothing", nil, func(string) string { return "" }, "not one line"},
		{"a page", nil, func(string) string { return "<html>" }, "not one line"},
		{"two", nil, func(s string) string { return s + s }, "not one line"},
		{"with options in front", nil, func(s string) string { return `command="id" ` + s }, "not one line"},
		{"not signed by whom it says", func(c *ssh.Certificate) {}, func(s string) string {
			key, _, _, _, _ := ssh.ParseAuthorizedKey([]byte(s))
			c := key.(*ssh.Certificate)
			c.ValidPrincipals = []string{"root"}
			return string(ssh.MarshalAuthorizedKey(c))
		}, "signature"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id := newIdentity(t, "")
			if err := id.Renew(t.Context(), ca.certify(t)); err != nil {
				t.Fatal(err)
			}
			before := certificateOf(t, id)
			err := id.Renew(t.Context(), sign(tt.change, tt.spoil))
			var unusable *sshproxy.CertificateError
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (!errors.As(err, &unusable) || !strings.Contains(unusable.Reason, tt.want)):
				t.Errorf("got %v", err)
			case tt.want != "" && (!bytes.Equal(certificateOf(t, id).Marshal(), before.Marshal()) || !id.Fresh(t.Context())):
				t.Error("what was there is gone")
			}
		})
	}
}

// A key that somebody else made is neither replaced nor removed.
func TestForeignKeyStays(t *testing.T) {
	ca := &authority{signer: newSigner(t)}
	public := string(ssh.MarshalAuthorizedKey(newSigner(t).PublicKey()))
	for name, files := range map[string]map[string]string{
		"private key alone":   {"": "PRIVATE"},
		"public key":          {".pub": strings.TrimSpace(public) + " ada@laptop\n"},
		"without a comment":   {".pub": public},
		"no key":              {".pub": "hello"},
		"another certificate": {"-cert.pub": strings.TrimSpace(public) + " ada@laptop\n"},
		"of another host":     {"": "PRIVATE", ".pub": strings.TrimSpace(public) + " access-ssh-proxy other.example.com\n"},
	} {
		id := newIdentity(t, "")
		if err := os.Mkdir(filepath.Dir(id.Path), 0o700); err != nil {
			t.Fatal(err)
		}
		for suffix, text := range files {
			writeFile(t, id.Path+suffix, text, 0o600)
		}
		var foreign *sshproxy.ForeignKeyError
		if err := id.Renew(t.Context(), ca.certify(t)); !errors.As(err, &foreign) {
			t.Errorf("%s: renewed: %v", name, err)
		}
		if err := id.Remove(t.Context()); !errors.As(err, &foreign) {
			t.Errorf("%s: removed: %v", name, err)
		}
		for suffix, text := range files {
			if got, err := os.ReadFile(id.Path + suffix); err != nil || string(got) != text {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		if got := len(fileNames(t, id)); got != len(files) {
			t.Errorf("%s: %d files", name, got)
		}
	}
	if len(ca.asked) > 0 {
		t.Error("a certificate was asked for in vain")
	}
	for _, bad := range []string{"", " ", "a\nb"} {
		id := newIdentity(t, "")
		id.Comment = bad
		if err := id.Renew(t.Context(), ca.certify(t)); err == nil {
			t.Errorf("comment %q", bad)
		}
	}
}

// A real agent holds the key as long as the certificate, and forgets it by itself.
func TestIdentityInRealAgent(t *testing.T) {
	program := scripttest.Need(t, "ssh-agent", "openssh-client")
	add := scripttest.Need(t, "ssh-add", "openssh-client")
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(program, "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	await(t, func() bool { _, err := os.Stat(socket); return err == nil })
	id := newIdentity(t, socket)
	ca := &authority{signer: newSigner(t)}
	if err := id.Renew(t.Context(), ca.certify(t)); err != nil {
		t.Fatal(err)
	}
	if got := fileNames(t, id); !slices.Equal(got, withAgent) {
		t.Errorf("files: %q", got)
	}
	list := func() string {
		cmd := exec.Command(add, "-l")
		cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		out, _ := cmd.CombinedOutput() // fails when there are none
		return string(out)
	}
	if got := list(); strings.Count(got, comment) != 2 || !strings.Contains(got, "(ED25519-CERT)") {
		t.Errorf("the agent has:\n%s", got)
	}
	// Two seconds by a clock that stands still until it is asked again.
	now := time.Now().Add(10 * time.Minute).Truncate(time.Second)
	id.Now = func() time.Time { return now }
	ca.change = func(c *ssh.Certificate) { c.ValidBefore = uint64(now.Unix()) + 2 }
	if err := id.Renew(t.Context(), ca.certify(t)); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return !strings.Contains(list(), comment) })
	if id.Fresh(t.Context()) {
		t.Error("fresh although the agent has forgotten it")
	}
}

// await waits for what another process does.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}
