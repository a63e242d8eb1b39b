package sshproxy

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A HostConfig is what ssh's configuration says for one host behind Access.
//
// It lives in a file of its own, which ~/.ssh/config includes: [HostConfig.Set] and
// [UnsetHost] edit the former, [SetInclude] and [UnsetInclude] the latter. All
// four take the content of a file and return the new one, where nil is a missing
// file. Setting and unsetting again gives the same bytes.
type HostConfig struct {
	// Host is the name that people give to ssh: letters, digits, '.', '-' and '_'.
	// Patterns are refused: with one, %h would be whatever a URL out of a
	// repository says (CVE-2023-51385).
	Host string
	// Application is where Access listens, if it is not port 443 and the root of
	// Host: ":8443", "/ssh" or ":8443/ssh".
	Application string
	// Program is the absolute path of access-ssh-proxy.
	Program string
	// Flags are given to it before the host, for connections and certificates.
	Flags []string
	// Folder is where keys and control sockets are, as ssh reads it: absolute, or
	// below "~/".
	Folder string
	// User is the name at the server; "" leaves it to the rest of the configuration.
	User string
	// Multiplex has sessions share one connection. Windows' ssh cannot.
	Multiplex bool
	// Certificate has a short-lived certificate fetched before each connection.
	Certificate bool
	// Windows has the programs quoted for Windows in place of a shell.
	Windows bool
}

// loginTime is above the ten minutes that a login in a browser may take.
const loginTime = 660

// Block returns the lines for the host, between comments that mark them as ours.
//
// ssh takes the first value that it finds for an option, so what a block says can
// be changed by nothing below it and by everything above.
func (h *HostConfig) Block() (string, error) {
	if err := h.check(); err != nil {
		return "", err
	}
	words := []string{h.Program}
	if h.Multiplex {
		// ssh closes the standard error of the ProxyCommand of a connection that is
		// to stay (sshconnect.c, ssh_proxy_connect): our errors go by ssh itself.
		words = append(words, "--tell-ssh")
	}
	proxy, err := h.command(append(append(words, h.Flags...), "--hostname=")...)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("%s%s", beginMark, h.Host)
	p(`# "access-ssh-proxy config --install" replaces these lines as a whole,`)
	p(`# "access-ssh-proxy config --remove %s" takes them away.`, h.Host)
	p("Host %s", h.Host)
	p("  ProxyCommand %s%%h%s", proxy, h.Application)
	if h.User != "" {
		p("  User %s", h.User)
	}
	p("  # A login in the browser takes a person's time, and is given up after ten minutes;")
	p("  # a ConnectTimeout for all hosts would end it after seconds.")
	p("  ConnectTimeout %d", loginTime)
	p("  # A server that went away is noticed after a minute and a half, and not after hours.")
	p("  ServerAliveInterval 30")
	p("  ServerAliveCountMax 3")
	if h.Multiplex {
		socket, err := configWord(h.Folder)
		if err != nil {
			return "", err
		}
		p("  # Sessions share one connection, which waits ten minutes for the next one, so that")
		p(`  # it starts at once. "ssh -O exit %s" ends it.`, h.Host)
		p("  ControlMaster auto")
		p("  ControlPath %s", joinWord(socket, "/%C"))
		p("  ControlPersist 600")
	}
	if h.Certificate {
		if err := h.certificate(p); err != nil {
			return "", err
		}
	}
	p("%s%s", endMark, h.Host)
	return b.String(), nil
}

