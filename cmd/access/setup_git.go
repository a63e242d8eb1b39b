package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/cmd/internal/gitnote"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func setupCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:  "setup",
		Usage: "let another program use the session of a host",
		Description: `Configures git or ssh, once for each host.

  access setup git git.example.com
  access setup ssh ada@ssh.example.com`,
		Subcommands: []*urfave.Command{{
			Name:      "git",
			Usage:     "configure git for a host",
			ArgsUsage: "HOST|URL",
			Description: `Logs in to HOST if need be, finds out whether the server behind Access wants a login
of its own, and writes to git's configuration what makes git send the session to this
host and to no other. URLs stay as they are. The change is shown as a diff. Headers that
send a token of Access to the host (http.*.extraHeader) are taken out of the same file.
git is tried then, on the repository if the URL names one.

  access setup git git.example.com
  access setup git https://git.example.com/team/code.git
  access setup git --dry-run git.example.com     show the change and write nothing

"access unsetup git HOST" takes the lines away again.`,
			Flags: append(gitScopeFlags(),
				&urfave.BoolFlag{Name: "own-login", Usage: "the server behind Access wants a login of its own (=false: it does not)"},
				&urfave.StringFlag{Name: "username", Usage: "your `NAME` at the server behind Access, for git below 2.46"},
			),
			Action: func(c *urfave.Context) error { return setupGit(env, c) },
		}, setupSSHCommand(env)},
	}
}

// gitScopeFlags are common to setup git and unsetup git.
func gitScopeFlags() []urfave.Flag {
	return []urfave.Flag{
		&urfave.BoolFlag{Name: "global", Usage: "in your own configuration (the default)"},
		&urfave.BoolFlag{Name: "local", Usage: "in the configuration of the repository that you are in"},
		&urfave.BoolFlag{Name: "system", Usage: "in the configuration of this machine"},
		&urfave.BoolFlag{Name: "dry-run", Usage: "show the change as a diff and write nothing"},
		&urfave.StringFlag{Name: "git", Usage: "configure the git at `PATH`"},
	}
}

func gitScope(c *urfave.Context) (githelper.Scope, error) {
	scope, n := githelper.Global, 0
	for _, s := range []githelper.Scope{githelper.Global, githelper.Local, githelper.System} {
		if c.Bool(string(s)) {
			scope = s
			n++
		}
	}
	if n > 1 {
		return "", cli.Usagef("--global, --local and --system exclude one another")
	}
	return scope, nil
}

// gitSetup is one run of setup git.
type gitSetup struct {
	env    *cli.Env
	c      *urfave.Context
	door   *door.Door
	git    *githelper.Git
	scope  githelper.Scope
	file   string // git's configuration file
	origin access.Origin
	url    *url.URL
	user   string // in the URL
	dryRun bool
}

func newGitSetup(env *cli.Env, c *urfave.Context) (*gitSetup, error) {
	o, u, err := hostArgument(c)
	if err != nil {
		return nil, err
	}
	s, err := newGitScope(env, c)
	if err != nil {
		return nil, err
	}
	s.origin, s.url = o, u
	if full, err := url.Parse(c.Args().First()); err == nil && full.User != nil {
		s.user = full.User.Username()
	}
	return s, nil
}

// newGitScope is a setup that has no host yet.
func newGitScope(env *cli.Env, c *urfave.Context) (s *gitSetup, err error) {
	s = &gitSetup{env: env, c: c, dryRun: c.Bool("dry-run")}
	if s.scope, err = gitScope(c); err != nil {
		return nil, err
	}
	if s.git, err = githelper.FindGit(c.Context, c.String("git"), env.Environ()); err != nil {
		return nil, &cli.Error{Err: err, Hints: []string{"install git, or name it: --git PATH"}}
	}
	if s.file, err = s.git.ConfigFile(c.Context, s.scope); err != nil {
		return nil, err
	}
	if s.door, err = open(env, c, func(o *door.Options) { o.Network.Git = s.git.Path }); err != nil {
		return nil, err
	}
	return s, nil
}

