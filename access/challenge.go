package access

import "strings"

// A challenge is one element of WWW-Authenticate (RFC 9110 §11.6.1).
type challenge struct {
	scheme string // lower case
	params map[string]string
}

// parseChallenges reads all challenges of all field lines. It accepts what
// RFC 9110 allows, and skips what it cannot read rather than fail: the caller only
// asks for what it knows.
func parseChallenges(lines []string) []challenge {
	var out []challenge
	for _, line := range lines {
		s := scanner{line}
		for {
			s.skip(" \t,")
			word := s.token()
			if word == "" {
				if s.rest == "" {
					break
				}
				s.rest = s.rest[1:] // not a token: step over it
				continue
			}
			s.skip(" \t")
			if v, ok := s.value(); ok { // word = value: a parameter of the latest challenge
				if len(out) > 0 {
					p := out[len(out)-1].params
					name := strings.ToLower(word)
					if _, twice := p[name]; !twice { // the first one holds
						p[name] = v
					}
				}
				continue
			}
			out = append(out, challenge{strings.ToLower(word), map[string]string{}})
		}
	}
	return out
}

type scanner struct{ rest string }

func (s *scanner) skip(set string) { s.rest = strings.TrimLeft(s.rest, set) }

func (s *scanner) token() string {
	i := strings.IndexFunc(s.rest, func(r rune) bool { return !isTokenRune(r) })
	if i < 0 {
		i = len(s.rest)
	}
	t := s.rest[:i]
	s.rest = s.rest[i:]
	return t
}

// value reads "= token" or "= quoted-string". ok is false, and nothing is consumed,
// if there is no equals sign. The padding of a token68 reads as an empty value, which
// nobody asks for.
func (s *scanner) value() (string, bool) {
	if !strings.HasPrefix(s.rest, "=") {
		return "", false
	}
	s.rest = s.rest[1:]
	s.skip(" \t")
	if !strings.HasPrefix(s.rest, `"`) {
		return s.token(), true
	}
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '\\' && i+1 < len(s.rest):
			i++
			b.WriteByte(s.rest[i])
		case c == '"':
			s.rest = s.rest[i+1:]
			return b.String(), true
		default:
			b.WriteByte(c)
		}
	}
	s.rest = "" // never closed
	return "", true
}

func isTokenRune(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' ||
		strings.ContainsRune("!#$%&'*+-.^_`|~/", r) // "/" for token68 values
}

func resourceOf(cs []challenge, scheme string) string {
	return paramOf(cs, scheme, "resource_metadata") // RFC 9728 §5.1
}

func paramOf(cs []challenge, scheme, name string) string {
	for _, c := range cs {
		if c.scheme == scheme && c.params[name] != "" {
			return c.params[name]
		}
	}
	return ""
}
