//go:build unix

package doc

import (
	"regexp"
	"slices"
	"strings"

	"testing"

	"github.com/gitaccess/gitaccess/contrib/internal/programs"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// helpRead is what readHelp has read: to ask each command costs some seconds.
var helpRead map[string][]*programs.Page

// readHelp returns what the programs print, by program.
func readHelp(t *testing.T) map[string][]*programs.Page {
	t.Helper()
	if helpRead != nil {
		return helpRead
	}
	names, err := programs.Names(root)
	if err != nil {
		t.Fatal(err)
	}
	bin := scripttest.Build(t, names...)
	all := map[string][]*programs.Page{}
	for _, name := range names {
		if all[name], err = programs.Read(t.Context(), bin, name); err != nil {
			t.Fatal(err)
		}
	}
	helpRead = all
	return all
}

func isOurs(word string) bool {
	names, err := programs.Names(root)
	return err == nil && slices.Contains(names, word)
}

var (
	span     = regexp.MustCompile("`([^`\n]+)`")
	flagOnly = regexp.MustCompile(`^--?[a-z][a-z-]*(=.*)?$`)
)

// flagsOfOthers may stand alone in a document though no program of ours has them.
var flagsOfOthers = []string{"--config", "--logfile", "--trace"}

// The documents name no command and no flag that the programs do not have.
func TestMentions(t *testing.T) {
	all := readHelp(t)
	for _, name := range documents(t) {
		for i, line := range strings.Split(readDocument(t, name), "\n") {
			var codes []string
			if strings.HasPrefix(line, "$ ") || strings.HasPrefix(line, "access") || strings.HasPrefix(line, "  ") || strings.Contains(line, "--") && !strings.Contains(line, "`") {
				codes = append(codes, line)
			}
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				if !strings.HasPrefix(m[1], "cloudflared ") {
					codes = append(codes, m[1])
				}
			}
			for _, code := range codes {
				for _, wrong := range unknown(all, code) {
					t.Errorf("%s:%d: %s, in %q", name, i+1, wrong, code)
				}
			}
		}
	}
}

// unknown returns what a piece of code says that the programs do not know.
func unknown(all map[string][]*programs.Page, code string) []string {
	var wrong []string
	if m := flagOnly.FindStringSubmatch(code); m != nil {
		flag, _, _ := strings.Cut(code, "=")
		known := slices.Contains(flagsOfOthers, flag)
		for _, pages := range all {
			for _, p := range pages {
				known = known || p.Has(flag)
			}
		}
		if !known {
			wrong = append(wrong, "no program has the flag "+flag)
		}
		return wrong
	}
	words := strings.Fields(strings.NewReplacer(`"`, " ", "'", " ", "(", " ", ")", " ", ",", " ").Replace(code))
	for i := 0; i < len(words); i++ {
		pages := all[strings.TrimPrefix(words[i], "bin/")]
		if pages == nil || i > 0 && words[i-1] == "cloudflared" || i+1 < len(words) && words[i+1] == ":" {
			continue
		}
		page := pages[0]
		for i++; i < len(words); i++ {
			w := words[i]
			if w == "--" || strings.ContainsAny(w, "|;&<>") || w == "#" {
				break
			}
			if strings.HasPrefix(w, "-") && flagOnly.MatchString(w) {
				if flag, _, _ := strings.Cut(w, "="); !page.Has(flag) {
					wrong = append(wrong, page.Name()+" has no flag "+flag)
				}
				continue
			}
			if len(page.Commands) == 0 {
				continue
			}
			next := ""
			for _, c := range page.Commands {
				if c == w {
					next = c
				}
			}
			if next == "" {
				// A host behind a program that takes one beside its commands.
				if regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(w) && len(page.Usage) == 1 {
					wrong = append(wrong, page.Name()+" has no command "+w)
				}
				break
			}
			for _, p := range pages {
				if p.Name() == page.Name()+" "+next {
					page = p
					break
				}
			}
		}
	}
	return wrong
}

func TestUnknown(t *testing.T) {
	all := map[string][]*programs.Page{"access": {
		{Words: []string{"access"}, Usage: []string{"access COMMAND"}, Commands: []string{"login", "setup"}, Flags: []programs.Flag{{Names: []string{"--version"}}}},
		{Words: []string{"access", "login"}, Usage: []string{"x"}, Flags: []programs.Flag{{Names: []string{"--fresh"}}}},
		{Words: []string{"access", "setup"}, Usage: []string{"x"}, Commands: []string{"git"}},
		{Words: []string{"access", "setup", "git"}, Usage: []string{"x"}, Flags: []programs.Flag{{Names: []string{"--local"}}}},
	}}
	for code, want := range map[string]int{
		"access login --fresh HOST": 0, "access setup git --local HOST": 0, "access run": 1, "access login --fresh --new H": 1, "--fresh": 0, "--old": 1,
		"access setup ssh": 1, "x | access login": 0, "$ access login git.example.com -- git --bare": 0, "no --such": 0, "access: error: no": 0,
	} {
		if got := unknown(all, code); len(got) != want {
			t.Errorf("%q: %q, want %d", code, got, want)
		}
	}
}