func setupGit(env *cli.Env, c *urfave.Context) error {
	s, err := newGitSetup(env, c)
	if err != nil {
		return err
	}
	ctx := c.Context
	r, err := s.route(ctx)
	if err != nil {
		return s.refusedBeside(err)
	}
	h := &githelper.HostConfig{
		Origin:   string(s.origin),
		Note:     fmt.Sprintf(unsetupNote, s.origin.Host()),
		OwnLogin: r.ownLogin,
		Bearer:   r.cr.Kind == access.Bearer,
	}
	if h.Helper, err = helperPath(); err != nil {
		return err
	}
	if err := s.complete(ctx, h, r); err != nil {
		return err
	}
	changed := false
	var m migrated
	edit := func(old []byte) ([]byte, error) {
		var rest []byte
		rest, m = s.withoutRecipes(old, r.cr.App)
		b, err := h.Set(rest, s.git.Version)
		if err != nil {
			return nil, err
		}
		diff := githelper.Diff(s.file, old, b)
		changed = diff != ""
		if _, err = io.WriteString(env.Stdout, m.redact(diff)); err != nil || s.dryRun {
			return b, err
		}
		return b, m.keep(ctx, s)
	}
	if s.dryRun {
		old, err := githelper.ReadConfig(s.file)
		if err == nil {
			_, err = edit(old)
		}
		return err
	}
	// What the helper reads comes first: a git that finds the lines finds the helper ready.
	if err := s.note(r); err != nil {
		return err
	}
	if err := s.door.WriteJar(r.cr); err != nil {
		return err
	}
	if err := editConfig(s.file, edit); err != nil {
		return err
	}
	switch {
	case !changed:
		env.Note("git %s was set up for %s already, in %s", s.git.Version, s.origin.Host(), s.file)
	case h.Bearer && !s.git.Version.BearerOnProbe():
		env.Note("git %s leaves the token out ahead of a push that is larger than http.postBuffer, so that this is %d MB for %s now: "+
			"git holds so much of a push in memory, and a larger one fails; git 2.54 or later needs none of it",
			s.git.Version, githelper.BearerPostBuffer>>20, s.origin.Host())
	}
	m.tell(ctx, s)
	return s.try(ctx, r)
}

// A route is how git will pass.
type route struct {
	cr       access.Credential
	policy   access.Policy
	cookie   gitnote.Cookie
	ownLogin bool
}

// route gets what git will use, so that a host that cannot be set up is named now and not by git later.
//
// With Managed OAuth, git from 2.54 sends its tokens. Where git cannot, or not with every request, or where the server behind Access
// wants Authorization for a login of its own, it is the session cookie, if the application accepts one; a token is the next best.
func (s *gitSetup) route(ctx context.Context) (route, error) {
	ownLogin := s.c.IsSet("own-login") && s.c.Bool("own-login")
	r, err := s.credential(ctx, ownLogin || !s.git.Version.BearerOnProbe())
	if err != nil || r.cr.Kind == access.None { // None: a dry run without a session
		return r, err
	}
	if r.cr.Kind == access.Bearer && !ownLogin && !s.git.Version.Bearer() {
		return r, gitnote.TokenError(s.origin, "git "+s.git.Version.String(), true)
	}
	if s.c.IsSet("own-login") {
		r.ownLogin = ownLogin
	} else if r.ownLogin, err = s.ownLogin(ctx, r.policy); err != nil {
		return r, err
	}
	if r.ownLogin && r.cr.Kind == access.Bearer {
		if r.cookie == gitnote.CookieUntried {
			r, err = s.credential(ctx, true)
			r.ownLogin = true
		}
		if err == nil && r.cr.Kind == access.Bearer {
			err = gitnote.LoginError(s.origin)
		}
	}
	return r, err
}

