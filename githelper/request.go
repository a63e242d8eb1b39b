package githelper

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxLine is the longest line of the protocol including its line feed (git-credential(1), INPUT/OUTPUT FORMAT). git does not keep to
// it in what it writes and curl admits header lines of 100 KB, hence the error instead of a truncated or folded line: a folded one
// once turned the tail of a header into "host=victim" (git 71201ab0e5).
const maxLine = 65535

// maxRequest bounds a whole request.
const maxRequest = 1 << 20

// Capabilities that a caller can announce (git 2.46).
const (
	CapabilityAuthType = "authtype" // authtype, credential, ephemeral
	CapabilityState    = "state"    // state[], continue
)

// A Request is what git, or git-lfs, tells a helper. Values are as they came; secrets print as [redacted].
type Request struct {
	Capabilities []string // what the caller understands beyond username and password

	Protocol string // "https"
	Host     string // "git.example.com", "git.example.com:8443", "[::1]:8443"
	Path     string // without the leading slash; for http(s) only with credential.useHttpPath
	Username string

	Password       Secret // in store and erase
	PasswordExpiry time.Time
	RefreshToken   Secret
	AuthType       string // scheme of Authorization: "Bearer"
	Credential     Secret // the rest of Authorization
	Ephemeral      bool

	WWWAuth []string // WWW-Authenticate lines of the 401, in order (git 2.41)
	State   []string // what helpers gave in the previous round (git 2.46)

	given map[string]bool
}

// A SyntaxError says what is wrong with a request. It does not quote the line, which may hold a secret.
type SyntaxError struct {
	Line    int // from 1
	Problem string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("githelper: line %d of the request: %s", e.Line, e.Problem)
}

// ReadRequest reads a request up to its blank line or the end of r. It may read beyond the blank line.
//
// Lines end with LF alone. A CR or NUL anywhere is refused, since programs disagree on what they mean: a CR taken for a line end let
// a URL name another host (CVE-2024-50338 and its kin), and git cuts a value at NUL. Unknown keys and capabilities are ignored, as
// the protocol asks. An empty value of a list ("wwwauth[]=") empties the list, as documented, though git itself only ever appends.
func ReadRequest(r io.Reader) (*Request, error) {
	req := &Request{given: make(map[string]bool)}
	limited := &io.LimitedReader{R: r, N: maxRequest}
	br := bufio.NewReaderSize(limited, 4096)
	for n := 1; ; n++ {
		line, err := readLine(br)
		switch {
		case errors.Is(err, io.EOF):
			if limited.N == 0 {
				return nil, &SyntaxError{n, "the request is too long"}
			}
			return req, nil
		case errors.Is(err, errLongLine):
			return nil, &SyntaxError{n, "the line is too long"}
		case err != nil:
			return nil, fmt.Errorf("githelper: read request: %w", err)
		}
		if len(line) == 0 {
			return req, nil
		}
		if problem := req.add(line); problem != "" {
			return nil, &SyntaxError{n, problem}
		}
	}
}

var errLongLine = errors.New("line too long")

// readLine returns the next line without its line feed; the last one needs none.
func readLine(br *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, errLongLine
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		default:
			return nil, err
		}
	}
}

func (r *Request) add(line []byte) (problem string) {
	if bytes.ContainsAny(line, "\r\x00") {
		return "it contains a carriage return or a null byte"
	}
	k, v, ok := bytes.Cut(line, []byte("="))
	if !ok {
		return "it has no equals sign"
	}
	key, value := string(k), string(v)
	if key == "url" {
		return r.setURL(value)
	}
	if list := r.list(key); list != nil {
		if value == "" {
			*list = nil
		} else {
			*list = append(*list, value)
		}
		return ""
	}
	r.given[key] = true
	switch key {
	case "protocol":
		r.Protocol = value
	case "host":
		r.Host = value
	case "path":
		r.Path = value
	case "username":
		r.Username = value
	case "password":
		r.Password = NewSecret(value)
	case "oauth_refresh_token":
		r.RefreshToken = NewSecret(value)
	case "authtype":
		r.AuthType = value
	case "credential":
		r.Credential = NewSecret(value)
	case "ephemeral":
		r.Ephemeral = isTrue(value)
	case "password_expiry_utc":
		r.PasswordExpiry = time.Time{}
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
			r.PasswordExpiry = time.Unix(n, 0)
		}
	default:
		delete(r.given, key) // unknown: a later git may say it
	}
	return ""
}

