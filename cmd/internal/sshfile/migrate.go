package sshfile

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Migration takes lines that call cloudflared access out of a configuration file,
// or puts ours in their place. A line that is taken out stays as a comment, from which
// [Undo] makes the same bytes again.
type Migration struct {
	// Hosts are those that have lines of ours above everything in the file.
	Hosts []string
	// All migrates every call; else only those that concern Hosts.
	All bool
	// Proxy is the command line of access-ssh-proxy with its flags, as it may stand
	// in the file; Certificate that of its command cert.
	Proxy, Certificate string
	// Folder is where the keys with certificates are, such as "~/.ssh/gitaccess".
	Folder string

	// What was found, for those who go on with it.
	Names        []string // hosts with lines of their own, which Hosts should have
	Certificates []string // of these, those with short-lived certificates
	Secrets      []int    // numbers of lines with a service token
	Left         []int    // numbers of lines that were left, since nothing could stand in their place
	Others       int      // calls that concern other hosts
}

const was = "# gitaccess was"

// Apply returns the file after the migration, and fills in what was found.
func (m *Migration) Apply(file []byte) []byte {
	lines := Read(file)
	m.find(lines)
	var out strings.Builder
	for i, l := range lines {
		replacement, change := m.change(lines, i)
		if !change {
			out.WriteString(l.Text + l.End)
			continue
		}
		n, end := 0, l.End
		if replacement != "" {
			n = 1
			if !strings.HasSuffix(end, "\n") {
				end += "\n"
			}
		}
		fmt.Fprintf(&out, "%s[%d] %s: %s%s", was, n, m.tag(l), l.Text, end)
		if n == 1 {
			out.WriteString(replacement + l.End)
		}
	}
	return []byte(out.String())
}

// tag names the hosts of the block that a line is in.
func (m *Migration) tag(l Line) string {
	p := l.Patterns()
	for i := range p {
		p[i] = strings.TrimPrefix(p[i], "cfpipe-")
	}
	return cmp.Or(strings.Join(p, ","), "*")
}

// find collects the hosts that have calls of their own.
func (m *Migration) find(lines []Line) {
	for _, l := range lines {
		c, ok := l.FindCloudflared()
		if !ok {
			continue
		}
		if !m.concerns(l, c) {
			m.Others++
			continue
		}
		if c.Secret {
			m.Secrets = append(m.Secrets, l.N)
		}
		own := ownNames(l, c)
		for _, name := range own {
			if !slices.Contains(m.Names, name) && (m.All || slices.Contains(m.Hosts, name)) {
				m.Names = append(m.Names, name)
			}
			if c.Command == "ssh-gen" && !slices.Contains(m.Certificates, name) {
				m.Certificates = append(m.Certificates, name)
			}
		}
		if own == nil && c.Shell {
			m.Left = append(m.Left, l.N)
		}
	}
	if m.All {
		for _, name := range m.Names {
			if !slices.Contains(m.Hosts, name) {
				m.Hosts = append(m.Hosts, name)
			}
		}
	}
}

func (m *Migration) concerns(l Line, c Cloudflared) bool {
	if m.All {
		return true
	}
	for _, h := range m.Hosts {
		if l.Applies(h) && !l.Everyone() || c.Hostname == h || slices.Contains(l.Patterns(), "cfpipe-"+h) {
			return true
		}
	}
	return false
}

// ownNames are the hosts of a block that is for nothing but hosts by name, under
// which cloudflared knows them, too; nil for patterns, other names and destinations.
func ownNames(l Line, c Cloudflared) []string {
	names := l.Patterns()
	for i, p := range names {
		names[i] = strings.TrimPrefix(p, "cfpipe-")
		if strings.ContainsAny(p, "*?!") {
			return nil
		}
	}
	named := c.Hostname == "%h" || c.Hostname == "" || len(names) == 1 && c.Hostname == names[0]
	if !named || c.Rest != nil || l.Block == 0 {
		return nil
	}
	return names
}