// credential gets a session; with cookie, of the kind that goes into a cookie file if the application accepts one.
func (s *gitSetup) credential(ctx context.Context, cookie bool) (route, error) {
	p := s.door.Policy(door.Caller{Origin: s.origin, Named: true, Explicit: true, CheckEvery: time.Nanosecond})
	p.Named = "" // the environment's service token is not what git will have
	if s.dryRun {
		p.Login = func(context.Context) error { return errors.New("this is a dry run") }
	}
	p.JWT = cookie
	r := route{policy: p}
	var err error
	if r.cr, err = s.door.Client.Credential(ctx, s.url, p); err == nil && r.cr.Kind == access.JWT && r.cr.App.Mode == access.ModeOAuth {
		var accepted bool
		if accepted, err = s.door.TakesCookie(ctx, s.url, p); accepted {
			r.cookie = gitnote.CookieAccepted
			r.cr, err = s.door.Client.Credential(ctx, s.url, p)
		} else if err == nil {
			err = &access.RefusedError{App: r.cr.App, Cause: access.NotWithOAuth}
		}
	}
	var refused *access.RefusedError
	var login *access.LoginRequiredError
	switch {
	case cookie && errors.As(err, &refused) && refused.Cause == access.NotWithOAuth:
		r, err = s.credential(ctx, false)
		r.cookie = gitnote.CookieRefused
		return r, err
	case s.dryRun && errors.As(err, &login):
		s.env.Note("there is no session of %s to ask the server behind Access with; the change is shown as for a server that is open", s.origin.Host())
		r.cr = access.Credential{App: login.App}
		return r, nil
	case err != nil:
		return r, err
	case r.cr.Kind == access.ServiceToken:
		return r, &cli.Error{
			Err:   fmt.Errorf("%s is used with a service token, which git cannot get from its configuration", s.origin.Host()),
			Hints: []string{fmt.Sprintf("run git with it: access run %s -- git …", s.origin.Host())},
			Code:  cli.ExitRefused,
		}
	case r.cr.Kind == access.None:
		return r, &cli.Error{
			Err: fmt.Errorf("%s asks for no login, so that there is nothing to set up", s.url.Host),
			Hints: []string{
				"if Access guards a part of the host only, name a repository there: access setup git https://" + s.url.Host + "/…",
			},
		}
	}
	return r, nil
}

// complete fills in what depends on git, the scope and the person.
func (s *gitSetup) complete(ctx context.Context, h *githelper.HostConfig, r route) error {
	h.Jar = s.door.Jar(access.App{Origin: s.origin}).Path
	paths, err := s.paths()
	if err != nil {
		return err
	}
	for _, p := range paths {
		h.Paths = append(h.Paths, githelper.PathJar{Path: p, Jar: s.door.Jar(access.App{Origin: s.origin, Path: p}).Path})
	}
	for _, name := range []string{"ca-file", "client-cert"} {
		if v := s.c.String(name); v != "" {
			abs, err := filepath.Abs(v)
			if err != nil {
				return err
			}
			h.HelperArgs = append(h.HelperArgs, "--"+name+"="+abs)
		}
	}
	if v := s.c.String("team"); v != "" {
		h.HelperArgs = append(h.HelperArgs, "--team="+v)
	}
	if s.scope == githelper.System {
		// For everybody on this machine: each has a home and a cookie file of their own, and none has run this command.
		if h.Jar, err = belowHome(h.Jar); err != nil {
			return err
		}
		for i := range h.Paths {
			if h.Paths[i].Jar, err = belowHome(h.Paths[i].Jar); err != nil {
				return err
			}
			h.HelperArgs = append(h.HelperArgs, "--path="+h.Paths[i].Path)
		}
		h.HelperArgs = append(h.HelperArgs, "--set-up")
		if h.OwnLogin {
			h.HelperArgs = append(h.HelperArgs, "--own-login")
		}
		if r.cookie == gitnote.CookieAccepted {
			h.HelperArgs = append(h.HelperArgs, "--cookie")
		}
	}
	others, err := s.git.Helpers(ctx, s.scope, h.Origin, s.file)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(others, storesLogins) {
		h.HelperArgs = append(h.HelperArgs, "--store") // for this host it is ours alone that git asks first
	}
	if !h.OwnLogin {
		return nil
	}
	h.Others = slices.DeleteFunc(others, isHelper)
	if h.Username, err = s.username(ctx); err != nil {
		return err
	}
	if h.Username == "" && !s.git.Version.AtLeast(2, 46) {
		return &cli.UsageError{
			Err:   fmt.Errorf("git %s needs to know your user name at %s beforehand, since the server behind Access wants a login of its own", s.git.Version, s.origin.Host()),
			Hints: []string{"name it: access setup git --username NAME " + s.origin.Host(), "git 2.46 or later does without"},
		}
	}
	return nil
}

// belowHome is a path in the home of whoever runs git.
func belowHome(path string) (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	below, err := filepath.Rel(home, path)
	if err != nil || !filepath.IsLocal(below) {
		return "", &cli.Error{
			Err:   fmt.Errorf("the cookie file %s is not below the home folder, so that it cannot be the same for all users", path),
			Hints: []string{"unset ACCESS_STATE_DIR and XDG_STATE_HOME for this command"},
		}
	}
	return "~/" + filepath.ToSlash(below), nil
}

