package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gitaccess/gitaccess/cmd/internal/sshfile"
)

// maxIncludes bounds a configuration that includes itself.
const maxIncludes = 50

// sshConfig reads the person's configuration of ssh.
func (x *Exam) sshConfig(context.Context) {
	if x.Home == "" {
		return
	}
	files := []string{filepath.Join(x.Home, ".ssh", "config")}
	seen := map[string]bool{}
	ours := false
	for len(files) > 0 && len(seen) < maxIncludes {
		file := files[0]
		files = files[1:]
		if seen[file] {
			continue
		}
		seen[file] = true
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, l := range sshfile.Read(b) {
			if l.Keyword == "include" {
				files = append(files, included(filepath.Join(x.Home, ".ssh"), x.Home, l.Value)...)
			}
			ours = x.sshLine(file, l) || ours
		}
	}
	if x.Host != "" && ours {
		x.ok("ssh config", "ssh goes to "+x.Host+" by access-ssh-proxy")
	}
}

// sshLine looks at one line. It reports whether it sends ssh to the host by us.
func (x *Exam) sshLine(file string, l sshfile.Line) bool {
	where := fmt.Sprintf("%s line %d", file, l.N)
	concerns := x.Host == "" || l.Applies(x.Origin.Hostname())
	if c, ok := l.FindCloudflared(); ok && concerns {
		x.fault("ssh config", "ssh-cloudflared", where+" still calls cloudflared access "+c.Command, "access setup ssh --migrate "+x.hostOr(""))
		if c.Secret {
			x.fault("ssh config", "ssh-secret", where+" holds a service token, which every program of yours can read", "access service-token add "+x.hostOr("HOST")+", then take it out of the line")
		}
		return false
	}
	if l.Keyword == "setenv" && strings.Contains(strings.ToUpper(l.Value), "CF_ACCESS_CLIENT_SECRET") || l.Keyword == "sendenv" && strings.Contains(strings.ToUpper(l.Value), "CF_ACCESS") {
		x.fault("ssh config", "ssh-secret", where+" sends a service token on to the server that ssh logs in to", "take the line out")
		return false
	}
	if l.Keyword != "proxycommand" || !strings.Contains(l.Value, "access-ssh-proxy") {
		return false
	}
	program := strings.Trim(firstWord(l.Value), `"'`)
	if filepath.IsAbs(program) && !isFile(program) && concerns {
		x.fault("ssh config", "ssh-proxy-gone", fmt.Sprintf("%s starts %s, which is not there", where, program), "access setup ssh "+x.hostOr("HOST")+" writes where it is now")
		return false
	}
	if l.Everyone() && x.tokenForAll() {
		x.fault("ssh config", "ssh-token-for-all", fmt.Sprintf("%s is for all hosts, and a service token is in the environment: it goes to every host that ssh is told to connect to", where),
			"name the hosts in the Host line: access setup ssh "+x.hostOr("HOST"), "or keep the token to its hosts: access service-token add "+x.hostOr("HOST"))
	}
	return concerns
}

// tokenForAll: a service token of the environment goes to each host that a ProxyCommand names.
func (x *Exam) tokenForAll() bool {
	for _, v := range tokenVars {
		if x.Env.Getenv(v[0]) != "" && x.Env.Getenv(v[1]) != "" {
			return true
		}
	}
	return false
}

// included are the files of an Include line (ssh_config(5)): several patterns, below
// ~/.ssh if they are relative.
func included(base, home, value string) (files []string) {
	for _, p := range strings.Fields(strings.ReplaceAll(value, `"`, " ")) {
		if rest, ok := strings.CutPrefix(p, "~/"); ok {
			p = filepath.Join(home, rest)
		}
		if !filepath.IsAbs(p) {
			p = filepath.Join(base, p)
		}
		found, _ := filepath.Glob(p)
		files = append(files, found...)
	}
	return files
}
