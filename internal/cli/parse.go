package cli

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// commandLine is what parse makes of the arguments.
type commandLine struct {
	args          []string       // the program, then arguments in the order that urfave/cli wants them
	commands      []*cli.Command // the command and its parents, outermost first; empty for the application itself
	help, version bool
}

// parse puts each flag beside the command that knows it. The library, with the standard flag package, takes everything after the
// first argument for arguments, so that `access-ssh-proxy HOST --listen=…` would dial a host and not listen.
func (t *tamedApp) parse(args []string) (commandLine, error) {
	type level struct {
		name  string
		flags []cli.Flag
		given []string
	}
	var line commandLine
	levels := []level{{name: t.app.Name, flags: t.app.Flags}}
	commands := t.app.Commands
	var plain []string
	delete(t.app.Metadata, dashKey)

words:
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			t.app.Metadata[dashKey] = len(plain)
			plain = append(plain, args[i+1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			if c := commandNamed(commands, arg); c != nil && len(plain) == 0 {
				line.commands = append(line.commands, c)
				levels = append(levels, level{name: arg, flags: c.Flags})
				commands = c.Subcommands
				if t.verbatim[c] {
					// What follows is another program's to read, but for a plain call for help.
					if plain = args[i+1:]; len(plain) > 0 && (plain[0] == "--help" || plain[0] == "-h") {
						line.help, plain = true, nil
					}
					break words
				}
				continue
			}
			if arg == "help" && len(plain) == 0 && len(commands) > 0 {
				line.help = true
				continue
			}
			plain = append(plain, arg)
			continue
		}
		name, _, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		at, flag := -1, cli.Flag(nil)
		for l := len(levels) - 1; l >= 0 && flag == nil; l-- {
			at, flag = l, flagNamed(levels[l].flags, name)
		}
		switch {
		case flag != nil:
			levels[at].given = append(levels[at].given, arg)
			if takesValue(flag) && !hasValue {
				i++
				if i == len(args) {
					return line, &UsageError{Err: fmt.Errorf("flag %q needs a value", arg), Hints: []string{helpHint(t.env, line.commands)}}
				}
				levels[at].given = append(levels[at].given, args[i])
			}
		case name == "help" || name == "h":
			line.help = true
		case name == "version":
			line.version = true
		default:
			var known []string
			for _, l := range levels {
				for _, f := range l.flags {
					known = append(known, f.Names()...)
				}
			}
			return line, t.unknownFlag(arg, name, known, line.commands)
		}
	}
	if line.help && len(plain) > 0 && len(commands) > 0 {
		return line, t.noSuchCommand(plain[0], commands, line.commands)
	}
	for _, l := range levels {
		line.args = append(append(line.args, l.name), l.given...)
	}
	if len(plain) > 0 {
		line.args = append(append(line.args, "--"), plain...)
	}
	return line, nil
}

func (t *tamedApp) unknownFlag(arg, name string, known []string, path []*cli.Command) error {
	shown, _, _ := strings.Cut(arg, "=") // the value may be something that nobody should see again
	e := &UsageError{Err: fmt.Errorf("unknown flag %q", shown), Hints: []string{helpHint(t.env, path)}}
	if s := nearest(name, known); s != "" {
		e.Hints = append([]string{fmt.Sprintf("did you mean %q", dashes(s))}, e.Hints...)
	}
	return e
}

func commandNamed(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

func flagNamed(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		for _, n := range f.Names() {
			if n == name {
				return f
			}
		}
	}
	return nil
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// nearest returns the name that a person has probably meant: at most two letters away, and not most of the word.
func nearest(word string, names []string) string {
	best, found := 3, ""
	for _, n := range names {
		if d := distance(word, n); d < best && 2*d < len(word) {
			best, found = d, n
		}
	}
	return found
}

// distance is the number of letters to insert, delete or change that lead from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
