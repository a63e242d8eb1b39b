package githelper

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A HostConfig is what git's configuration must say for a host whose cookie comes from a helper. It makes git ask the helper before
// its first request, since git asks on 401 only and a login page is a 302:
//
//   - git from 2.46 has http.proactiveAuth for that;
//   - git below asks first if it has a user name (from the URL, hence url.….insteadOf) and http.emptyAuth. git 2.55 with libcurl 8.23
//     warns of a redirect with these two, and fails at a server that wants a login for POST only, so they are for old gits alone;
//   - git-lfs asks before it reads the cookie file if lfs.….access is basic; else it reads the file and fails on a stale one.
//
// The list of helpers is emptied first: another helper that answers before ours keeps the cookie from being fetched, and below 2.46
// helpers store the empty password that stands for the cookie.
type HostConfig struct {
	Origin string // scheme, host and, unless it is the scheme's own, port: "https://git.example.com"
	Helper string // absolute path of the credential helper
	Jar    string // path of the cookie file: absolute, or "~/…" for the home of whoever runs git

	HelperArgs []string // put before the operation

	// OwnLogin says that the server behind the cookie wants a login of its own, which Others, or the person, give.
	OwnLogin bool
	Others   []string // helpers after ours, as git's configuration has them; only with OwnLogin
	Username string   // the person's name at the server; required for git below 2.46 with OwnLogin

	// Paths of the host whose cookie is another one. git is told to name the repository to the helper then, which is
	// credential.useHttpPath: without it the helper cannot know whose cookie is wanted.
	Paths []PathJar

	// Bearer says that the helper answers with a token for the Authorization header and leaves the cookie file empty. git below 2.46
	// cannot send one.
	Bearer bool

	Note string // one line for people who read the file; how to take the lines away again
}

// A PathJar is the cookie file for the repositories below a path.
type PathJar struct {
	Path string // "/team"
	Jar  string // as HostConfig.Jar
}

// mark ends each line that this package writes, and begins each comment. It is how the lines are known again among lines that a
// person or git config adds to the same sections, moves, or deletes.
const mark = "# gitaccess"

// placeholder is the user name in URLs for git below 2.46 where the server wants none.
const placeholder = "access"

// BearerPostBuffer is how many bytes of a push git 2.46 to 2.53 gets to hold in memory, where it would probe the server with a small
// request before it sends chunks: that request goes without the Bearer token and is refused, and the push with it
// ([Version.BearerOnProbe]). A larger push fails. git allocates it all for each fetch and push, and fills as much as the pack is large.
const BearerPostBuffer = 256 << 20

type section struct {
	name, sub string
	lines     [][2]string // key, value
}

// sections returns the configuration for git v.
func (h *HostConfig) sections(v Version) ([]section, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	command := shellQuote(filepath.ToSlash(h.Helper))
	for _, arg := range h.HelperArgs {
		command += " " + shellQuote(arg)
	}
	helpers := [][2]string{{"helper", ""}, {"helper", command}}
	if h.OwnLogin {
		for _, other := range h.Others {
			helpers = append(helpers, [2]string{"helper", other})
		}
	}
	if len(h.Paths) > 0 {
		helpers = append(helpers, [2]string{"useHttpPath", "true"})
	}
	web := [][2]string{
		{"cookieFile", filepath.ToSlash(h.Jar)},
		{"saveCookies", "false"}, // a global true would have curl rewrite the file
	}
	if !v.RedactsHTTP2() {
		web = append(web, [2]string{"version", "HTTP/1.1"})
	}
	if h.Bearer && !v.BearerOnProbe() {
		if !v.Bearer() {
			return nil, fmt.Errorf("githelper: git %v cannot send a Bearer token to %s", v, h.Origin)
		}
		web = append(web, [2]string{"postBuffer", strconv.Itoa(BearerPostBuffer)})
	}
	all := []section{{"credential", h.Origin, helpers}}
	if v.AtLeast(2, 46) {
		web = append(web, [2]string{"proactiveAuth", "auto"})
		all = append(all, section{"http", h.Origin + "/", web})
	} else {
		name := placeholder
		if h.OwnLogin {
			if name = h.Username; name == "" {
				return nil, fmt.Errorf("githelper: git %v needs your user name at %s, since the server wants a login of its own", v, h.Origin)
			}
		}
		scheme, host, _ := strings.Cut(h.Origin, "://")
		instead := [][2]string{{"insteadOf", h.Origin + "/"}}
		if u := (&url.URL{Scheme: scheme, Host: host}); u.Port() == "" { // a URL with the port spelt out is another text
			instead = append(instead, [2]string{"insteadOf", h.Origin + map[string]string{"https": ":443/", "http": ":80/"}[scheme]})
		}
		all = append(all,
			section{"http", h.Origin + "/", append(web, [2]string{"emptyAuth", "true"})},
			section{"url", scheme + "://" + url.User(name).String() + "@" + host + "/", instead})
	}
	for _, p := range h.Paths {
		all = append(all, section{"http", h.Origin + (&url.URL{Path: p.Path}).EscapedPath() + "/", [][2]string{{"cookieFile", filepath.ToSlash(p.Jar)}}})
	}
	return append(all, section{"lfs", h.Origin, [][2]string{{"access", "basic"}}}), nil
}

