// Package plaintext keeps texts of others (a server's words, a host name, a prompt, a line of a file) from steering the terminal or window
// that they are shown in, and from showing their letters in another order than they have.
package plaintext

import (
	"strings"
	"unicode"
)

// Lines returns s with a replacement character for each control character but the end of a line, for what else separates lines, and for
// what changes the direction of writing (https://www.unicode.org/reports/tr9/). A tab becomes a space.
func Lines(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case unicode.IsControl(r), r == '\u2028', r == '\u2029', r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// Line is Lines for a text that has one line only.
func Line(s string) string {
	return strings.ReplaceAll(Lines(s), "\n", string(unicode.ReplacementChar))
}
