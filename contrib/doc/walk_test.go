//go:build unix

package doc

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/contrib/internal/programs"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// install are README's first two commands. The first one is what CI begins with and is not typed again here.
var install = []string{"make build", "mkdir -p ~/.local/bin && install -m 755 bin/access bin/access-* bin/git-* ~/.local/bin/"}

// walks lead from a clone of this repository to one of somebody's behind Access, in five commands or fewer.
var walks = []struct {
	mode     string
	commands []string
	cloned   string
}{
	{"login", []string{"access setup git https://git.example.com/code.git", "git clone https://git.example.com/code.git"}, "code"},
	{"managed OAuth", []string{"access setup git https://oauth.example.com/code.git", "git clone https://oauth.example.com/code.git"}, "code"},
	{"service token", []string{"export CF_ACCESS_CLIENT_ID=….access CF_ACCESS_CLIENT_SECRET=…", "access run ci.example.com -- git clone https://ci.example.com/code.git"}, "code"},
	{"SSH", []string{"access setup ssh ssh.example.com", "git clone git@ssh.example.com:code.git code-over-ssh"}, "code-over-ssh"},
}

// A person types what README says into a terminal, with nothing installed before.
func TestWalk(t *testing.T) {
	scripttest.Need(t, "tmux", "tmux")
	readme := readDocument(t, "README.md")
	for _, walk := range walks {
		t.Run(walk.mode, func(t *testing.T) {
			all := append(append([]string{}, install...), walk.commands...)
			if len(all) > 5 {
				t.Errorf("%d commands", len(all))
			}
			for _, c := range all {
				// README shows a login; with Managed OAuth the commands are the same.
				if !strings.Contains(readme, strings.ReplaceAll(c, "oauth.example.com", "git.example.com")) {
					t.Errorf("README does not say %q", c)
				}
			}
			s := open(t)
			term := newTerminal(s)
			for _, c := range all[1:] {
				term.typed(standIns.Replace(c))
			}
			if _, err := os.Stat(filepath.Join(s.bash.Dir, walk.cloned, ".git", "refs", "heads", "main")); err != nil {
				t.Errorf("%v\n%s", err, term.screen())
			}
			if tabs := s.world.Tabs(); walk.mode != "service token" && len(tabs) != 1 || walk.mode == "service token" && len(tabs) != 0 {
				t.Errorf("browser tabs: %q", tabs)
			}
		})
	}
}

// A terminal is a window of tmux in which a person types, on a machine where our programs are in bin/ and not yet on the PATH.
type terminal struct {
	s       *session
	tmux    string
	prompts int
}

var prompt = regexp.MustCompile(`(?m)^\[(\d+)\] \$`)

func newTerminal(s *session) *terminal {
	t := s.t
	t.Helper()
	names, err := programs.Names(root)
	if err != nil {
		t.Fatal(err)
	}
	built := scripttest.Build(t, names...)
	if err := os.Symlink(built, filepath.Join(s.bash.Dir, "bin")); err != nil {
		t.Fatal(err)
	}
	term := &terminal{s: s, tmux: "tmux -S " + quote(filepath.Join(s.world.Dir, "tmux"))}
	s.must(`path=$(printf '%s' "$PATH" | tr : '\n' | grep -v -x -F ` + quote(built) + ` | paste -s -d :)`)
	s.must(`if PATH=$path command -v access; then false; else true; fi`)
	// The person has a terminal, so nothing has to say that somebody is there.
	rc := filepath.Join(s.world.Dir, "bashrc")
	write(t, rc, "PS1='[$?] $ '\n", 0o600)
	s.must(`env -u ACCESS_INTERACTIVE -u TERM PATH="$HOME/.local/bin:$path" ` + term.tmux + ` -f /dev/null new-session -d -x 250 -y 50 bash --noprofile --rcfile ` + quote(rc))
	t.Cleanup(func() { s.typed(term.tmux + " kill-server") })
	term.wait("the shell")
	return term
}

func (term *terminal) screen() string { return term.s.must(term.tmux + " capture-pane -p -J -S -") }

func (term *terminal) typed(command string) {
	term.s.t.Helper()
	term.s.must(term.tmux + " send-keys -l " + quote(command) + " && " + term.tmux + " send-keys Enter")
	term.wait(command)
}

// wait waits for the next prompt, which tells how the command ended.
func (term *terminal) wait(command string) {
	t := term.s.t
	t.Helper()
	term.prompts++
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		screen := term.screen()
		if m := prompt.FindAllStringSubmatch(screen, -1); len(m) >= term.prompts {
			if code := m[term.prompts-1][1]; code != "0" {
				t.Fatalf("%s: exit code %s\n%s", command, code, screen)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: does not end\n%s", command, screen)
		}
	}
}
