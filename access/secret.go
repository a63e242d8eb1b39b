package access

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
)

// A Secret is a token or the secret half of a service token. It prints as
// [redacted] through fmt, slog and encoding/json, so that it reaches no log, no
// error text and no trace by accident. The zero Secret is empty.
type Secret struct{ s string }

// NewSecret wraps s.
func NewSecret(s string) Secret { return Secret{s} }

// Reveal returns the secret itself, for the place where it leaves the program.
func (s Secret) Reveal() string { return s.s }

// Empty reports whether there is no secret.
func (s Secret) Empty() bool { return s.s == "" }

const redacted = "[redacted]"

// String returns "[redacted]", or "" for an empty Secret.
func (s Secret) String() string {
	if s.s == "" {
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
	h := sha256.Sum256([]byte(s.s))
	return hex.EncodeToString(h[:16])
}
