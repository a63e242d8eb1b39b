package githelper

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// A LineError says why a line of a file with logins was not taken. It does not quote the line, which may hold a secret.
type LineError struct {
	Line    int // from 1
	Problem string
}

// ReadCredentialStore reads the file of git-credential-store (~/.git-credentials): a URL with user name and password on each line. The
// first of several logins is the one that git takes; they are returned in the order of the file, and what git itself would not use is
// told.
func ReadCredentialStore(b []byte) (logins []StoredLogin, skipped []LineError) {
	n := 0
	for line := range bytes.Lines(b) {
		n++
		text := string(bytes.TrimRight(line, "\r\n")) // an editor of Windows may have been at it
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		s, problem := loginOfURL(text)
		if problem != "" {
			skipped = append(skipped, LineError{n, problem})
			continue
		}
		logins = append(logins, s)
	}
	return logins, skipped
}

func loginOfURL(text string) (StoredLogin, string) {
	if len(text) > maxLine {
		return StoredLogin{}, "it is too long"
	}
	if strings.ContainsAny(text, "\r\x00") {
		return StoredLogin{}, "it contains a carriage return or a null byte"
	}
	r := &Request{}
	if problem := r.setURL(text); problem != "" {
		return StoredLogin{}, problem
	}
	if !r.Has("username") || !r.Has("password") {
		return StoredLogin{}, "it has no user name with a password"
	}
	s := StoredLogin{Path: r.Path, Username: new(r.Username), Password: new(r.Password)}
	s.Protocol, s.Host = canonical(r.Protocol, r.Host)
	if s.check() != nil {
		return StoredLogin{}, "it names no host"
	}
	return s, ""
}

// ReadNetrc reads a netrc file as curl does, and with it git (https://everything.curl.dev/usingcurl/netrc.html): the words machine,
// login and password in any order of lines, quotation marks with backslashes in them, comments, macros. git-credential-netrc's words
// port and protocol are known too. A login is for HTTPS where the file does not say another protocol. What has no machine, login or
// password is told.
func ReadNetrc(b []byte) (logins []StoredLogin, skipped []LineError) {
	words, bad := netrcWords(b)
	skipped = append(skipped, bad...)
	var m *netrcMachine
	end := func() {
		if m == nil {
			return
		}
		if s, problem := m.login(); problem != "" {
			skipped = append(skipped, LineError{m.line, problem})
		} else {
			logins = append(logins, s)
		}
		m = nil
	}
	for i := 0; i < len(words); i++ {
		w := words[i]
		value := func() *string {
			if i+1 == len(words) {
				return nil
			}
			i++
			return &words[i].text
		}
		switch strings.ToLower(w.text) {
		case "machine":
			end()
			m = &netrcMachine{line: w.line, host: value(), protocol: "https"}
		case "default":
			end()
			m = &netrcMachine{line: w.line}
		case "login", "user":
			if v := value(); m != nil {
				m.user = v
			}
		case "password", "passwd":
			if v := value(); m != nil {
				m.password = v
			}
		case "port":
			if v := value(); m != nil && v != nil {
				m.port = *v
			}
		case "protocol":
			if v := value(); m != nil && v != nil {
				m.protocol = *v
			}
		case "account":
			value()
		default:
			skipped = append(skipped, LineError{w.line, "it has a word that netrc files do not have"})
			if m != nil { // what follows may belong to something else
				m.spoiled = true
			}
		}
	}
	end()
	return logins, skipped
}

type netrcMachine struct {
	line           int
	host           *string // nil: default
	user, password *string
	port, protocol string
	spoiled        bool
}

func (m *netrcMachine) login() (StoredLogin, string) {
	switch {
	case m.host == nil:
		return StoredLogin{}, "it is for every host, which git's helpers know nothing of"
	case m.spoiled:
		return StoredLogin{}, "it is mixed with words that netrc files do not have"
	case m.user == nil || m.password == nil:
		return StoredLogin{}, "it has no login with a password"
	}
	host := *m.host
	if m.port != "" && !strings.Contains(host, ":") {
		host += ":" + m.port
	}
	u, err := (&Request{Protocol: m.protocol, Host: host}).URL()
	if err != nil {
		return StoredLogin{}, "it names no host"
	}
	s := StoredLogin{Protocol: u.Scheme, Host: u.Host, Username: m.user, Password: new(NewSecret(*m.password))}
	if s.check() != nil {
		return StoredLogin{}, "it has a line break, a null byte or a length that git does not take"
	}
	return s, ""
}

type netrcWord struct {
	text string
	line int
}

func netrcWords(b []byte) (words []netrcWord, bad []LineError) {
	n, macro := 0, false
	for line := range bytes.Lines(b) {
		n++
		text := strings.TrimRight(string(line), "\r\n")
		rest := strings.TrimLeft(text, " \t")
		if macro { // until an empty line
			macro = rest != ""
			continue
		}
		if strings.HasPrefix(rest, "#") {
			continue
		}
		for rest != "" {
			word, after, ok := netrcWord1(rest)
			if !ok {
				bad = append(bad, LineError{n, "it has an open quotation mark"})
				word = "\x00" // spoils the machine that it is in
			}
			if strings.EqualFold(word, "macdef") {
				macro = true
				break
			}
			words = append(words, netrcWord{word, n})
			rest = strings.TrimLeft(after, " \t")
		}
	}
	return words, bad
}

// netrcWord1 cuts the first word off a line.
func netrcWord1(s string) (word, rest string, ok bool) {
	if s[0] != '"' {
		if i := strings.IndexAny(s, " \t"); i >= 0 {
			return s[:i], s[i:], true
		}
		return s, "", true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\' && i+1 < len(s):
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 'r':
				b.WriteByte('\r')
			case 't':
				b.WriteByte('\t')
			default:
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// DropCredentialLines returns the file of git-credential-store without the lines of the logins that drop says.
func DropCredentialLines(b []byte, drop func(StoredLogin) bool) []byte {
	var kept []byte
	for line := range bytes.Lines(b) {
		if s, problem := loginOfURL(string(bytes.TrimRight(line, "\r\n"))); problem != "" || !drop(s) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// movedLogin is the form in which a login leaves the machine.
type movedLogin struct {
	Protocol octets `json:"protocol"`
	Host     octets `json:"host"`
	login
}

// EncodeLogins returns logins as JSON, with the secrets in clear: it is for what is sealed next.
func EncodeLogins(logins []StoredLogin) ([]byte, error) {
	moved := make([]movedLogin, 0, len(logins))
	for _, s := range logins {
		moved = append(moved, movedLogin{octets(s.Protocol), octets(s.Host), s.login()})
	}
	return json.Marshal(moved)
}

// DecodeLogins is the inverse of EncodeLogins. Each of the logins can be told to git.
func DecodeLogins(b []byte) ([]StoredLogin, error) {
	var moved []movedLogin
	if json.Unmarshal(b, &moved) != nil {
		return nil, errors.New("githelper: these are no logins") // a JSON error would quote what it read
	}
	var logins []StoredLogin
	for _, m := range moved {
		s := (&loginEntry{Protocol: m.Protocol, Host: m.Host}).stored(m.login)
		if err := s.check(); err != nil {
			return nil, err
		}
		logins = append(logins, s)
	}
	return logins, nil
}
