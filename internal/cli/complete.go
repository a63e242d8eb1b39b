package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// A Candidate is a word that may stand where the cursor is.
type Candidate struct{ Word, Description string }

// Complete returns what may stand in place of the last of words, which were typed after the program's name: commands, flags, and what
// arguments returns for the arguments of a command, given its ArgsUsage ("HOST", "[HOST]"). Nothing is for the shell to fill in,
// which knows files.
func Complete(app *cli.App, words []string, arguments func(usage string) []Candidate) (found []Candidate) {
	if len(words) == 0 {
		words = []string{""}
	}
	commands, flags, usage := app.Commands, app.Flags, app.ArgsUsage
	own := app.Flags
	plain, value := 0, false // arguments so far; the next word is a flag's value
	for _, w := range words[:len(words)-1] {
		switch {
		case value:
			value = false
		case w == "--":
			return nil
		case len(w) > 1 && w[0] == '-':
			name, _, hasValue := strings.Cut(strings.TrimLeft(w, "-"), "=")
			f := flagNamed(slices.Concat(own, flags), name)
			value = f != nil && takesValue(f) && !hasValue
		default:
			c := commandNamed(commands, w)
			if c == nil || plain > 0 {
				plain++
				continue
			}
			if c.SkipFlagParsing {
				return nil // another program's words
			}
			commands, own, usage = c.Subcommands, c.Flags, c.ArgsUsage
		}
	}
	last := words[len(words)-1]
	add := func(word, description string) {
		if strings.HasPrefix(word, last) && !slices.ContainsFunc(found, func(c Candidate) bool { return c.Word == word }) {
			description, _, _ = strings.Cut(strings.ReplaceAll(description, "`", ""), "\n")
			found = append(found, Candidate{word, description})
		}
	}
	switch {
	case value:
	case strings.HasPrefix(last, "-"):
		for _, f := range slices.Concat(own, flags) {
			d, ok := f.(cli.DocGenerationFlag)
			if v, hides := f.(cli.VisibleFlag); !ok || hides && !v.IsVisible() {
				continue
			}
			for _, n := range f.Names() {
				end := ""
				if d.TakesValue() {
					end = "="
				}
				add(dashes(n)+end, d.GetUsage())
			}
		}
		add("--help", "print the help")
	case len(commands) > 0 && plain == 0:
		for _, c := range commands {
			if !c.Hidden {
				add(c.Name, c.Usage)
			}
		}
	case plain == 0 || strings.Contains(usage, "..."):
		for _, c := range arguments(usage) {
			add(c.Word, c.Description)
		}
	}
	return found
}
