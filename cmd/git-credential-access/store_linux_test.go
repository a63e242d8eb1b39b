package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/internal/keyringtest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

const (
	storedLogin = "protocol=https\nhost=git.example.net\nusername=ada\npassword=hunter2\n\n"
	wantLogin   = "protocol=https\nhost=git.example.net\n\n"
)

// aHelper is one that keeps a login.
type aHelper struct {
	name string
	argv []string
	env  []string
}

func (h *aHelper) do(ctx context.Context, operation, stdin string) (string, error) {
	cmd := exec.CommandContext(ctx, h.argv[0], append(h.argv[1:], operation)...)
	cmd.Env, cmd.Stdin = h.env, strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", h.name, err, &stderr)
	}
	return string(out), err
}

// ourHelpers are ours over each store, with a login in it.
func ourHelpers(t testing.TB, program string) (all []*aHelper) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, bytes.Repeat([]byte("k"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	keyringtest.Unlocked(t)
	pass := keyringtest.Pass(t, "")
	for _, b := range []struct{ name, vars string }{
		{"file", "ACCESS_KEYSTORE=file"},
		{"sealed-file", "ACCESS_KEYSTORE=file ACCESS_KEYSTORE_KEY_FILE=" + key},
		{"secret-service", "ACCESS_KEYSTORE=secret-service"},
		{"pass", "ACCESS_KEYSTORE=pass PASSWORD_STORE_DIR=" + pass},
	} {
		h := &aHelper{name: b.name, argv: []string{program, "--store"}}
		h.env = append(os.Environ(), append(strings.Fields(b.vars), "HOME="+t.TempDir(), "ACCESS_STATE_DIR="+t.TempDir())...)
		all = append(all, h)
	}
	return all
}

func keep(t testing.TB, h *aHelper) {
	t.Helper()
	if _, err := h.do(t.Context(), "store", storedLogin); err != nil {
		t.Fatal(err)
	}
	if out, err := h.do(t.Context(), "get", wantLogin); err != nil || !strings.Contains(out, "password=hunter2\n") {
		t.Fatalf("%s: %q, %v", h.name, out, err)
	}
}

// A login that is kept costs one look at the keyring, no other program (but with pass) and nothing of the network.
func TestStoredLoginSystemCalls(t *testing.T) {
	strace := scripttest.Need(t, "strace", "strace")
	program := filepath.Join(scripttest.Build(t, "git-credential-access"), "git-credential-access")
	for _, h := range ourHelpers(t, program) {
		t.Run(h.name, func(t *testing.T) {
			keep(t, h)
			trace := filepath.Join(t.TempDir(), "trace")
			traced := &aHelper{h.name, append([]string{strace, "-f", "-qq", "-e", "trace=execve,execveat,socket,connect", "-e", "signal=none", "-o", trace}, h.argv...), h.env}
			if out, err := traced.do(t.Context(), "get", wantLogin); err != nil || !strings.Contains(out, "password=hunter2\n") {
				t.Fatalf("%q, %v", out, err)
			}
			b, err := os.ReadFile(trace)
			if err != nil {
				t.Fatal(err)
			}
			calls := map[string]int{}
			for line := range strings.Lines(string(b)) {
				_, call, _ := strings.Cut(line, " ")
				name, args, _ := strings.Cut(strings.TrimSpace(call), "(")
				if family, _, _ := strings.Cut(args, ","); name == "socket" {
					name += " " + family
				}
				calls[name]++
			}
			programs, connections := 1, 0
			switch h.name {
			case "secret-service":
				connections = 1
			case "pass":
				programs, connections = calls["execve"], calls["connect"] // gpg and its agent
			}
			if calls["execve"] != programs || calls["execve"] < 1 || calls["connect"] != connections || calls["socket AF_INET"]+calls["socket AF_INET6"]+calls["execveat"] > 0 {
				t.Errorf("%v\n%s", calls, b)
			}
		})
	}
}

// libsecretHelper builds git's own helper for the Secret Service, or returns "" where that cannot be done.
func libsecretHelper(b *testing.B) string {
	const source = "/usr/share/doc/git/contrib/credential/libsecret/git-credential-libsecret.c"
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "libsecret-1", "glib-2.0").Output()
	if _, serr := os.Stat(source); err != nil || serr != nil {
		b.Log("without git-credential-libsecret: install libsecret-1-dev, libglib2.0-dev, pkg-config and gcc")
		return ""
	}
	out := filepath.Join(b.TempDir(), "git-credential-libsecret")
	args := append([]string{"-O2", "-o", out, source}, strings.Fields(string(flags))...)
	if text, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		b.Logf("without git-credential-libsecret: %v\n%s", err, text)
		return ""
	}
	return out
}

// BenchmarkStoredLogin shows a warm get of a login over each store beside git's own helpers: the median time of each from its start to its
// end, and how many times that of git-credential-store it is. They run in turn, since a machine is never quiet.
func BenchmarkStoredLogin(b *testing.B) {
	program := filepath.Join(scripttest.Build(b, "git-credential-access"), "git-credential-access")
	all := ourHelpers(b, program)
	home := b.TempDir()
	theirs := append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home)
	core, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		b.Fatal(err)
	}
	own := func(name string, args ...string) *aHelper {
		return &aHelper{name, append([]string{filepath.Join(strings.TrimSpace(string(core)), name)}, args...), theirs}
	}
	base := own("git-credential-store", "--file="+filepath.Join(home, "credentials"))
	cache := own("git-credential-cache", "--socket="+filepath.Join(home, "socket", "s")) // in a folder that it makes for this user alone
	b.Cleanup(func() { cache.do(context.WithoutCancel(b.Context()), "exit", "") })
	all = append(all, base, cache)
	if path := libsecretHelper(b); path != "" {
		all = append(all, &aHelper{"git-credential-libsecret", []string{path}, theirs})
	}
	for _, h := range all {
		keep(b, h)
	}
	spent := map[*aHelper][]time.Duration{}
	for b.Loop() {
		for _, h := range all {
			from := time.Now()
			if _, err := h.do(b.Context(), "get", wantLogin); err != nil {
				b.Fatal(err)
			}
			spent[h] = append(spent[h], time.Since(from))
		}
	}
	median := func(h *aHelper) float64 {
		slices.SortFunc(spent[h], cmp.Compare[time.Duration])
		return float64(spent[h][len(spent[h])/2].Microseconds())
	}
	for _, h := range all {
		b.ReportMetric(median(h), h.name+"-µs")
		b.ReportMetric(median(h)/median(base), h.name+"-x/store")
	}
}
