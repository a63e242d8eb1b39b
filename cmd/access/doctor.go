package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/cmd/internal/doctor"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/plaintext"
	"github.com/gitaccess/gitaccess/internal/state"
	"github.com/gitaccess/gitaccess/internal/term"
)

func doctorCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "doctor",
		Usage:     "find out what keeps git and ssh from getting through",
		ArgsUsage: "[HOST]",
		Description: `Looks at this machine, and with HOST at the way there: programs and versions, what
this git and ssh can do, configuration that gets in the way, names, connections, proxy,
TLS, clock, the application and its team, the session or service token, the keyring.
Each fault has a cause and what to type next. Nobody is asked to log in.

  access doctor                                  this machine
  access doctor git.example.com                  and the way to a host
  access doctor https://git.example.com/code.git
  access doctor --json git.example.com           for programs; each fault has a name
  access doctor --bundle report.txt git.example.com

--bundle writes a report to send to somebody who helps; secrets are taken out of it.
The exit code is 1 if there is a fault.`,
		Flags: []urfave.Flag{
			&urfave.BoolFlag{Name: "json", Usage: "print JSON"},
			&urfave.StringFlag{Name: "bundle", Usage: "write a report without secrets to `FILE`"},
		},
		Action: func(c *urfave.Context) error { return examine(env, c) },
	}
}

// doctorReport is the JSON of `access doctor`.
type doctorReport struct {
	Host     string           `json:"host,omitempty"`
	Faults   []string         `json:"faults"` // names, warnings included
	Findings []doctor.Finding `json:"findings"`
}

func examine(env *cli.Env, c *urfave.Context) error {
	x := &doctor.Exam{Env: env}
	x.Home, _ = env.Home()
	if c.NArg() > 0 {
		o, u, err := hostArgument(c)
		if err != nil {
			return err
		}
		x.Host, x.Origin, x.URL = o.Host(), o, u
	}
	var err error
	if x.Door, err = open(env, c, nil); err != nil {
		return err
	}
	x.Run(c.Context)
	if err := c.Context.Err(); err != nil {
		return err
	}
	if file := c.String("bundle"); file != "" {
		if err := writeBundle(env, file, x.Report(c.Context)); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		r := doctorReport{Host: x.Host, Faults: x.Faults(), Findings: x.Findings}
		if r.Faults == nil {
			r.Faults = []string{}
		}
		err = writeIndentedJSON(env.Stdout, r)
	} else {
		err = printFindings(env, x)
	}
	if err == nil && x.Failed() {
		err = &cli.Error{Code: cli.ExitFailed} // the findings have said it
	}
	return err
}

func writeBundle(env *cli.Env, file, report string) error {
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return cli.Usagef("--bundle %s: there is something already", file)
	}
	if err := state.WriteFile(path, []byte(report), 0o600); err != nil {
		return err
	}
	env.Note("wrote %s; read it before you send it to anybody", file)
	return nil
}

var doctorMarks = map[doctor.Status]struct{ mark, colour string }{
	doctor.OK:      {"✓", "32"},
	doctor.Note:    {"·", "2"},
	doctor.Warning: {"!", "33"},
	doctor.Fault:   {"✗", "31"},
}

func printFindings(env *cli.Env, x *doctor.Exam) error {
	colour := colourful(env)
	var b strings.Builder
	for _, f := range x.Findings {
		m := doctorMarks[f.Status]
		if colour {
			m.mark = "\x1b[" + m.colour + "m" + m.mark + "\x1b[0m"
		}
		fmt.Fprintf(&b, "%s %s: %s\n", m.mark, f.Check, plaintext.Line(f.Text))
		if f.Name != "" {
			fmt.Fprintf(&b, "    this is %q\n", f.Name)
		}
		for _, n := range f.Next {
			fmt.Fprintf(&b, "    next: %s\n", plaintext.Line(n))
		}
	}
	switch n := len(x.Faults()); n {
	case 0:
		fmt.Fprintf(&b, "\nnothing is wrong\n")
	case 1:
		fmt.Fprintf(&b, "\none thing is wrong or may become so\n")
	default:
		fmt.Fprintf(&b, "\n%d things are wrong or may become so\n", n)
	}
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}

// colourful says whether standard output takes colours (https://no-color.org).
func colourful(env *cli.Env) bool {
	return env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb" && term.IsTerminal(env.Stdout)
}
