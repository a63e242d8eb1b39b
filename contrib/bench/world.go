package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// world is a home folder, an edge and an sshd.
type world struct {
	dir  string
	edge edgeInfo
	env  []string // of all programs; the proxy comes last, and may be replaced

	process *exec.Cmd
	stdin   io.WriteCloser
	sshd    net.Listener // nil: there is no sshd
	serving sync.WaitGroup
}

func newWorld(ctx context.Context, b *bench) (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.dir, err = os.MkdirTemp("", "gitaccess-bench-"); err != nil {
		return w, err
	}
	for _, d := range []string{"home", "run", "edge", "path", "ssh"} {
		if err := os.Mkdir(filepath.Join(w.dir, d), 0o700); err != nil {
			return w, err
		}
	}
	if err := buildTools(ctx, b); err != nil {
		return w, err
	}
	if err := b.install(w.dir); err != nil {
		return w, err
	}
	if err := w.startSSHD(); err != nil {
		return w, err
	}
	if err := w.startEdge(ctx, b); err != nil {
		return w, err
	}
	self, err := os.Executable()
	if err != nil {
		return w, err
	}
	// The person who clicks: ours asks for $BROWSER, cloudflared for xdg-open.
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' click \"$1\" >/dev/null\n", self)
	if err := os.WriteFile(filepath.Join(w.dir, "path", "xdg-open"), []byte(script), 0o700); err != nil {
		return w, err
	}
	home := filepath.Join(w.dir, "home")
	w.env = []string{
		"PATH=" + strings.Join([]string{filepath.Join(w.dir, "path"), b.bin, b.env.Getenv("PATH")}, string(filepath.ListSeparator)),
		"HOME=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, ".config"), "XDG_STATE_HOME=" + filepath.Join(home, ".local", "state"),
		"XDG_CACHE_HOME=" + filepath.Join(home, ".cache"), "XDG_RUNTIME_DIR=" + filepath.Join(w.dir, "run"),
		"ACCESS_STATE_DIR=" + filepath.Join(w.dir, "state"), "ACCESS_KEYSTORE=file", "ACCESS_INTERACTIVE=always",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com",
		"LC_ALL=C", "BROWSER=" + filepath.Join(w.dir, "path", "xdg-open"),
		"SSL_CERT_FILE=" + w.edge.CAFile, "GIT_SSL_CAINFO=" + w.edge.CAFile,
		"NO_PROXY=localhost,127.0.0.1", "HTTPS_PROXY=" + w.edge.Proxy,
	}
	return w, nil
}

// serviceToken is the environment of the token, for each of the programs.
func (w *world) serviceToken() []string {
	return append(w.env[:len(w.env):len(w.env)],
		"CF_ACCESS_CLIENT_ID="+w.edge.ServiceID, "CF_ACCESS_CLIENT_SECRET="+w.edge.ServiceSecret,
		"TUNNEL_SERVICE_TOKEN_ID="+w.edge.ServiceID, "TUNNEL_SERVICE_TOKEN_SECRET="+w.edge.ServiceSecret)
}

// proxied is an environment with another proxy.
func proxied(env []string, url string) []string {
	return append(env[:len(env):len(env)], "HTTPS_PROXY="+url)
}

// buildTools builds what others are compared with.
func buildTools(ctx context.Context, b *bench) error {
	if err := os.MkdirAll(b.tools, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"bare", "empty"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(b.tools, name), "github.com/gitaccess/gitaccess/contrib/bench/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", name, err, out)
		}
	}
	return nil
}

func (w *world) startEdge(ctx context.Context, b *bench) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"--serve", filepath.Join(w.dir, "edge"), "--size", fmt.Sprint(b.bytes())}
	if w.sshd != nil {
		args = append(args, "--ssh", w.sshd.Addr().String())
	}
	w.process = exec.CommandContext(ctx, self, args...)
	w.process.Stderr = b.env.Stderr
	if w.stdin, err = w.process.StdinPipe(); err != nil {
		return err
	}
	out, err := w.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := w.process.Start(); err != nil {
		w.process = nil
		return err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("the edge did not start: %w", err)
	}
	return json.Unmarshal(line, &w.edge)
}

// startSSHD listens, and has an sshd for each connection, as inetd does: by itself sshd listens at ports alone that were chosen
// before.
func (w *world) startSSHD() error {
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		sshd, err = exec.LookPath("/usr/sbin/sshd")
	}
	if _, kerr := exec.LookPath("ssh-keygen"); err != nil || kerr != nil {
		return nil // said where it is missed
	}
	dir := filepath.Join(w.dir, "ssh")
	for _, key := range []string{"host", "id"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)).CombinedOutput(); err != nil {
			return fmt.Errorf("ssh-keygen: %w\n%s", err, out)
		}
	}
	config := filepath.Join(dir, "sshd_config")
	if err := os.WriteFile(config, []byte(fmt.Sprintf("HostKey %[1]s/host\nPidFile none\nAuthorizedKeysFile %[1]s/id.pub\nPasswordAuthentication no\n"+
		"KbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nMaxStartups 100\n", dir)), 0o600); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // privilege separation
			return err
		}
	}
	if w.sshd, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	w.serving.Go(func() {
		for {
			c, err := w.sshd.Accept()
			if err != nil {
				return
			}
			f, err := c.(*net.TCPConn).File()
			c.Close()
			if err != nil {
				continue
			}
			cmd := exec.Command(sshd, "-i", "-f", config, "-E", filepath.Join(dir, "log"))
			cmd.Stdin, cmd.Stdout = f, f
			if cmd.Start() == nil {
				w.serving.Go(func() { _ = cmd.Wait() })
			}
			f.Close()
		}
	})
	return nil
}

func (w *world) close() error {
	if w.stdin != nil {
		w.stdin.Close()
	}
	if w.process != nil {
		_ = w.process.Wait()
	}
	if w.sshd != nil {
		w.sshd.Close()
	}
	w.serving.Wait()
	if w.dir == "" {
		return nil
	}
	return os.RemoveAll(w.dir)
}
