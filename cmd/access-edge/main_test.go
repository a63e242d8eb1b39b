package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// The test binary is the program when this is set.
const asProgram = "ACCESS_EDGE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(cli.Main("access-edge", run))
	}
	os.Exit(m.Run())
}

// edge is a running access-edge.
type edge struct {
	startup
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr *tail
	temp   string // its TMPDIR
	once   sync.Once
	err    error
}

// tail keeps what a program said.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// startEdge starts the program; with --json among args it reads what it says.
func startEdge(t *testing.T, args ...string) *edge {
	t.Helper()
	scripttest.Need(t, "git", "git")
	e := &edge{t: t, cmd: command(t, args...), stderr: &tail{}, temp: t.TempDir()}
	e.cmd.Env = append(e.cmd.Env, "TMPDIR="+e.temp)
	e.cmd.Stderr = e.stderr
	var err error
	if e.stdin, err = e.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	e.stdout = bufio.NewReader(out)
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.stop() })
	if strings.Contains(strings.Join(args, " "), "--json") {
		line, err := e.stdout.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &e.startup)
		}
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, line, e.stderr)
		}
	}
	return e
}

// stop interrupts the program and waits for it.
func (e *edge) stop() error {
	e.once.Do(func() {
		e.cmd.Process.Signal(os.Interrupt)
		io.Copy(io.Discard, e.stdout)
		e.err = e.cmd.Wait()
	})
	return e.err
}

// environ is the environment of a program that uses the edge.
func (e *edge) environ(more ...string) []string {
	env := os.Environ()
	for k, v := range e.Env {
		env = append(env, k+"="+v)
	}
	return append(env, more...)
}

func (e *edge) leftovers() []string {
	found, _ := filepath.Glob(filepath.Join(e.temp, "*"))
	return found
}

func TestTellsWhatItIs(t *testing.T) {
	e := startEdge(t)
	first, err := e.stdout.ReadString('\n')
	if err != nil || !strings.Contains(first, "no security product") {
		t.Errorf("first line %q, %v", first, err)
	}
	var text strings.Builder
	for !strings.Contains(text.String(), "Ctrl-C") {
		line, err := e.stdout.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(line)
	}
	for _, want := range []string{"HTTPS_PROXY=http://127.0.0.1:", "git clone https://git.example.com/demo.git", "CF_ACCESS_CLIENT_ID=", "--ignore-certificate-errors-spki-list="} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no word of %s in:\n%s", want, &text)
		}
	}
	if err := e.stop(); e.cmd.ProcessState.ExitCode() > 0 {
		t.Errorf("after an interrupt: %v", err)
	}
	if left := e.leftovers(); left != nil {
		t.Errorf("left behind: %v", left)
	}
	if e.stderr.String() != "" {
		t.Errorf("stderr: %s", e.stderr)
	}
}

// What it prints to be typed does what it says, from top to bottom in one shell.
func TestPrintedCommands(t *testing.T) {
	scripttest.Need(t, "ssh", "openssh-client")
	bin := scripttest.Build(t, "access", "git-credential-access", "access-ssh-proxy")
	e := startEdge(t)
	script := "set -e\n"
	for line := ""; !strings.Contains(line, "Ctrl-C"); {
		var err error
		if line, err = e.stdout.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if typed, ok := strings.CutPrefix(line, "  "); ok && !strings.HasPrefix(typed, "chromium ") && strings.Contains(script+typed, "/env\n") {
			script += typed
			if strings.HasPrefix(typed, "export PATH=") { // the programs are beside access-edge where it is installed
				script += `export PATH="$BIN:$PATH"` + "\n"
			}
		}
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), scripttest.Need(t, "bash", "bash"), "-c", script)
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME=", "XDG_STATE_HOME=", "ACCESS_STATE_DIR=", "ACCESS_KEYSTORE=file", "GIT_CONFIG_GLOBAL="+filepath.Join(home, ".gitconfig"),
		"GIT_CONFIG_NOSYSTEM=1", "BIN="+bin, "ACCESS_INTERACTIVE=always", asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	for _, clone := range []string{"demo", "demo-ssh", "demo-ci"} {
		if _, err := os.Stat(filepath.Join(home, clone, ".git")); err != nil {
			t.Errorf("%v, after:\n%s", err, script)
		}
	}
}

