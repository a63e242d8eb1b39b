package main

import (
	"bytes"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

const (
	askGit   = "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=git.example.com\n\n"
	askOAuth = "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=oauth.example.com\n\n"
)

// asking is a helper that was asked something.
type asking struct {
	*exec.Cmd
	out, stderr bytes.Buffer
}

func ask(t *testing.T, w *scripttest.World, helper, request string, env ...string) *asking {
	t.Helper()
	a := &asking{Cmd: w.Command(t.Context(), helper, "get")}
	a.Env = append(a.Env, env...)
	a.Stdin, a.Stdout, a.Stderr = strings.NewReader(request), &a.out, &a.stderr
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Process.Kill()
		a.Wait()
	})
	return a
}

// answered waits for the answer, which must hold this.
func (a *asking) answered(t *testing.T, text string) {
	t.Helper()
	if err := a.Wait(); err != nil || !strings.Contains(a.out.String(), text) {
		t.Fatalf("%v, %d bytes\n%s", err, a.out.Len(), &a.stderr)
	}
}

// Two hundred processes that need the same session make one login, and two hundred whose token is about to end make one refresh: again
// and again, since it is a matter of order.
func TestContention(t *testing.T) {
	many, rounds := 100, 1
	if full() {
		many, rounds = 200, 20
	}
	w := scripttest.NewWorld(t, scripttest.Git{})
	helper := filepath.Join(scripttest.Build(t, "git-credential-access"), "git-credential-access")
	w.Set("ACCESS_INTERACTIVE=always")
	must(t, w, "access", "setup", "git", "git.example.com")
	lifetime := func(d time.Duration) {
		w.Apps["oauth.example.com"].Set(func(a *accesstest.App) { a.OAuth = &accesstest.OAuth{AccessLifetime: d, ReuseRevokes: true} })
	}
	all := func(request, answer string) {
		t.Helper()
		var asked []*asking
		for range many {
			asked = append(asked, ask(t, w, helper, request))
		}
		for _, a := range asked {
			a.answered(t, answer)
			if request == askOAuth && a.out.String() != asked[0].out.String() {
				t.Fatal("they have different tokens")
			}
		}
	}
	for range rounds {
		must(t, w, "access", "logout", "--all", "--sessions")
		tabs := len(w.Tabs())
		all(askGit, "continue=1")
		if n := len(w.Tabs()) - tabs; n != 1 {
			t.Fatalf("%d logins", n)
		}

		lifetime(30 * time.Second) // so that it is renewed ahead
		must(t, w, "access", "login", "oauth.example.com")
		lifetime(15 * time.Minute)
		w.Edge.ClearLog()
		all(askOAuth, "authtype=Bearer")
		if r := w.Edge.Requests(accesstest.ByProgram); len(r) != 1 || r[0].Path != tokenEndpoint {
			t.Fatalf("%d requests: %v", len(r), r)
		}
	}
}

// A process that renews is stopped: the others give up in time, say which it is and what to do. It is killed: whoever waits goes on.
func TestHolderThatDoesNotLetGo(t *testing.T) {
	t.Parallel() // it waits for half a minute
	w := scripttest.NewWorld(t, scripttest.Git{})
	helper := filepath.Join(scripttest.Build(t, "git-credential-access"), "git-credential-access")
	lifetime := func(d time.Duration) {
		w.Apps["oauth.example.com"].Set(func(a *accesstest.App) { a.OAuth = &accesstest.OAuth{AccessLifetime: d, ReuseRevokes: true} })
	}
	lifetime(time.Second)
	must(t, w, "access", "login", "oauth.example.com")
	lifetime(15 * time.Minute)
	<-time.After(time.Second) // now it needs a new one

	// The holder waits for a proxy that never answers, in the midst of the renewal.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	holder := ask(t, w, helper, askOAuth, "HTTPS_PROXY=http://"+silent.Addr().String(), "https_proxy=http://"+silent.Addr().String())
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := holder.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}

	w.Edge.ClearLog()
	var others []*asking
	for range 3 {
		others = append(others, ask(t, w, helper, askOAuth))
	}
	for _, o := range others {
		err := o.Wait()
		want := []string{
			"error: process " + strconv.Itoa(holder.Process.Pid) + " has been renewing the session of oauth.example.com for 30s",
			"kill -CONT " + strconv.Itoa(holder.Process.Pid),
		}
		if err == nil || !strings.Contains(o.stderr.String(), want[0]) || !strings.Contains(o.stderr.String(), want[1]) {
			t.Errorf("%v\n%s", err, &o.stderr)
		}
	}
	if r := w.Edge.Requests(accesstest.ByProgram); len(r) != 0 {
		t.Errorf("they asked the server: %v", r)
	}

	next := ask(t, w, helper, askOAuth)
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	next.answered(t, "authtype=Bearer")
	if r := w.Edge.Requests(accesstest.ByProgram); len(r) != 1 || r[0].Path != tokenEndpoint {
		t.Errorf("%d requests: %v", len(r), r)
	}
}
