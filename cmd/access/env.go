package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func envCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "env",
		Usage:     "print the environment that git needs for hosts",
		ArgsUsage: "HOST...",
		Description: `Prints what "access run" gives its program, for a shell or a CI system to take over:

  eval "$(access env git.example.com)"                              sh, bash, zsh
  access env --format fish git.example.com | source                 fish
  access env --format powershell git.example.com | Out-String | Invoke-Expression

  access env --format github git.example.com    in a step: masks the secrets and adds
                                                to $GITHUB_ENV, for the steps after it
  access env --format gitlab git.example.com    NAME=value lines of a dotenv report,
                                                which GitLab keeps as an artifact

What is printed contains the service token, if there is one. It is tried first: if its
host refuses it, this ends with exit code 4 and the reason, and the shell that takes the
output over fails, too.`,
		Flags: []urfave.Flag{
			&urfave.StringFlag{Name: "format", Usage: "print for `SHELL`: sh, fish, powershell, github or gitlab (default: sh; on Windows powershell)"},
		},
		Action: func(c *urfave.Context) error { return printEnv(env, c) },
	}
}

func printEnv(env *cli.Env, c *urfave.Context) error {
	format := c.String("format")
	if format == "" {
		format = map[bool]string{true: "powershell", false: "sh"}[runtime.GOOS == "windows"]
	}
	dialect, ok := dialects[format]
	if !ok {
		return cli.Usagef("no format %q; there are sh, fish, powershell, github and gitlab", format)
	}
	if c.NArg() == 0 {
		return cli.Usagef("at least one HOST is wanted, such as git.example.com")
	}
	if format == "github" && env.Getenv("GITHUB_ENV") == "" {
		return cli.Usagef("--format github is for a step of GitHub Actions: GITHUB_ENV is not set")
	}
	vars, dropped, err := gitVariables(env, c, c.Args().Slice())
	if err == nil && len(dropped) > 0 && dialect.unset == nil {
		err = &cli.Error{Err: fmt.Errorf("%s would print the credential", strings.Join(dropped, ", ")), Hints: []string{"take it out of the job's variables"}}
	}
	if err != nil {
		// What the shell takes over must fail there as well: eval of nothing succeeds.
		failed := door.Explain(err)
		var code interface{ ExitCode() int }
		if dialect.fail != nil && errors.As(failed, &code) {
			fmt.Fprintln(env.Stdout, dialect.fail(code.ExitCode()))
		}
		return err
	}
	if len(dropped) > 0 {
		env.Warn("%s would print the credential and is taken out of the environment", strings.Join(dropped, ", "))
	}
	if format == "github" {
		return githubEnv(env, vars)
	}
	var b strings.Builder
	for _, v := range vars {
		line := ""
		switch {
		case !v.unset:
			if line, err = dialect.set(v.name, v.value.Reveal()); err != nil {
				return err
			}
		case dialect.unset != nil:
			line = dialect.unset(v.name)
		default:
			continue // it was off
		}
		b.WriteString(line + "\n")
	}
	_, err = io.WriteString(env.Stdout, b.String())
	return err
}

// A dialect is a way to write variables down.
type dialect struct {
	set   func(name, value string) (string, error)
	unset func(name string) string // nil: it cannot
	fail  func(code int) string    // a command that fails
}

var dialects = map[string]dialect{
	"sh": {
		set: func(name, value string) (string, error) {
			return "export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'", nil
		},
		unset: func(name string) string { return "unset " + name },
		fail:  func(code int) string { return fmt.Sprintf("(exit %d)", code) },
	},
	// https://fishshell.com/docs/current/language.html#quotes: \' and \\ are the only escapes.
	"fish": {
		set: func(name, value string) (string, error) {
			return "set -gx " + name + " '" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'", nil
		},
		unset: func(name string) string { return "set -e " + name },
		fail:  func(code int) string { return fmt.Sprintf("sh -c 'exit %d'", code) },
	},
	// about_Quoting_Rules; typographic quotes end a string like the plain one does.
	"powershell": {
		set: func(name, value string) (string, error) {
			var b strings.Builder
			for _, r := range value {
				if r == '\'' || r >= '\u2018' && r <= '\u201b' {
					b.WriteRune(r)
				}
				b.WriteRune(r)
			}
			return "$env:" + name + " = '" + b.String() + "'", nil
		},
		unset: func(name string) string { return "Remove-Item -ErrorAction Ignore Env:" + name },
		fail:  func(code int) string { return fmt.Sprintf("throw 'access env ended with exit code %d'", code) },
	},
	"github": {},
	// GitLab's reader of dotenv reports keeps quotes as they are and takes no spaces in
	// values: https://docs.gitlab.com/ci/variables/dotenv_variables
	"gitlab": {
		set: func(name, value string) (string, error) {
			value = strings.Replace(value, ": ", ":", 1) // a header needs no space
			if strings.ContainsAny(value, " \t\r\n\"'`\\$#") {
				return "", fmt.Errorf("the value of %s cannot be written to a dotenv report", name)
			}
			return name + "=" + value, nil
		},
	},
}

// githubEnv masks the secrets and then adds the variables to the file that the runner
// reads after the step:
// https://docs.github.com/actions/reference/workflow-commands-for-github-actions
func githubEnv(env *cli.Env, vars []variable) error {
	var masks, lines strings.Builder
	for _, v := range vars {
		for _, secret := range v.secrets {
			fmt.Fprintf(&masks, "::add-mask::%s\n", escapeData.Replace(secret))
		}
		if v.unset {
			continue
		}
		end := "end-" + rand.Text() // which no value contains
		fmt.Fprintf(&lines, "%s<<%s\n%s\n%s\n", v.name, end, v.value.Reveal(), end)
	}
	if _, err := io.WriteString(env.Stdout, masks.String()); err != nil {
		return err
	}
	f, err := os.OpenFile(env.Getenv("GITHUB_ENV"), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(lines.String())
	return errors.Join(err, f.Close())
}

// escapeData is how workflow commands write data.
var escapeData = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