func TestEndsWithItsInput(t *testing.T) {
	e := startEdge(t, "--json", "--until-eof")
	e.stdin.Close()
	io.Copy(io.Discard, e.stdout)
	if err := e.cmd.Wait(); err != nil {
		t.Error(err)
	}
	if left := e.leftovers(); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		args string
		want string
	}{
		{"--listen 0.0.0.0:0", "is not loopback"},
		{"--http-origin git.example.com", "want HOST=URL"},
		{"--http-origin git.example.com=ftp://x", "want HOST=URL"},
		{"--tcp-origin ssh.example.com=host", "want HOST=ADDR"},
		{"--session -1s", "more than zero"},
		{"something", "unexpected argument"},
		{"click", "takes one URL"},
		{"click https://127.0.0.1:1/", "refused"},
	} {
		cmd := command(t, strings.Fields(tc.args)...)
		cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "access-edge: error: ") || !strings.Contains(string(out), tc.want) {
			t.Errorf("%s: %v\n%s", tc.args, err, out)
		}
	}
}

// TestGitWithServiceToken is the way through that needs no person, by the environment that the program prints.
func TestGitWithServiceToken(t *testing.T) {
	e := startEdge(t, "--json", "--log")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `. "$1" && git clone -q https://ci.example.com/demo.git "$2" && git -C "$2" log --format=%s`, "sh", e.EnvFile, filepath.Join(t.TempDir(), "clone"))
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=CF-Access-Client-Id: "+e.ServiceToken.ID,
		"GIT_CONFIG_KEY_1=http.extraHeader", "GIT_CONFIG_VALUE_1=CF-Access-Client-Secret: "+e.ServiceToken.Secret)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "first commit\n" {
		t.Errorf("%v\n%s", err, out)
	}
	e.stop()
	said := e.stderr.String()
	if !strings.Contains(said, "GET ci.example.com/demo.git/info/refs → 200 [service token accepted]") || strings.Contains(said, e.ServiceToken.Secret) {
		t.Errorf("log:\n%s", said)
	}
}

func TestOwnOrigins(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "mine, asked for "+r.Host) }))
	defer origin.Close()
	e := startEdge(t, "--json", "--http-origin", "git.example.com="+origin.URL, "--http-origin=wiki.example.com="+origin.URL, "--tcp-origin", "db.example.com=127.0.0.1:1", "--team", "acme", "--session", "90s")
	if e.TeamDomain != "acme.cloudflareaccess.com" {
		t.Errorf("team %q", e.TeamDomain)
	}
	var hosts []string
	for _, a := range e.Apps {
		hosts = append(hosts, a.Host)
	}
	if got := strings.Join(hosts, " "); got != "basic.example.com ci.example.com db.example.com git.example.com oauth.example.com ssh.example.com wiki.example.com" {
		t.Errorf("hosts %s", got)
	}
	cmd := exec.CommandContext(t.Context(), scripttest.Need(t, "curl", "curl"), "-sS", "-H", "CF-Access-Client-Id: "+e.ServiceToken.ID, "-H", "CF-Access-Client-Secret: "+e.ServiceToken.Secret, "https://git.example.com/")
	cmd.Env = e.environ()
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "mine, asked for git.example.com" {
		t.Errorf("%v %s", err, out)
	}
}

// TestClick logs in, as a $BROWSER that does not wait would be told to.
func TestClick(t *testing.T) {
	e := startEdge(t, "--json")
	for _, tc := range []struct {
		args []string
		ok   bool
	}{
		{[]string{"click", "https://git.example.com/demo.git/info/refs?service=git-upload-pack"}, true},
		{[]string{"click", "--email", "nobody", "https://git.example.com/"}, false},
	} {
		cmd := command(t, tc.args...)
		cmd.Env = e.environ(asProgram+"=1", "GORACE=atexit_sleep_ms=0")
		if out, err := cmd.CombinedOutput(); (err == nil) != tc.ok {
			t.Errorf("%v: %v\n%s", tc.args, err, out)
		}
	}
}

// A supervisor sends SIGTERM, and means the same.
func TestTerminated(t *testing.T) {
	e := startEdge(t, "--json")
	e.cmd.Process.Signal(syscall.SIGTERM)
	io.Copy(io.Discard, e.stdout)
	e.cmd.Wait()
	if left := e.leftovers(); left != nil {
		t.Errorf("left behind: %v", left)
	}
}
