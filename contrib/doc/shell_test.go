//go:build unix

package doc

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// A session is a shell on a machine of its own, with an edge around it: what a reader has who types a document from top to bottom.
type session struct {
	t     *testing.T
	world *scripttest.World

	bash  *exec.Cmd
	in    io.WriteCloser
	out   *output
	addrs map[string]string // what the document calls an address → where something listens
}

// patience is far beyond what anything takes, so that no test depends on speed.
const patience = 3 * time.Minute

// open begins a session. The person at the browser approves.
func open(t *testing.T) *session {
	t.Helper()
	bash := scripttest.Need(t, "bash", "bash")
	ssh := scripttest.Need(t, "ssh", "openssh-client")
	w := scripttest.NewWorld(t, scripttest.Git{})
	for _, name := range []string{"code.git", "team/code.git"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(w.Dir, "origin", name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := origin.Init(t.Context(), filepath.Join(w.Dir, "origin"), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	services := []*accesstest.ServiceToken{w.Service}
	w.Apps["wiki.example.com"] = w.Edge.AddApp(accesstest.App{Host: "wiki.example.com", Allow: true, Services: services, Origin: http.HandlerFunc(wiki)})
	w.Apps["api.example.com"] = w.Edge.AddApp(accesstest.App{Host: "api.example.com", Allow: true, OAuth: &accesstest.OAuth{}, Origin: http.HandlerFunc(wiki)})
	w.Set("ACCESS_INTERACTIVE=always", "GIT_SSH_COMMAND=ssh", "PS1=", "TERM=dumb", "GIT_TERMINAL_PROMPT=", "GOFLAGS=-buildvcs=false")

	// ssh reads the home folder of the account and not of HOME; everything else is as a reader has it.
	bin := filepath.Join(w.Dir, "bin")
	for _, d := range []string{bin, filepath.Join(w.Dir, "work"), filepath.Join(w.Dir, "home", ".ssh"), filepath.Join(w.Dir, "home", ".local", "bin")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	known := filepath.Join(w.Dir, "home", ".ssh", "known_hosts")
	write(t, known, w.SSH.KnownHosts("ssh.example.com")+w.SSH.KnownHosts("git.example.com"), 0o600)
	write(t, filepath.Join(bin, "ssh"), fmt.Sprintf(`#!/bin/sh
config=$HOME/.ssh/config
[ -e "$config" ] || config=/dev/null
exec '%s' -F "$config" -o UserKnownHostsFile='%s' -o GlobalKnownHostsFile=none -o BatchMode=yes -o IdentityAgent=none -o IdentityFile=none "$@"
`, ssh, known), 0o700)
	write(t, filepath.Join(w.Dir, "work", "Makefile"), "all:\n\t@echo made\n", 0o600)

	s := &session{t: t, world: w, out: newOutput(), addrs: map[string]string{}}
	s.bash = exec.Command(bash, "--noprofile", "--norc")
	s.bash.Env = append(w.Environ(), "CF_ACCESS_CLIENT_ID_OF_TEST="+w.Service.ID, "CF_ACCESS_CLIENT_SECRET_OF_TEST="+w.Service.Secret())
	s.bash.Dir = filepath.Join(w.Dir, "work")
	s.bash.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.bash.Stdout, s.bash.Stderr = pw, pw
	if s.in, err = s.bash.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.bash.Start(); err != nil {
		t.Fatal(err)
	}
	pw.Close()
	read := make(chan struct{})
	go func() { defer close(read); s.out.readFrom(r) }()
	t.Cleanup(func() {
		s.in.Close()
		_ = syscall.Kill(-s.bash.Process.Pid, syscall.SIGKILL) // the shell and all that it has started
		_ = s.bash.Wait()
		r.Close()
		<-read
	})
	s.must(`PATH=` + quote(bin) + `:$PATH`)
	return s
}

var exampleHost = regexp.MustCompile(`\b[a-z]+\.example\.com\b`)

// hosts puts an application at each host that a text names and that has none yet.
func (s *session) hosts(text string) {
	for _, host := range exampleHost.FindAllString(text, -1) {
		if s.world.Apps[host] == nil && host != "open.example.com" {
			s.world.Apps[host] = s.world.Edge.AddApp(accesstest.App{Host: host, Allow: true, Origin: http.HandlerFunc(wiki)})
		}
	}
}

func wiki(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "{\"path\": %q}\n", r.URL.Path) }

func write(t *testing.T, path, content string, perm os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), perm); err != nil {
		t.Fatal(err)
	}
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// listens finds the address in a command that goes on until it is ended.
var listens = regexp.MustCompile(`(?:--listen[ =]|\bproxy (?:.* )?)(127\.0\.0\.1:\d+|localhost:\d+|unix:\S+)|^access proxy|^access-edge( --[a-z-]+)*$`)

// run runs a command as if typed, and returns what it printed and its exit code. One that serves goes on in the background.
func (s *session) run(command string) (printed string, code int) {
	s.t.Helper()
	for told, real := range s.addrs {
		command = strings.ReplaceAll(command, told, real)
	}
	command = strings.TrimSuffix(command, " &")
	if m := listens.FindStringSubmatch(command); m != nil && !strings.Contains(command, " -- ") {
		return s.serve(command, m[1]), 0
	}
	return s.typed(command)
}

func (s *session) typed(command string) (printed string, code int) {
	s.t.Helper()
	s.out.take()
	fmt.Fprintf(s.in, "{ %s\n} </dev/null; printf '\\036%%d\\036\\n' $?\n", command)
	text, ok := s.out.wait(endOfCommand)
	m := endOfCommand.FindStringSubmatchIndex(text)
	if !ok || m == nil {
		s.t.Fatalf("%s: did not end, or ended the shell; it printed:\n%s", command, text)
	}
	code, _ = strconv.Atoi(text[m[2]:m[3]])
	return text[:m[0]], code
}

var (
	endOfCommand = regexp.MustCompile(`\x1e(\d+)\x1e\n`)
	isServing    = regexp.MustCompile(`(?:listening|serving|proxy|http:|unix:)[^\n]*?((?:127\.0\.0\.1|localhost):\d+|unix:\S+)[^\n]*\n|http://localhost/\n|\. /\S+/env\n`)
)

// serve starts a command that serves, on a free port, and waits until it says so.
func (s *session) serve(command, addr string) string {
	s.t.Helper()
	real := command
	if host, _, ok := strings.Cut(addr, ":"); ok && host != "unix" {
		real = strings.ReplaceAll(command, addr, host+":0")
	}
	s.out.take()
	fmt.Fprintf(s.in, "%s </dev/null &\n", real)
	text, ok := s.out.wait(isServing)
	m := isServing.FindStringSubmatch(text)
	if !ok {
		s.t.Fatalf("%s: does not serve; it printed:\n%s", command, text)
	}
	if addr != "" && m[1] != "" {
		s.addrs[addr] = m[1]
		// ssh -p PORT and the like
		_, told, _ := strings.Cut(addr, ":")
		_, port, _ := strings.Cut(m[1], ":")
		s.addrs["-p "+told] = "-p " + port
		s.addrs["localhost:"+told] = "localhost:" + port
	}
	return text
}

// must runs a command that is not of the document.
func (s *session) must(command string) string {
	s.t.Helper()
	printed, code := s.typed(command)
	if code != 0 {
		s.t.Fatalf("%s: exit code %d\n%s", command, code, printed)
	}
	return printed
}

// output collects what a shell and its programs print.
type output struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
	ended   bool
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) readFrom(r io.Reader) {
	b := bufio.NewReader(r)
	for {
		line, err := b.ReadString('\n')
		o.mu.Lock()
		o.text.WriteString(line)
		o.ended = err != nil
		close(o.changed)
		o.changed = make(chan struct{})
		o.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := o.text.String()
	o.text.Reset()
	return text
}

// wait waits until the text has the expression, and takes it.
func (o *output) wait(re *regexp.Regexp) (string, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		o.mu.Lock()
		text, changed, ended := o.text.String(), o.changed, o.ended
		o.mu.Unlock()
		if re.MatchString(text) {
			return o.take(), true
		}
		if ended {
			return text, false
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return text, false
		}
	}
}
