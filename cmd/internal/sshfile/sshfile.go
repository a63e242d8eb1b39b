// Package sshfile reads ssh's client configuration as lines with the block that
// each stands in, for those who look for something in it or change single lines.
// What ssh makes of it all is ssh's to say (ssh -G).
package sshfile

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A Line is one line of a configuration file.
type Line struct {
	N       int    // from 1
	Text    string // without its end
	End     string // "\n" or "\r\n"; at the end of a file "" or "\r"
	Keyword string // lower case; "" for blank lines and comments
	Value   string // as written, without blanks around

	Block int    // number of the block; 0 is what stands before the first Host or Match
	Head  string // "host" or "match"; "" in block 0
	Hosts string // of a Host line the patterns, of a Match line its criteria
}

// Read splits a file.
func Read(file []byte) []Line {
	var all []Line
	block, head, hosts := 0, "", ""
	for i, raw := range strings.SplitAfter(string(file), "\n") {
		if raw == "" {
			continue
		}
		text := strings.TrimRight(raw, "\r\n")
		l := Line{N: i + 1, Text: text, End: raw[len(text):]}
		l.Keyword, l.Value = split(text)
		if l.Keyword == "host" || l.Keyword == "match" {
			block++
			head, hosts = l.Keyword, l.Value
		}
		l.Block, l.Head, l.Hosts = block, head, hosts
		all = append(all, l)
	}
	return all
}

// split takes a line apart: "Keyword value", "Keyword=value" (ssh_config(5)).
func split(text string) (keyword, value string) {
	text = strings.TrimSpace(text)
	if text == "" || text[0] == '#' {
		return "", ""
	}
	end := strings.IndexAny(text, " \t=")
	if end < 0 {
		return strings.ToLower(text), ""
	}
	value = strings.TrimLeft(text[end:], " \t")
	value = strings.TrimLeft(strings.TrimPrefix(value, "="), " \t")
	return strings.ToLower(text[:end]), value
}

// Patterns are those of a Host line, or of "host" in a Match line.
func (l Line) Patterns() []string {
	words := strings.Fields(strings.ReplaceAll(l.Hosts, `"`, " "))
	if l.Head == "host" {
		return words
	}
	for i, w := range words {
		if (strings.EqualFold(w, "host") || strings.EqualFold(w, "originalhost")) && i+1 < len(words) {
			return strings.Split(words[i+1], ",")
		}
	}
	return nil
}

// Applies reports whether the block may apply to a host. A Match line is judged by
// its host alone.
func (l Line) Applies(host string) bool {
	if l.Block == 0 {
		return true
	}
	patterns := l.Patterns()
	if l.Head == "match" && patterns == nil {
		return true
	}
	yes := false
	for _, p := range patterns {
		negated := strings.HasPrefix(p, "!")
		ok, err := path.Match(strings.TrimPrefix(p, "!"), host)
		switch {
		case err != nil || !ok:
		case negated:
			return false
		default:
			yes = true
		}
	}
	return yes
}

// Everyone reports whether the block is for all hosts, or for none in particular.
func (l Line) Everyone() bool {
	return l.Block == 0 || l.Head == "host" && slices.Contains(l.Patterns(), "*") || l.Head == "match" && strings.EqualFold(l.Hosts, "all")
}

// A Cloudflared is a call of cloudflared access in a line.
type Cloudflared struct {
	Command  string // "ssh", "tcp", "ssh-gen", …
	Hostname string // "%h" or a name; "" if the line has none
	Rest     []string
	Secret   bool // a service token stands in the line
	Shell    bool // inside a command of a shell, with others
}

var calls = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:^|[\s"'/\\])cloudflared(?:\.exe)?["']?\s+access\s+([a-z-]+)`)
})

// FindCloudflared tells whether the line calls cloudflared access, by ProxyCommand or
// by Match … exec.
func (l Line) FindCloudflared() (Cloudflared, bool) {
	if l.Keyword != "proxycommand" && l.Keyword != "match" {
		return Cloudflared{}, false
	}
	m := calls().FindStringSubmatchIndex(l.Value)
	if m == nil {
		return Cloudflared{}, false
	}
	c := Cloudflared{Command: l.Value[m[2]:m[3]], Shell: l.Keyword == "proxycommand" && strings.ContainsAny(l.Value, ";|&")}
	words := strings.Fields(strings.NewReplacer(`"`, " ", "'", " ", "=", " ", ";", " ").Replace(l.Value[m[3]:]))
	for i := 0; i < len(words); i++ {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch strings.TrimLeft(words[i], "-") {
		case "hostname", "tunnel-host", "T":
			c.Hostname = next
			i++
		case "service-token-id", "id", "service-token-secret", "secret":
			c.Secret = true
			i++
		case "destination":
			c.Rest = append(c.Rest, "--destination="+next)
			i++
		}
	}
	return c, true
}

var secretArgument = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(\s-{1,2}(?:service-token-)?secret(?:\s*=\s*|\s+))("[^"]*"|'[^']*'|[^\s"']+)`)
})

// Redact takes the service tokens of calls of cloudflared out of a text that people
// are shown.
func Redact(text string) string { return secretArgument().ReplaceAllString(text, "$1[redacted]") }
