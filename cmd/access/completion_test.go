package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

func TestCompletionFiles(t *testing.T) {
	for name, script := range map[string]string{"access.bash": bashCompletion, "_access": zshCompletion, "access.fish": fishCompletion, "access.ps1": powershellCompletion} {
		b, err := os.ReadFile("../../contrib/completion/" + name)
		if err != nil {
			t.Error(err)
		} else if string(b) != script {
			t.Errorf("contrib/completion/%s differs from what access completion prints", name)
		}
	}
}

// completionWorld knows two hosts.
func completionWorld(t *testing.T) *scripttest.World {
	t.Helper()
	w := scripttest.NewWorld(t, scripttest.Git{})
	for _, host := range []string{"git.example.com", "ci.example.com:8443"} {
		path := filepath.Join(w.Dir, "state", "setup", "https%3A__"+strings.ReplaceAll(host, ":", "%3A"))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// shellOnTerminal starts a shell with its completion on a terminal.
func shellOnTerminal(t *testing.T, w *scripttest.World, shell string, args ...string) *screen {
	t.Helper()
	scripttest.Need(t, shell, shell)
	w.Set("TERM=xterm", "HOME="+w.Dir, "INPUTRC=/dev/null")
	return onTerminal(t, w.Command(patient(t), shell, args...))
}

// What a person types, with Tab, becomes a command that the shell can run; its output
// shows what it was.
func tryCompletion(s *screen) {
	s.Helper()
	s.Type("access who\t")
	s.wait(`access whoami $`)
	s.Type("gi\t")
	s.wait(`access whoami git\.example\.com $`)
	s.Type("--js\t")
	s.wait(`access whoami git\.example\.com --json $`)
	s.Type("\r")
	s.wait(`error: git\.example\.com needs a login`)
	s.Type("access service-token remove ci\t")
	s.wait(`access service-token remove ci\.example\.com\\?:8443 $`)
	s.Type("\r")
	s.wait(`there was no service token for ci\.example\.com:8443`)
	s.Type("exit\r")
}

func TestCompletionBash(t *testing.T) {
	w := completionWorld(t)
	s := shellOnTerminal(t, w, "bash", "--norc", "--noprofile", "-i")
	s.Type("PS1='> '; bind 'set enable-bracketed-paste off'; source <(access completion bash); echo rea''dy\r")
	s.wait(`ready\r`)
	tryCompletion(s)
}

func TestCompletionZsh(t *testing.T) {
	for _, how := range []string{"source <(access completion zsh)", "true"} {
		w := completionWorld(t)
		if how == "true" { // found in fpath, as a package installs it
			if err := os.MkdirAll(filepath.Join(w.Dir, "functions"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(w.Dir, "functions", "_access"), []byte(zshCompletion), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s := shellOnTerminal(t, w, "zsh", "-f", "-i")
		s.Type("PROMPT='> '; unset zle_bracketed_paste; unsetopt PROMPT_SP; fpath=(" + w.Dir + "/functions $fpath); autoload -Uz compinit; compinit -D -u; " + how + "; echo rea''dy\r")
		s.wait(`ready\r`)
		tryCompletion(s)
	}
}

func TestCompletionFish(t *testing.T) {
	scripttest.Need(t, "fish", "fish")
	w := completionWorld(t)
	for line, want := range map[string]string{
		"access who":                     "whoami\tsay as whom a host knows you\n",
		"access whoami ":                 "ci.example.com:8443\thost\ngit.example.com\thost\n",
		"access setup ":                  "git\tconfigure git for a host\nssh\tconfigure ssh for hosts\n",
		"access login git.example.com -": "--json",
		"access completion po":           "powershell\tshell\n",
		"access doctor --bundle hom":     "home/\n",
	} {
		cmd := w.Command(patient(t), "fish", "--no-config", "-c", "access completion fish | source; complete -C '"+line+"'")
		out, err := cmd.CombinedOutput()
		if _, exit := err.(*exec.ExitError); err != nil && !exit {
			t.Fatal(err)
		}
		if !strings.Contains(string(out), want) || len(want) > 10 && string(out) != want && !strings.HasPrefix(want, "home") {
			t.Errorf("%q: %q, want %q", line, out, want)
		}
	}
}
