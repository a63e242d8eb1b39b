package githelper

import (
	"bytes"
	"strings"
)

// Adapt returns the content of a configuration file in which the lines that [HostConfig.Set] wrote for origin suit git v, after git was
// upgraded. The result is what Set would have written for v. The rest stays byte for byte; if the lines suit it already, all of it does.
//
// What an older git needs cannot be told from the lines for a newer one: then, too, all of it stays, see [Suits].
func Adapt(file []byte, origin string, v Version) []byte {
	out := []byte{}
	own := ownLines(file, origin)
	section, dropped := "", false
	for i, l := range splitLines(file) {
		text := strings.TrimSpace(string(l))
		key, _, _ := strings.Cut(text, " =")
		if strings.HasPrefix(text, "[") {
			section, dropped = text, false
		}
		switch {
		case !own[i]:
		case strings.HasPrefix(section, "[url ") && v.AtLeast(2, 46):
			dropped = true
			continue
		case key == "emptyAuth" && v.AtLeast(2, 46):
			l = []byte(strings.Replace(string(l), "emptyAuth = true", "proactiveAuth = auto", 1))
		case key == "version" && v.RedactsHTTP2(), key == "postBuffer" && v.BearerOnProbe():
			continue
		}
		out = append(out, l...)
	}
	if dropped && len(file) > 0 && file[len(file)-1] != '\n' { // the last line lost its line feed to Set
		out = bytes.TrimSuffix(out, []byte("\n"))
	}
	if bytes.Equal(out, file) {
		return file
	}
	return out
}

// Suits reports whether git v is served by the lines that [HostConfig.Set] wrote for origin to a configuration file; found is false if
// there are none. What to do if it is not: Adapt for a newer git, and Set for an older one.
func Suits(file []byte, origin string, v Version) (suits, found bool) {
	own := ownLines(file, origin)
	if len(own) == 0 {
		return false, false
	}
	for i, l := range splitLines(file) {
		if key, _, _ := strings.Cut(strings.TrimSpace(string(l)), " ="); own[i] && key == "proactiveAuth" && !v.AtLeast(2, 46) {
			return false, true
		}
	}
	return bytes.Equal(Adapt(file, origin, v), file), true
}
