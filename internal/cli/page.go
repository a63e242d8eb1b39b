package cli

import (
	"fmt"
	"io"
	"strings"
)

// helpPage is what --help prints: how to call a command, what it does, its commands, its flags.
type helpPage struct {
	usage string // the command line
	texts []string
	lists []helpList
}

// A helpList has a title and lines of two columns.
type helpList struct {
	title string
	lines [][2]string
}

var (
	helpLine    = [2]string{"-h, --help", "print this and end"}
	versionLine = [2]string{"--version", "print the version and end"}
)

// widest is the left column at most; what is longer has a line to itself.
const widest = 26

func (p *helpPage) write(env *Env) error {
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s\n", strings.ReplaceAll(strings.TrimSpace(p.usage), "\n", "\n       "))
	for _, text := range p.texts {
		if text = strings.TrimSpace(text); text != "" {
			fmt.Fprintf(&b, "\n%s\n", text)
		}
	}
	for _, l := range p.lists {
		if len(l.lines) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s:\n", l.title)
		width := 0
		for _, line := range l.lines {
			if n := len(line[0]); n <= widest {
				width = max(width, n)
			}
		}
		for _, line := range l.lines {
			left, right := line[0], strings.TrimSpace(line[1])
			if len(left) > widest && right != "" {
				fmt.Fprintf(&b, "  %s\n", left)
				left = ""
			}
			text := fmt.Sprintf("  %-*s  %s", width, left, right)
			b.WriteString(strings.TrimRight(text, " ") + "\n")
		}
	}
	_, err := io.WriteString(helpWriter(env), b.String())
	return err
}

func helpWriter(env *Env) io.Writer {
	if env.HelpToStderr {
		return env.Stderr
	}
	return env.Stdout
}

// flagLine describes a flag; its usage text gives the name of its value in back quotes.
func flagLine(names []string, takesValue bool, usage, byDefault string) [2]string {
	for i := range names {
		names[i] = dashes(names[i])
	}
	left := strings.Join(names, ", ")
	value := "VALUE"
	before, rest, ok := strings.Cut(usage, "`")
	if name, after, closed := strings.Cut(rest, "`"); ok && closed {
		value, usage = name, before+name+after
	}
	if takesValue {
		left += "=" + value
		switch byDefault {
		case "", "0", "0s", `""`:
		default:
			usage += fmt.Sprintf(" (default %s)", byDefault)
		}
	}
	return [2]string{left, usage}
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
