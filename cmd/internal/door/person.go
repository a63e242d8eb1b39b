package door

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/internal/browser"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/term"
)

// A Caller says on whose behalf a program asks.
type Caller struct {
	// Origin that the credential is for.
	Origin access.Origin
	// Named: a person wrote the host on our own command line, or in the ssh or
	// git configuration that calls us by name.
	Named bool
	// Explicit: the person asked for a login and for nothing else. It needs no
	// terminal here: a coding agent or a remote session shows the address.
	Explicit bool
	// Window: the program can ask in a window, or another place of its own, where
	// there is no terminal.
	Window bool
	// Git is the git to ask for credential.interactive; "" asks none.
	Git string
	// CheckEvery is passed on to [access.Policy].
	CheckEvery time.Duration
}

// Policy decides what may be done to get a credential for the caller. Whether a
// person may be asked is found out when it comes to that, so that a warm run looks
// at nothing.
func (d *Door) Policy(c Caller) access.Policy {
	p := access.Policy{
		Login:      func(ctx context.Context) error { return d.MayAsk(ctx, c) },
		Background: !c.Explicit && !d.always() && !term.Available(),
		CheckEvery: c.CheckEvery,
	}
	if c.Named {
		p.Named = c.Origin
	}
	return p
}

// MayAsk reports why no person may be asked to log in for the caller; nil if one
// may. All programs decide by it.
func (d *Door) MayAsk(ctx context.Context, c Caller) error {
	get := d.env.Getenv
	if v := ForbidsLogin(get); v != "" {
		return fmt.Errorf("%s=%s", v, get(v))
	}
	switch {
	case !c.Named && !d.IsSetUp(c.Origin):
		return fmt.Errorf("%s was not set up on this machine", c.Origin.Host())
	case IsSet(get("CI")):
		return errors.New("CI is set")
	case get("GIT_TERMINAL_PROMPT") != "" && !IsSet(get("GIT_TERMINAL_PROMPT")):
		return errors.New("GIT_TERMINAL_PROMPT=0")
	case IsSet(get("VSCODE_GIT_FETCH_SILENT")):
		return errors.New("the editor fetches in the background")
	case c.Git != "" && d.notInteractive(ctx, c.Git):
		return errors.New("credential.interactive is off in git's configuration")
	case underMaintenance():
		return errors.New("git maintenance runs in the background")
	}
	if c.Explicit || c.Window || d.always() || term.Available() || d.graphicalCaller() {
		return nil
	}
	return errors.New("there is no terminal")
}

// ForbidsLogin returns the variable by which a person has said that nobody is to be asked; "" if there is none.
func ForbidsLogin(getenv func(string) string) string {
	for _, name := range []string{"ACCESS_INTERACTIVE", "GCM_INTERACTIVE"} {
		if isNever(getenv(name)) {
			return name
		}
	}
	return ""
}

// isNever reads what git and Git Credential Manager take for a no.
func isNever(v string) bool {
	switch strings.ToLower(v) {
	case "never", "false", "0", "no", "off":
		return true
	}
	return false
}

// always: a person promised by ACCESS_INTERACTIVE to be there.
func (d *Door) always() bool { return strings.EqualFold(d.env.Getenv("ACCESS_INTERACTIVE"), "always") }

// IsSet reads a variable as git reads booleans: everything but an explicit no.
func IsSet(v string) bool {
	switch strings.ToLower(v) {
	case "", "0", "false", "no", "off":
		return false
	}
	return true
}

// graphicalCaller reports whether a person sits before a program that runs git
// without a terminal.
func (d *Door) graphicalCaller() bool {
	get := d.env.Getenv
	if runtime.GOOS == "linux" && get("DISPLAY") == "" && get("WAYLAND_DISPLAY") == "" {
		return false
	}
	for _, v := range []string{
		"VSCODE_GIT_IPC_HANDLE",         // Visual Studio Code's git extension
		"VSCODE_GIT_ASKPASS_MAIN",       // the same, older
		"INTELLIJ_SSH_ASKPASS_HANDLER",  // JetBrains
		"INTELLIJ_GIT_ASKPASS_HANDLER",  // JetBrains
		"DESKTOP_TRAMPOLINE_IDENTIFIER", // GitHub Desktop
		"GITKRAKEN_EXECUTABLE_FOLDER",
		"SOURCETREE_ASKPASS",
	} {
		if get(v) != "" {
			return true
		}
	}
	return false
}

