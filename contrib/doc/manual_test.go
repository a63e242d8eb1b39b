//go:build unix

package doc

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// notCommands begin lines that are shown literally and are no commands: ssh's configuration, the table of hosts, what access:: costs.
var notCommands = regexp.MustCompile(`^(Host|Match|ProxyCommand|Include) |^[a-z]+\.example\.com\s|` +
	`^(git must find this|git-lfs does not know|submodules need|GIT_ALLOW_PROTOCOL must|with remote\.NAME\.vcs the|a service token goes) `)

// before each command of these pages a reader would have done this.
var before = map[string]string{
	"access": "rm -rf code; access service-token remove git.example.com 2>/dev/null; access login git.example.com 2>/dev/null",
}

// standIns are for what only the reader has: a token, a file.
var standIns = strings.NewReplacer(
	"ID.access", `"$CF_ACCESS_CLIENT_ID_OF_TEST"`,
	"--secret-file FILE", "--secret-file ../secret",
	`"$CF_ACCESS_CLIENT_ID"`, `"$CF_ACCESS_CLIENT_ID_OF_TEST"`,
	`"$CF_ACCESS_CLIENT_SECRET"`, `"$CF_ACCESS_CLIENT_SECRET_OF_TEST"`,
)

// input is what commands read from standard input.
var input = map[string]string{
	"access service-token add": "../secret",
}

// endsWith are the commands of manual pages that must not succeed here, with their exit code.
var endsWith = map[string]int{
	"ssh -o 'ProxyCommand=access-ssh-proxy --hostname=%h' git@ssh.example.com": 1, // the server here has no shell
}

// Every example of the manual pages, which are those of --help and of contrib/man/prose.go, does what it says.
func TestManualPages(t *testing.T) {
	pages, err := filepath.Glob("../man/*.1")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, path := range pages {
		name := strings.TrimSuffix(filepath.Base(path), ".1")
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			commands := examplesOf(t, name, string(b))
			if len(commands) == 0 {
				return
			}
			s := open(t)
			write(t, filepath.Join(s.world.Dir, "secret"), s.world.Service.Secret()+"\n", 0o600)
			for _, c := range commands {
				if first := before[name]; first != "" {
					s.must(first)
				}
				typed := standIns.Replace(c)
				for prefix, file := range input {
					if strings.HasPrefix(c, prefix) {
						typed += " <" + file
					}
				}
				if printed, code := s.run(typed); code != endsWith[c] {
					t.Errorf("%s: exit code %d, want %d\n%s", c, code, endsWith[c], printed)
				}
			}
		})
	}
}

// examplesOf returns the commands that a page shows literally.
func examplesOf(t *testing.T, name, page string) []string {
	t.Helper()
	var commands []string
	literal := false
	for line := range strings.Lines(page) {
		switch line = strings.TrimRight(line, "\n"); {
		case strings.HasPrefix(line, ".Bd -literal"):
			literal = true
		case line == ".Ed":
			literal = false
		case literal:
			line = strings.TrimSpace(unescaped(line))
			command := withoutComment(line)
			first, _, _ := strings.Cut(command, " ")
			switch {
			case command == "" || notCommands.MatchString(line):
			case isOurs(first) || slices.Contains([]string{"git", "ssh", "curl", "eval", "printf", "export", "go", "ssh-keygen", "ssh-add", "source", "."}, first) || strings.Contains(first, "="):
				commands = append(commands, command)
			default:
				t.Errorf("%s: neither a command nor known to be none: %q", name, line)
			}
		}
	}
	return commands
}

var unicodeEscape = regexp.MustCompile(`\\\[u([0-9A-F]{4,})\]`)

func unescaped(s string) string {
	s = unicodeEscape.ReplaceAllStringFunc(s, func(e string) string {
		n, _ := strconv.ParseUint(unicodeEscape.FindStringSubmatch(e)[1], 16, 32)
		return string(rune(n))
	})
	return strings.NewReplacer(`\-`, "-", `\(ti`, "~", `\(ha`, "^", `\(aq`, "'", `\(ga`, "`", `\&`, "", `\e`, `\`).Replace(s)
}
