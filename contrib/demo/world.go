package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// originLogin is what basic.example.com wants beside Access.
const originLogin = "ada:origin-password"

// shortLife is how long the access tokens of oauth.example.com live: so short that each command finds the last one about to end.
const shortLife = 50 * time.Second

// world is a home folder with an edge around it.
type world struct {
	dir     string
	edge    *accesstest.Edge
	service *accesstest.ServiceToken
	sshd    *origin.SSH
	browser *tabs
	hand    *mirror // where a person of flesh and blood clicks; nil if scripted

	env                    []string // of the commands
	token                  []string // a service token, for one step
	commits                int
	transcript             bytes.Buffer // of the step's commands
	tabsBefore             int
	gitVersion, sshVersion string
	newest                 string // path of the newest git at hand
	newestVersion          string
}

func newWorld(ctx context.Context, env *cli.Env, bin string) (w *world, err error) {
	w = &world{edge: accesstest.New(nil)}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if w.dir, err = os.MkdirTemp("", "gitaccess-demo-"); err != nil {
		return w, err
	}
	for _, d := range []string{"home", "run", "edge", "origin"} {
		if err := os.Mkdir(filepath.Join(w.dir, d), 0o700); err != nil {
			return w, err
		}
	}
	srv, err := w.startEdge(ctx)
	if err != nil {
		return w, err
	}
	if env.Getenv("DEMO_BROWSER") == "1" {
		if w.hand, err = newMirror(srv, env); err != nil {
			return w, err
		}
	}
	if w.browser, err = newTabs(w.edge.Person("ada@example.com"), w.hand); err != nil {
		return w, err
	}
	if err := w.environment(env, srv, bin); err != nil {
		return w, err
	}
	if w.gitVersion, err = w.output(ctx, "git", "--version"); err != nil {
		return w, err
	}
	if w.newest, w.newestVersion, err = newestGit(ctx); err != nil {
		return w, err
	}
	version, err := exec.CommandContext(ctx, "ssh", "-V").CombinedOutput()
	w.sshVersion, _, _ = strings.Cut(strings.TrimSpace(string(version)), ",")
	return w, err
}

// startEdge puts the applications behind an edge on loopback.
func (w *world) startEdge(ctx context.Context) (*accesstest.Server, error) {
	root := filepath.Join(w.dir, "origin")
	for _, name := range []string{"demo.git", "big.git"} {
		if _, err := origin.Init(ctx, root, name, nil); err != nil {
			return nil, err
		}
	}
	var err error
	if w.sshd, err = origin.StartSSH(root, nil); err != nil {
		return nil, err
	}
	w.service = w.edge.Team().AddServiceToken("demo")
	services := []*accesstest.ServiceToken{w.service}
	plain := &origin.Git{Root: root}
	for _, a := range []accesstest.App{
		{Host: "git.example.com", Allow: true, Services: services, Origin: plain},
		{Host: "basic.example.com", Allow: true, Origin: &origin.Git{Root: root, Login: originLogin}},
		{Host: "ci.example.com", Services: services, Strict: true, Origin: plain},
		{Host: "ssh.example.com", Allow: true, Services: services, TCP: accesstest.DialTCP(w.sshd.Addr())},
		{Host: "oauth.example.com", Allow: true, Origin: plain, OAuth: &accesstest.OAuth{AccessLifetime: shortLife}},
	} {
		w.edge.AddApp(a)
	}
	return w.edge.Start()
}

// environment is what the commands see: nothing of the user's own but the programs.
func (w *world) environment(env *cli.Env, srv *accesstest.Server, bin string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	known := filepath.Join(w.dir, "edge", "known_hosts")
	if err := os.WriteFile(known, []byte(w.sshd.KnownHosts("ssh.example.com")), 0o600); err != nil {
		return err
	}
	config := filepath.Join(w.dir, "edge", "ssh_config")
	if err := os.WriteFile(config, []byte(fmt.Sprintf(`Host *
  ProxyCommand access-ssh-proxy --hostname=%%h
  User git
  UserKnownHostsFile %q
  GlobalKnownHostsFile none
  IdentityFile none
  IdentityAgent none
  BatchMode yes
`, known)), 0o600); err != nil {
		return err
	}
	edgeEnv, err := srv.Env(filepath.Join(w.dir, "edge"))
	if err != nil {
		return err
	}
	home := filepath.Join(w.dir, "home")
	w.env = append([]string{
		"PATH=" + bin + string(filepath.ListSeparator) + env.Getenv("PATH"),
		"HOME=" + home, "USERPROFILE=" + home, "LOCALAPPDATA=" + home,
		"XDG_CONFIG_HOME=" + filepath.Join(home, ".config"), "XDG_STATE_HOME=" + filepath.Join(home, ".local", "state"),
		"XDG_CACHE_HOME=" + filepath.Join(home, ".cache"), "XDG_RUNTIME_DIR=" + filepath.Join(w.dir, "run"),
		"ACCESS_STATE_DIR=" + filepath.Join(w.dir, "state"), "ACCESS_KEYSTORE=file", // not your keyring
		"ACCESS_INTERACTIVE=always", // there is a person, also where make runs without a terminal
		"GIT_CONFIG_NOSYSTEM=1", "GIT_SSH_COMMAND=ssh -F '" + config + "'",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com",
		"LC_ALL=C",
		fmt.Sprintf("BROWSER=%q --tab", self), tabVar + "=" + w.browser.addr(),
	}, edgeEnv...)
	for _, name := range []string{"TMPDIR", "TEMP", "TMP", "SYSTEMROOT"} {
		if v := env.Getenv(name); v != "" {
			w.env = append(w.env, name+"="+v)
		}
	}
	return nil
}