// paths are those of the host's applications that guard a part of it, as far as they are known by now.
func (s *gitSetup) paths() ([]string, error) {
	n, _, err := gitnote.Load(s.door, s.origin)
	if err != nil {
		return nil, err
	}
	paths := n.Paths
	for _, app := range s.door.Client.Applications(s.origin) {
		if app.Path != "" && (app.Mode == access.ModeLogin || app.Mode == access.ModeOAuth) {
			paths = append(paths, app.Path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

// username is the person's name at the server behind Access, as far as it is known.
func (s *gitSetup) username(ctx context.Context) (string, error) {
	if v := s.c.String("username"); v != "" || s.user != "" {
		if v == "" {
			v = s.user
		}
		return v, nil
	}
	out, err := s.git.Output(ctx, "config", "--get-urlmatch", "credential.username", s.url.String())
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 { // not set
		return "", nil
	}
	return strings.TrimSpace(string(out)), err
}

func (s *gitSetup) note(r route) error {
	n, _, err := gitnote.Load(s.door, s.origin)
	if err != nil {
		return err
	}
	n.OwnLogin, n.Cookie, n.Git = r.ownLogin, r.cookie, gitnote.GitOf(s.git)
	if n.Paths, err = s.paths(); err != nil {
		return err
	}
	if !slices.Contains(n.Files, s.file) {
		n.Files = append(n.Files, s.file)
	}
	return gitnote.Save(s.door, s.origin, n)
}

// ownLogin asks the server behind Access, as git would, whether it wants a login of its own: for reading and for writing, since many
// want one for writing only.
func (s *gitSetup) ownLogin(ctx context.Context, p access.Policy) (bool, error) {
	repos := []string{strings.TrimSuffix(s.url.Path, "/")}
	if repos[0] == "" {
		// No repository is known. Some servers ask at every address, others for a repository that does not exist.
		repos = append(repos, "/gitaccess/probe.git")
	}
	rt := s.door.Client.Transport(nil, p)
	for _, repo := range repos {
		for _, service := range []string{"git-upload-pack", "git-receive-pack"} {
			u := s.origin.URL()
			u.Path, u.RawQuery = repo+"/info/refs", "service="+service
			yes, err := s.asksForLogin(ctx, rt, u)
			if yes || err != nil {
				return yes, err
			}
		}
	}
	return false, nil
}

func (s *gitSetup) asksForLogin(ctx context.Context, rt http.RoundTripper, u *url.URL) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("User-Agent", "git/"+s.git.Version.String()) // servers answer programs and browsers differently
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusUnauthorized, nil
}

// try runs git on the repository that was named. A failure is told and fails nothing: the configuration stands.
func (s *gitSetup) try(ctx context.Context, r route) error {
	switch bare := strings.Trim(s.url.Path, "/") == ""; {
	case bare && (r.ownLogin || s.c.IsSet("own-login")):
		return nil // git would ask for that login, or learn what the person has said otherwise
	case bare:
		return s.tryHost(ctx)
	}
	u := *s.url
	if s.user != "" {
		u.User = url.User(s.user)
	}
	if _, err := s.git.Output(ctx, "ls-remote", "--quiet", "--exit-code", u.String(), "HEAD"); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == 2 { // no HEAD: an empty repository
			return nil
		}
		return &cli.Error{
			Err:   fmt.Errorf("git is set up, but fails on %s: %w", u.Redacted(), err),
			Hints: []string{"see what git does: GIT_CURL_VERBOSE=1 git ls-remote " + u.Redacted()},
		}
	}
	return nil
}

const helperName = "git-credential-access"

// isHelper reports whether a helper of git's configuration is ours: by its path, or as "access", which is short for it.
func isHelper(v string) bool {
	short, _, _ := strings.Cut(v, " ")
	return strings.Contains(v, helperName) || short == strings.TrimPrefix(helperName, "git-credential-")
}

// storesLogins reports whether it keeps the logins of all servers as well.
func storesLogins(v string) bool { return isHelper(v) && slices.Contains(strings.Fields(v), "--store") }

// helperPath returns the absolute path of the credential helper: programs of a desktop do not have the PATH of the shell.
func helperPath() (string, error) { return neighbour(helperName) }

// editConfig is [githelper.EditConfig] with what to do about a lock that stays.
func editConfig(file string, edit func([]byte) ([]byte, error)) error {
	err := githelper.EditConfig(file, edit)
	var locked *githelper.LockedError
	if errors.As(err, &locked) {
		return &cli.Error{Err: err, Hints: []string{fmt.Sprintf("run the command again; if no git is running, remove %s", locked.Lock)}}
	}
	return err
}