func (h *HostConfig) check() error {
	u, err := url.Parse(h.Origin)
	switch {
	case err != nil || u.Host == "" || u.Scheme+"://"+u.Host != h.Origin || !isHost(u) || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("githelper: %q is no origin of the form https://HOST", h.Origin)
	case !filepath.IsAbs(h.Helper):
		return fmt.Errorf("githelper: the helper's path %q is not absolute", h.Helper)
	}
	words := slices.Concat([]string{h.Helper, h.Username, h.Note}, h.HelperArgs, h.Others)
	for _, p := range append([]PathJar{{"/", h.Jar}}, h.Paths...) {
		if !filepath.IsAbs(p.Jar) && !strings.HasPrefix(p.Jar, "~/") {
			return fmt.Errorf("githelper: the cookie file's path %q is not absolute", p.Jar)
		}
		if path.Clean(p.Path) != p.Path || p.Path[0] != '/' {
			return fmt.Errorf("githelper: %q is no path of a URL", p.Path)
		}
		words = append(words, p.Jar)
	}
	for _, s := range words {
		if strings.ContainsAny(s, "\x00\n\r") {
			return fmt.Errorf("githelper: %q cannot stand in git's configuration", s)
		}
	}
	return nil
}

// Set returns the content of a configuration file with the lines for h and git v at its end, in place of those that an earlier Set
// wrote for the same origin. The rest stays byte for byte; if the lines are there already, all of it does.
//
// The file is edited as text: git config would put our lines into sections that the person has, reorder the helpers among them, and
// take a section that was empty before away with our last line.
func (h *HostConfig) Set(file []byte, v Version) ([]byte, error) {
	sections, err := h.sections(v)
	if err != nil {
		return nil, err
	}
	var block strings.Builder
	for i, s := range sections {
		header, err := quoteSection(s.name, s.sub)
		if err != nil {
			return nil, err
		}
		block.WriteString(header + "\n")
		if i == 0 && h.Note != "" {
			block.WriteString("\t" + mark + ": " + h.Note + "\n")
		}
		for _, kv := range s.lines {
			value, err := quoteValue(kv[1])
			if err != nil {
				return nil, err
			}
			if value != "" {
				value += " "
			}
			block.WriteString("\t" + kv[0] + " = " + value + mark + "\n")
		}
	}
	if bytes.Contains(append([]byte("\n"), file...), []byte("\n"+strings.TrimSuffix(block.String(), "\n"))) &&
		len(ownLines(file, h.Origin)) == strings.Count(block.String(), "\n") {
		return file, nil
	}
	rest := Unset(file, h.Origin)
	if endsInValue(rest) {
		return nil, errors.New("githelper: the last line of the configuration file is unfinished: it ends with a backslash")
	}
	switch {
	case rest == nil:
		// No line feed before the mark of a file that was not there: Unset returns nil for it.
		return []byte(created + "\n" + block.String()), nil
	case len(rest) > 0 && rest[len(rest)-1] != '\n':
		// The missing line feed moves behind us, so that Unset finds it missing there and takes ours back.
		return append(append(rest[:len(rest):len(rest)], '\n'), strings.TrimSuffix(block.String(), "\n")...), nil
	default:
		return append(rest[:len(rest):len(rest)], block.String()...), nil
	}
}

// created is the first line of a file that Set began.
const created = mark + ": this file was not there before"

