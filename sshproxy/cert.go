package sshproxy

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/gitaccess/gitaccess/internal/state"
)

// An Identity is an SSH key with a short-lived certificate, at the paths that
// ssh's configuration names.
//
// Where an agent runs, the key is in the agent alone, for as long as the
// certificate holds, and the disk has what is public: the key as Path+".pub" and
// the certificate as Path+"-cert.pub". ssh finds the key by these (ssh(1), -i).
// Elsewhere Path has the private key, as ssh-keygen writes it, 0600.
//
// Several processes may use one Identity; only one at a time may call Renew.
// Connections under way keep what they have: neither key nor certificate is taken
// away before the certificate has ended.
type Identity struct {
	// Path of the private key.
	Path string
	// Comment names the key in its files and in the agent. What has another comment
	// is somebody else's and is not touched.
	Comment string
	// Agent is the socket of an agent, SSH_AUTH_SOCK; "" uses files.
	Agent string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// ErrKeyType is wrapped by the error of a [SignFunc] that might sign a key of
// another type.
var ErrKeyType = errors.New("sshproxy: the key was refused")

// A SignFunc has a public key certified. Key and certificate are in the form of
// authorized_keys.
type SignFunc func(ctx context.Context, publicKey string) (certificate string, err error)

// CertificateError says that a certificate was not installed, and why.
type CertificateError struct{ Reason string }

func (e *CertificateError) Error() string {
	return "sshproxy: the certificate is not usable: " + e.Reason
}

// ForeignKeyError says that what stands at an Identity's path is not its own.
type ForeignKeyError struct{ Path string }

func (e *ForeignKeyError) Error() string {
	return fmt.Sprintf("sshproxy: %q is there already and was not made by this program", e.Path)
}

// files of an Identity beside the private key.
func (id *Identity) publicPath() string      { return id.Path + ".pub" }
func (id *Identity) certificatePath() string { return id.Path + "-cert.pub" }

func (id *Identity) now() time.Time {
	if id.Now == nil {
		return time.Now()
	}
	return id.Now()
}

// Fresh reports whether the certificate holds for long enough and its key is
// where ssh will look for it. It asks the disk and the agent, and nobody else.
//
// Long enough is a tenth of the certificate's life, and at least a minute, unless
// that is more than half of it.
func (id *Identity) Fresh(ctx context.Context) bool {
	cert, issued, err := id.load()
	if err != nil || !id.now().Before(ends(cert).Add(-reserve(ends(cert).Sub(issued)))) {
		return false
	}
	public, comment, err := readPublic(id.publicPath())
	if err != nil || comment != id.Comment || !sameKey(public, cert.Key) {
		return false
	}
	key, err := id.private()
	if err == nil {
		return sameKey(key.PublicKey(), cert.Key)
	}
	return errors.Is(err, fs.ErrNotExist) && id.inAgent(ctx, cert)
}

func reserve(life time.Duration) time.Duration { return max(life/10, min(time.Minute, life/2)) }

// Renew has a key certified and puts key and certificate in place. The key is
// ed25519, or ECDSA on P-256 where sign refuses that. It is a new one, unless the
// old one is in a file and its certificate still holds: somebody may be about to
// use the two.
func (id *Identity) Renew(ctx context.Context, sign SignFunc) error {
	if err := id.complete(); err != nil {
		return err
	}
	if err := state.MkdirAll(filepath.Dir(id.Path)); err != nil {
		return err
	}
	if err := id.checkOwn(); err != nil {
		return err
	}
	old, _, err := id.load()
	if err != nil {
		old = nil
	}
	agent := id.dialAgent(ctx)
	if agent != nil {
		defer agent.close()
	}
	var refused error
	for _, algorithm := range algorithms(old) {
		key, err := id.newKey(algorithm, old, agent != nil)
		if err != nil {
			return err
		}
		signer, err := ssh.NewSignerFromKey(key)
		if err != nil {
			return err
		}
		text, err := sign(ctx, string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
		if errors.Is(err, ErrKeyType) {
			refused = cmp.Or(refused, err)
			continue
		}
		if err != nil {
			return err
		}
		cert, err := id.check(text, signer.PublicKey())
		if err != nil {
			return err
		}
		return id.install(key, cert, old, agent)
	}
	return refused
}

// Remove deletes key and certificate, on disk and in the agent. Absent ones are no
// error.
func (id *Identity) Remove(ctx context.Context) error {
	if err := id.complete(); err != nil {
		return err
	}
	err := id.checkOwn()
	if errors.Is(err, fs.ErrNotExist) { // no folder
		err = nil
	}
	if err != nil {
		return err
	}
	if agent := id.dialAgent(ctx); agent != nil {
		agent.forget(id.Comment)
		agent.close()
	}
	var errs []error
	// The one that says whose they are comes last.
	for _, path := range []string{id.Path, id.certificatePath(), id.publicPath()} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// complete refuses what would make keys without a comment ours.
func (id *Identity) complete() error {
	if id.Path == "" || strings.TrimSpace(id.Comment) == "" || hasControl(id.Comment) {
		return errors.New("sshproxy: an Identity needs a Path, and a Comment of one line")
	}
	return nil
}

// algorithms begins with the type that was signed before, so that a server which
// refuses ed25519 is not asked in vain each time.
func algorithms(old *ssh.Certificate) []string {
	if old != nil && old.Key.Type() == ssh.KeyAlgoECDSA256 {
		return []string{ssh.KeyAlgoECDSA256, ssh.KeyAlgoED25519}
	}
	return []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256}
}

func (id *Identity) newKey(algorithm string, old *ssh.Certificate, agent bool) (crypto.Signer, error) {
	if old != nil && old.Key.Type() == algorithm && !agent && id.now().Before(ends(old)) {
		if b, err := state.ReadFile(id.Path); err == nil {
			key, err := ssh.ParseRawPrivateKey(b)
			if signer, ok := key.(crypto.Signer); ok && err == nil {
				if k, err := ssh.NewSignerFromSigner(signer); err == nil && sameKey(k.PublicKey(), old.Key) {
					return signer, nil
				}
			}
		}
	}
	if algorithm == ssh.KeyAlgoECDSA256 {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// skew is how far ahead of ours the clock of the one who signs may be.
const skew = 5 * time.Minute

// check reads a certificate and checks that it is one for key, for a person and
// for now. Who signed it is the SSH server's to judge, which knows the authority.
func (id *Identity) check(text string, key ssh.PublicKey) (*ssh.Certificate, error) {
	unusable := func(format string, args ...any) (*ssh.Certificate, error) {
		return nil, &CertificateError{fmt.Sprintf(format, args...)}
	}
	parsed, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(options) > 0 || strings.TrimSpace(string(rest)) != "" {
		return unusable("the answer is not one line with a certificate")
	}
	cert, ok := parsed.(*ssh.Certificate)
	switch now := id.now(); {
	case !ok:
		return unusable("the answer is a plain key")
	case cert.CertType != ssh.UserCert:
		return unusable("it is a certificate for servers")
	case !sameKey(cert.Key, key):
		return unusable("it certifies another key than the one that was sent")
	case !now.Before(ends(cert)):
		return unusable("it ended at %s (is this machine's clock right?)", ends(cert).UTC().Format(time.RFC3339))
	case now.Add(skew).Before(begins(cert)):
		return unusable("it begins at %s (is this machine's clock right?)", begins(cert).UTC().Format(time.RFC3339))
	}
	// The rest of what CheckCert looks at was looked at above, or is the server's.
	checker := ssh.CertChecker{Clock: func() time.Time { return begins(cert) }}
	for option := range cert.CriticalOptions {
		checker.SupportedCriticalOptions = append(checker.SupportedCriticalOptions, option)
	}
	principal := ""
	if len(cert.ValidPrincipals) > 0 {
		principal = cert.ValidPrincipals[0]
	}
	if err := checker.CheckCert(principal, cert); err != nil {
		return unusable("%v", err)
	}
	return cert, nil
}

// install puts the key into the agent, if there is one that takes it, else on disk.
func (id *Identity) install(key crypto.Signer, cert, old *ssh.Certificate, agent *agentConn) error {
	if agent != nil && agent.add(key, cert, id.Comment, ends(cert).Sub(id.now())) == nil {
		keep := []ssh.PublicKey{cert.Key}
		if old != nil && id.now().Before(ends(old)) {
			keep = append(keep, old.Key)
		}
		agent.forget(id.Comment, keep...)
		if err := id.writePublic(id.publicPath(), cert.Key); err != nil {
			return err
		}
		if err := id.writePublic(id.certificatePath(), cert); err != nil {
			return err
		}
		if err := os.Remove(id.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	block, err := ssh.MarshalPrivateKey(key, id.Comment)
	if err != nil {
		return err
	}
	// First the one that says whose the key is, then the key, then what makes it of use.
	if err := id.writePublic(id.publicPath(), cert.Key); err != nil {
		return err
	}
	if err := state.WriteFile(id.Path, pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	return id.writePublic(id.certificatePath(), cert)
}

func (id *Identity) writePublic(path string, key ssh.PublicKey) error {
	line := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n") + " " + id.Comment + "\n"
	return state.WriteFile(path, []byte(line), 0o600)
}

// load reads the certificate, and when it was put here.
func (id *Identity) load() (cert *ssh.Certificate, issued time.Time, err error) {
	key, comment, err := readPublic(id.certificatePath())
	if err != nil {
		return nil, time.Time{}, err
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok || comment != id.Comment {
		return nil, time.Time{}, &ForeignKeyError{id.certificatePath()}
	}
	info, err := os.Lstat(id.certificatePath())
	if err != nil {
		return nil, time.Time{}, err
	}
	// A certificate may begin long before it was signed, even at the epoch.
	issued = begins(cert)
	if written := info.ModTime(); written.After(issued) && !written.After(id.now()) {
		issued = written
	}
	return cert, issued, nil
}

func (id *Identity) private() (ssh.Signer, error) {
	b, err := state.ReadFile(id.Path)
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(b)
}

// checkOwn refuses to go on where a file would be replaced that is not ours. The
// public key says whose the private one is.
func (id *Identity) checkOwn() error {
	for _, path := range []string{id.publicPath(), id.certificatePath()} {
		_, comment, err := readPublic(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, errNoKey), err == nil && comment != id.Comment:
			return &ForeignKeyError{path}
		case err != nil:
			return err
		}
	}
	if _, err := os.Lstat(id.publicPath()); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(id.Path); err == nil {
			return &ForeignKeyError{id.Path}
		}
	}
	return nil
}

var errNoKey = errors.New("sshproxy: no SSH key in the file")

func readPublic(path string) (ssh.PublicKey, string, error) {
	b, err := state.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	key, comment, _, _, err := ssh.ParseAuthorizedKey(b)
	if err != nil {
		return nil, "", fmt.Errorf("%w %q", errNoKey, path)
	}
	return key, comment, nil
}

func sameKey(a, b ssh.PublicKey) bool { return string(a.Marshal()) == string(b.Marshal()) }

func begins(c *ssh.Certificate) time.Time { return certTime(c.ValidAfter) }
func ends(c *ssh.Certificate) time.Time   { return certTime(c.ValidBefore) }

// certTime is within what time.Duration can subtract: a certificate without an end
// has 2^64-1 for it.
func certTime(s uint64) time.Time {
	const centuries = 1 << 33
	return time.Unix(int64(min(s, centuries)), 0)
}
