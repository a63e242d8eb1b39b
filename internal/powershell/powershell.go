// Package powershell writes scripts for command lines.
package powershell

import (
	"encoding/base64"
	"encoding/binary"
	"unicode/utf16"
)

// Encode makes of a script what -EncodedCommand takes, base64 of UTF-16, which neither WSL's way to Windows nor PowerShell's own parser of
// arguments can read differently.
func Encode(script string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(script)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return base64.StdEncoding.EncodeToString(b)
}
