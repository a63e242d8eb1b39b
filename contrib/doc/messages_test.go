//go:build unix

package doc

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// A fault is what makes programs print a message that a document explains in a table whose first column is "message".
type fault struct {
	message string
	change  func(w *scripttest.World)
	command string
}

func change(verb string, args ...string) func(*scripttest.World) {
	return func(w *scripttest.World) {
		if err := w.Change(verb, args...); err != nil {
			panic(err)
		}
	}
}

const (
	withToken  = `export CF_ACCESS_CLIENT_ID="$CF_ACCESS_CLIENT_ID_OF_TEST" CF_ACCESS_CLIENT_SECRET="$CF_ACCESS_CLIENT_SECRET_OF_TEST"; `
	wrongToken = `export CF_ACCESS_CLIENT_ID="$CF_ACCESS_CLIENT_ID_OF_TEST" CF_ACCESS_CLIENT_SECRET=0000000000000000000000000000000000000000000000000000000000000000; `
	setUp      = `access setup git git.example.com >/dev/null 2>&1; `
	clone      = `git clone -q https://git.example.com/code.git clone`
)

var faults = []fault{
	{"error: HOST needs a login: CI is set", nil, `CI=true access-ssh-proxy git.example.com`},
	{"error: HOST needs a login: there is no terminal", nil, setUp + `access logout --all; ACCESS_INTERACTIVE= ` + clone},
	{"error: HOST needs a login: GIT_TERMINAL_PROMPT=0", nil, setUp + `access logout --all; GIT_TERMINAL_PROMPT=0 ` + clone},
	{"error: nobody logged in to HOST within 10m0s", change("person", "nothing"), `access login --timeout 1s git.example.com`},
	{"error: the service token for HOST is wrong, expired or disabled (status 401)", change("service", "disable"), withToken + `access run ci.example.com -- true`},
	{"error: HOST refused the service token (status 302)", nil, wrongToken + `access run git.example.com -- true`},
	{"error: the service token is valid but no policy of HOST admits it (status 403)", func(w *scripttest.World) {
		w.Apps["git.example.com"].Set(func(a *accesstest.App) { a.Services, a.Strict = nil, true })
	}, withToken + `access run git.example.com -- true`},
	{"error: HOST admits service tokens only, and there is none for it", nil, `access login ci.example.com`},
	{"error: login to HOST was denied", change("person", "refuse"), `access login oauth.example.com`},
	{"error: HOST does not accept the session that it issued", change("binding-cookie", "git.example.com", "on"), `access login git.example.com`},
	{`error: the application of HOST belonged to team "OLD" and now claims "NEW"`, nil, `access login git.example.com; access logout --all; move; access login git.example.com`},
	{`error: Cloudflare's firewall blocked the request to HOST (status 403): "error code 1010"`, change("fail", "git.example.com", "-1", "waf"), `access-ssh-proxy git.example.com`},
	{`error: no tunnel is connected for HOST (status 530)`, change("fail", "ssh.example.com", "-1", "down"), `access-ssh-proxy ssh.example.com`},
	{"error: the server behind HOST does not answer (status 502)", change("fail", "ssh.example.com", "-1", "502"), `access-ssh-proxy ssh.example.com`},
	{"fatal: unable to update url base from redirection:", nil, clone},
	{"terminal prompts disabled", nil, setUp + `GIT_TERMINAL_PROMPT=0 git -c credential.helper= -c credential.https://git.example.com.helper= clone https://git.example.com/code.git clone`},
	{"tls: failed to verify certificate: x509: certificate signed by unknown authority", func(w *scripttest.World) { w.Edge.SetTLS("git.example.com", accesstest.TLSUnknownCA) }, `access login git.example.com`},
	{"there is no such store on this system, only", nil, `ACCESS_KEYSTORE=nonsense access login git.example.com`},
}

var tableRow = regexp.MustCompile("^\\| *`([^`]+)` *\\|")

// messagesOf returns the messages that a document explains.
func messagesOf(text string) map[string]bool {
	all := map[string]bool{}
	inTable := false
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			inTable = false
		} else if strings.HasPrefix(line, "| message |") {
			inTable = true
		} else if m := tableRow.FindStringSubmatch(line); m != nil && inTable {
			all[m[1]] = true
		}
	}
	return all
}

// Each message that a document explains is one that a program prints.
func TestMessages(t *testing.T) {
	explained := map[string]bool{}
	for _, name := range documents(t) {
		for m := range messagesOf(readDocument(t, name)) {
			explained[m] = true
		}
	}
	shown := map[string]bool{}
	for _, f := range faults {
		shown[f.message] = true
		if !explained[f.message] {
			t.Errorf("no document explains %q", f.message)
		}
	}
	for m := range explained {
		if !shown[m] {
			t.Errorf("a document explains %q, and no fault here shows it", m)
		}
	}
	for _, f := range faults {
		t.Run(f.message, func(t *testing.T) {
			s := open(t)
			if f.change != nil {
				f.change(s.world)
			}
			command := f.command
			if first, rest, ok := strings.Cut(command, "; move; "); ok {
				s.must(first)
				if err := s.world.Change("move", "git.example.com", "other"); err != nil {
					t.Fatal(err)
				}
				command = rest
			}
			began := time.Now()
			printed, code := s.typed("( " + command + " )")
			if code == 0 {
				t.Errorf("%s: exit code 0", command)
			}
			if !messagePattern(f.message).MatchString(printed) {
				t.Errorf("%s: in %v it printed:\n%s", command, time.Since(began), printed)
			}
		})
	}
}

func messagePattern(message string) *regexp.Regexp {
	p := regexp.QuoteMeta(message)
	p = digits.ReplaceAllString(p, `[0-9]+`)
	p = strings.NewReplacer("HOST", `[a-z]+\.example\.com`, "OLD", "[^\"]+", "NEW", "[^\"]+", "[0-9]+m[0-9]+s", "[0-9ms]+").Replace(p)
	return regexp.MustCompile(p)
}
