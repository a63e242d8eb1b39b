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

// notCommands begin lines that are shown literally and are no commands: configuration, scripts, output, tables.
var notCommands = regexp.MustCompile(`^(Host|Match|ProxyCommand|Include|exec|common) |^[a-z]+\.example\.com\s|^http://127|^#!|` +
	`^(git must find this|git-lfs does not know|submodules need|GIT_ALLOW_PROTOCOL must|with remote\.NAME\.vcs the|a service token goes) `)

// cannotRun are commands of manual pages that need what the test bed does not have.
var cannotRun = map[string]string{
	"access env --format fish git.example.com | source":                               "fish; the scripts of cmd/access look at what it prints",
	"access env --format powershell git.example.com | Out-String | Invoke-Expression": "PowerShell; the same",
}

// before are the commands that a reader would have typed before one that begins so, in this order.
var before = []struct{ prefix, command string }{
	{"git clone", "rm -rf code"},
	{"access-askpass", "test -e ~/.ssh/id_ed25519 || ssh-keygen -q -N secret -t ed25519 -f ~/.ssh/id_ed25519"},
	{"access ", "rm -rf code; access service-token remove git.example.com 2>/dev/null; access login git.example.com 2>/dev/null"},
	{"access completion", `mkdir -p ~/.config/fish/completions ~/.zfunc; PROFILE=$HOME/profile.ps1`},
	{"access export", `rm -f backup.txt; access service-token add --client-id "$CF_ACCESS_CLIENT_ID_OF_TEST" ci.example.com <../secret`},
	{"access import", `printf 'https://ada:password@code.example.com\n' >~/.git-credentials; printf 'machine code.example.com login ada password password\n' >~/.netrc; chmod 600 ~/.netrc`},
	{"access service-token test", `access service-token add --client-id "$CF_ACCESS_CLIENT_ID_OF_TEST" ci.example.com <../secret`},
}

// standIns are for what only the reader has: a token, a file.
var standIns = strings.NewReplacer(
	"CF_ACCESS_CLIENT_ID=….access CF_ACCESS_CLIENT_SECRET=…", `CF_ACCESS_CLIENT_ID="$CF_ACCESS_CLIENT_ID_OF_TEST" CF_ACCESS_CLIENT_SECRET="$CF_ACCESS_CLIENT_SECRET_OF_TEST"`,
	"ID.access", `"$CF_ACCESS_CLIENT_ID_OF_TEST"`,
	"access env --format github", "GITHUB_ENV=../github access env --format github",
	"npm_config_registry=$ACCESS_PROXY_URL npm install", "curl -fsS $ACCESS_PROXY_URL",
	"GOPROXY=$ACCESS_PROXY_URL go mod download", "curl -fsS $ACCESS_PROXY_URL",
	"--ca-file ca.pem", `--ca-file "$SSL_CERT_FILE"`,
	"access export backup.txt", "access export --passphrase-file ../passphrase backup.txt",
	"access import backup.txt", "access import --passphrase-file ../passphrase backup.txt",
	"< FILE", "<../secret",
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
			s.hosts(strings.Join(commands, "\n"))
			write(t, filepath.Join(s.world.Dir, "secret"), s.world.Service.Secret()+"\n", 0o600)
			write(t, filepath.Join(s.world.Dir, "passphrase"), "correct horse battery staple\n", 0o600)
			for _, c := range commands {
				if cannotRun[c] != "" {
					continue
				}
				for _, first := range before {
					if strings.HasPrefix(c, first.prefix) {
						s.must(first.command)
					}
				}
				typed := standIns.Replace(c)
				for prefix, file := range input {
					if strings.HasPrefix(c, prefix) && !strings.Contains(c, "<") {
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
		case literal && strings.HasPrefix(line, strings.Repeat(" ", 20)): // the rest of a comment
		case literal:
			line = strings.TrimSpace(unescaped(line))
			command := withoutComment(line)
			first, _, _ := strings.Cut(command, " ")
			switch {
			case command == "" || notCommands.MatchString(line):
			case isOurs(first) || slices.Contains([]string{"git", "ssh", "curl", "eval", "printf", "export", "go", "mkdir", "ssh-keygen", "ssh-add", "source", "."}, first) || strings.Contains(first, "="):
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
