package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// TestPeer has the public client (CLOUDFLARED names a binary, 2026.8 or newer)
// go through everything that the edge emulates for it. Where the two differ,
// the edge is wrong.
func TestPeer(t *testing.T) {
	peer := os.Getenv("CLOUDFLARED")
	if peer == "" {
		t.Log("CLOUDFLARED not set: the real peer was not run")
		return
	}
	if runtime.GOOS != "linux" {
		t.Log("the peer's browser is replaced by an xdg-open, on Linux alone: the real peer was not run")
		return
	}
	scripttest.Need(t, "ssh", "openssh-client")
	scripttest.Need(t, "curl", "curl")
	e := startEdge(t, "--json", "--log")
	bin, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(bin) })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	opened := filepath.Join(bin, "opened")
	script := "#!/bin/sh\necho \"$1\" >>" + opened + "\n" + asProgram + "=1 " + exe + " click \"$1\" >/dev/null 2>&1 &\n"
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	env := e.environ("HOME="+home, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0", "GIT_CONFIG_GLOBAL="+os.DevNull)
	run := func(more []string, name string, args ...string) (string, string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = append(env, more...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s %s: %v\n%s%s\n%s", name, args, err, &out, &errs, e.stderr)
		}
		return out.String(), errs.String()
	}
	browsers := func() int {
		b, _ := os.ReadFile(opened)
		return bytes.Count(b, []byte("\n"))
	}
	const app = "https://git.example.com"

	tok, _ := run(nil, peer, "access", "login", "--no-verbose", app)
	if strings.Count(tok, ".") != 2 || browsers() != 1 {
		t.Fatalf("login: %q after %d browsers", tok, browsers())
	}
	if again, _ := run(nil, peer, "access", "token", "-app="+app); again != tok {
		t.Errorf("token: %q, want that of the login", again)
	}
	if out, _ := run(nil, peer, "access", "curl", app+"/demo.git/info/refs?service=git-upload-pack", "-s"); !strings.Contains(out, "refs/heads/main") {
		t.Errorf("curl: %q", out)
	}

	clone := func(name string, more ...string) {
		t.Helper()
		proxy := "GIT_SSH_COMMAND=ssh -F none -o ProxyCommand='" + peer + " access ssh --hostname %h' -o UserKnownHostsFile=" + e.KnownHosts
		dir := filepath.Join(t.TempDir(), name)
		run(append(more, proxy), "git", "clone", "-q", "ssh://git@ssh.example.com/demo.git", dir)
		if _, err := os.Stat(filepath.Join(dir, "README.md")); err != nil {
			t.Error(err)
		}
	}
	clone("org-token")
	if n := browsers(); n != 1 {
		t.Errorf("ssh with an org token opened a browser: %d in all", n)
	}
	forget := func() {
		if err := os.RemoveAll(filepath.Join(home, ".cloudflared")); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	clone("login")
	if n := browsers(); n != 2 {
		t.Errorf("ssh without a session: %d browsers in all, want 2", n)
	}
	forget()
	clone("service-token", "TUNNEL_SERVICE_TOKEN_ID="+e.ServiceToken.ID, "TUNNEL_SERVICE_TOKEN_SECRET="+e.ServiceToken.Secret)
	if n := browsers(); n != 2 {
		t.Errorf("ssh with a service token opened a browser: %d in all", n)
	}

	run(nil, peer, "access", "ssh-gen", "--hostname", "ssh.example.com")
	b, err := os.ReadFile(filepath.Join(home, ".cloudflared", "ssh.example.com-cf_key-cert.pub"))
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(b)
	cert, ok := key.(*ssh.Certificate)
	if err != nil || !ok || len(cert.ValidPrincipals) != 1 || cert.ValidPrincipals[0] != "ada" {
		t.Errorf("certificate %+v, %v", cert, err)
	}
}
