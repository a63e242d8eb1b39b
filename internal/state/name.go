package state

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
)

// maxElement leaves room below the 255 bytes that most file systems allow, for the suffix of a temporary file.
const maxElement = 180

func escape(elem ...string) string {
	var out []string
	for e := range strings.SplitSeq(strings.Join(elem, "/"), "/") {
		if e != "" {
			out = append(out, escapeElement(e))
		}
	}
	if len(out) == 0 {
		return "."
	}
	return filepath.Join(out...)
}

func escapeElement(e string) string {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(e) {
		c := e[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		case c == '.' && i > 0 && i < len(e)-1: // hidden files and "..", and Windows drops a dot at the end
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upper[c>>4])
			b.WriteByte(upper[c&15])
		}
	}
	s := b.String()
	if reserved(s) {
		s = "%" + s
	}
	if len(s) > maxElement {
		sum := sha256.Sum256([]byte(e))
		// "%%" occurs in no other escaped name.
		s = s[:maxElement-34] + "%%" + hex.EncodeToString(sum[:16])
	}
	return s
}

// reserved knows the names that Windows takes for devices, with any extension
// (https://learn.microsoft.com/windows/win32/fileio/naming-a-file).
func reserved(s string) bool {
	stem, _, _ := strings.Cut(s, ".")
	switch stem {
	case "con", "prn", "aux", "nul":
		return true
	}
	return len(stem) == 4 && (strings.HasPrefix(stem, "com") || strings.HasPrefix(stem, "lpt")) && stem[3] >= '0' && stem[3] <= '9'
}