// Unset returns the content of a configuration file without the lines that Set wrote for origin. A section goes with the last of
// them, unless a line of somebody else is in it. The result is nil if Set began the file and nothing else is in it now.
func Unset(file []byte, origin string) []byte {
	out := file
	if own := ownLines(file, origin); len(own) > 0 {
		out = []byte{}
		tail := false // the last line is ours and has no line feed
		for i, l := range splitLines(file) {
			if tail = own[i] && !bytes.HasSuffix(l, []byte("\n")); !own[i] {
				out = append(out, l...)
			}
		}
		if tail {
			out = bytes.TrimSuffix(out, []byte("\n"))
		}
	}
	rest, begun := bytes.CutPrefix(out, []byte(created+"\n"))
	switch {
	case !begun || bytes.Contains(rest, []byte(mark)): // lines for another origin are left
		return out
	case len(bytes.TrimSpace(rest)) == 0:
		return nil
	default:
		return rest
	}
}

// ownLines returns the indexes of the lines that Set wrote for origin, with the headers of sections that hold nothing else.
func ownLines(file []byte, origin string) map[int]bool {
	own := make(map[int]bool)
	header, ours, mine, others := -1, false, 0, 0
	end := func() {
		if ours && mine > 0 && others == 0 {
			own[header] = true
		}
	}
	continued := false
	for i, raw := range splitLines(file) {
		l := strings.TrimSpace(string(raw))
		isFirst := !continued
		continued = endsInValue(raw)
		switch {
		case !isFirst:
			others++
		case strings.HasPrefix(l, "["):
			end()
			header, ours, mine, others = i, isSectionFor(l, origin), 0, 0
		case ours && (strings.HasSuffix(l, " "+mark) || strings.HasPrefix(l, mark+": ")) && l != created:
			own[i] = true
			mine++
		case l != "":
			others++
		}
	}
	end()
	return own
}

func isSectionFor(header, origin string) bool {
	for _, s := range [][2]string{{"credential", origin}, {"lfs", origin}} {
		if q, err := quoteSection(s[0], s[1]); err == nil && q == header {
			return true
		}
	}
	if strings.HasPrefix(header, `[http "`+origin+"/") && strings.HasSuffix(header, `/"]`) { // the whole of it, and paths
		return true
	}
	scheme, host, _ := strings.Cut(origin, "://")
	name, ok := strings.CutPrefix(header, `[url "`+scheme+"://")
	_, ok2 := strings.CutSuffix(name, "@"+host+`/"]`)
	return ok && ok2
}

// ownHelpers returns the values of the helper lines that Set wrote to the file at path.
func ownHelpers(path, origin string) ([]string, error) {
	file, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("githelper: %w", err)
	}
	own := ownLines(file, origin)
	var all []string
	for i, l := range splitLines(file) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(l)), "=")
		if own[i] && strings.TrimSpace(key) == "helper" {
			all = append(all, unquoteValue(strings.TrimSpace(strings.TrimSuffix(value, mark))))
		}
	}
	return all, nil
}

func splitLines(b []byte) [][]byte {
	l := bytes.SplitAfter(b, []byte("\n"))
	if len(l[len(l)-1]) == 0 {
		l = l[:len(l)-1]
	}
	return l
}

// endsInValue reports whether a backslash carries the last line on to the next one. A comment is not carried on.
func endsInValue(b []byte) bool {
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	b = b[bytes.LastIndexByte(b, '\n')+1:]
	if t := bytes.TrimSpace(b); len(t) > 0 && (t[0] == '#' || t[0] == ';') {
		return false
	}
	return (len(b)-len(bytes.TrimRight(b, `\`)))%2 == 1
}

// quoteSection writes a section header (git-config(1), Syntax).
func quoteSection(name, sub string) (string, error) {
	if strings.ContainsAny(sub, "\n\r\x00") {
		return "", fmt.Errorf("githelper: %q cannot stand in git's configuration", sub)
	}
	return "[" + name + ` "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(sub) + `"]`, nil
}

// quoteValue writes a value. Everything but plain words goes between quotation marks, where blanks and comment signs stay.
func quoteValue(s string) (string, error) {
	if strings.ContainsAny(s, "\n\r\x00") {
		return "", fmt.Errorf("githelper: %q cannot stand in git's configuration", s)
	}
	q := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`).Replace(s)
	if q != s || strings.ContainsAny(s, "#; ") {
		q = `"` + q + `"`
	}
	return q, nil
}

// unquoteValue reads what quoteValue wrote.
func unquoteValue(s string) string {
	if len(s) < 2 || s[0] != '"' {
		return s
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\t`, "\t").Replace(s[1 : len(s)-1])
}

// shellQuote writes a path or an argument as one word for the shell that git runs helpers with. Backslashes and no quotation marks, since git takes a
// helper for an absolute path by its first characters (credential.c, credential_do).
func shellQuote(s string) string {
	if s == "" {
		return "''"
	}
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 && !strings.ContainsRune(alphanumeric+"/._-+,:@%=", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