// Close ends everything and removes every trace.
func (w *world) Close() error {
	var errs []error
	if w.browser != nil {
		errs = append(errs, w.browser.close())
	}
	if w.hand != nil {
		errs = append(errs, w.hand.close())
	}
	errs = append(errs, w.edge.Close())
	if w.sshd != nil {
		errs = append(errs, w.sshd.Close())
	}
	if w.dir != "" {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}

// begin starts a step: the log is empty, no service token is set.
func (w *world) begin() {
	w.edge.ClearLog()
	w.transcript.Reset()
	w.token = nil
	w.tabsBefore = w.browser.count()
}

// do does a step, within the time that a person may need, or a script.
func (w *world) do(ctx context.Context, s step) (string, error) {
	limit := time.Minute
	if w.hand != nil {
		limit = 15 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.do(ctx, w)
}

func (w *world) setServiceToken(id, secret string) {
	w.token = []string{"CF_ACCESS_CLIENT_ID=" + id, "CF_ACCESS_CLIENT_SECRET=" + secret}
}

func (w *world) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	path := name
	if bin := filepath.SplitList(strings.TrimPrefix(w.env[0], "PATH="))[0]; slices.Contains(programs, name) {
		path = filepath.Join(bin, name)
		if runtime.GOOS == "windows" {
			path += ".exe"
		}
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = w.dir, append(slices.Clone(w.env), w.token...)
	inGroup(cmd)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs a command that must succeed.
func (w *world) run(ctx context.Context, name string, args ...string) error {
	fmt.Fprintf(&w.transcript, "$ %s %s\n", name, strings.Join(args, " "))
	cmd := w.command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &w.transcript, &w.transcript
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

func (w *world) output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := w.command(ctx, name, args...).Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), err
}

// fails runs a command that must end with the code, and returns its error message.
func (w *world) fails(ctx context.Context, code int, name string, args ...string) (string, error) {
	err := w.run(ctx, name, args...)
	var exit *exec.ExitError
	if err == nil {
		return "", errors.New("the command succeeded")
	}
	if !errors.As(err, &exit) {
		return "", err
	}
	if exit.ExitCode() != code {
		return "", fmt.Errorf("exit code %d, want %d", exit.ExitCode(), code)
	}
	for line := range strings.SplitSeq(w.transcript.String(), "\n") {
		if message, ok := strings.CutPrefix(line, name+": error: "); ok {
			return message, nil
		}
	}
	return "", errors.New("no message says why")
}

// tabs checks how many pages were opened in the browser in this step.
func (w *world) tabs(want int) error {
	if got := w.browser.count() - w.tabsBefore; got != want {
		return fmt.Errorf("%d browser tabs were opened, want %d", got, want)
	}
	return nil
}

// connections checks how many connections programs made to the host in this step, or to all hosts.
func (w *world) connections(host string, want int) error {
	if got := w.edge.Connections(host); len(got) != want {
		return fmt.Errorf("%d connections to %q, want %d: %v", len(got), host, want, got)
	}
	return nil
}

func (w *world) onlyAt(secret, host string) error {
	if leaks := w.edge.Leaks(secret, host); len(leaks) > 0 {
		return fmt.Errorf("the secret of %s was seen elsewhere: %v", host, leaks)
	}
	return nil
}

func (w *world) serviceTokenAccepted(host string) error {
	for _, r := range w.edge.Requests(accesstest.ToHost(host)) {
		for _, c := range r.Credentials {
			if c.Kind == accesstest.ServiceHeaders && c.Accepted {
				return nil
			}
		}
	}
	return fmt.Errorf("%s saw no service token", host)
}

// bigRepository makes one with 30 MB that do not compress: git sends them in chunks, after a probe.
func (w *world) bigRepository(ctx context.Context, dir string) error {
	if err := check(w.run(ctx, "git", "init", "-q", dir), w.run(ctx, "git", "-C", dir, "config", "core.compression", "0")); err != nil {
		return err
	}
	b := make([]byte, 30<<20)
	rand.Read(b)
	if err := os.WriteFile(filepath.Join(w.dir, dir, "big"), b, 0o600); err != nil {
		return err
	}
	return w.commit(ctx, dir)
}

// keepOriginLogin gives the login of basic.example.com to git's own credential store, as a user has it already.
func (w *world) keepOriginLogin(ctx context.Context) error {
	if err := w.run(ctx, "git", "config", "--global", "credential.helper", "store"); err != nil {
		return err
	}
	line := "https://" + originLogin + "@basic.example.com\n"
	return os.WriteFile(filepath.Join(w.dir, "home", ".git-credentials"), []byte(line), 0o600)
}

// newestGit returns the newest of the git on PATH and those that make test put beside it.
func newestGit(ctx context.Context) (path, version string, err error) {
	candidates := []string{"git"}
	for _, dir := range []string{"/opt/gitaccess-testbed", os.ExpandEnv("$HOME/.cache/gitaccess-testbed")} {
		found, err := filepath.Glob(filepath.Join(dir, "git-*", "bin", "git"))
		if err != nil {
			return "", "", err
		}
		candidates = append(candidates, found...)
	}
	var best githelper.Version
	for _, c := range candidates {
		g, err := githelper.FindGit(ctx, c, nil)
		if err != nil {
			return "", "", err
		}
		if best == (githelper.Version{}) || g.Version.AtLeast(best.Major, best.Minor+1) || g.Version.Major > best.Major {
			path, best = g.Path, g.Version
		}
	}
	return path, best.String(), nil
}

// refreshes checks how often the authorization server was asked for a token in this step.
func (w *world) refreshes(want int) error {
	if n := len(w.edge.Requests(accesstest.ToPath("/cdn-cgi/access/oauth/token"))); n != want {
		return fmt.Errorf("%d requests for a token, want %d", n, want)
	}
	return nil
}
