package doctor

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/gitnote"
	"github.com/gitaccess/gitaccess/githelper"
)

// A setting is one line of git's configuration.
type setting struct {
	where    string // file:… or command line:
	key, sub string // "credential.helper", "https://git.example.com"
	value    string
}

const helperName = "git-credential-access"

// gitConfig looks for what keeps git from asking our helper, or has it send something
// else.
func (x *Exam) gitConfig(ctx context.Context) {
	if x.git == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	all, err := x.settings(ctx)
	if err != nil {
		x.fault("git config", "git-config", "git cannot read its configuration: "+err.Error(), "see which file: git config --list --show-origin")
		return
	}
	x.desktop()
	if x.Host == "" {
		return
	}
	x.extraHeaders(all)
	x.verification(all)
	if x.unsafe {
		return
	}
	note, found, err := gitnote.Load(x.Door, x.Origin)
	if err != nil {
		x.fault("git config", "git-note", err.Error(), "access setup git "+x.Host)
		return
	}
	named := false // our helper stands somewhere for this host
	for _, s := range all {
		named = named || s.isHelper() && s.covers(x.Origin) && strings.Contains(s.value, helperName)
	}
	switch {
	case !named && found && len(note.Files) > 0:
		x.fault("git config", "git-lines-lost", fmt.Sprintf("git was set up for %s in %s, and the lines are gone", x.Host, strings.Join(note.Files, ", ")),
			"access setup git "+x.Host)
	case !named:
		x.note("git config", fmt.Sprintf("git is not set up for %s; if you use git there: access setup git %s", x.Host, x.Host))
	default:
		x.helpers(all)
		x.web(all)
		x.lines(note)
	}
	if x.mode == access.ModeOAuth && named && !x.git.Version.Bearer() && note.Cookie != gitnote.CookieAccepted {
		x.fault("git", "git-too-old", fmt.Sprintf("%s has Managed OAuth, and git %s cannot send its tokens", x.Host, x.git.Version), "install git 2.46 or later")
	}
}

// settings returns git's configuration as git reads it, in its order.
func (x *Exam) settings(ctx context.Context) ([]setting, error) {
	out, err := x.git.Output(ctx, "config", "-z", "--show-origin", "--list")
	if err != nil {
		return nil, err
	}
	f := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	var all []setting
	for i := 0; i+1 < len(f); i += 2 {
		name, value, _ := strings.Cut(f[i+1], "\n")
		s := setting{where: strings.TrimPrefix(f[i], "file:"), value: value}
		first, last := strings.Index(name, "."), strings.LastIndex(name, ".")
		if first < 0 {
			continue
		}
		s.key = name[:first] + name[last:]
		if first < last {
			s.sub = name[first+1 : last]
		}
		all = append(all, s)
	}
	return all, nil
}

func (s setting) isHelper() bool { return s.key == "credential.helper" }

// covers reports whether a section may concern the host: it has no URL, or one of
// this host. Paths are not told apart.
func (s setting) covers(o access.Origin) bool {
	if s.sub == "" {
		return true
	}
	u, err := url.Parse(s.sub)
	if err != nil {
		return false
	}
	if got, err := access.OriginOf(&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}); err == nil {
		return got == o
	}
	return u.Host == "" && u.Path == o.Host() // without a scheme
}

// helpers are asked in the order of the files; an empty one takes back what stood
// before (gitcredentials(7)).
func (x *Exam) helpers(all []setting) {
	type helper struct{ value, where string }
	var list []helper
	reset := helper{}
	lost := false
	for _, s := range all {
		if !s.isHelper() || !s.covers(x.Origin) {
			continue
		}
		if s.value == "" {
			for _, h := range list {
				lost = lost || strings.Contains(h.value, helperName)
			}
			list, reset = nil, helper{where: s.where}
			continue
		}
		list = append(list, helper{s.value, s.where})
	}
	at := -1
	for i, h := range list {
		if strings.Contains(h.value, helperName) {
			at = i
			break
		}
	}
	switch {
	case at < 0 && lost:
		x.fault("git config", "git-helper-reset", fmt.Sprintf("an empty credential.helper in %s takes our helper off git's list", reset.where),
			"move it above the lines of setup, or take it away: git config --file "+reset.where+" --edit", "then: access setup git "+x.Host)
		return
	case at < 0:
		return
	case at > 0:
		x.fault("git config", "git-other-helper", fmt.Sprintf("git asks %q (in %s) before our helper, and it may answer", command(list[0].value), list[0].where),
			"access setup git "+x.Host+" puts the list in order")
	}
	path := firstWord(list[at].value)
	if filepath.IsAbs(path) && !isFile(path) {
		x.fault("git config", "git-helper-gone", fmt.Sprintf("git is told in %s to ask %s, which is not there", list[at].where, path),
			"access setup git "+x.Host+" writes where it is now")
		return
	}
	if at == 0 {
		x.ok("git config", fmt.Sprintf("git asks our helper first (%s)", list[at].where))
	}
}

