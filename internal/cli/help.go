package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

func helpWriter(env *Env) io.Writer {
	if env.HelpToStderr {
		return env.Stderr
	}
	return env.Stdout
}

func helpHint(env *Env, path []*cli.Command) string {
	return fmt.Sprintf("%s --help shows the usage", commandPath(env.Name, path))
}

func commandPath(program string, path []*cli.Command) string {
	for _, c := range path {
		program += " " + c.Name
	}
	return program
}

// writeHelp prints one page: how to call the command, what it does, its commands, its flags and those of the application.
func writeHelp(env *Env, app *cli.App, path []*cli.Command) error {
	page := struct {
		usageText, args, usage, description string
		commands                            []*cli.Command
		flags                               []cli.Flag
	}{app.UsageText, app.ArgsUsage, app.Usage, app.Description, app.Commands, app.Flags}
	if len(path) > 0 {
		c := path[len(path)-1]
		page.usageText, page.args, page.usage, page.description = c.UsageText, c.ArgsUsage, c.Usage, c.Description
		page.commands, page.flags = c.Subcommands, c.Flags
	}

	var b strings.Builder
	usage := page.usageText
	if usage == "" {
		usage = commandPath(env.Name, path)
		if len(page.commands) > 0 {
			usage += " COMMAND"
		}
		if len(page.flags) > 0 {
			usage += " [FLAGS]"
		}
		if page.args != "" {
			usage += " " + page.args
		}
	}
	fmt.Fprintf(&b, "usage: %s\n", strings.ReplaceAll(strings.TrimSpace(usage), "\n", "\n       "))
	for _, text := range []string{page.usage, page.description} {
		if text = strings.TrimSpace(text); text != "" {
			fmt.Fprintf(&b, "\n%s\n", text)
		}
	}
	if len(page.commands) > 0 {
		b.WriteString("\ncommands:\n")
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, c := range page.commands {
			if !c.Hidden {
				fmt.Fprintf(w, "  %s\t%s\n", strings.Join(c.Names(), ", "), c.Usage)
			}
		}
		w.Flush()
	}
	if len(path) == 0 {
		writeFlags(&b, "flags", page.flags, helpLine, versionLine)
	} else {
		writeFlags(&b, "flags", page.flags, helpLine)
		if len(app.Flags) > 0 {
			writeFlags(&b, "flags of every command", app.Flags)
		}
	}
	_, err := io.WriteString(helpWriter(env), b.String())
	return err
}

const (
	helpLine    = "  -h, --help\tprint this and end\n"
	versionLine = "  --version\tprint the version and end\n"
)

func writeFlags(b *strings.Builder, title string, flags []cli.Flag, more ...string) {
	fmt.Fprintf(b, "\n%s:\n", title)
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
			continue
		}
		d, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		value, usage := placeholder(d)
		var names []string
		for _, n := range f.Names() {
			names = append(names, dashes(n))
		}
		left := strings.Join(names, ", ")
		if d.TakesValue() {
			left += "=" + value
			if def := d.GetDefaultText(); def != "" && def != `""` {
				usage += fmt.Sprintf(" (default %s)", def)
			}
		}
		fmt.Fprintf(w, "  %s\t%s\n", left, strings.TrimSpace(usage))
	}
	for _, line := range more {
		io.WriteString(w, line)
	}
	w.Flush()
}

// placeholder returns the name of the flag's value, which its usage text gives in back quotes, and the text without the quotes.
func placeholder(f cli.DocGenerationFlag) (value, usage string) {
	usage = f.GetUsage()
	before, rest, ok := strings.Cut(usage, "`")
	if name, after, closed := strings.Cut(rest, "`"); ok && closed {
		return name, before + name + after
	}
	return "VALUE", usage
}

func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[n:]
}
