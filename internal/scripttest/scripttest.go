// Package scripttest runs the test scripts of the programs: real git and ssh, our programs, and an Access edge for each script.
//
// A test package plays its own program, under the race detector, and has the others built:
//
//	func TestMain(m *testing.M) {
//		scripttest.Main(m, map[string]func(){"git-credential-access": main}, "access")
//	}
//	func TestScripts(t *testing.T) { scripttest.Run(t, nil) }
//
// Each script is a file testdata/script/*.txtar about one behaviour, in the language of testscript
// (https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript) with programs run by exec.
//
// # What a script finds
//
// No terminal, so that nobody is asked to log in but by ACCESS_INTERACTIVE=always and by access login; ttyin gives a program one. A
// new HOME, a new state folder with the file keystore, and the hosts of [World]. Each has a person's login and the service token
// ($SERVICE_ID, $SERVICE_SECRET) where nothing else is said:
//
//	git.example.com    git over HTTPS; the repository demo.git
//	basic.example.com  the same; the origin wants the login $ORIGIN_LOGIN, too
//	ci.example.com     the service token alone, strict
//	oauth.example.com  Managed OAuth
//	ssh.example.com    git over SSH; $GIT_SSH_COMMAND and `ssh -F $SSH_CONFIG` go through access-ssh-proxy
//	open.example.com   git without Access
//	$TEAM              the team domain
//
// $BROWSER is a person: each URL that a program opens is a tab, and the person logs in, refuses or does nothing, see the command
// edge person.
//
// # Commands
//
//	code N PROGRAM ARG...         runs a program that must end with exit code N
//	need PROGRAM PACKAGE          skips the script where PROGRAM is missing; with CI=true it fails
//	waitfor file PATH             waits until the file is there
//	waitfor request HOST [PATH]   waits for a request to the host
//	waitfor tabs N                waits until N tabs were opened
//	waitfor listen ADDR           waits until somebody listens at the address
//	waitfor gone PID_FILE         waits until the process is gone
//	edge ...                      asks and changes the edge, see [World.command]
//
// The condition [git>=2.46] compares the version of the git on PATH.
package scripttest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gitaccess/gitaccess/internal/lease"
)

var update = flag.Bool("update", false, "write what scripts compare with back into them")

// Options configure Run. Nil means the defaults.
type Options struct {
	Dir   string             // of the scripts; empty: testdata/script
	Gits  []Git              // run each script once with each, see [Gits]; nil: once, with the git on PATH
	Setup func(*World) error // changes the world before a script begins
}

// buildDir is where Main has put the programs that the scripts need beside those that the test binary plays.
var buildDir string

// Main runs the tests of a package whose scripts call its programs, which the test binary plays, and others of ours by name, which
// are built. It does not return.
func Main(m *testing.M, played map[string]func(), built ...string) {
	commands := map[string]func(){browserProgram: browserMain}
	for name, run := range played {
		commands[name] = run
	}
	testscript.Main(withBuilt{m, built}, commands)
}

// withBuilt builds before the tests run: TestMain also runs for each played program.
type withBuilt struct {
	m     *testing.M
	built []string
}

func (b withBuilt) Run() int {
	if err := leaveTerminal(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if len(b.built) > 0 {
		dir, err := build(b.built)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		buildDir = dir
	}
	return b.m.Run()
}

// Run runs the scripts as subtests.
func Run(t *testing.T, o *Options) {
	opts := Options{}
	if o != nil {
		opts = *o
	}
	if opts.Dir == "" {
		opts.Dir = filepath.Join("testdata", "script")
	}
	if opts.Gits == nil {
		run(t, &opts, Git{})
		return
	}
	for _, g := range opts.Gits {
		t.Run(g.Name, func(t *testing.T) { run(t, &opts, g) })
	}
}

func run(t *testing.T, o *Options, git Git) {
	deadline := time.Now().Add(3 * time.Minute)
	testscript.Run(t, testscript.Params{
		Dir:                 o.Dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Deadline:            deadline,
		Setup: func(env *testscript.Env) error {
			w, err := newWorld(env.WorkDir, git)
			if err != nil {
				return err
			}
			env.Defer(func() {
				if err := w.Close(); err != nil {
					env.T().Log(err)
				}
			})
			w.skip = func(why string) {
				if os.Getenv("CI") == "true" {
					env.T().Fatal(why)
				}
				env.T().Skip(why)
			}
			if o.Setup != nil {
				if err := o.Setup(w); err != nil {
					return err
				}
			}
			env.Values[worldKey{}] = w
			env.Vars = append(env.Vars, w.vars(getenv(env.Vars, "PATH"))...)
			env.Cd = w.Dir
			return nil
		},
		Condition: git.condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":    code,
			"need":    need,
			"waitfor": waitfor,
			"edge": func(ts *testscript.TestScript, neg bool, args []string) {
				world(ts).command(ts, neg, args)
			},
		},
	})
}

type worldKey struct{}

func world(ts *testscript.TestScript) *World { return ts.Value(worldKey{}).(*World) }

func getenv(vars []string, name string) string {
	value := ""
	for _, v := range vars {
		if n, val, ok := strings.Cut(v, "="); ok && n == name {
			value = val
		}
	}
	return value
}

// code runs a program that must end with the code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	var want int
	if len(args) < 2 || neg {
		ts.Fatalf("usage: code N PROGRAM ARG...")
	}
	if _, err := fmt.Sscan(args[0], &want); err != nil {
		ts.Fatalf("code %s: not a number", args[0])
	}
	got := 0
	switch err := ts.Exec(args[1], args[2:]...).(type) {
	case nil:
	case *exec.ExitError:
		got = err.ExitCode()
	default:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%s ended with code %d, want %d", args[1], got, want)
	}
}

func need(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: need PROGRAM PACKAGE")
	}
	if _, err := lookPath(args[0], ts.Getenv("PATH")); err != nil {
		world(ts).skip(missing(args[0], args[1]))
	}
}

func lookPath(name, path string) (string, error) {
	if filepath.IsAbs(name) {
		_, err := os.Stat(name)
		return name, err
	}
	for _, dir := range filepath.SplitList(path) {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", exec.ErrNotFound
}

// patience bounds what waits in scripts: far beyond what anything takes, so that no test depends on speed.
const patience = 2 * time.Minute

// poll waits until ok says so.
func poll(ok func() bool) bool {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// build builds programs of ours into a folder for these alone, one package at a time. The go command links only what has changed.
// With another package's programs beside them, one that was built yesterday would run in place of the one that the test plays.
func build(names []string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, ".testbed", "programs", strings.Join(slices.Sorted(slices.Values(names)), "+"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	l, err := lease.Acquire(ctx, dir+".lock", nil)
	if err != nil {
		return "", err
	}
	defer l.Release()
	for _, name := range names {
		out := filepath.Join(dir, name)
		if runtime.GOOS == "windows" {
			out += ".exe"
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w", "-o", out, "./cmd/"+name)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if b, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("could not build %s: %w\n%s", name, err, b)
		}
	}
	return dir, nil
}

// Build builds programs of ours and returns the folder that they are in, for tests without scripts.
func Build(t testing.TB, names ...string) string {
	t.Helper()
	dir, err := build(names)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// moduleRoot is the folder of go.mod; tests run in the folder of their package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod above the working folder")
		}
		dir = up
	}
}
