package keystore_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// built is a program of testdata, built once, the way releases are.
var built = func() func(t testing.TB, name string) string {
	var mu sync.Mutex
	paths := map[string]string{}
	return func(t testing.TB, name string) string {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if paths[name] == "" {
			dir, err := os.MkdirTemp("", "keystore-test-")
			must(t, err)
			atExit(func() { os.RemoveAll(dir) })
			cmd := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w", "-o", dir+"/"+name, "./testdata/"+name)
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			paths[name] = dir + "/" + name
		}
		return paths[name]
	}
}()

// deadBus is a bus that takes connections and never says a word.
type deadBus struct {
	address string
	mu      sync.Mutex
	some    sync.Cond // a connection came
	conns   []net.Conn
}

func newDeadBus(t testing.TB) *deadBus { return newFakeBus(t, "") }

// newFakeBus is a bus that says one thing and then nothing more.
func newFakeBus(t testing.TB, says string) *deadBus {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	must(t, err)
	b := &deadBus{address: "unix:path=" + path}
	b.some.L = &b.mu
	var done sync.WaitGroup
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, says)
			b.mu.Lock()
			b.conns = append(b.conns, c)
			b.mu.Unlock()
			b.some.Broadcast()
		}
	})
	t.Cleanup(func() {
		l.Close()
		done.Wait()
		for _, c := range b.conns {
			c.Close()
		}
	})
	return b
}

// connections counts them, once there is one.
func (b *deadBus) connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.conns) == 0 {
		b.some.Wait()
	}
	return len(b.conns)
}

// fakeLaunch puts a dbus-launch into the PATH that tells that it was run.
func fakeLaunch(t testing.TB) (path string, ran func() bool) {
	t.Helper()
	dir := t.TempDir()
	mark := filepath.Join(dir, "ran")
	must(t, os.WriteFile(dir+"/dbus-launch", []byte("#!/bin/sh\n: > "+mark+"\n"), 0o755))
	return dir + ":" + os.Getenv("PATH"), func() bool { _, err := os.Stat(mark); return err == nil }
}

// The library that reaches some of the keyrings connects to D-Bus before main. A program that has it in must not notice: a bus that does
// not answer held it for ever, and without a bus each start ran dbus-launch and left a dbus-daemon behind.
func TestImportTouchesNoBus(t *testing.T) {
	scripttest.Need(t, "strace", "strace")
	program := built(t, "start")
	for name, bus := range map[string]func(t *testing.T) string{
		"dead bus":     func(t *testing.T) string { return newDeadBus(t).address },
		"no bus":       func(*testing.T) string { return "-" },
		"empty":        func(*testing.T) string { return "" },
		"autolaunch":   func(*testing.T) string { return "autolaunch:" },
		"no such file": func(*testing.T) string { return "unix:path=/nonexistent/bus" },
		"a network":    func(*testing.T) string { return "tcp:host=127.0.0.1,port=1" },
	} {
		t.Run(name, func(t *testing.T) {
			path, launched := fakeLaunch(t)
			trace := filepath.Join(t.TempDir(), "trace")
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // it would hang for ever
			defer cancel()
			cmd := exec.CommandContext(ctx, "strace", "-f", "-qq", "-e", "trace=execve,socket,connect,clone3,fork,vfork,openat,newfstatat", "-o", trace, program)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // the program too, not strace alone
			cmd.Env = environ("DBUS_SESSION_BUS_ADDRESS="+bus(t), "PATH="+path, "DISPLAY=:0", "DISABLE_KWALLET=-")
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Fatalf("%v: %q", err, out)
			}
			if launched() {
				t.Error("dbus-launch was run")
			}
			b, err := os.ReadFile(trace)
			must(t, err)
			for line := range strings.Lines(string(b)) {
				switch {
				case strings.Contains(line, "execve(") && !strings.Contains(line, program),
					strings.Contains(line, "socket("), strings.Contains(line, "connect("), strings.Contains(line, "dbus"):
					t.Errorf("before main: %s", line)
				}
			}
			if !strings.Contains(string(b), "execve(") {
				t.Fatalf("nothing was traced: %q", b)
			}
		})
	}
}

// What keeps the library away from the bus are variables, and main must find them as they were.
func TestImportLeavesTheEnvironmentAsItWas(t *testing.T) {
	program := built(t, "start")
	for name, vars := range map[string][]string{
		"unset":         {"A=1", "Z=2"},
		"set":           {"A=1", "DBUS_SESSION_BUS_ADDRESS=unix:path=/x", "M=2", "DISABLE_KWALLET=0", "Z=3"},
		"set but empty": {"DBUS_SESSION_BUS_ADDRESS=", "DISABLE_KWALLET=", "Z="},
		"half":          {"DISABLE_KWALLET=1"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(program, "env")
			cmd.Env = vars
			out, err := cmd.Output()
			must(t, err)
			var want bytes.Buffer
			for _, v := range vars {
				want.WriteString("\"" + v + "\"\n")
			}
			if d := cmp.Diff(want.String(), string(out)); d != "" {
				t.Error(d)
			}
		})
	}
}

// BenchmarkStart shows what importing costs: the time of a program with the keystore in it, as a multiple of one that does nothing.
// Medians of runs in turn, since the machine is never quiet.
func BenchmarkStart(b *testing.B) {
	programs := []string{built(b, "hello"), built(b, "start")}
	spent := make([][]time.Duration, len(programs))
	env := environ("DBUS_SESSION_BUS_ADDRESS=-")
	for b.Loop() {
		for i, path := range programs {
			cmd := exec.Command(path)
			cmd.Env = env
			from := time.Now()
			must(b, cmd.Run())
			spent[i] = append(spent[i], time.Since(from))
		}
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2].Microseconds())
	}
	b.ReportMetric(median(spent[1])/median(spent[0]), "x/hello")
	b.ReportMetric(median(spent[0]), "hello-µs")
	b.ReportMetric(median(spent[1]), "start-µs")
}
