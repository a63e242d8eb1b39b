package browser

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary plays a program that opens a browser when it is called with this variable.
const pageVar = "GITACCESS_BROWSER_TEST_PAGE"

func TestMain(m *testing.M) {
	if page := os.Getenv(pageVar); page != "" {
		if err := Open(context.Background(), page, nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func script(t *testing.T, dir, name, body string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func getenv(m map[string]string) func(string) string { return func(k string) string { return m[k] } }

func TestBrowserVariable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with space")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	good := script(t, dir, "good", `for a; do printf '[%s]' "$a"; done >>'`+out+"'\n")
	bad := script(t, dir, "bad", "exit 3\n")
	const page = "https://team.example.com/?a=b&c=d"
	for _, tt := range []struct{ name, browser, want string }{
		{"path with spaces", good, "[" + page + "]"},
		{"with arguments", `"` + good + `" -n`, "[-n][" + page + "]"},
		{"with a place for the page", `"` + good + `" --app=%s -n`, "[--app=" + page + "][-n]"},
		{"the first that succeeds", "no-such-program:" + bad + ":" + good, "[" + page + "]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			os.Remove(out)
			if err := Open(t.Context(), page, &Options{Getenv: getenv(map[string]string{"BROWSER": tt.browser})}); err != nil {
				t.Fatal(err)
			}
			if b, _ := os.ReadFile(out); string(b) != tt.want {
				t.Errorf("called with %s, want %s", b, tt.want)
			}
		})
	}
	t.Run("an opener that fails", func(t *testing.T) {
		err := Open(t.Context(), page, &Options{Getenv: getenv(map[string]string{"BROWSER": bad})})
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !strings.Contains(err.Error(), "bad") {
			t.Errorf("got %v, want an error with the opener's name and exit status", err)
		}
	})
}

func TestWithoutDisplay(t *testing.T) {
	dir := t.TempDir()
	script(t, dir, "xdg-open", "echo called >'"+dir+"/called'\n")
	t.Setenv("PATH", dir)
	err := Open(t.Context(), "https://h/", &Options{Getenv: getenv(nil)})
	var nb *NoBrowserError
	if !errors.As(err, &nb) {
		t.Errorf("without a display: %v, want a NoBrowserError", err)
	}
	if _, err := os.Stat(dir + "/called"); err == nil {
		t.Error("xdg-open was called without a display: it would start a text browser without a terminal")
	}
	if err := Open(t.Context(), "https://h/", &Options{Getenv: getenv(map[string]string{"DISPLAY": ":0"}), Environ: func() []string { return []string{"PATH=" + dir} }}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/called"); err != nil {
		t.Error("with a display xdg-open was not called")
	}
}

func TestWSL(t *testing.T) {
	dir := t.TempDir()
	script(t, dir, "powershell.exe", `printf '%s' "$4" >'`+dir+`/arg'`+"\n")
	t.Setenv("PATH", dir)
	o := &Options{Getenv: getenv(map[string]string{"WSL_DISTRO_NAME": "Debian"}), Environ: func() []string { return []string{"PATH=" + dir} }}
	if err := Open(t.Context(), "https://h/?a='b'&c=d", o); err != nil {
		t.Fatal(err)
	}
	arg, err := os.ReadFile(dir + "/arg")
	if err != nil {
		t.Fatal(err)
	}
	utf16, err := base64.StdEncoding.DecodeString(string(arg))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(bytes.ReplaceAll(utf16, []byte{0}, nil)), "Start-Process -FilePath 'https://h/?a=%27b%27&c=d'"; got != want {
		t.Errorf("PowerShell would run %q, want %q", got, want)
	}
	script(t, dir, "wslview", `printf '%s' "$1" >'`+dir+`/wslview'`+"\n")
	if err := Open(t.Context(), "https://h/", o); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(dir + "/wslview"); string(b) != "https://h/" {
		t.Errorf("wslview was called with %q", b)
	}
}

// git and ssh read our standard streams to their end: a browser that outlives us must not hold them, nor take Ctrl-C with us.
func TestBrowserOutlivesUs(t *testing.T) {
	dir := t.TempDir()
	gate := filepath.Join(dir, "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	browser := script(t, dir, "browser", `
fds=$(for fd in 0 1 2; do readlink /proc/$$/fd/$fd; done)
echo "$fds" >"$DIR/fds"
cut -d' ' -f6 /proc/$$/stat >"$DIR/session"
echo noise; echo noise >&2
mv "$DIR/session" "$DIR/up"
read line <"$GATE"
: >"$DIR/done"
`)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), pageVar+"=https://h/", "BROWSER="+browser, "DIR="+dir, "GATE="+gate, "GORACE=atexit_sleep_ms=0")
	cmd.Stdin = strings.NewReader("for the protocol only")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Who waits for the browser waits for this, and the test says so.
	defer time.AfterFunc(20*time.Second, func() { os.WriteFile(gate, []byte("\n"), 0) }).Stop()
	out, err := io.ReadAll(stdout) // ends only when nobody holds the pipe any more
	if err != nil || len(out) > 0 {
		t.Errorf("standard output: %q, %v", out, err)
	}
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("%v, standard error %q", err, stderr.String())
	}
	waitForFile(t, dir+"/up")
	waited := false
	if _, err := os.Stat(dir + "/done"); err == nil {
		t.Error("we waited for the browser")
		waited = true
	}
	if b, _ := os.ReadFile(dir + "/fds"); string(b) != strings.Repeat(os.DevNull+"\n", 3) {
		t.Errorf("the browser's streams are %q, want the null device", b)
	}
	session, _ := os.ReadFile(dir + "/up")
	if sid, _ := unix.Getsid(0); strings.TrimSpace(string(session)) == fmt.Sprint(sid) {
		t.Error("the browser is in our session")
	}
	if !waited {
		if err := os.WriteFile(gate, []byte("\n"), 0); err != nil {
			t.Fatal(err)
		}
	}
	waitForFile(t, dir+"/done")
}

func waitForFile(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s after a minute", path)
		}
	}
}

// A cancelled login does not wait for the opener.
func TestCancel(t *testing.T) {
	dir := t.TempDir()
	browser := script(t, dir, "browser", `echo $$ >"$DIR/tmp"; mv "$DIR/tmp" "$DIR/pid"; exec sleep 60`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Open(ctx, "https://h/", &Options{Getenv: getenv(map[string]string{"BROWSER": browser}),
			Environ: func() []string { return append(os.Environ(), "DIR="+dir) }})
	}()
	waitForFile(t, dir+"/pid")
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) { // nil: the moment of grace was over first
		t.Errorf("got %v", err)
	}
	b, _ := os.ReadFile(dir + "/pid")
	var pid int
	fmt.Sscan(string(b), &pid)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the opener did not live on: %v", err)
	}
}
