package githelper

import "strings"

// A Challenge is one element of a WWW-Authenticate header (RFC 9110 §11.6.1).
type Challenge struct {
	Scheme string            // in lower case: "basic", "bearer"
	Token  string            // the token68 form, "Negotiate oYIC…"; empty beside Params
	Params map[string]string // names in lower case
}

// Challenges returns what the server asked for in the 401 that made git ask, as git passed it on. It is empty when git asks before
// its first request. What does not follow the grammar is skipped up to the next comma.
func (r *Request) Challenges() []Challenge {
	var all []Challenge
	for _, v := range r.WWWAuth {
		all = append(all, parseChallenges(v)...)
	}
	return all
}

// Wants reports whether the server asked for scheme, and returns its first such challenge.
func (r *Request) Wants(scheme string) (Challenge, bool) {
	for _, c := range r.Challenges() {
		if strings.EqualFold(c.Scheme, scheme) {
			return c, true
		}
	}
	return Challenge{}, false
}

// parseChallenges splits a field value. Challenges and their parameters are both separated by commas, so each element is either
// "name=value", which belongs to the challenge before it, or begins a challenge: "scheme", "scheme token68", "scheme name=value".
func parseChallenges(s string) []Challenge {
	var all []Challenge
	for _, element := range splitQuoted(s) {
		word, rest := cutToken(element)
		if word == "" {
			continue
		}
		if name, value, ok := parseParam(element); ok {
			if len(all) > 0 && all[len(all)-1].Token == "" { // beside a token there are no parameters
				all[len(all)-1].set(name, value)
			}
			continue
		}
		if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
			continue
		}
		c := Challenge{Scheme: strings.ToLower(word)}
		rest = strings.Trim(rest, " \t")
		if name, value, ok := parseParam(rest); ok {
			c.set(name, value)
		} else if isToken68(rest) {
			c.Token = rest
		}
		all = append(all, c)
	}
	return all
}

func (c *Challenge) set(name, value string) {
	name = strings.ToLower(name)
	if c.Params == nil {
		c.Params = make(map[string]string)
	}
	if _, twice := c.Params[name]; !twice { // a name must occur once; the first one holds
		c.Params[name] = value
	}
}

// splitQuoted splits at commas outside of quoted strings.
func splitQuoted(s string) []string {
	var all []string
	quoted, start := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			all = append(all, strings.Trim(s[start:i], " \t"))
			start = i + 1
		}
	}
	return append(all, strings.Trim(s[start:], " \t"))
}

func parseParam(s string) (name, value string, ok bool) {
	name, rest := cutToken(s)
	rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t"), "=")
	rest = strings.Trim(rest, " \t")
	if !ok || name == "" || rest == "" {
		return "", "", false
	}
	if rest[0] != '"' {
		value, rest = cutToken(rest)
		return name, value, value != "" && rest == ""
	}
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\\' && i+1 < len(rest):
			i++
			b.WriteByte(rest[i])
		case c == '"':
			return name, b.String(), i == len(rest)-1
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false // never closed
}

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func cutToken(s string) (token, rest string) {
	rest = strings.TrimLeft(s, alphanumeric+"!#$%&'*+-.^_`|~")
	return s[:len(s)-len(rest)], rest
}

func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && strings.Trim(s, alphanumeric+"-._~+/") == ""
}
