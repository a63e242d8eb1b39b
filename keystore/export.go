package keystore

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// A sealed export is text, so that it survives being pasted and mailed:
//
//	gitaccess-export 1
//	argon2id 3 65536 4 SALT KEY-ID NONCE
//	the ciphertext (XChaCha20-Poly1305), in lines of base64
//	end
//
// The first two lines are authenticated with it. The id is derived from the key and tells a wrong passphrase from a damaged file; trying
// passphrases on it costs what trying them on the ciphertext does. Numbers are those of RFC 9106 §4, second choice: 3 passes over 64 MiB.
const (
	exportMark    = "gitaccess-export "
	exportVersion = 1
	exportEnd     = "end"
)

type argonCost struct {
	passes, memory uint32 // KiB
	threads        uint8
}

var exportCost = argonCost{3, 64 << 10, 4}

// What a file that somebody made may cost whoever opens it.
const (
	maxExportPasses  = 32
	maxExportMemory  = 1 << 20 // KiB
	maxExportThreads = 32
)

// ExportCause is why a sealed export cannot be opened.
type ExportCause string

const (
	NotAnExport     ExportCause = "it is no sealed export"
	NewerExport     ExportCause = "it was written by a newer version of this program"
	CutExport       ExportCause = "it is not whole: its end is missing"
	DamagedExport   ExportCause = "it is damaged"
	WrongPassphrase ExportCause = "the passphrase is wrong"
)

// ExportError says that a sealed export cannot be opened.
type ExportError struct {
	Cause   ExportCause
	Version int // of NewerExport
}

func (e *ExportError) Error() string {
	if e.Cause == NewerExport {
		return fmt.Sprintf("keystore: %s (format %d)", e.Cause, e.Version)
	}
	return "keystore: " + string(e.Cause)
}

// SealExport seals what leaves the machine with a passphrase. [OpenExport] opens it on another.
func SealExport(b, passphrase []byte) ([]byte, error) {
	salt, nonce := make([]byte, 16), make([]byte, chacha20poly1305.NonceSizeX)
	rand.Read(salt)
	rand.Read(nonce)
	aead, id, err := exportKey(passphrase, salt, exportCost)
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("%s%d\nargon2id %d %d %d %s %s %s\n", exportMark, exportVersion, exportCost.passes, exportCost.memory, exportCost.threads,
		base64.StdEncoding.EncodeToString(salt), base64.StdEncoding.EncodeToString(id), base64.StdEncoding.EncodeToString(nonce))
	body := base64.StdEncoding.EncodeToString(aead.Seal(nil, nonce, b, []byte(head)))
	out := bytes.NewBufferString(head)
	for len(body) > 0 {
		n := min(len(body), 76)
		out.WriteString(body[:n] + "\n")
		body = body[n:]
	}
	out.WriteString(exportEnd + "\n")
	return out.Bytes(), nil
}

// sealedExport is a sealed export, taken apart.
type sealedExport struct {
	head                    string
	cost                    argonCost
	salt, id, nonce, sealed []byte
}

func parseExport(b []byte) (*sealedExport, error) {
	text := strings.TrimRight(strings.ReplaceAll(string(b), "\r\n", "\n"), " \n") // mail
	first, rest, _ := strings.Cut(text, "\n")
	v, ok := strings.CutPrefix(first, exportMark)
	version, err := strconv.Atoi(v)
	switch {
	case !ok, err != nil, version < 1:
		return nil, &ExportError{Cause: NotAnExport}
	case version > exportVersion:
		return nil, &ExportError{Cause: NewerExport, Version: version}
	}
	second, body, ok := strings.Cut(rest, "\n")
	body, whole := strings.CutSuffix(body, "\n"+exportEnd)
	if !ok || !whole {
		return nil, &ExportError{Cause: CutExport}
	}
	e := &sealedExport{head: first + "\n" + second + "\n"}
	var fields [3]string
	c := &e.cost
	if _, err := fmt.Sscanf(second, "argon2id %d %d %d %s %s %s", &c.passes, &c.memory, &c.threads, &fields[0], &fields[1], &fields[2]); err != nil ||
		c.passes < 1 || c.passes > maxExportPasses || c.memory < 8 || c.memory > maxExportMemory || c.threads < 1 || c.threads > maxExportThreads {
		return nil, &ExportError{Cause: DamagedExport}
	}
	for i, to := range []*[]byte{&e.salt, &e.id, &e.nonce, &e.sealed} {
		if *to, err = base64.StdEncoding.DecodeString(append(fields[:], strings.ReplaceAll(body, "\n", ""))[i]); err != nil {
			return nil, &ExportError{Cause: DamagedExport}
		}
	}
	if len(e.nonce) != chacha20poly1305.NonceSizeX {
		return nil, &ExportError{Cause: DamagedExport}
	}
	return e, nil
}

// CheckExport says what is wrong with a sealed export whatever the passphrase, as far as that can be told without one. Its error is an
// [*ExportError].
func CheckExport(b []byte) error {
	_, err := parseExport(b)
	return err
}

// OpenExport returns what was sealed. If it cannot, the error is an [*ExportError].
func OpenExport(b, passphrase []byte) ([]byte, error) {
	e, err := parseExport(b)
	if err != nil {
		return nil, err
	}
	aead, id, err := exportKey(passphrase, e.salt, e.cost)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(id, e.id) {
		return nil, &ExportError{Cause: WrongPassphrase}
	}
	out, err := aead.Open(nil, e.nonce, e.sealed, []byte(e.head))
	if err != nil {
		return nil, &ExportError{Cause: DamagedExport}
	}
	return out, nil
}

func exportKey(passphrase, salt []byte, c argonCost) (aead cipher.AEAD, id []byte, err error) {
	secret := argon2.IDKey(passphrase, salt, c.passes, c.memory, c.threads, 32)
	key, err := hkdf.Key(sha256.New, secret, nil, "gitaccess export 1", chacha20poly1305.KeySize)
	if err != nil {
		return nil, nil, err
	}
	if aead, err = chacha20poly1305.NewX(key); err != nil {
		return nil, nil, err
	}
	id, err = hkdf.Key(sha256.New, secret, nil, "gitaccess export id 1", 8)
	return aead, id, err
}
