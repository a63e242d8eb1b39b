package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

type testEnv struct {
	Env
	stdout, stderr bytes.Buffer
}

func newTestEnv(args ...string) *testEnv {
	e := &testEnv{}
	e.Env = Env{Name: "prog", Args: args, Stdin: strings.NewReader(""), Stdout: &e.stdout, Stderr: &e.stderr,
		Getenv: func(string) string { return "" }, Environ: func() []string { return nil }}
	return e
}

type coded struct{ code int }

func (c coded) Error() string { return "coded" }
func (c coded) ExitCode() int { return c.code }

func TestReport(t *testing.T) {
	childErr := exec.Command("sh", "-c", "exit 4").Run()
	if childErr == nil {
		t.Fatal("sh -c 'exit 4' succeeded")
	}
	tests := []struct {
		name   string
		err    error
		code   int
		stderr string
	}{
		{"success is silent", nil, 0, ""},
		{"plain", errors.New("no such host"), 1, "prog: error: no such host\n"},
		{"usage", Usagef("unknown host %q", "x"), 2, "prog: error: unknown host \"x\"\nprog: hint: prog --help shows the usage\n"},
		{"usage with a hint of its own", &UsageError{Err: errors.New("x"), Hints: []string{"y"}}, 2, "prog: error: x\nprog: hint: y\n"},
		{"code from a wrapped error", fmt.Errorf("login: %w", coded{3}), 3, "prog: error: login: coded\n"},
		{"hints after the error, each once", &Error{Err: &Error{Err: coded{4}, Hints: []string{"b", "a"}}, Hints: []string{"a"}}, 4,
			"prog: error: coded\nprog: hint: a\nprog: hint: b\n"},
		{"own code wins", &Error{Err: coded{4}, Code: 3}, 3, "prog: error: coded\n"},
		{"nothing to say", &Error{Code: 42}, 42, ""},
		{"a child's code is not ours", fmt.Errorf("git config: %w", childErr), 1, "prog: error: git config: exit status 4\n"},
		{"each line has its author", errors.Join(errors.New("one"), errors.New("two")), 1, "prog: error: one\nprog: error: two\n"},
		{"a server's text cannot steer the terminal", errors.New("said \x1b[2J\r\u202ehi\a"), 1, "prog: error: said \ufffd[2J\ufffd\ufffdhi\ufffd\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			env := newTestEnv()
			if code := Report(&env.Env, tt.err); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if diff := cmp.Diff(tt.stderr, env.stderr.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A panic's value may be a token; its report is pasted into public issues.
func TestPanicPrintsNoValues(t *testing.T) {
	for _, v := range []any{"CF_Authorization=s3cret", errors.New("s3cret"), fmt.Errorf("x: %w", errors.New("s3cret"))} {
		env := newTestEnv("--token=s3cret")
		code := runMain(&env.Env, func(context.Context, *Env) error { panicDeepInside(v); return nil })
		out := env.stderr.String()
		if code != 1 || strings.Contains(out, "s3cret") || !strings.Contains(out, "panicDeepInside") || !strings.Contains(out, issues) {
			t.Errorf("code %d, output:\n%s", code, out)
		}
	}
	env := newTestEnv()
	runMain(&env.Env, func(_ context.Context, env *Env) error { _ = env.Args[len(env.Name)]; return nil })
	if !strings.Contains(env.stderr.String(), "index out of range [4] with length 0") {
		t.Errorf("a runtime error is not told:\n%s", env.stderr.String())
	}
}

func panicDeepInside(v any) { panic(v) }

func TestRun(t *testing.T) {
	tests := []struct {
		name, args string
		want       string // what the command saw, else the error
		code       int
	}{
		{"flags before the argument", "dial --to=x HOST", "dial to=x team= v=false [HOST] []", 0},
		{"flags after the argument", "dial HOST --to x -v", "dial to=x team= v=true [HOST] []", 0},
		{"one dash is enough", "dial HOST -to x", "dial to=x team= v=false [HOST] []", 0},
		{"a value that looks like a flag", "dial --to -v HOST", "dial to=-v team= v=false [HOST] []", 0},
		{"application flag after the command", "dial HOST --team acme", "dial to= team=acme v=false [HOST] []", 0},
		{"application flag before the command", "--team acme dial HOST", "dial to= team=acme v=false [HOST] []", 0},
		{"a boolean takes no argument", "dial -v HOST", "dial to= team= v=true [HOST] []", 0},
		{"a boolean may be given a value", "dial -v=false HOST", "dial to= team= v=false [HOST] []", 0},
		{"everything after -- is argument", "dial HOST -- git --to=y -v -- z", "dial to= team= v=false [HOST] [git --to=y -v -- z]", 0},
		{"nothing after --", "dial HOST --", "dial to= team= v=false [HOST] []", 0},
		{"an argument named like a command", "dial dial", "dial to= team= v=false [dial] []", 0},
		{"an argument named help", "dial HOST help", "dial to= team= v=false [HOST help] []", 0},
		{"a lone dash is an argument", "dial -", "dial to= team= v=false [-] []", 0},
		{"nested command", "group one A", "one [A]", 0},
		{"hosts may be called h", "dial h", "dial to= team= v=false [h] []", 0},
		{"unknown flag", "dial --too=secretvalue HOST", "prog: error: unknown flag \"--too\"\nprog: hint: did you mean \"--to\"\nprog: hint: prog dial --help shows the usage\n", 2},
		{"unknown command", "call", "prog: error: unknown command \"call\"\nprog: hint: prog --help shows the usage\n", 2},
		{"nearly a command", "grop one", "prog: error: unknown command \"grop\"\nprog: hint: did you mean \"group\"\nprog: hint: prog --help shows the usage\n", 2},
		{"no command", "", "prog: error: a command is missing\nprog: hint: prog --help shows the usage\n", 2},
		{"unknown command of a group", "group three", "prog: error: unknown command \"three\"\nprog: hint: the commands are \"prog group one\", \"prog group two\"\nprog: hint: prog group --help shows the usage\n", 2},
		{"no command of a group", "group", "prog: error: a command is missing\nprog: hint: the commands are \"prog group one\", \"prog group two\"\nprog: hint: prog group --help shows the usage\n", 2},
		{"missing value", "dial HOST --to", "prog: error: flag \"--to\" needs a value\nprog: hint: prog dial --help shows the usage\n", 2},
		{"bad value", "dial --n=many", "prog: error: invalid value \"many\" for flag \"-n\": want a number\nprog: hint: prog dial --help shows the usage\n", 2},
		{"a time without its unit", "dial --wait 5", "prog: error: invalid value \"5\" for flag \"--wait\": want a time, such as 90s or 10m\nprog: hint: prog dial --help shows the usage\n", 2},
		{"neither true nor false", "dial -v=maybe", "prog: error: invalid value \"maybe\" for flag \"-v\": want true or false\nprog: hint: prog dial --help shows the usage\n", 2},
		{"an action that does not understand its arguments", "group four", "prog: error: one HOST is wanted\nprog: hint: prog group four --help shows the usage\n", 2},
		{"missing required flag", "group two", "prog: error: required flag \"must\" not set\nprog: hint: prog group two --help shows the usage\n", 2},
		{"an action's error is its own, not a usage error", "fail", "prog: error: coded\n", 4},
		{"help for no such command", "help call", "prog: error: unknown command \"call\"\nprog: hint: prog --help shows the usage\n", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			env := newTestEnv(strings.Fields(tt.args)...)
			code := runMain(&env.Env, func(ctx context.Context, env *Env) error { return Run(ctx, env, testApp(env)) })
			if got := env.stdout.String() + env.stderr.String(); got != tt.want {
				t.Error(cmp.Diff(tt.want, got))
			}
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
		})
	}
}

func testApp(env *Env) *cli.App {
	app := NewApp(env)
	app.Usage = "try flags"
	app.Flags = []cli.Flag{&cli.StringFlag{Name: "team", Usage: "the `TEAM` to ask"}}
	app.Commands = []*cli.Command{
		{Name: "dial", Usage: "dial a host", ArgsUsage: "HOST", Flags: []cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "where `HOST` is"}, &cli.BoolFlag{Name: "v"}, &cli.IntFlag{Name: "n", Value: 3},
			&cli.DurationFlag{Name: "wait", Hidden: true},
			&cli.DurationFlag{Name: "a-name-that-would-leave-no-room", Usage: "wait so `LONG`"},
			&cli.BoolFlag{Name: "secret", Hidden: true}},
			Action: func(c *cli.Context) error {
				before, after, dashed := AfterDash(c)
				if dashed != strings.Contains(strings.Join(env.Args, " "), "--") && len(after) > 0 {
					return errors.New("wrong dash")
				}
				fmt.Fprintf(env.Stdout, "dial to=%s team=%s v=%t %v %v", c.String("to"), c.String("team"), c.Bool("v"), before, after)
				return nil
			}},
		{Name: "group", Subcommands: []*cli.Command{
			{Name: "one", Action: func(c *cli.Context) error { fmt.Fprintf(env.Stdout, "one %v", c.Args().Slice()); return nil }},
			{Name: "two", Flags: []cli.Flag{&cli.StringFlag{Name: "must", Required: true}}, Action: func(*cli.Context) error { return nil }},
			{Name: "four", Hidden: true, Action: func(*cli.Context) error { return Usagef("one HOST is wanted") }},
		}},
		{Name: "fail", Action: func(*cli.Context) error { return coded{4} }},
	}
	return app
}

// A command that hands its words on to another program gets them as they are.
func TestVerbatim(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want []string
		help bool
	}{
		{[]string{"--global=1", "wrap", "-H", "a: b", "--version", "x", "--", "y"}, []string{"-H", "a: b", "--version", "x", "--", "y"}, false},
		{[]string{"wrap"}, nil, false},
		{[]string{"wrap", "--help"}, nil, true},
		{[]string{"wrap", "x", "--help"}, []string{"x", "--help"}, false},
	} {
		env := newTestEnv(tt.args...)
		app := NewApp(&env.Env)
		app.Flags = []cli.Flag{&cli.StringFlag{Name: "global"}}
		var got []string
		app.Commands = []*cli.Command{{Name: "wrap", Usage: "wrap it", SkipFlagParsing: true, Action: func(c *cli.Context) error {
			got = c.Args().Slice()
			return nil
		}}}
		if err := Run(t.Context(), &env.Env, app); err != nil {
			t.Errorf("%q: %v", tt.args, err)
		}
		if help := strings.Contains(env.stdout.String(), "wrap it"); help != tt.help {
			t.Errorf("%q: help %t", tt.args, help)
		}
		if strings.Join(got, "|") != strings.Join(tt.want, "|") {
			t.Errorf("%q: got %q", tt.args, got)
		}
	}
}

