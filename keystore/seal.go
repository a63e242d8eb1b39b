package keystore

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/gitaccess/gitaccess/internal/lease"
)

// Where a key for the file store comes from, in this order.
const (
	envKeyFile = "ACCESS_KEYSTORE_KEY_FILE"
	// systemd puts credentials into files and the folder's name into the environment (https://systemd.io/CREDENTIALS/).
	envCredentials = "CREDENTIALS_DIRECTORY"
	credential     = "access-keystore-key"
	envPassphrase  = "ACCESS_KEYSTORE_PASSPHRASE"
)

// minKey is what a key file must hold: a file is for keys that nobody has to remember. `head -c 32 /dev/urandom` makes one.
const minKey = 32

// maxKeyFile is what a key file may hold at most. One who names /dev/urandom itself is to be told so.
const maxKeyFile = 16 << 20

type keySource struct{ getenv func(string) string }

func (k keySource) file() string {
	if path := k.getenv(envKeyFile); path != "" {
		return path
	}
	if dir := k.getenv(envCredentials); dir != "" {
		path := filepath.Join(dir, credential)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path
		}
	}
	return ""
}

func (k keySource) given() bool { return k.file() != "" || k.getenv(envPassphrase) != "" }

// key derives the key. The salt is for passphrases only.
func (k keySource) key(salt []byte) ([]byte, error) {
	var secret []byte
	if path := k.file(); path != "" {
		b, err := readKeyFile(path)
		if err != nil {
			return nil, fmt.Errorf("key of the file store: %w", err)
		}
		secret = bytes.TrimRight(b, "\r\n") // an editor may add one
		// The bytes of a random key may themselves end in some.
		if len(b) < minKey || len(secret) < minKey/2 {
			return nil, fmt.Errorf("key of the file store: %q holds %d bytes, fewer than %d", path, len(secret), minKey)
		}
	} else {
		// RFC 9106 and OWASP's least memory (19 MiB, 2 passes): 20 ms, once for each process that needs it.
		secret = argon2.IDKey([]byte(k.getenv(envPassphrase)), salt, 2, 19<<10, 1, 32)
	}
	return hkdf.Key(sha256.New, secret, nil, "gitaccess keystore entries 1", chacha20poly1305.KeySize)
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("%q holds more than %d bytes", path, maxKeyFile)
	}
	return b, nil
}

// A sealed entry is this line, the key's id, a nonce and the ciphertext. The name of the entry is authenticated with it, so that
// files cannot be exchanged for one another.
const (
	sealMark  = "gitaccess-sealed-"
	sealLine  = sealMark + "1\n"
	sealIDLen = 8
)

func isSealed(blob []byte) bool { return bytes.HasPrefix(blob, []byte(sealMark)) }

// sealer seals what the file store writes. Without a key it lets everything through as it is.
type sealer struct {
	aead cipher.AEAD // nil: no key
	id   []byte      // says which key it was, and nothing else about it
	salt []byte
}

// marker is what "keystore/seal" holds. Where it is, nothing may be written unsealed or with another key: someone wanted it sealed, and
// a process that merely lacks the variable must not undo that.
type marker struct {
	V    int    `json:"v"`
	ID   string `json:"id"`
	Salt []byte `json:"salt"`
}

const markerName = "keystore/seal"

func (f *file) readMarker() (*marker, error) {
	b, err := f.dir.Load(markerName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m marker
	if err := json.Unmarshal(b, &m); err != nil || m.V < 1 || len(m.Salt) == 0 {
		return nil, fmt.Errorf("%q is damaged", f.dir.Path(markerName))
	}
	if m.V > 1 {
		return nil, fmt.Errorf("%q was written by a newer version of this program (format %d)", f.dir.Path(markerName), m.V)
	}
	return &m, nil
}

func (f *file) sealer() (*sealer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seal != nil {
		return f.seal, nil
	}
	s := &sealer{}
	if f.keys.given() {
		m, err := f.readMarker()
		if err != nil {
			return nil, err
		}
		if m != nil {
			s.salt = m.Salt
		} else {
			s.salt = make([]byte, 16)
			rand.Read(s.salt)
		}
		key, err := f.keys.key(s.salt)
		if err != nil {
			return nil, err
		}
		if s.aead, err = chacha20poly1305.NewX(key); err != nil {
			return nil, err
		}
		if s.id, err = hkdf.Key(sha256.New, key, nil, "gitaccess keystore id 1", sealIDLen); err != nil {
			return nil, err
		}
	}
	f.seal = s
	return s, nil
}

// sealerFor is the sealer to write with. The first that writes with a key makes the whole folder a sealed one.
func (f *file) sealerFor(ctx context.Context) (*sealer, error) {
	s, err := f.sealer()
	if err != nil {
		return nil, err
	}
	m, err := f.readMarker()
	switch {
	case err != nil:
		return nil, err
	case m == nil && s.aead == nil:
		return s, nil
	case s.aead == nil:
		return nil, &SealedError{Reason: fmt.Sprintf("the store is sealed and no key is given; without %q it would not be", f.dir.Path(markerName))}
	case m != nil && m.ID == hex.EncodeToString(s.id):
		return s, nil
	}
	// One at a time: of two salts for one passphrase, one would be lost, and with it what was sealed.
	l, err := lease.Acquire(ctx, f.dir.Path("keystore-lease", "seal"), nil)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	if m, err = f.readMarker(); err != nil {
		return nil, err
	}
	if m != nil && !bytes.Equal(m.Salt, s.salt) {
		f.mu.Lock()
		f.seal = nil
		f.mu.Unlock()
		if s, err = f.sealer(); err != nil {
			return nil, err
		}
	}
	if m != nil && m.ID == hex.EncodeToString(s.id) {
		return s, nil
	}
	if m != nil && f.names(func(string) error { return fs.ErrExist }) != nil {
		return nil, &SealedError{Reason: "the store is sealed with another key"}
	}
	b, err := json.Marshal(marker{1, hex.EncodeToString(s.id), s.salt})
	if err != nil {
		return nil, err
	}
	return s, f.dir.Save(markerName, b)
}

func (s *sealer) seal(name string, blob []byte) []byte {
	if s.aead == nil {
		return blob
	}
	out := append([]byte(sealLine), s.id...)
	nonce := make([]byte, s.aead.NonceSize())
	rand.Read(nonce)
	out = append(out, nonce...)
	return s.aead.Seal(out, nonce, blob, []byte(sealLine+name))
}

func (s *sealer) open(name string, blob []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(blob, []byte(sealLine))
	if !ok {
		return nil, &NewerError{Version: version + 1}
	}
	if s.aead == nil {
		return nil, &SealedError{Reason: "it is sealed and no key is given"}
	}
	if len(rest) < sealIDLen+s.aead.NonceSize() {
		return nil, &CorruptError{Err: errors.New("it is too short")}
	}
	id, rest := rest[:sealIDLen], rest[sealIDLen:]
	if !bytes.Equal(id, s.id) {
		return nil, &SealedError{Reason: "it is sealed with another key"}
	}
	nonce, rest := rest[:s.aead.NonceSize()], rest[s.aead.NonceSize():]
	out, err := s.aead.Open(nil, nonce, rest, []byte(sealLine+name))
	if err != nil {
		return nil, &CorruptError{Err: errors.New("its seal is broken")}
	}
	return out, nil
}
