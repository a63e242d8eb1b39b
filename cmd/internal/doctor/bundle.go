package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gitaccess/gitaccess/cmd/internal/sshfile"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// Report is what a person may give to somebody who helps: the findings, and the
// settings of this machine that they rest on, without secrets.
func (x *Exam) Report(ctx context.Context) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("gitaccess report, %s", time.Now().UTC().Format(time.RFC3339))
	p("%s", cli.VersionLine("access"))
	p("system: %s/%s", runtime.GOOS, runtime.GOARCH)
	if x.Host != "" {
		p("host: %s", x.URL.Redacted())
	}
	p("\n== findings")
	for _, f := range x.Findings {
		p("%-8s %s: %s", f.Status, f.Check, f.Text)
		if f.Name != "" {
			p("         name: %s", f.Name)
		}
		for _, n := range f.Next {
			p("         next: %s", n)
		}
	}
	p("\n== environment")
	for _, line := range x.variables() {
		p("%s", line)
	}
	p("\n== git's configuration")
	for _, line := range x.gitLines(ctx) {
		p("%s", line)
	}
	p("\n== ssh's configuration")
	for _, line := range x.sshLines() {
		p("%s", line)
	}
	return x.withoutValues(redact(b.String()))
}

// shown are the variables whose values say something and are no secrets; of the
// others that concern us the report says that they are set.
var shown = []string{
	"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "GIT_SSL_NO_VERIFY", "GIT_TERMINAL_PROMPT", "GIT_ASKPASS", "SSH_ASKPASS",
	"ACCESS_STATE_DIR", "ACCESS_KEYSTORE", "ACCESS_INTERACTIVE", "ACCESS_HOSTS", "GCM_INTERACTIVE", "CI", "BROWSER", "DISPLAY", "WAYLAND_DISPLAY",
	"SSH_CONNECTION", "WSL_DISTRO_NAME", "container", "TERM",
}

func (x *Exam) variables() (lines []string) {
	for _, kv := range x.Env.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case slices.Contains(shown, name):
			lines = append(lines, name+"="+redact(value))
		case strings.HasPrefix(name, "ACCESS_"), strings.HasPrefix(name, "CF_ACCESS_"), strings.HasPrefix(name, "TUNNEL_"),
			strings.HasPrefix(name, "GIT_TRACE"), strings.HasPrefix(name, "GIT_CONFIG_"), strings.HasPrefix(name, "GIT_SSH"):
			lines = append(lines, name+" is set")
		}
	}
	slices.Sort(lines)
	return lines
}

// gitKeys are the settings whose values are told.
var gitKeys = []string{
	"credential.helper", "credential.interactive", "credential.usehttppath", "http.cookiefile", "http.savecookies", "http.proactiveauth", "http.emptyauth",
	"http.followredirects", "http.postbuffer", "http.version", "http.sslverify", "http.sslcainfo", "http.proxy", "http.sslbackend", "lfs.access", "url.insteadof",
}

func (x *Exam) gitLines(ctx context.Context) (lines []string) {
	if x.git == nil {
		return nil
	}
	all, err := x.settings(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	for _, s := range all {
		section, key, _ := strings.Cut(s.key, ".")
		if section != "credential" && section != "http" && section != "lfs" && section != "url" || x.Host != "" && section != "url" && !s.covers(x.Origin) {
			continue
		}
		value := "[not shown]"
		switch {
		case s.isHelper():
			value = command(s.value)
			if value != s.value {
				value += " …"
			}
		case slices.Contains(gitKeys, s.key):
			value = redact(s.value)
		}
		name := section + "."
		if s.sub != "" {
			name += s.sub + "."
		}
		lines = append(lines, fmt.Sprintf("%s: %s%s = %s", s.where, name, key, value))
	}
	return lines
}

var matchExec = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)(\bexec)\b.*`) })

// sshLines are those that decide how ssh gets to hosts behind Access.
func (x *Exam) sshLines() (lines []string) {
	if x.Home == "" {
		return nil
	}
	file := filepath.Join(x.Home, ".ssh", "config")
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for _, l := range sshfile.Read(b) {
		if l.Keyword != "include" && x.Host != "" && !l.Applies(x.Origin.Hostname()) {
			continue
		}
		switch l.Keyword {
		case "host", "include", "identitiesonly", "controlmaster", "controlpath", "proxyjump":
			lines = append(lines, fmt.Sprintf("%d: %s", l.N, redact(l.Text)))
		case "match": // its commands, as those of ProxyCommand, may hold anything
			text := matchExec().ReplaceAllString(l.Text, "$1 [not shown]")
			if c, ok := l.FindCloudflared(); ok {
				text += " (cloudflared access " + c.Command + ")"
			}
			lines = append(lines, fmt.Sprintf("%d: %s", l.N, redact(text)))
		case "proxycommand":
			text := "  ProxyCommand " + firstWord(l.Value) + " [not shown]"
			c, ok := l.FindCloudflared()
			switch {
			case ok && c.Secret:
				text = "  ProxyCommand cloudflared access " + c.Command + " [with a service token]"
			case ok && !c.Shell || strings.Contains(firstWord(l.Value), "access-ssh-proxy"):
				text = redact(l.Text)
			}
			lines = append(lines, fmt.Sprintf("%d: %s", l.N, text))
		case "setenv":
			lines = append(lines, fmt.Sprintf("%d: SetEnv [not shown]", l.N))
		}
	}
	return lines
}

// withoutValues takes out what variables with telling names hold, wherever it came
// in from.
func (x *Exam) withoutValues(text string) string {
	for _, kv := range x.Env.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		name = strings.ToUpper(name)
		for _, end := range []string{"SECRET", "TOKEN", "PASSPHRASE", "PASSWORD", "KEY", "LOGIN"} {
			if strings.HasSuffix(name, end) && len(value) >= 6 {
				text = strings.ReplaceAll(text, value, "[secret]")
			}
		}
	}
	return text
}
