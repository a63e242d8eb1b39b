package cli

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

func helpHint(env *Env, path []*cli.Command) string {
	return fmt.Sprintf("%s --help shows the usage", commandPath(env.Name, path))
}

func commandPath(program string, path []*cli.Command) string {
	for _, c := range path {
		program += " " + c.Name
	}
	return program
}

// helpOf returns the page of the command at the end of path, or of the application.
func helpOf(env *Env, app *cli.App, path []*cli.Command) *helpPage {
	usage, args, texts, commands, flags := app.UsageText, app.ArgsUsage, []string{app.Usage, app.Description}, app.Commands, app.Flags
	if len(path) > 0 {
		c := path[len(path)-1]
		usage, args, texts, commands, flags = c.UsageText, c.ArgsUsage, []string{c.Usage, c.Description}, c.Subcommands, c.Flags
	}
	if usage == "" {
		usage = commandPath(env.Name, path)
		if len(commands) > 0 {
			usage += " COMMAND"
		}
		if len(flags) > 0 {
			usage += " [FLAGS]"
		}
		if args != "" {
			usage += " " + args
		}
	}
	page := &helpPage{usage: usage, texts: texts}
	list := helpList{title: "commands"}
	for _, c := range commands {
		if !c.Hidden {
			list.lines = append(list.lines, [2]string{strings.Join(c.Names(), ", "), c.Usage})
		}
	}
	own := append(flagLines(flags), helpLine)
	if len(path) == 0 {
		own = append(own, versionLine)
	}
	page.lists = []helpList{list, {"flags", own}}
	if own, _ := app.Metadata[actionKey].(bool); len(path) > 0 && !own {
		page.lists = append(page.lists, helpList{"flags of every command", flagLines(app.Flags)})
	}
	return page
}

func flagLines(flags []cli.Flag) [][2]string {
	var lines [][2]string
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
			continue
		}
		d, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		lines = append(lines, flagLine(f.Names(), d.TakesValue(), d.GetUsage(), d.GetDefaultText()))
	}
	return lines
}

func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[n:]
}
