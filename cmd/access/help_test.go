package main

import (
	"regexp"
	"strings"
	"testing"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// printing are the commands that print data, which programs want as JSON.
var printing = []string{
	"login", "status", "doctor", "token", "whoami", "version", "service-token list", "service-token test",
}

// Each command tells what it does, how it is called, with an example, and what each of
// its flags is for. Manual pages are made of it.
func TestHelpIsComplete(t *testing.T) {
	env := &cli.Env{Name: "access", Getenv: func(string) string { return "" }}
	hasJSON := map[string]bool{}
	var walk func(path string, commands []*urfave.Command)
	walk = func(path string, commands []*urfave.Command) {
		for _, c := range commands {
			if c.Hidden {
				continue
			}
			name := strings.TrimSpace(path + " " + c.Name)
			if c.Usage == "" || strings.HasSuffix(c.Usage, ".") || c.Usage[0] >= 'A' && c.Usage[0] <= 'Z' {
				t.Errorf("%s: usage %q: one line, lower case, no full stop", name, c.Usage)
			}
			example := regexp.MustCompile(`(?m)^  .*\baccess (\S+ )*` + regexp.QuoteMeta(name) + `\b`)
			if !example.MatchString(c.Description) {
				t.Errorf("%s: no example in the help", name)
			}
			for line := range strings.Lines(c.Description) {
				if len(line) > 110 {
					t.Errorf("%s: a line of %d characters", name, len(line))
				}
			}
			for _, f := range c.Flags {
				d, ok := f.(urfave.DocGenerationFlag)
				if !ok || d.GetUsage() == "" {
					t.Errorf("%s: flag %q tells nothing", name, f.Names())
				}
				if f.Names()[0] == "json" {
					hasJSON[name] = true
				}
			}
			walk(name, c.Subcommands)
		}
	}
	walk("", application(env).Commands)
	for _, name := range printing {
		if !hasJSON[name] {
			t.Errorf("%s prints data and has no --json", name)
		}
	}
}

// Colours are for terminals whose owner wants them (https://no-color.org).
func TestNoColor(t *testing.T) {
	for _, tt := range []struct {
		set  string
		want bool
	}{{"NO_COLOR=", true}, {"NO_COLOR=1", false}, {"TERM=dumb", false}} {
		w := scripttest.NewWorld(t, scripttest.Git{})
		w.Set("TERM=xterm", tt.set)
		s := onTerminal(t, w.Command(patient(t), "access", "doctor"))
		s.wait(`(wrong or may become so|nothing is wrong)\r\n`)
		colour := strings.Contains(s.Text(), "\x1b[")
		if colour != tt.want {
			t.Errorf("%s: colour %t", tt.set, colour)
		}
	}
}
