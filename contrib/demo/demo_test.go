package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// The test binary plays the demo's $BROWSER, and with DEMO_BROWSER=1 the browser of the person.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "--tab":
			main()
		case "click":
			if err := click(os.Args[2]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// click is a browser as people have it: no proxy, no trust in the edge, *.localhost is loopback.
func click(link string) error {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if !strings.HasSuffix(host, ".localhost") && host != "localhost" && host != "127.0.0.1" { // localhost: the callback of Managed OAuth
			return nil, fmt.Errorf("the browser was sent to %s", addr)
		}
		var d net.Dialer
		return d.DialContext(ctx, network, "127.0.0.1:"+port)
	}
	return accesstest.NewPerson("bob@example.com", &http.Transport{DialContext: dial}).Approve(context.Background(), link)
}

func playDemo(t *testing.T, vars ...string) (string, error) {
	t.Helper()
	scripttest.Need(t, "git", "git")
	scripttest.Need(t, "ssh", "openssh-client")
	bin := scripttest.Build(t, programs...)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	getenv := func(name string) string {
		for _, kv := range slices.Backward(vars) {
			if n, v, _ := strings.Cut(kv, "="); n == name {
				return v
			}
		}
		if name == "PATH" || name == "TMPDIR" {
			return os.Getenv(name)
		}
		return ""
	}
	var out bytes.Buffer
	env := &cli.Env{Name: "demo", Args: []string{"--bin", bin}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out,
		Getenv: getenv, Environ: os.Environ}
	err := run(t.Context(), env)
	if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return out.String(), err
}

// Ctrl-C while the demo waits for the person: no process and no file stays behind.
func TestDemoInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no process groups to end")
	}
	dir := t.TempDir()
	opened := filepath.Join(dir, "opened")
	browser := filepath.Join(dir, "browser")
	if err := os.WriteFile(browser, []byte("#!/bin/sh\n: >'"+opened+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", tmp)
	env := &cli.Env{Name: "demo", Args: []string{"--bin", scripttest.Build(t, programs...)}, Stdout: io.Discard, Stderr: io.Discard, Environ: os.Environ,
		Getenv: func(name string) string {
			return map[string]string{"DEMO_BROWSER": "1", "BROWSER": browser, "PATH": os.Getenv("PATH"), "TMPDIR": tmp}[name]
		}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- run(ctx, env) }()
	await(t, func() bool { _, err := os.Stat(opened); return err == nil })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the demo ended with %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// Whoever was started by the demo has its state folder in the environment.
	await(t, func() bool { return len(processesOf(t, tmp)) == 0 })
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute")
		}
	}
}

// processesOf returns the processes that have the folder in their environment, where the system shows it.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	return slices.DeleteFunc(all, func(path string) bool {
		b, err := os.ReadFile(path)
		return err != nil || !bytes.Contains(b, []byte("ACCESS_STATE_DIR="+dir))
	})
}

var line = regexp.MustCompile(`(?m)^([✓✗]) .{46} +[0-9]+\.[0-9]{2} s  `)

func TestDemo(t *testing.T) {
	out, err := playDemo(t)
	t.Log("\n" + out)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(line.FindAllString(out, -1)), len(steps)+1; got != want || strings.Contains(out, "✗") {
		t.Errorf("%d aligned lines, want %d", got, want)
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colours where there is no terminal")
	}
}

// With DEMO_BROWSER=1 a person clicks in a browser that knows nothing of the edge.
func TestDemoByHand(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := playDemo(t, "DEMO_BROWSER=1", fmt.Sprintf("BROWSER=%q click", exe))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out, "click through http://") {
		t.Errorf("no link is printed:\n%s", out)
	}
}

// A check that cannot fail proves nothing: with a proxy program that does not work the demo says so and fails.
func TestDemoFails(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the broken program is a shell script")
	}
	bin := scripttest.Build(t, programs...)
	broken := t.TempDir()
	for _, p := range programs {
		if err := os.Symlink(filepath.Join(bin, p), filepath.Join(broken, p)); err != nil {
			t.Fatal(err)
		}
	}
	proxy := filepath.Join(broken, "access-ssh-proxy")
	os.Remove(proxy)
	if err := os.WriteFile(proxy, []byte("#!/bin/sh\necho broken >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	env := &cli.Env{Name: "demo", Args: []string{"--bin", broken}, Stdout: &out, Stderr: &out, Environ: os.Environ,
		Getenv: func(name string) string {
			if name == "PATH" {
				return os.Getenv(name)
			}
			return ""
		}}
	if err := run(t.Context(), env); cli.Report(env, err) != 1 {
		t.Errorf("the demo ended with %v", err)
	}
	for _, want := range []string{"✗ clone over SSH", "broken", "✓ clone over HTTPS"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	env.Args = []string{"--bin", t.TempDir()}
	if err := run(t.Context(), env); err == nil || !strings.Contains(err.Error(), "access") {
		t.Errorf("without programs: %v", err)
	}
}
