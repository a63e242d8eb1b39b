package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
)

// NewApp returns an application of urfave/cli for [Run], which keeps the library away from the process: it never exits, prints
// nothing of its own, and leaves the environment alone. Give it Usage (one line), ArgsUsage ("HOST"), Description, Flags,
// Commands, Action. Commands print to the Env's streams, not to the App's Writer; flags take no EnvVars, since the Env is what a
// run may read.
func NewApp(env *Env) *cli.App {
	return &cli.App{
		Name:     env.Name,
		HelpName: env.Name,
		Reader:   env.Stdin,
	}
}

// Run parses env.Args and runs the command that they name.
//
// Flags may stand before and after arguments; flags of the application may stand after the command, too; after "--" all is
// argument, see [AfterDash], and so is all after a command with SkipFlagParsing, unless the first of it asks for help. -h and --help
// print the help of the command that they stand in, and --version the version. What goes
// wrong before an Action begins is a [UsageError].
func Run(ctx context.Context, env *Env, app *cli.App) error {
	tamed := &tamedApp{env: env, app: app, verbatim: map[*cli.Command]bool{}}
	tamed.tame()
	line, err := tamed.parse(env.Args)
	if err != nil {
		return err
	}
	switch {
	case line.help:
		return helpOf(env, app, line.commands).write(env)
	case line.version:
		_, err := fmt.Fprintln(helpWriter(env), VersionLine(env.Name))
		return err
	}
	err = app.RunContext(ctx, line.args)
	if err == nil {
		return nil
	}
	hint := []string{helpHint(env, line.commands)}
	if !tamed.started {
		return &UsageError{Err: tamed.refined(err, line.commands), Hints: hint}
	}
	if usage := (*UsageError)(nil); errors.As(err, &usage) && len(hints(err)) == 0 {
		return &Error{Err: err, Hints: hint}
	}
	return err
}

// flagValueError is how the standard library refuses the value of a flag.
var flagValueError = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-([^:\s]+): (.*)$`)
})

// refined is an error of the library in our words.
func (t *tamedApp) refined(err error, path []*cli.Command) error {
	m := flagValueError().FindStringSubmatch(err.Error())
	if m == nil {
		return errors.New(lowerFirst(err.Error()))
	}
	value, uerr := strconv.Unquote(m[1])
	if uerr != nil {
		return errors.New(lowerFirst(err.Error()))
	}
	flags := t.app.Flags
	for _, c := range path {
		flags = append(flags[:len(flags):len(flags)], c.Flags...)
	}
	var kind any
	switch flagNamed(flags, m[2]).(type) {
	case *cli.DurationFlag:
		kind = time.Duration(0)
	case *cli.IntFlag:
		kind = 0
	case *cli.BoolFlag:
		kind = false
	}
	return badValue(value, dashes(m[2]), kind, errors.New(m[3]))
}

// AfterDash returns the arguments of the command before and after "--". Without one, dashed is false and all arguments are in before.
func AfterDash(c *cli.Context) (before, after []string, dashed bool) {
	all := c.Args().Slice()
	n, ok := c.App.Metadata[dashKey].(int)
	if !ok || n > len(all) {
		return all, nil, false
	}
	return all[:n], all[n:], true
}

// dashKey is where Run notes how many arguments stood before "--", since urfave/cli forgets it.
const dashKey = "gitaccess: arguments before --"

// actionKey is where Run notes whether the application does something without a command: its flags are its own then, and not
// those of every command.
const actionKey = "gitaccess: acts without a command"

type tamedApp struct {
	env     *Env
	app     *cli.App
	started bool // an Action or Before of ours has run

	// verbatim are the commands with SkipFlagParsing, which get the words after them
	// as they are.
	verbatim map[*cli.Command]bool
}

// tame takes urfave/cli's habits away: exits inside the library, help on standard output after an error, a "help" command
// beneath each command (so that `access login h` could not name a host), -v for the version, completion flags.
func (t *tamedApp) tame() {
	a := t.app
	a.HideHelp, a.HideVersion, a.HideHelpCommand, a.EnableBashCompletion = true, true, true, false
	a.Writer, a.ErrWriter = io.Discard, io.Discard
	a.ExitErrHandler = func(*cli.Context, error) {}
	if a.Metadata == nil {
		a.Metadata = map[string]any{}
	}
	a.Metadata[actionKey] = a.Action != nil
	a.Action = t.wrap(a.Action, len(a.Commands) > 0, nil)
	if a.Before != nil {
		a.Before = cli.BeforeFunc(t.wrap(cli.ActionFunc(a.Before), false, nil))
	}
	t.tameCommands(a.Commands, nil)
}

func (t *tamedApp) tameCommands(commands []*cli.Command, parents []*cli.Command) {
	for _, c := range commands {
		path := append(parents[:len(parents):len(parents)], c)
		c.HideHelp, c.HideHelpCommand = true, true
		if c.SkipFlagParsing {
			t.verbatim[c], c.SkipFlagParsing = true, false // parse puts "--" before them
		}
		c.Action = t.wrap(c.Action, len(c.Subcommands) > 0, path)
		if c.Before != nil {
			c.Before = cli.BeforeFunc(t.wrap(cli.ActionFunc(c.Before), false, nil))
		}
		t.tameCommands(c.Subcommands, path)
	}
}

func (t *tamedApp) wrap(action cli.ActionFunc, group bool, path []*cli.Command) cli.ActionFunc {
	return func(c *cli.Context) error {
		t.started = true
		if action != nil {
			return action(c)
		}
		if !group {
			return nil
		}
		commands := t.app.Commands
		if len(path) > 0 {
			commands = path[len(path)-1].Subcommands
		}
		return t.noSuchCommand(c.Args().First(), commands, path)
	}
}

func (t *tamedApp) noSuchCommand(name string, commands, path []*cli.Command) error {
	e := &UsageError{Err: errors.New("a command is missing"), Hints: []string{helpHint(t.env, path)}}
	if name != "" {
		e.Err = fmt.Errorf("unknown command %q", name)
	}
	var names []string
	for _, c := range commands {
		if !c.Hidden {
			names = append(names, c.Names()...)
		}
	}
	if s := nearest(name, names); s != "" {
		e.Hints = append([]string{fmt.Sprintf("did you mean %q", s)}, e.Hints...)
	} else if len(path) > 0 && len(names) <= 4 {
		for i, n := range names {
			names[i] = fmt.Sprintf("%q", commandPath(t.env.Name, path)+" "+n)
		}
		e.Hints = append([]string{"the commands are " + strings.Join(names, ", ")}, e.Hints...)
	}
	return e
}
