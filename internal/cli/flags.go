package cli

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"
)

// Page is what --help tells of a program without commands, see [Parse].
type Page struct {
	Usage       string // one line
	Args        string // "HOST"
	Description string
}

// errDone ends a run that has printed its help or version, with exit code 0.
var errDone = errors.New("done")

// Parse parses env.Args for a program that has flags and arguments but no commands, and returns the arguments. Flags are defined in
// set and may stand before and after arguments; after "--" all is argument. Return its error from the run: it is a [UsageError], or
// says that --help or --version was printed and the run is over.
//
// It is for the programs that git and ssh start again and again. [Run] brings urfave/cli, and with it text/template, which makes the
// linker keep every exported method of every type: 2 MB.
func Parse(env *Env, set *flag.FlagSet, page Page) (args []string, err error) {
	usage := func(format string, a ...any) error {
		return &UsageError{Err: fmt.Errorf(format, a...), Hints: []string{env.Name + " --help shows the usage"}}
	}
	for i := 0; i < len(env.Args); i++ {
		arg := env.Args[i]
		if arg == "--" {
			return append(args, env.Args[i+1:]...), nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			args = append(args, arg)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		shown, _, _ := strings.Cut(arg, "=") // the value may be something that nobody should see again
		f := set.Lookup(name)
		switch {
		case f != nil && !hasValue && isBool(f):
			value = "true"
		case f != nil && !hasValue:
			if i++; i == len(env.Args) {
				return nil, usage("flag %q needs a value", shown)
			}
			value = env.Args[i]
		case f != nil:
		case name == "help" || name == "h":
			return nil, cmp.Or(flagPage(env, set, page).write(env), errDone)
		case name == "version":
			_, err := fmt.Fprintln(helpWriter(env), VersionLine(env.Name))
			return nil, cmp.Or(err, errDone)
		default:
			e := &UsageError{Err: fmt.Errorf("unknown flag %q", shown), Hints: []string{env.Name + " --help shows the usage"}}
			var known []string
			set.VisitAll(func(f *flag.Flag) { known = append(known, f.Name) })
			if s := nearest(name, known); s != "" {
				e.Hints = append([]string{fmt.Sprintf("did you mean %q", dashes(s))}, e.Hints...)
			}
			return nil, e
		}
		if err := set.Set(name, value); err != nil {
			var kind any
			if g, ok := f.Value.(flag.Getter); ok {
				kind = g.Get()
			}
			return nil, usage("%w", badValue(value, shown, kind, err))
		}
	}
	return args, nil
}

// badValue says what is wrong with the value of a flag of this kind. The standard library says "parse error" of each.
func badValue(value, shown string, kind any, err error) error {
	switch kind.(type) {
	case time.Duration:
		err = errors.New("want a time, such as 90s or 10m")
	case int:
		err = errors.New("want a number")
	case bool:
		err = errors.New("want true or false")
	}
	return fmt.Errorf("invalid value %q for flag %q: %w", value, shown, err)
}

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

func flagPage(env *Env, set *flag.FlagSet, page Page) *helpPage {
	var flags [][2]string
	set.VisitAll(func(f *flag.Flag) {
		flags = append(flags, flagLine([]string{f.Name}, !isBool(f), f.Usage, f.DefValue))
	})
	usage := env.Name
	if len(flags) > 0 {
		usage += " [FLAGS]"
	}
	if page.Args != "" {
		usage += " " + page.Args
	}
	return &helpPage{
		usage: usage,
		texts: []string{page.Usage, page.Description},
		lists: []helpList{{"flags", append(flags, helpLine, versionLine)}},
	}
}
