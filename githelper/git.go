package githelper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A Version is a version of git, as far as behaviour depends on it.
type Version struct{ Major, Minor, Patch int }

// ParseVersion reads what "git version" prints, with whatever a vendor adds: "git version 2.39.5 (Apple Git-154)",
// "git version 2.47.1.windows.2", "git version 2.56.0-rc0".
func ParseVersion(s string) (Version, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), "git version ")
	var v Version
	for i, part := range strings.SplitN(rest, ".", 4) {
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		n, err := strconv.Atoi(digits)
		if err != nil {
			ok = ok && i >= 2 // "2.50.GIT" is a build of git's own sources
			break
		}
		switch i {
		case 0:
			v.Major = n
		case 1:
			v.Minor = n
		case 2:
			v.Patch = n
		}
		if digits != part {
			break
		}
	}
	if !ok || v.Major == 0 {
		return Version{}, fmt.Errorf("githelper: %q is no version of git", s)
	}
	return v, nil
}

// AtLeast reports whether v is major.minor or later.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// Bearer reports whether a credential helper of this git can answer with a token for Authorization (capability authtype).
func (v Version) Bearer() bool { return v.AtLeast(2, 46) }

// BearerOnProbe reports whether such a token goes with every request. Before, the small request with which git probes the server ahead
// of a push that is larger than http.postBuffer goes without (git ed0f7a62f7).
func (v Version) BearerOnProbe() bool { return v.AtLeast(2, 54) }

// RedactsHTTP2 reports whether GIT_TRACE_CURL hides cookies and Authorization over HTTP/2, too, whatever libcurl prints of it. Before
// 2.34 git looks for "Cookie:" and not for HTTP/2's "cookie:"; libcurl then came to print each header in messages of its own, as
// "h2h3 [cookie: …]" (git b637a41ebe, 2.39), "h2 [" (2.42) and "[HTTP/2] [1] [" (2.43).
func (v Version) RedactsHTTP2() bool { return v.AtLeast(2, 43) }

// RedactsHTTP1 reports the same over HTTP/1.1.
func (v Version) RedactsHTTP1() bool { return v.AtLeast(2, 28) }

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Git is a git program on this machine.
type Git struct {
	Path    string
	Version Version
	Env     []string // of the child; nil means this process's
	Dir     string   // where git runs; "" means the working folder
}

// FindGit returns the git at path, or the first one in PATH if path is empty. env is the environment that it gets; nil means this
// process's.
func FindGit(ctx context.Context, path string, env []string) (*Git, error) {
	if path == "" {
		path = "git"
	}
	full, err := exec.LookPath(path) // never from the working folder, also on Windows
	if err != nil {
		return nil, fmt.Errorf("githelper: find git: %w", err)
	}
	if full, err = filepath.Abs(full); err != nil {
		return nil, fmt.Errorf("githelper: find git: %w", err)
	}
	g := &Git{Path: full, Env: env}
	out, err := g.Output(ctx, "version")
	if err != nil {
		return nil, err
	}
	if g.Version, err = ParseVersion(string(out)); err != nil {
		return nil, err
	}
	return g, nil
}

// outputDelay is how long what git started may hold on to git's standard output once git itself has ended.
const outputDelay = time.Second

// Output runs git and returns what it printed on standard output. No shell is involved. An error carries git's own words. What git leaves
// running behind it is not waited for.
func (g *Git) Output(ctx context.Context, args ...string) ([]byte, error) {
	return g.run(ctx, nil, args)
}