func (r *Request) list(key string) *[]string {
	switch key {
	case "capability[]":
		return &r.Capabilities
	case "wwwauth[]":
		return &r.WWWAuth
	case "state[]":
		return &r.State
	}
	return nil
}

// setURL does what git does with "url=": everything said before is forgotten, and the URL's parts count as given.
func (r *Request) setURL(value string) (problem string) {
	// url.Parse would refuse hosts that git takes and take paths that git decodes, so the parts are cut as credential.c cuts them.
	scheme, rest, ok := strings.Cut(value, "://")
	if !ok || scheme == "" {
		return "the URL has no scheme"
	}
	*r = Request{given: map[string]bool{"protocol": true, "host": true}}
	r.Protocol = scheme
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], strings.TrimLeft(rest[i:], "/")
	}
	var err [4]error
	if i := strings.IndexByte(authority, '@'); i >= 0 {
		var user, password string
		var hasPassword bool
		user, password, hasPassword = strings.Cut(authority[:i], ":")
		authority = authority[i+1:]
		r.given["username"] = true
		r.Username, err[0] = url.PathUnescape(user)
		if hasPassword {
			r.given["password"] = true
			password, err[1] = url.PathUnescape(password)
			r.Password = NewSecret(password)
		}
	}
	r.Host, err[2] = url.PathUnescape(authority)
	if path != "" {
		r.given["path"] = true
		r.Path, err[3] = url.PathUnescape(path)
		r.Path = strings.TrimRight(r.Path, "/")
	}
	if errors.Join(err[:]...) != nil {
		return "the URL has a bad escape"
	}
	if strings.ContainsAny(r.Protocol+r.Username+r.Password.Reveal()+r.Host+r.Path, "\n\r\x00") {
		return "the URL hides a line break or a null byte"
	}
	return ""
}

// isTrue reads a boolean as git's configuration does.
func isTrue(s string) bool {
	switch strings.ToLower(s) {
	case "true", "yes", "on":
		return true
	}
	n, err := strconv.Atoi(s)
	return err == nil && n != 0
}

// Has reports whether the request gave key, even with an empty value: git takes "username=" for a user name.
func (r *Request) Has(key string) bool { return r.given[key] }

// Can reports whether the caller announced a capability. No git below 2.46 announces one.
func (r *Request) Can(capability string) bool { return slices.Contains(r.Capabilities, capability) }

// Answered reports whether state is among those that the caller brings back: it asked, got our answer with this state and
// continue=1, and the server refused it.
func (r *Request) Answered(state string) bool { return slices.Contains(r.State, state) }

// URL returns where the credential will be sent, with the host in lower case and without the scheme's own port; the user name is left
// out. It fails for what is no plain host name or address with an optional port: git percent-decodes, so a host may hold any byte.
func (r *Request) URL() (*url.URL, error) {
	if r.Protocol == "" || r.Host == "" {
		return nil, errors.New("githelper: the request names no protocol or no host")
	}
	u := &url.URL{Scheme: lowerASCII(r.Protocol), Host: lowerASCII(r.Host), Path: "/" + strings.TrimLeft(r.Path, "/")}
	if !isHost(u) {
		return nil, fmt.Errorf("githelper: %q is no host name", r.Host)
	}
	switch name, port := u.Hostname(), u.Port(); {
	case port == "" && strings.HasSuffix(u.Host, ":"), // "host:"
		port == "443" && u.Scheme == "https", port == "80" && u.Scheme == "http":
		u.Host = name
		if strings.Contains(name, ":") {
			u.Host = "[" + name + "]"
		}
	}
	return u, nil
}

// lowerASCII has the letters of ASCII in lower case. strings.ToLower makes other letters a part of it: "İ" becomes "i", and is a letter of
// another host to whoever connects there.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func isHost(u *url.URL) bool {
	name := u.Host
	if strings.HasPrefix(name, "[") {
		i := strings.IndexByte(name, ']')
		if i < 2 || strings.Trim(name[1:i], "0123456789abcdef:.") != "" || i+1 < len(name) && name[i+1] != ':' {
			return false
		}
		name = "x" + name[i+1:]
	}
	name, port, _ := strings.Cut(name, ":")
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return false
	}
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
}