// command is a helper's value without its arguments, which may hold anything.
func command(value string) string { return firstWord(value) }

// firstWord undoes the quoting of a path by backslashes.
func firstWord(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == ' ':
			return b.String()
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// lines compares those of setup with the git that is there now. The credential helper writes them anew when git was upgraded, but is not
// asked by an older git.
func (x *Exam) lines(note gitnote.Note) {
	for _, file := range note.Files {
		b, err := githelper.ReadConfig(file)
		if err != nil {
			continue
		}
		if suits, found := githelper.Suits(b, string(x.Origin), x.git.Version); found && !suits {
			x.fault("git config", "git-lines-old", fmt.Sprintf("the lines for %s in %s are for another git than %s", x.Host, file, x.git.Version),
				"access setup git "+x.Host)
		}
	}
}

// web compares what git takes for the host with the cookie file of setup.
func (x *Exam) web(all []setting) {
	jar := x.Door.Jar(access.App{Origin: x.Origin}).Path
	for _, s := range all {
		if !s.covers(x.Origin) || s.sub == "" {
			continue
		}
		switch {
		case s.key == "http.cookiefile" && s.ofOrigin(x.Origin) && filepath.Clean(expand(s.value)) != filepath.Clean(jar):
			x.fault("git config", "git-cookie-file", fmt.Sprintf("%s names another cookie file for %s than the one that is kept fresh (%s)", s.where, x.Host, jar),
				fmt.Sprintf("git config --file %s --unset-all http.%s.cookieFile", s.where, s.sub), "then: access setup git "+x.Host)
		case s.key == "http.proactiveauth" && strings.EqualFold(s.value, "none"):
			x.fault("git config", "git-asks-late", fmt.Sprintf("http.proactiveAuth is none in %s: git asks its helper only after Access has sent it to a login page", s.where),
				fmt.Sprintf("git config --file %s --unset-all http.%s.proactiveAuth", s.where, s.sub))
		}
	}
}

// ofOrigin: the section is for the whole host.
func (s setting) ofOrigin(o access.Origin) bool { return strings.TrimSuffix(s.sub, "/") == string(o) }

func expand(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return filepath.FromSlash(path)
}

// extraHeaders are what people wrote before there was a helper: a token that ends,
// in a file, and sent to wherever a redirect leads.
func (x *Exam) extraHeaders(all []setting) {
	for _, s := range all {
		if s.key != "http.extraheader" || !s.covers(x.Origin) {
			continue
		}
		name, _, _ := strings.Cut(s.value, ":")
		name = strings.TrimSpace(name)
		lower := strings.ToLower(name)
		ours := strings.HasPrefix(lower, "cf-access-") || lower == "cookie" && strings.Contains(s.value, "CF_Authorization") || lower == "authorization"
		if !ours {
			continue
		}
		section := "http.extraHeader"
		if s.sub != "" {
			section = "http." + s.sub + ".extraHeader"
		}
		x.fault("git config", "git-extra-header", fmt.Sprintf("%s in %s sends %s by itself: a token that ends, lies open in a file, and goes to wherever a redirect leads", section, s.where, name),
			fmt.Sprintf("git config --file %s --unset-all %s", s.where, section), "then: access setup git "+x.Host)
	}
}

func (x *Exam) verification(all []setting) {
	off := ""
	for _, s := range all {
		if s.key == "http.sslverify" && s.covers(x.Origin) {
			off = ""
			switch strings.ToLower(s.value) {
			case "false", "no", "off", "0":
				off = s.where
			}
		}
	}
	if off != "" {
		x.fault("git config", "git-no-verify", "http.sslVerify is off in "+off+": git does not check to whom it sends the session",
			"turn it on; for a private authority use git config --global http.https://"+x.Host+"/.sslCAInfo FILE")
	}
}

// desktop looks for GitHub Desktop, which clears the list of helpers for its own git.
func (x *Exam) desktop() {
	var places []string
	switch runtime.GOOS {
	case "darwin":
		places = []string{"/Applications/GitHub Desktop.app", filepath.Join(x.Home, "Applications", "GitHub Desktop.app")}
	case "windows":
		places = []string{filepath.Join(x.Env.Getenv("LOCALAPPDATA"), "GitHubDesktop")}
	default:
		places = []string{filepath.Join(x.Home, ".config", "GitHub Desktop")}
	}
	for _, p := range places {
		if _, err := os.Stat(p); err == nil && filepath.IsAbs(p) {
			x.warn("GitHub Desktop", "github-desktop", "GitHub Desktop ("+p+") clears git's list of credential helpers: git in it does not ask ours",
				"in its repositories use the remote access::https://"+x.hostOr("HOST")+"/…")
			return
		}
	}
}