func TestHelp(t *testing.T) {
	const dial = `usage: prog dial [FLAGS] HOST

dial a host

flags:
  --to=HOST   where HOST is
  -v
  -n=VALUE    (default 3)
  --a-name-that-would-leave-no-room=LONG
              wait so LONG
  -h, --help  print this and end

flags of every command:
  --team=TEAM  the TEAM to ask
`
	const root = `usage: prog COMMAND [FLAGS]

try flags

commands:
  dial   dial a host
  group
  fail

flags:
  --team=TEAM  the TEAM to ask
  -h, --help   print this and end
  --version    print the version and end
`
	for args, want := range map[string]string{
		"dial --help": dial, "help dial": dial, "dial HOST -h --to x": dial, "--help": root, "help": root,
	} {
		for _, toStderr := range []bool{false, true} {
			env := newTestEnv(strings.Fields(args)...)
			env.HelpToStderr = toStderr
			if code := runMain(&env.Env, func(ctx context.Context, env *Env) error { return Run(ctx, env, testApp(env)) }); code != 0 {
				t.Errorf("%s: exit code %d", args, code)
			}
			got, other := env.stdout.String(), env.stderr.String()
			if toStderr {
				got, other = other, got
			}
			if diff := cmp.Diff(want, got); diff != "" || other != "" {
				t.Errorf("%s: %s\nother stream: %q", args, diff, other)
			}
		}
	}
	env := newTestEnv("dial", "--version")
	runMain(&env.Env, func(ctx context.Context, env *Env) error { return Run(ctx, env, testApp(env)) })
	if got := env.stdout.String(); !strings.HasPrefix(got, "prog ") || strings.Count(got, "\n") != 1 {
		t.Errorf("version: %q", got)
	}
}