func (g *Git) run(ctx context.Context, stdin []byte, args []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, g.Path, args...)
	cmd.Env, cmd.Dir = g.Env, g.Dir
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	// trace2.envVars may name a variable that has a secret, which the git that a person runs by us does not get to see.
	cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], noTrace2...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	cmd.WaitDelay = outputDelay
	out, err := cmd.Output()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) { // the latter: git has ended well, something behind it goes on
		return out, nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if said := firstLine(stderr.String()); said != "" {
		return nil, fmt.Errorf("githelper: git %s: %w: %s", args[0], err, said)
	}
	return nil, fmt.Errorf("githelper: git %s: %w", args[0], err)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// outside returns g as it runs outside of any repository.
func (g *Git) outside() *Git {
	h := *g
	h.Dir = filepath.VolumeName(os.TempDir()) + string(filepath.Separator)
	if h.Env == nil {
		h.Env = os.Environ()
	}
	h.Env = append([]string(nil), h.Env...)
	for i := 0; i < len(h.Env); {
		switch name, _, _ := strings.Cut(h.Env[i], "="); name {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_PREFIX":
			h.Env = append(h.Env[:i], h.Env[i+1:]...)
		default:
			i++
		}
	}
	return &h
}

func (g *Git) getenv(key string) string {
	if g.Env == nil {
		return os.Getenv(key)
	}
	value := ""
	for _, kv := range g.Env {
		if k, v, _ := strings.Cut(kv, "="); k == key || runtime.GOOS == "windows" && strings.EqualFold(k, key) {
			value = v // the last one holds
		}
	}
	return value
}

// A Scope is one of the places that git reads its configuration from.
type Scope string

const (
	Global Scope = "global" // of the person
	Local  Scope = "local"  // of the repository in Git.Dir
	System Scope = "system" // of the machine
)

// ConfigFile returns the file that "git config --SCOPE" would write to. It need not exist.
func (g *Git) ConfigFile(ctx context.Context, scope Scope) (string, error) {
	switch scope {
	case Global:
		return g.globalFile()
	case System:
		return g.systemFile(ctx)
	case Local:
		out, err := g.Output(ctx, "rev-parse", "--git-path", "config")
		if err != nil {
			return "", err
		}
		path := strings.TrimSuffix(string(out), "\n")
		if !filepath.IsAbs(path) {
			path = filepath.Join(g.Dir, path)
		}
		return filepath.Abs(path)
	}
	return "", fmt.Errorf("githelper: no scope %q", scope)
}

// globalFile follows git-config(1), FILES: $XDG_CONFIG_HOME/git/config is written only if it is there and ~/.gitconfig is not.
func (g *Git) globalFile() (string, error) {
	if path := g.getenv("GIT_CONFIG_GLOBAL"); path != "" && g.Version.AtLeast(2, 32) {
		return filepath.Abs(path)
	}
	home := g.home()
	if home == "" {
		return "", errors.New("githelper: there is no home folder: HOME is not set")
	}
	own := filepath.Join(home, ".gitconfig")
	xdg := g.getenv("XDG_CONFIG_HOME")
	if xdg == "" {
		xdg = filepath.Join(home, ".config")
	}
	xdg = filepath.Join(xdg, "git", "config")
	if !readable(own) && readable(xdg) {
		return xdg, nil
	}
	return own, nil
}

// home is what Git for Windows makes of an environment without HOME (compat/mingw.c, setup_windows_environment).
func (g *Git) home() string {
	home := g.getenv("HOME")
	if home != "" || runtime.GOOS != "windows" {
		return home
	}
	if d := g.getenv("HOMEDRIVE") + g.getenv("HOMEPATH"); d != "" {
		if info, err := os.Stat(d); err == nil && info.IsDir() {
			return d
		}
	}
	return g.getenv("USERPROFILE")
}

func readable(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// systemFile asks git, whose builds differ in it. Before 2.42 ("git var GIT_CONFIG_SYSTEM") nothing prints the name of a file that
// may be missing but an editor that is asked to open it.
func (g *Git) systemFile(ctx context.Context) (string, error) {
	if path := g.getenv("GIT_CONFIG_SYSTEM"); path != "" && g.Version.AtLeast(2, 32) {
		return filepath.Abs(path)
	}
	h := g.outside()
	h.Env = append(h.Env, "GIT_CONFIG_NOSYSTEM=0") // else git var knows none, though git config --system writes one
	args := []string{"var", "GIT_CONFIG_SYSTEM"}
	if !g.Version.AtLeast(2, 42) {
		h.Env = append(h.Env, "GIT_EDITOR=echo")
		args = []string{"config", "--system", "--edit"}
	}
	out, err := h.Output(ctx, args...)
	if err != nil {
		return "", err
	}
	path := firstLine(string(out))
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("githelper: this git has no configuration of the machine (it says %q)", path)
	}
	return filepath.FromSlash(path), nil
}

// Helpers returns the credential helpers that git would ask for origin ("https://git.example.com"), in order, as if the lines that
// this package wrote to file were not there. scope Local includes the repository's configuration.
func (g *Git) Helpers(ctx context.Context, scope Scope, origin, file string) ([]string, error) {
	h := g
	if scope != Local {
		h = g.outside()
	}
	out, err := h.Output(ctx, "config", "-z", "--get-regexp", `^credential\.(.*\.)?helper$`)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 { // none
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []configured
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		key, value, _ := strings.Cut(entry, "\n")
		pattern, _ := strings.CutSuffix(strings.TrimPrefix(key, "credential."), "helper")
		all = append(all, configured{strings.TrimSuffix(pattern, "."), value})
	}
	own, err := ownHelpers(file, origin)
	if err != nil {
		return nil, err
	}
	all = without(all, origin, own)
	match, err := h.matching(ctx, all, origin)
	if err != nil {
		return nil, err
	}
	var helpers []string
	for i, c := range all {
		switch {
		case !match[i]:
		case c.value == "": // resets the list
			helpers = nil
		default:
			helpers = append(helpers, c.value)
		}
	}
	return helpers, nil
}

type configured struct{ pattern, value string }

// without drops the run of values own, which stand under the pattern origin one after another.
func without(all []configured, origin string, own []string) []configured {
	if len(own) == 0 {
		return all
	}
	for i := range all {
		n := 0
		for n < len(own) && i+n < len(all) && all[i+n] == (configured{origin, own[n]}) {
			n++
		}
		if n == len(own) {
			return append(all[:i:i], all[i+n:]...)
		}
	}
	return all
}

// matching has git itself decide which patterns are for origin: wildcards, ports and user names differ from version to version.
func (g *Git) matching(ctx context.Context, all []configured, origin string) ([]bool, error) {
	var config bytes.Buffer
	for i, c := range all {
		if c.pattern == "" {
			fmt.Fprintf(&config, "[credential]\np%d=x\n", i)
		} else if section, err := quoteSection("credential", c.pattern); err == nil {
			fmt.Fprintf(&config, "%s\np%d=x\n", section, i)
		}
	}
	out, err := g.run(ctx, config.Bytes(), []string{"config", "-z", "--file", "-", "--get-urlmatch", "credential", origin + "/"})
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		return nil, err
	}
	match := make([]bool, len(all))
	for i, c := range all {
		_, host, _ := strings.Cut(origin, "://")
		match[i] = c.pattern == host || // a bare host is a pattern for helpers only (credential.c, match_partial_url)
			bytes.Contains(out, fmt.Appendf(nil, "credential.p%d\n", i))
	}
	return match, nil
}
