package scripttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
)

// originLogin is what basic.example.com wants beside Access.
const originLogin = "ada:origin-password"

// Person is who logs in where a script says nothing else.
const Person = "ada@example.com"

// A World is a machine with a home folder and an edge around it, for one script or test.
type World struct {
	Dir     string // of the script; the home is Dir/home, the repositories are in Dir/origin
	Git     Git    // the git to use; zero: that on PATH
	Edge    *accesstest.Edge
	Server  *accesstest.Server
	Team    *accesstest.Team
	Service *accesstest.ServiceToken
	Apps    map[string]*accesstest.Application // by host
	SSH     *origin.SSH

	browser *browser
	edgeEnv []string
	skip    func(why string)
	extra   []string
}

// NewWorld returns a world for a test without scripts, closed when the test ends. Tests of logins need [Main] for $BROWSER.
func NewWorld(t testing.TB, git Git) *World {
	t.Helper()
	w, err := newWorld(t.TempDir(), git)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func newWorld(dir string, git Git) (w *World, err error) {
	w = &World{Dir: dir, Git: git, Edge: accesstest.New(nil), Apps: map[string]*accesstest.Application{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	repositories := filepath.Join(dir, "origin")
	for _, d := range []string{"home", "home/.config", "run", "origin", "edge"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	if _, err := origin.Init(context.Background(), repositories, "demo.git", nil); err != nil {
		return nil, err
	}
	if w.SSH, err = origin.StartSSH(repositories, nil); err != nil {
		return nil, err
	}
	w.Team = w.Edge.Team()
	w.Service = w.Team.AddServiceToken("script")
	services := []*accesstest.ServiceToken{w.Service}
	plain := &origin.Git{Root: repositories}
	for _, a := range []accesstest.App{
		{Host: "git.example.com", Allow: true, Services: services, Origin: plain},
		{Host: "basic.example.com", Allow: true, Services: services, Origin: &origin.Git{Root: repositories, Login: originLogin}},
		{Host: "ci.example.com", Services: services, Strict: true, Origin: plain},
		{Host: "oauth.example.com", Allow: true, Services: services, OAuth: &accesstest.OAuth{}, Origin: plain},
		{Host: "ssh.example.com", Allow: true, Services: services, TCP: accesstest.DialTCP(w.SSH.Addr())},
	} {
		w.Apps[a.Host] = w.Edge.AddApp(a)
	}
	w.Edge.Handle("open.example.com", plain)
	if w.Server, err = w.Edge.Start(); err != nil {
		return nil, err
	}
	if w.edgeEnv, err = w.Server.Env(filepath.Join(dir, "edge")); err != nil {
		return nil, err
	}
	if w.browser, err = newBrowser(w.Edge.Person(Person)); err != nil {
		return nil, err
	}
	return w, w.writeSSHConfig()
}

// Close ends the edge, the origins and the person, and reports what the person could not do.
func (w *World) Close() error {
	var errs []error
	if w.browser != nil {
		errs = append(errs, w.browser.close())
	}
	errs = append(errs, w.Edge.Close())
	if w.SSH != nil {
		errs = append(errs, w.SSH.Close())
	}
	return errors.Join(errs...)
}

func (w *World) path(elem ...string) string {
	return filepath.Join(append([]string{w.Dir}, elem...)...)
}

// writeSSHConfig writes the configuration for `ssh -F`, since ssh reads the home folder of the account and not of HOME.
func (w *World) writeSSHConfig() error {
	known := w.path("edge", "known_hosts")
	if err := os.WriteFile(known, []byte(w.SSH.KnownHosts("ssh.example.com")), 0o600); err != nil {
		return err
	}
	return os.WriteFile(w.path("edge", "ssh_config"), []byte(fmt.Sprintf(`Host *
  ProxyCommand access-ssh-proxy --hostname=%%h
  User git
  UserKnownHostsFile %q
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  IdentityFile none
  IdentityAgent none
  BatchMode yes
`, known)), 0o600)
}

// Set adds variables to the environment, "NAME=value".
func (w *World) Set(vars ...string) { w.extra = append(w.extra, vars...) }

// vars is the environment of the world's programs. The machine's own is not part of it.
func (w *World) vars(path string) []string {
	if buildDir != "" {
		// Behind the programs that the test binary plays, which are first on its PATH:
		// the folder is shared and may have older ones from the tests of others.
		played, rest, _ := strings.Cut(path, string(filepath.ListSeparator))
		path = strings.Join([]string{played, buildDir, rest}, string(filepath.ListSeparator))
	}
	if w.Git.Path != "" {
		if own, err := exec.LookPath("git"); err != nil || own != w.Git.Path {
			path = filepath.Dir(w.Git.Path) + string(filepath.ListSeparator) + path
		}
	}
	home := w.path("home")
	config := w.path("edge", "ssh_config")
	vars := []string{
		"PATH=" + path,
		"HOME=" + home, "USERPROFILE=" + home, "LOCALAPPDATA=" + filepath.Join(home, "AppData", "Local"),
		"XDG_CONFIG_HOME=" + filepath.Join(home, ".config"),
		"XDG_STATE_HOME=" + filepath.Join(home, ".local", "state"),
		"XDG_CACHE_HOME=" + filepath.Join(home, ".cache"),
		"XDG_DATA_HOME=" + filepath.Join(home, ".local", "share"),
		"XDG_RUNTIME_DIR=" + w.path("run"),
		"ACCESS_STATE_DIR=" + w.path("state"),
		"ACCESS_KEYSTORE=file",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=" + Person, "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=" + Person,
		"GIT_SSH_COMMAND=ssh -F '" + config + "'",
		"SSH_CONFIG=" + config,
		"LC_ALL=C", "TZ=UTC",
		"GORACE=atexit_sleep_ms=0", // a program under the race detector sleeps for a second when it ends
		"BROWSER=" + browserProgram, browserVar + "=" + w.browser.listener.Addr().String(),
		"TEAM=" + w.Team.Domain(),
		"SERVICE_ID=" + w.Service.ID, "SERVICE_SECRET=" + w.Service.Secret(),
		"ORIGIN_LOGIN=" + originLogin,
		"EDGE_ADDR=" + w.Server.Addr(),
		"SSHD_ADDR=" + w.SSH.Addr(),
	}
	return append(append(vars, w.edgeEnv...), w.extra...)
}

// Environ is the whole environment for a program of the world.
func (w *World) Environ() []string {
	vars := w.vars(os.Getenv("PATH"))
	for _, name := range []string{"TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "GOCOVERDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			vars = append(vars, name+"="+v)
		}
	}
	return vars
}

// Command returns a command of the world, in its folder, found on its PATH.
func (w *World) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	env := w.Environ()
	path := name
	if filepath.Base(name) == name {
		if p, err := lookPath(name, getenv(env, "PATH")); err == nil {
			path = p
		}
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Args[0] = name
	cmd.Dir, cmd.Env = w.Dir, env
	return cmd
}

// Tabs are the URLs that programs have opened in the browser so far.
func (w *World) Tabs() []string { return w.browser.opened() }

// Behave says what the person does with the next tabs: "approve", "refuse" or "nothing".
func (w *World) Behave(does string) { w.browser.behave(does) }

// Change does what the command edge does in scripts, for those that print nothing: w.Change("service", "disable").
func (w *World) Change(verb string, args ...string) error { return w.change(verb, args) }

// ServeTCP puts a TCP server behind the application at the host until the test ends. Each connection is closed when serve returns.
func (w *World) ServeTCP(t *testing.T, host string, serve func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.Edge.CutRelays()
		serving.Wait()
	})
	w.Apps[host].Set(func(a *accesstest.App) { a.TCP = accesstest.DialTCP(l.Addr().String()) })
}

// app returns the application at the host.
func (w *World) app(host string) (*accesstest.Application, error) {
	if a := w.Apps[host]; a != nil {
		return a, nil
	}
	var known []string
	for h := range w.Apps {
		known = append(known, h)
	}
	return nil, fmt.Errorf("no application at %q, only at %s", host, strings.Join(known, ", "))
}
