package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/ssh"
)

// A key is a private key in a file, sealed with a passphrase.
type key struct {
	id    string // fingerprint of the public key, or of the sealed one where the file does not tell the public one
	bytes []byte
}

// maxKeyFile bounds key files; one of 16384 bits has 13 KB.
const maxKeyFile = 128 << 10

// readKey reads the one file among the names that there is. It fails if there are none or several, or if it is no sealed key.
func readKey(names []string) (*key, error) {
	var found *key
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if found != nil {
			return nil, errors.New("the prompt fits several files")
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
		f.Close()
		if err != nil {
			return nil, err
		}
		if found, err = identify(b); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if found == nil {
		return nil, errors.New("the key in the prompt is not a file here")
	}
	return found, nil
}

// identify finds the fingerprint without the passphrase. OpenSSH's own format holds the public key in clear (PROTOCOL.key); the older
// PEM formats do not, and a .pub file beside may be of another key, so that there the sealed bytes are what is known.
func identify(b []byte) (*key, error) {
	_, err := ssh.ParseRawPrivateKey(b)
	var sealed *ssh.PassphraseMissingError
	block, _ := pem.Decode(b)
	switch {
	case errors.As(err, &sealed) && sealed.PublicKey != nil:
		return &key{ssh.FingerprintSHA256(sealed.PublicKey), b}, nil
	case block != nil && (errors.As(err, &sealed) || block.Type == "ENCRYPTED PRIVATE KEY"):
		sum := sha256.Sum256(block.Bytes)
		return &key{"PEM:" + base64.RawStdEncoding.EncodeToString(sum[:]), b}, nil
	case err == nil:
		return nil, errors.New("the key has no passphrase")
	}
	return nil, errors.New("not a private key")
}

// opens reports whether the passphrase is right. sure is false where this program does not know the cipher.
func (k *key) opens(passphrase []byte) (right, sure bool) {
	_, err := ssh.ParseRawPrivateKeyWithPassphrase(k.bytes, passphrase)
	switch {
	case err == nil:
		return true, true
	case errors.Is(err, x509.IncorrectPasswordError):
		return false, true
	}
	return false, false
}

// store is the name of the passphrase in the keystore.
func (k *key) store() string { return "passphrase/" + k.id }
