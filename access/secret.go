package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"log/slog"
)

// A Secret is a token or the secret half of a service token. It prints as
// [redacted] through fmt, slog and encoding/json, so that it reaches no log, no
// error text and no trace by accident. The zero Secret is empty. Secrets are
// compared with Equal.
type Secret struct {
	// A pointer, since fmt calls no methods on unexported fields of the structs
	// that hold a Secret: it then prints an address.
	s *string
}

// NewSecret wraps s.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// Reveal returns the secret itself, for the place where it leaves the program.
func (s Secret) Reveal() string {
	if s.s == nil {
		return ""
	}
	return *s.s
}

// Empty reports whether there is no secret.
func (s Secret) Empty() bool { return s.s == nil }

// Equal compares in constant time.
func (s Secret) Equal(t Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
}

const redacted = "[redacted]"

// String returns "[redacted]", or "" for an empty Secret.
func (s Secret) String() string {
	if s.Empty() {
		return ""
	}
	return redacted
}

// Format prints the redacted form whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements [encoding.TextMarshaler], which encoding/json uses.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// fingerprint identifies a secret without revealing it.
func (s Secret) fingerprint() string {
	h := sha256.Sum256([]byte(s.Reveal()))
	return hex.EncodeToString(h[:16])
}