// notInteractive asks git for credential.interactive, which git ≥ 2.47 documents
// for helpers too ("some helpers respect this as well").
func (d *Door) notInteractive(ctx context.Context, git string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, git, "config", "--get", "credential.interactive")
	cmd.Env = d.env.Environ()
	out, err := cmd.Output()
	return err == nil && isNever(strings.TrimSpace(string(out)))
}

func (d *Door) openBrowser(ctx context.Context, url string) error {
	return browser.Open(ctx, url, &browser.Options{Getenv: d.env.Getenv, Environ: d.CleanEnviron})
}

// CleanEnviron is the environment for programs that have no need of our secrets,
// and may outlive us.
func (d *Door) CleanEnviron() []string {
	var out []string
	for _, kv := range d.env.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasSuffix(name, "_SECRET") || strings.HasSuffix(name, "_TOKEN") || strings.HasSuffix(name, "_PASSPHRASE") ||
			strings.HasSuffix(name, "_PASSWORD") || strings.HasPrefix(name, "GIT_CONFIG_") {
			continue
		}
		out = append(out, kv)
	}
	return out
}

// Tell returns what tells a person in plain lines what a run waits for, as it is
// done where Options.Notify is nil.
func Tell(env *cli.Env) func(access.Event) { return (&teller{env: env}).tell }

// SessionLength says how long a session holds.
func SessionLength(app access.App, left time.Duration) string {
	left = left.Round(time.Minute)
	length := fmt.Sprintf("%dm", int(left.Minutes()))
	switch {
	case left >= 48*time.Hour:
		length = fmt.Sprintf("%d days", int(left.Hours())/24)
	case left >= time.Hour:
		length = fmt.Sprintf("%dh%02dm", int(left.Hours()), int(left.Minutes())%60)
	}
	if app.Mode == access.ModeOAuth {
		length += ", renewed without you while your administrator's grant lasts"
	}
	return length
}

// teller tells a person in plain lines what a run waits for.
type teller struct {
	env *cli.Env
	mu  sync.Mutex
}

func (t *teller) tell(e access.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	host := e.App.Origin.Host()
	switch e.Kind {
	case access.LoginURL:
		t.say("log in to %s in your browser; if none opened, open this address:\n%s", host, e.URL)
	case access.BrowserFailed:
		var none *browser.NoBrowserError
		if errors.As(e.Err, &none) {
			t.say("%v; open the address above in one, on any machine", none)
			return
		}
		t.say("the browser did not open: %v", e.Err)
	case access.LoginDone:
		who := e.Account
		if who != "" {
			who = " as " + who
		}
		t.say("logged in to %s%s until %s (%s)", host, who, e.Expiry.Local().Format("Mon 15:04"), SessionLength(e.App, time.Until(e.Expiry)))
	case access.WaitingForProcess:
		if e.URL != "" {
			t.say("waiting for the login to %s that process %d has begun:\n%s", host, e.PID, e.URL)
			return
		}
		t.say("waiting for process %d, which renews the session of %s", e.PID, host)
	}
}

// say prints to standard error, and to the terminal too if standard error leads
// elsewhere: a person must see the URL even if an editor swallows it.
func (t *teller) say(format string, args ...any) {
	t.env.Note(format, args...)
	if term.IsTerminal(t.env.Stderr) {
		return
	}
	// Where there is no terminal, standard error was all there is.
	var b strings.Builder
	(&cli.Env{Name: t.env.Name, Stderr: &b}).Note(format, args...)
	_ = term.Print(b.String())
}