func TestParse(t *testing.T) {
	const help = `usage: prog [FLAGS] HOST

relay a stream

It does this and that.

flags:
  --listen=ADDR  accept connections at ADDR
  -n=VALUE       (default 3)
  -v             say more
  -h, --help     print this and end
  --version      print the version and end
`
	tests := []struct {
		name, args, want string
		code             int
	}{
		{"flags before the argument", "--listen=x -v HOST", "listen=x v=true n=3 [HOST]", 0},
		{"flags after the argument", "HOST --listen x -n 4", "listen=x v=false n=4 [HOST]", 0},
		{"a boolean takes no argument", "-v HOST", "listen= v=true n=3 [HOST]", 0},
		{"a boolean may be given a value", "-v=false HOST", "listen= v=false n=3 [HOST]", 0},
		{"everything after -- is argument", "HOST -- -v --listen", "listen= v=false n=3 [HOST -v --listen]", 0},
		{"a lone dash is an argument", "-", "listen= v=false n=3 [-]", 0},
		{"unknown flag", "--listne=secretvalue", "prog: error: unknown flag \"--listne\"\nprog: hint: did you mean \"--listen\"\nprog: hint: prog --help shows the usage\n", 2},
		{"missing value", "HOST --listen", "prog: error: flag \"--listen\" needs a value\nprog: hint: prog --help shows the usage\n", 2},
		{"bad value", "--n=many", "prog: error: invalid value \"many\" for flag \"--n\": want a number\nprog: hint: prog --help shows the usage\n", 2},
		{"help", "HOST --help", help, 0},
		{"short help", "-h", help, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			env := newTestEnv(strings.Fields(tt.args)...)
			code := runMain(&env.Env, func(_ context.Context, env *Env) error {
				set := flag.NewFlagSet("", flag.ContinueOnError)
				listen, v, n := set.String("listen", "", "accept connections at `ADDR`"), set.Bool("v", false, "say more"), set.Int("n", 3, "")
				args, err := Parse(env, set, Page{Usage: "relay a stream", Args: "HOST", Description: "It does this and that.\n"})
				if err == nil {
					fmt.Fprintf(env.Stdout, "listen=%s v=%t n=%d %v", *listen, *v, *n, args)
				}
				return err
			})
			if got := env.stdout.String() + env.stderr.String(); got != tt.want {
				t.Error(cmp.Diff(tt.want, got))
			}
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
		})
	}
}