// change says what becomes of line i: nothing, a comment, or a comment and a line.
func (m *Migration) change(lines []Line, i int) (replacement string, change bool) {
	l := lines[i]
	call, ours := m.block(lines, l)
	if !ours {
		return "", false
	}
	c, ok := l.FindCloudflared()
	own := ownNames(lines[call], mustFind(lines[call]))
	covered := own != nil
	for _, name := range own {
		covered = covered && slices.Contains(m.Hosts, name)
	}
	pipe := slices.ContainsFunc(l.Patterns(), func(p string) bool { return strings.HasPrefix(p, "cfpipe-") })
	indent := l.Text[:len(l.Text)-len(strings.TrimLeft(l.Text, " \t"))]
	switch {
	case covered && pipe && l.Keyword != "": // the second half of a connection; nothing of it is left
		return "", true
	case ok && c.Shell:
		return "", covered
	case ok && l.Keyword == "proxycommand" && covered:
		return "", true
	case ok && l.Keyword == "proxycommand":
		host := c.Hostname
		if host == "" {
			host = "%h"
		}
		return indent + "ProxyCommand " + strings.Join(append([]string{m.Proxy, "--hostname=" + host}, c.Rest...), " "), true
	case ok && l.Keyword == "match" && covered:
		if m.onlyCloudflared(lines, l.Block) {
			return "", true
		}
		return indent + "Match host " + strings.Join(l.Patterns(), ","), true
	case ok && l.Keyword == "match":
		host := c.Hostname
		if host == "" {
			host = "%h"
		}
		return indent + strings.TrimSpace(matchExec().ReplaceAllLiteralString(strings.TrimSpace(l.Text), "")) + ` exec "` + m.Certificate + " " + host + `"`, true
	case isKey(l) && covered:
		return "", true
	case isKey(l):
		end := ""
		if l.Keyword == "certificatefile" {
			end = "-cert.pub"
		}
		name := "%h"
		if host := mustFind(lines[call]).Hostname; host != "" {
			name = host
		}
		return indent + map[string]string{"identityfile": "IdentityFile ", "certificatefile": "CertificateFile "}[l.Keyword] + m.Folder + "/" + name + end, true
	}
	return "", false
}

var matchExec = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)\s+exec\s+("[^"]*"\S*|\S+)`) })

// block returns the first call in the block of l, if the block concerns us.
func (m *Migration) block(lines []Line, l Line) (call int, ours bool) {
	for i, other := range lines {
		if other.Block != l.Block {
			continue
		}
		if c, ok := other.FindCloudflared(); ok {
			return i, m.concerns(other, c)
		}
	}
	return 0, false
}

func mustFind(l Line) Cloudflared {
	c, _ := l.FindCloudflared()
	return c
}

// isKey: the line names a key of cloudflared's.
func isKey(l Line) bool {
	return (l.Keyword == "identityfile" || l.Keyword == "certificatefile") && (strings.Contains(l.Value, "-cf_key") || strings.Contains(l.Value, ".cloudflared"))
}

// onlyCloudflared: there is nothing else in the block.
func (m *Migration) onlyCloudflared(lines []Line, block int) bool {
	for _, l := range lines {
		if l.Block != block || l.Keyword == "" {
			continue
		}
		if _, ok := l.FindCloudflared(); !ok && !isKey(l) {
			return false
		}
	}
	return true
}

var wasLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^# gitaccess was\[([01])\] (\S+): (.*)$`) })

// Undo puts the lines back that a Migration took out for a host, or for all.
func Undo(file []byte, host string, all bool) []byte {
	lines := Read(file)
	var out strings.Builder
	for i := 0; i < len(lines); i++ {
		l := lines[i]
		m := wasLine().FindStringSubmatch(l.Text)
		if m == nil || !all && !slices.Contains(strings.Split(m[2], ","), host) {
			out.WriteString(l.Text + l.End)
			continue
		}
		end := l.End
		if n, _ := strconv.Atoi(m[1]); n == 1 && i+1 < len(lines) && isOurs(lines[i+1]) {
			i++
			end = lines[i].End
		}
		out.WriteString(m[3] + end)
	}
	return []byte(out.String())
}

// isOurs: the line is one that Apply put there, and that nobody has changed into
// something else since.
func isOurs(l Line) bool {
	return l.Keyword == "proxycommand" || l.Keyword == "match" || l.Keyword == "identityfile" || l.Keyword == "certificatefile"
}
