// Package programs reads what our programs say of themselves with --help. The man pages are made of it, and the tests of the documents
// compare with it.
package programs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A Page is the help of a program or of one of its commands.
type Page struct {
	Words    []string // "access", "setup", "git"
	Usage    []string // command lines
	Title    string   // one line
	Text     []string // paragraphs; those of indented lines are examples or tables
	Commands []string
	Flags    []Flag // its own
	Shared   []Flag // those of every command

	Environment []Variable
}

// A Variable is one of the environment that a program reads.
type Variable struct{ Name, Text string }

// A Flag is as help shows it.
type Flag struct {
	Names []string // with dashes
	Value string   // "" if it takes none
	Text  string
}

// Name is how the command is called.
func (p *Page) Name() string { return strings.Join(p.Words, " ") }

// Has reports whether the command knows the flag, with its dashes.
func (p *Page) Has(flag string) bool {
	for _, u := range p.Usage { // where the rest of the line belongs to another program
		if slices.Contains(strings.Fields(u), "["+flag+"]") {
			return true
		}
	}
	return slices.ContainsFunc(append(slices.Clone(p.Flags), p.Shared...), func(f Flag) bool { return slices.Contains(f.Names, flag) })
}

// Indented returns the lines of the examples and tables, without their indentation.
func (p *Page) Indented() []string {
	var lines []string
	for _, text := range p.Text {
		if !strings.HasPrefix(text, "  ") {
			continue
		}
		for line := range strings.Lines(text) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// Names returns the programs in a checkout.
func Names(root string) ([]string, error) {
	mains, err := filepath.Glob(filepath.Join(root, "cmd", "*", "main.go"))
	if err != nil || len(mains) == 0 {
		return nil, fmt.Errorf("no programs in %s: %v", root, err)
	}
	var names []string
	for _, m := range mains {
		names = append(names, filepath.Base(filepath.Dir(m)))
	}
	return names, nil
}

// Read asks a program in the folder for its help and that of its commands, the program's own first.
func Read(ctx context.Context, bin, name string) ([]*Page, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	path := filepath.Join(bin, name)
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	return read(ctx, path, []string{name})
}

func read(ctx context.Context, path string, words []string) ([]*Page, error) {
	cmd := exec.CommandContext(ctx, path, append(slices.Clone(words[1:]), "--help")...)
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s --help: %w\n%s", strings.Join(words, " "), err, out)
	}
	p, err := Parse(words, string(out))
	if err != nil {
		return nil, err
	}
	pages := []*Page{p}
	for _, c := range p.Commands {
		below, err := read(ctx, path, append(slices.Clone(words), c))
		if err != nil {
			return nil, err
		}
		pages = append(pages, below...)
	}
	return pages, nil
}

var (
	listTitle = regexp.MustCompile(`^(commands|flags|flags of every command):$`)
	word      = regexp.MustCompile(`^[a-z][a-z-]*$`)
	gap       = regexp.MustCompile(`\s{2,}`)
)

// Parse reads a page of help as internal/cli prints it.
func Parse(words []string, help string) (*Page, error) {
	p := &Page{Words: words}
	fail := func(format string, a ...any) (*Page, error) {
		return nil, fmt.Errorf("help of %s: %s", p.Name(), fmt.Sprintf(format, a...))
	}
	usage, rest, _ := strings.Cut(help, "\n\n")
	first, ok := strings.CutPrefix(usage, "usage: ")
	if !ok {
		return fail("it begins with %q", first)
	}
	for line := range strings.Lines(first) {
		line = gap.Split(strings.TrimSpace(line), 2)[0] // a comment may follow
		p.Usage = append(p.Usage, line)
		// A command of a program without a list of commands stands in the usage.
		if w := strings.Fields(line); len(words) == 1 && len(w) > 1 && w[0] == words[0] && word.MatchString(w[1]) {
			p.Commands = append(p.Commands, w[1])
		}
	}
	for paragraph := range strings.SplitSeq(strings.TrimRight(rest, "\n"), "\n\n") {
		paragraph = strings.Trim(paragraph, "\n")
		title, list, _ := strings.Cut(paragraph, "\n")
		switch m := listTitle.FindStringSubmatch(title); {
		case m == nil && p.Title == "" && title != "Environment:":
			p.Title = paragraph
		case title == "Environment:":
			p.Environment = variables(list)
		case m == nil:
			p.Text = append(p.Text, runs(paragraph)...)
		case m[1] == "commands":
			for line := range strings.Lines(list) {
				name := gap.Split(strings.TrimSpace(line), 2)[0]
				name, _, _ = strings.Cut(name, ", ")
				if !slices.Contains(p.Commands, name) {
					p.Commands = append(p.Commands, name)
				}
			}
		case m[1] == "flags":
			p.Flags = flags(list)
		default:
			p.Shared = flags(list)
		}
	}
	if p.Title == "" || len(p.Flags) == 0 {
		return fail("no title or no flags:\n%s", help)
	}
	return p, nil
}

// runs parts a paragraph where lines begin or cease to be indented.
func runs(paragraph string) []string {
	var all []string
	was := false
	for line := range strings.Lines(paragraph) {
		line = strings.TrimSuffix(line, "\n")
		if is := strings.HasPrefix(line, "  "); len(all) == 0 || is != was {
			all, was = append(all, line), is
		} else {
			all[len(all)-1] += "\n" + line
		}
	}
	return all
}

func variables(list string) []Variable {
	var all []Variable
	for line := range strings.Lines(list) {
		name, text, _ := strings.Cut(strings.TrimRight(line, "\n")[2:], "  ")
		if text = strings.TrimSpace(text); name == "" { // it goes on
			all[len(all)-1].Text += " " + text
			continue
		}
		all = append(all, Variable{name, text})
	}
	return all
}

func flags(list string) []Flag {
	var all []Flag
	for line := range strings.Lines(list) {
		left, text, _ := strings.Cut(strings.TrimRight(line, "\n")[2:], "  ")
		text = strings.TrimSpace(text)
		if left == "" { // the text of a flag with a line to itself
			all[len(all)-1].Text = text
			continue
		}
		left, value, _ := strings.Cut(left, "=")
		all = append(all, Flag{Names: strings.Split(left, ", "), Value: value, Text: text})
	}
	return all
}
