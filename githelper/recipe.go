package githelper

import (
	"net/url"
	"slices"
	"strings"
)

// A Recipe is a line of git's configuration that sends an Access credential as a header, as blogs and runbooks have it:
//
//	http.https://HOST/.extraHeader = cf-access-token: JWT
//
// It keeps a secret in the configuration, ends with the session, and goes along to the host that a redirect leads to.
type Recipe struct {
	Section string // URL of the section; "" is for every host
	Header  string // "cf-access-token", "cf-access-client-id", "cf-access-client-secret", "cookie"; in lower case
	Value   Secret
}

// Session reports whether the header is that of a person's session, which ends by itself. The others are of service tokens.
func (r Recipe) Session() bool { return r.Header == "cf-access-token" || r.Header == "cookie" }

// For reports whether the line is for origin ("https://git.example.com") and for no other host.
func (r Recipe) For(origin string) bool {
	u, err := url.Parse(r.Section)
	if err != nil || u.Host == "" {
		return false
	}
	host := lowerASCII(u.Host)
	if port := u.Port(); port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return u.Scheme+"://"+host == origin
}

// ParseRecipe reads a header as http.<url>.extraHeader has it.
func ParseRecipe(section, header string) (Recipe, bool) {
	name, value, _ := strings.Cut(header, ":")
	r := Recipe{section, strings.ToLower(strings.TrimSpace(name)), NewSecret(strings.TrimSpace(value))}
	switch r.Header {
	case "cf-access-token", "cf-access-client-id", "cf-access-client-secret":
		return r, true
	case "cookie":
		// Others beside it are somebody else's.
		jwt, ok := strings.CutPrefix(strings.TrimSuffix(r.Value.Reveal(), ";"), "CF_Authorization=")
		r.Value = NewSecret(jwt)
		return r, ok && !strings.Contains(jwt, ";")
	}
	return Recipe{}, false
}

// WithoutRecipes returns the content of a configuration file without the recipes that drop wants gone, and these. A section goes with
// the last of its lines. Lines that are continued on the next one stay.
func WithoutRecipes(file []byte, drop func(Recipe) bool) (rest []byte, dropped []Recipe) {
	all := splitLines(file)
	gone := make(map[int]bool)
	section, isHTTP, header, lines, went := "", false, -1, 0, 0
	end := func() {
		if went > 0 && lines == went {
			gone[header] = true
		}
	}
	continued := false
	for i, raw := range all {
		l := strings.TrimSpace(string(raw))
		first := !continued
		continued = endsInValue(raw)
		switch {
		case !first:
			lines++
		case strings.HasPrefix(l, "["):
			end()
			section, isHTTP = httpSection(l)
			header, lines, went = i, 0, 0
		case l != "":
			lines++
			key, value, ok := strings.Cut(l, "=")
			if !isHTTP || !ok || continued || !strings.EqualFold(strings.TrimSpace(key), "extraHeader") {
				continue
			}
			if r, ok := ParseRecipe(section, plainValue(value)); ok && drop(r) {
				gone[i] = true
				went++
				dropped = append(dropped, r)
			}
		}
	}
	end()
	if len(dropped) == 0 {
		return file, nil
	}
	for i, raw := range all {
		if !gone[i] {
			rest = append(rest, raw...)
		}
	}
	return slices.Concat([]byte{}, rest), dropped
}

// httpSection reads the header of a section [http] or [http "URL"].
func httpSection(l string) (section string, ok bool) {
	inner, closed := strings.CutSuffix(strings.TrimPrefix(l, "["), "]")
	name, sub, hasSub := strings.Cut(inner, " ")
	if !closed || !strings.EqualFold(name, "http") {
		return "", false
	}
	if !hasSub {
		return "", true
	}
	sub = strings.TrimSpace(sub)
	if len(sub) < 2 || sub[0] != '"' || sub[len(sub)-1] != '"' {
		return "", false
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(sub[1 : len(sub)-1]), true
}

// plainValue reads a value as git does: quotation marks group, a backslash escapes, and # and ; begin a comment outside of quotation
// marks (git-config(1), Values).
func plainValue(s string) string {
	var b strings.Builder
	quoted := false
	s = strings.TrimSpace(s)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && i+1 < len(s):
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			default:
				b.WriteByte(s[i])
			}
		case (c == '#' || c == ';') && !quoted:
			return strings.TrimRight(b.String(), " \t")
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return ""
	}
	return b.String()
}
