package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/internal/caller"
)

// Whoever calls with a prompt may pass on what a server wrote. ssh before OpenSSH 8.5 does: it shows the questions of
// keyboard-interactive as they come (since then "(user@host) " stands before them), so that a server could ask for the passphrase of a
// key or the password of another server in git's words. What is kept is an answer only to those who cannot be made to say such a thing.

// who is the program that asks.
func (a *asked) who() *caller.Process {
	if a.caller == nil {
		p := caller.Caller()
		a.caller = &p
	}
	return a.caller
}

// shells are programs that connect to other machines and show their questions, and programs that ask for the passwords of this one.
// None of them asks for the login of a web server.
var shells = map[string]bool{
	"ssh": true, "ssh-add": true, "ssh-agent": true, "ssh-keygen": true, "sftp": true, "scp": true, "sudo": true, "sudo-rs": true, "doas": true,
	"su": true, "dbclient": true, "dropbear": true, "dropbearmulti": true, "plink": true, "putty": true, "tortoiseplink": true, "lftp": true,
	"rsync": true, "sshd": true,
}

// mayHearLogin reports whether the login of a server is an answer to the program that asks.
func (a *asked) mayHearLogin() bool {
	return !shells[strings.ToLower(a.who().Name)]
}

// mayHearPassphrase reports whether the passphrase of a key is an answer to the program that asks.
func (a *asked) mayHearPassphrase(ctx context.Context) bool {
	switch name := strings.ToLower(a.who().Name); name {
	case "ssh-add", "ssh-keygen", "ssh-agent":
		return true // nobody else's words
	case "ssh":
		return tellsServersApart(ctx, a.who().Path)
	default:
		return !shells[name]
	}
}

// tellsServersApart asks ssh for its version, which takes a few milliseconds.
func tellsServersApart(ctx context.Context, path string) bool {
	if path == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "-V").CombinedOutput() // on standard error
	return err == nil && marksQuestions(string(out))
}

var openSSH = regexp.MustCompile(`^OpenSSH_(?:for_Windows_)?(\d+)\.(\d+)`)

func marksQuestions(version string) bool {
	m := openSSH.FindStringSubmatch(version)
	if m == nil {
		return false
	}
	major, err1 := strconv.Atoi(m[1])
	minor, err2 := strconv.Atoi(m[2])
	return err1 == nil && err2 == nil && (major > 8 || major == 8 && minor >= 5)
}

// title is the line over a window.
func (a *asked) title() string {
	if name := a.who().Name; name != "" {
		return fmt.Sprintf("%s asks", name)
	}
	return a.env.Name
}
