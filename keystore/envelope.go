package keystore

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// version is the newest format of an envelope that we read, and the one that we write.
const version = 1

// envelope is what a backend holds under the hash of a key. Names in a backend can be seen without unlocking it (labels, file names,
// targets), so the key itself is in here only.
type envelope struct {
	V   int    `json:"v"`
	Key string `json:"key"`

	// One of the two, or none where an entry is on its way in or out. A value of no bytes is not nil.
	Value *[]byte `json:"value,omitempty"`
	Parts *parts  `json:"parts,omitempty"`

	// Generations that are not, or no longer, the entry's: what a killed writer leaves to be cleared away (see split.go).
	Next *parts `json:"next,omitempty"`
	Old  *parts `json:"old,omitempty"`
}

// empty reports whether there is an envelope but no entry.
func (e *envelope) empty() bool { return e.Value == nil && e.Parts == nil }

func (e *envelope) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(e)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// decode reads the envelope of a key.
func decode(key string, blob []byte) (*envelope, error) {
	e, err := decodeAny(blob)
	var newer *NewerError
	switch {
	case errors.As(err, &newer):
		newer.Key = key
		return nil, newer
	case err != nil:
		return nil, &CorruptError{key, err}
	case e.Key != key:
		return nil, &CorruptError{key, errors.New("it belongs to another key")}
	}
	return e, nil
}

// decodeAny reads an envelope of whatever key. The version is looked at first and alone: of what comes after, a newer one may differ.
func decodeAny(blob []byte) (*envelope, error) {
	var v struct {
		V *int `json:"v"`
	}
	if err := json.Unmarshal(blob, &v); err != nil || v.V == nil || *v.V < 1 {
		return nil, errors.New("not an envelope of ours") // a JSON error would quote what it read
	}
	if *v.V > version {
		return nil, &NewerError{Version: *v.V}
	}
	var e envelope
	if err := json.Unmarshal(blob, &e); err != nil {
		return nil, errors.New("not an envelope of ours")
	}
	if e.Value != nil && e.Parts != nil {
		return nil, errors.New("an envelope with two values")
	}
	for _, p := range []*parts{e.Parts, e.Next, e.Old} {
		if err := p.check(); err != nil {
			return nil, err
		}
	}
	return &e, nil
}

// nameOf is what a key is called in a backend: nothing of it can be read there. 128 bits are enough to tell keys apart.
func nameOf(key string) string {
	sum := sha256.Sum256([]byte("gitaccess keystore\x00" + key))
	return hex.EncodeToString(sum[:16])
}

// plainName reports whether a name in a backend is that of an entry: not of a part, a temporary blob or something foreign.
func plainName(name string) bool {
	return len(name) == 32 && strings.Trim(name, "0123456789abcdef") == ""
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// parts is where a value that was split is kept.
type parts struct {
	Generation string `json:"generation"` // 16 hexadecimal digits, new for each write
	Count      int    `json:"count"`
	Size       int    `json:"size"`
	SHA256     string `json:"sha256"`
}

func (p *parts) check() error {
	if p == nil {
		return nil
	}
	if len(p.Generation) != 16 || strings.Trim(p.Generation, "0123456789abcdef") != "" || p.Count < 1 || p.Count > maxValue || p.Size > maxValue {
		return errors.New("an envelope with impossible parts")
	}
	return nil
}

func (p *parts) name(entry string, i int) string {
	return fmt.Sprintf("%s.%s.%d", entry, p.Generation, i)
}