// certificate writes the lines for short-lived certificates. They are apart from
// the ProxyCommand: without a certificate, other keys may do, but a connection
// around Access never does.
func (h *HostConfig) certificate(p func(string, ...any)) error {
	file, err := configWord(h.Folder)
	if err != nil {
		return err
	}
	words := append([]string{h.Program, "cert"}, h.Flags...)
	if !strings.HasPrefix(h.Folder, "~/") {
		words = append(words, "--key="+h.Folder+"/"+h.Host)
	}
	command, err := h.command(append(words, h.Host+h.Application)...)
	if err != nil {
		return err
	}
	// The command stands between quotation marks, in which OpenSSH up to 9 knows
	// no escape, and later ones take a backslash for one (readconf.c, strdelim;
	// misc.c, argv_split). On Windows there is nothing else to quote with.
	if strings.ContainsAny(command, `"\`) {
		return fmt.Errorf("sshproxy: %q cannot be called by a line Match … exec of ssh's configuration, where its path cannot be quoted", h.Program)
	}
	p(`Match host %s exec "%s"`, h.Host, command)
	p("  # The user name at the server is usually the part of your e-mail address before the @.")
	p("  IdentityFile %s", joinWord(file, "/"+h.Host))
	p("  CertificateFile %s", joinWord(file, "/"+h.Host+"-cert.pub"))
	p("  # No other key is offered: servers close the connection after some that do not fit.")
	p("  IdentitiesOnly yes")
	if !h.Windows {
		p("  # The agent that has the key, whatever is set for all hosts.")
		p("  IdentityAgent SSH_AUTH_SOCK")
	}
	return nil
}

var (
	isHostName    = matcher(253, `^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$`)
	isApplication = matcher(4096, `^(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$`)
	isUserName    = matcher(255, `^[A-Za-z0-9_][A-Za-z0-9._@+-]*$`)
	isPlainWord   = matcher(4096, `^[A-Za-z0-9/._+,:@=-]+$`)
	isDrivePath   = matcher(4096, `^[A-Za-z]:[/\\]`)
)

// matcher compiles the expression when it is needed: connections are made without.
func matcher(longest int, expr string) func(string) bool {
	re := sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
	return func(s string) bool { return len(s) <= longest && re().MatchString(s) }
}

func (h *HostConfig) check() error {
	absolute := strings.HasPrefix(h.Program, "/") || h.Windows && isDrivePath(h.Program)
	switch {
	case !isHostName(h.Host):
		return fmt.Errorf("sshproxy: %q is not a host name for ssh's configuration: letters, digits, '.', '-' and '_'", h.Host)
	case !isApplication(h.Application):
		return fmt.Errorf("sshproxy: %q is not a port or path for ssh's configuration", h.Application)
	case h.User != "" && !isUserName(h.User):
		return fmt.Errorf("sshproxy: %q is not a user name for ssh's configuration", h.User)
	case !absolute:
		return fmt.Errorf("sshproxy: the path of the program is not absolute: %q", h.Program)
	}
	return nil
}

// command joins words to a command line for what ssh runs programs with.
func (h *HostConfig) command(words ...string) (string, error) {
	quote := shellWord
	if h.Windows {
		quote = windowsWord
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		if h.Windows && i == 0 {
			w = strings.ReplaceAll(w, `\`, "/")
		}
		q, err := quote(w)
		if err != nil {
			return "", err
		}
		quoted[i] = strings.ReplaceAll(q, "%", "%%") // ssh has tokens in commands
	}
	return strings.Join(quoted, " "), nil
}

// shellWord quotes for the login shell of the user, which ssh gives the command
// to: sh, bash, zsh, fish and csh agree on words between single quotes, as long as
// no backslash is in them.
func shellWord(s string) (string, error) {
	if isPlainWord(s) {
		return s, nil
	}
	if s == "" || hasControl(s) || strings.ContainsAny(s, `\!`) {
		return "", fmt.Errorf("sshproxy: %q cannot be quoted the same for all shells", s)
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'", nil
}

// windowsWord quotes for both kinds of ssh on Windows. Win32-OpenSSH starts the
// program itself and Git's ssh has its sh do it; quotation marks and slashes mean
// the same to both (https://github.com/loft-sh/devpod/pull/1001).
func windowsWord(s string) (string, error) {
	if isPlainWord(strings.ReplaceAll(s, "~", "_")) && s[0] != '~' { // PROGRA~1
		return s, nil
	}
	if s == "" || hasControl(s) || strings.ContainsAny(s, "\\\"$`!") {
		return "", fmt.Errorf("sshproxy: %q cannot be quoted the same for both kinds of ssh", s)
	}
	return `"` + s + `"`, nil
}

// configWord quotes a path for options that take tokens (ssh_config(5)).
func configWord(s string) (string, error) {
	tail := strings.TrimPrefix(s, "~/")
	if tail == "" || hasControl(s) || strings.ContainsAny(s, "\\\"'") || strings.Contains(s, "${") {
		return "", fmt.Errorf("sshproxy: %q cannot stand in ssh's configuration", s)
	}
	s = strings.ReplaceAll(s, "%", "%%")
	if !isPlainWord(tail) {
		s = `"` + s + `"`
	}
	return s, nil
}

// joinWord appends to what configWord made.
func joinWord(word, more string) string {
	if strings.HasSuffix(word, `"`) {
		return strings.TrimSuffix(word, `"`) + more + `"`
	}
	return word + more
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' })
}

// Marks of our lines. They are compared with whole lines.
const (
	beginMark = "# gitaccess begin "
	endMark   = "# gitaccess end "
	ownHeader = "# Hosts of \"access-ssh-proxy config\". ~/.ssh/config includes this file.\n"

	includeMark = `# gitaccess: of "access-ssh-proxy config"; it stands first, since below a Host line it would serve that host alone`
	createdMark = "# gitaccess: this file was not there before"
)

// Set returns the content of our file with the block of h, in place of an earlier
// one for the same host. All other bytes stay.
func (h *HostConfig) Set(file []byte) ([]byte, error) {
	block, err := h.Block()
	if err != nil {
		return nil, err
	}
	from, to, err := findBlock(file, h.Host)
	switch {
	case err != nil:
		return nil, err
	case from >= 0:
		return slices.Concat(file[:from], []byte(block), file[to:]), nil
	case file == nil:
		return []byte(ownHeader + block), nil
	}
	// In front: what stands there may lack its last line feed.
	rest, headed := bytes.CutPrefix(file, []byte(ownHeader))
	if headed {
		block = ownHeader + block
	}
	return append([]byte(block), rest...), nil
}

// UnsetHost returns the content of our file without the block of host; nil if
// nothing is left in it.
func UnsetHost(file []byte, host string) ([]byte, error) {
	from, to, err := findBlock(file, host)
	if err != nil {
		return nil, err
	}
	if from < 0 {
		return file, nil
	}
	rest := slices.Concat(file[:from], file[to:])
	if string(rest) == ownHeader {
		return nil, nil
	}
	return rest, nil
}

// ConfiguredHosts lists the hosts that have a block in our file.
func ConfiguredHosts(file []byte) (hosts []string) {
	for line := range bytes.Lines(file) {
		if host, ok := strings.CutPrefix(trimLine(line), beginMark); ok && isHostName(host) && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// findBlock returns where the block of a host is; from is -1 without one.
func findBlock(file []byte, host string) (from, to int, err error) {
	from, to = -1, -1
	at := 0
	for line := range bytes.Lines(file) {
		text := trimLine(line)
		next := at + len(line)
		switch {
		case from < 0 && text == beginMark+host:
			from = at
		case from >= 0 && to < 0 && text == endMark+host:
			to = next
		case from >= 0 && to < 0 && strings.HasPrefix(text, beginMark), to >= 0 && text == beginMark+host:
			return 0, 0, fmt.Errorf("sshproxy: the lines for %s were changed by hand: want one line %q and then one %q", host, beginMark+host, endMark+host)
		}
		at = next
	}
	if from >= 0 && to < 0 {
		return 0, 0, fmt.Errorf("sshproxy: the lines for %s were changed by hand: no line %q", host, endMark+host)
	}
	return from, to, nil
}

func trimLine(line []byte) string { return strings.TrimRight(string(line), "\r\n") }

var errNoText = errors.New("sshproxy: the file is no text in ASCII or UTF-8: ssh cannot read it, either")

// SetInclude returns the content of ~/.ssh/config with a line at its top that
// includes our file by name: a path below ~/.ssh or an absolute one. Line ends are
// those of the file.
func SetInclude(file []byte, name string) ([]byte, error) {
	if bytes.IndexByte(file, 0) >= 0 {
		return nil, errNoText
	}
	line, err := includeLine(name)
	if err != nil {
		return nil, err
	}
	if includes(file, line) {
		return file, nil
	}
	rest, err := UnsetInclude(file, name)
	if err != nil {
		return nil, err
	}
	if rest == nil {
		return []byte(createdMark + "\n" + includeMark + "\n" + line + "\n"), nil
	}
	end := "\n"
	if first, _, ok := bytes.Cut(rest, []byte("\n")); ok && bytes.HasSuffix(first, []byte("\r")) {
		end = "\r\n"
	}
	return append([]byte(includeMark+end+line+end), rest...), nil
}

// includes reports whether our lines are there once, and above any Host and Match.
func includes(file []byte, line string) bool {
	marks, effective, below, after := 0, false, false, false
	for l := range bytes.Lines(file) {
		text := trimLine(l)
		keyword, _, _ := strings.Cut(strings.TrimLeft(strings.NewReplacer("\t", " ", "=", " ", `"`, " ").Replace(text), " "), " ")
		switch {
		case text == includeMark:
			marks++
		case after && text == line:
			effective = !below
		case strings.EqualFold(keyword, "Host"), strings.EqualFold(keyword, "Match"):
			below = true
		}
		after = text == includeMark
	}
	return marks == 1 && effective
}

// UnsetInclude takes the lines of [SetInclude] away. It returns nil if SetInclude
// began the file and nothing else is in it.
func UnsetInclude(file []byte, name string) ([]byte, error) {
	line, err := includeLine(name)
	if err != nil {
		return nil, err
	}
	if file == nil {
		return nil, nil
	}
	out := make([]byte, 0, len(file))
	began, after := false, false
	for l := range bytes.Lines(file) {
		text := trimLine(l)
		switch {
		case text == includeMark:
			after = true
			continue
		case text == createdMark:
			began = true
		case after && text == line:
		default:
			out = append(out, l...)
		}
		after = false
	}
	if began && len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

func includeLine(name string) (string, error) {
	word, err := configWord(name)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(name, "*?[]{}%$~") { // a pattern, and in later versions tokens
		return "", fmt.Errorf("sshproxy: %q cannot be included: ssh takes some of its characters for a pattern", name)
	}
	return "Include " + word, nil
}

// A Shadow is an option for which ssh takes another value than the one in the
// block of a host, because something above it says so, or because ssh reads
// another file.
type Shadow struct{ Option, Want, Got string }

// Shadows compares the block with what ssh makes of its whole configuration: the
// output of ssh -G. It is empty if all is as the block says.
func (h *HostConfig) Shadows(dump []byte) ([]Shadow, error) {
	block, err := h.Block()
	if err != nil {
		return nil, err
	}
	got := map[string][]string{}
	for line := range strings.Lines(string(dump)) {
		option, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		got[strings.ToLower(option)] = append(got[strings.ToLower(option)], value)
	}
	var all []Shadow
	compare := func(option, want string) {
		values := got[strings.ToLower(option)]
		if !slices.Contains(values, want) {
			all = append(all, Shadow{option, want, strings.Join(values, ", ")})
		}
	}
	compare("HostName", h.Host) // %h
	for line := range strings.Lines(block) {
		option, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch option {
		case "ControlPath": // shown with its tokens expanded
			if got["controlpath"] == nil {
				compare(option, value)
			}
		case "ProxyCommand", "User", "ConnectTimeout", "ServerAliveInterval", "ServerAliveCountMax", "ControlMaster", "ControlPersist", "IdentitiesOnly", "IdentityAgent":
			compare(option, value)
		case "IdentityFile", "CertificateFile":
			compare(option, strings.Trim(value, `"`))
		}
	}
	return all, nil
}
