package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// shortDir is a folder whose path leaves room for ssh's sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ga")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func command(t *testing.T, w *scripttest.World, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := w.Command(t.Context(), name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func must(t *testing.T, w *scripttest.World, name string, args ...string) string {
	t.Helper()
	out, errs, err := command(t, w, name, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, errs)
	}
	return out
}

// tree is what is below a folder: modes, links and contents.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b.WriteString(path + " " + info.Mode().String())
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			b.WriteString(" -> " + to)
		case d.Type().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b.WriteString(" " + strings.ReplaceAll(string(text), "\n", "\\n"))
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(b.String(), "\r", "\\r")
}

// After --remove everything is as it was before --install, to the byte and the mode.
func TestConfigLeavesNoTrace(t *testing.T) {
	w := newWorld(t)
	file := func(text string, mode fs.FileMode) func(*testing.T, string) {
		return func(t *testing.T, home string) {
			mkdir(t, filepath.Join(home, ".ssh"))
			path := filepath.Join(home, ".ssh", "config")
			write(t, path, text)
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(to string, dangling bool) func(*testing.T, string) {
		return func(t *testing.T, home string) {
			mkdir(t, filepath.Join(home, ".ssh"))
			mkdir(t, filepath.Join(home, "dotfiles"))
			if !dangling {
				write(t, filepath.Join(home, "dotfiles", "ssh_config"), "Host *\n  User ada")
			}
			if err := os.Symlink(strings.Replace(to, "HOME", home, 1), filepath.Join(home, ".ssh", "config")); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name    string
		prepare func(t *testing.T, home string)
		file    string // that gets the line, below home
	}{
		{"no folder", func(*testing.T, string) {}, ".ssh/config"},
		{"no file", func(t *testing.T, home string) {
			mkdir(t, filepath.Join(home, ".ssh"))
			write(t, filepath.Join(home, ".ssh", "known_hosts"), "x")
		}, ".ssh/config"},
		{"empty file", file("", 0o600), ".ssh/config"},
		{"no line feed at the end", file("Host *\n  User ada", 0o600), ".ssh/config"},
		{"line ends of Windows", file("Host *\r\n  User ada\r\n", 0o600), ".ssh/config"},
		{"readable by all", file("Host *\n", 0o644), ".ssh/config"},
		{"a link", link("HOME/dotfiles/ssh_config", false), "dotfiles/ssh_config"},
		{"a relative link", link("../dotfiles/ssh_config", false), "dotfiles/ssh_config"},
		{"a link to nothing", link("../dotfiles/ssh_config", true), "dotfiles/ssh_config"},
		{"the folder is a link", func(t *testing.T, home string) {
			mkdir(t, filepath.Join(home, "dotfiles"))
			write(t, filepath.Join(home, "dotfiles", "config"), "Host *\n")
			if err := os.Symlink("dotfiles", filepath.Join(home, ".ssh")); err != nil {
				t.Fatal(err)
			}
		}, "dotfiles/config"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			home := shortDir(t)
			w.Set("HOME=" + home)
			tt.prepare(t, home)
			before := tree(t, home)
			must(t, w, "access-ssh-proxy", "config", "--install", "ssh.example.com", "git.example.com")
			installed := tree(t, home)
			text, err := os.ReadFile(filepath.Join(home, tt.file))
			if err != nil || !bytes.Contains(text, []byte("Include gitaccess/config")) {
				t.Errorf("not installed in %s: %v\n%s", tt.file, err, installed)
			}
			info, err := os.Lstat(filepath.Join(home, ".ssh", "gitaccess"))
			if err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("our folder: %v, %v", info.Mode(), err)
			}
			info, err = os.Lstat(filepath.Join(home, ".ssh", "gitaccess", "config"))
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("our file: %v, %v", info.Mode(), err)
			}
			if out := must(t, w, "access-ssh-proxy", "config", "--install", "ssh.example.com"); out != "" || tree(t, home) != installed {
				t.Errorf("the second time changes:\n%s", out)
			}
			must(t, w, "access-ssh-proxy", "config", "--remove", "--dry-run", "--all")
			if tree(t, home) != installed {
				t.Error("a dry run changes something")
			}
			must(t, w, "access-ssh-proxy", "config", "--remove", "ssh.example.com", "git.example.com")
			if after := tree(t, home); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// Nobody else can make us change a file of their choosing, or what we include.
func TestConfigRefusesUnsafePaths(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name    string
		prepare func(t *testing.T, home string) error
	}{
		{"a link in a folder for all", func(t *testing.T, home string) error {
			mkdir(t, filepath.Join(home, ".ssh"))
			mkdir(t, filepath.Join(home, "shared"))
			write(t, filepath.Join(home, "precious"), "x")
			return errors.Join(
				os.Symlink("../shared/config", filepath.Join(home, ".ssh", "config")),
				os.Symlink("../precious", filepath.Join(home, "shared", "config")),
				os.Chmod(filepath.Join(home, "shared"), 0o777))
		}},
		{"a folder for all", func(t *testing.T, home string) error {
			mkdir(t, filepath.Join(home, ".ssh"))
			return os.Chmod(filepath.Join(home, ".ssh"), 0o777)
		}},
		{"a file for all", func(t *testing.T, home string) error {
			mkdir(t, filepath.Join(home, ".ssh"))
			write(t, filepath.Join(home, ".ssh", "config"), "Host *\n")
			return os.Chmod(filepath.Join(home, ".ssh", "config"), 0o666)
		}},
		{"our folder is a link to one for all", func(t *testing.T, home string) error {
			mkdir(t, filepath.Join(home, ".ssh"))
			mkdir(t, filepath.Join(home, "elsewhere"))
			return errors.Join(os.Chmod(filepath.Join(home, "elsewhere"), 0o777), os.Symlink("../elsewhere", filepath.Join(home, ".ssh", "gitaccess")))
		}},
		{"no file", func(t *testing.T, home string) error {
			mkdir(t, filepath.Join(home, ".ssh"))
			return os.Mkdir(filepath.Join(home, ".ssh", "config"), 0o700)
		}},
		{"links without end", func(t *testing.T, home string) error {
			mkdir(t, filepath.Join(home, ".ssh"))
			return os.Symlink("config", filepath.Join(home, ".ssh", "config"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			home := shortDir(t)
			w.Set("HOME=" + home)
			if err := tt.prepare(t, home); err != nil {
				t.Fatal(err)
			}
			before := tree(t, home)
			_, errs, err := command(t, w, "access-ssh-proxy", "config", "--install", "ssh.example.com")
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.HasPrefix(errs, "access-ssh-proxy: error: ") {
				t.Errorf("%v\n%s", err, errs)
			}
			if after := tree(t, home); after != before {
				t.Errorf("before:\n%s\nafter:\n%s\n%s", before, after, errs)
			}
		})
	}
}

// Several at once: none loses what another wrote.
func TestConfigConcurrently(t *testing.T) {
	w := newWorld(t)
	home := shortDir(t)
	w.Set("HOME=" + home)
	var wg sync.WaitGroup
	hosts := strings.Fields("a b c d e f g h")
	for _, h := range hosts {
		wg.Go(func() {
			if _, errs, err := command(t, w, "access-ssh-proxy", "config", "--install", "--ssh=true", h+".example.com"); err != nil {
				t.Errorf("%s: %v\n%s", h, err, errs)
			}
		})
	}
	wg.Wait()
	own, err := os.ReadFile(filepath.Join(home, ".ssh", "gitaccess", "config"))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		if bytes.Count(own, []byte("\nHost "+h+".example.com\n")) != 1 {
			t.Errorf("%s is not there once:\n%s", h, own)
		}
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

// sshBed is a real sshd behind the edge and a configuration of ssh for it.
type sshBed struct {
	*scripttest.World
	dir    string // of the sshd
	config string
}

// newSSHBed has the sshd let in the keys in authorized_keys of its folder.
func newSSHBed(t *testing.T) *sshBed {
	sshd := scripttest.Need(t, "sshd", "openssh-server")
	for _, p := range []string{"ssh", "ssh-keygen"} {
		scripttest.Need(t, p, "openssh-client")
	}
	b := &sshBed{World: newWorld(t), dir: t.TempDir()}
	addr := startSSHD(t, sshd, b.dir)
	b.Apps["ssh.example.com"].Set(func(a *accesstest.App) { a.TCP = accesstest.DialTCP(addr) })
	b.config = filepath.Join(shortDir(t), "config")
	write(t, b.config, "Host *\n  BatchMode yes\n  StrictHostKeyChecking yes\n  UserKnownHostsFile "+filepath.Join(b.dir, "known_hosts")+
		"\n  IdentityFile "+filepath.Join(b.dir, "id")+"\n  ConnectTimeout 3\n")
	return b
}

func account() string {
	if user := os.Getenv("USER"); user != "" {
		return user
	}
	return "root"
}

// Sessions share one connection to the edge.
func TestConfiguredSessionsShareAConnection(t *testing.T) {
	b := newSSHBed(t)
	if out, errs, err := command(t, b.World, "access-ssh-proxy", "config", "--install", "--file", b.config, account()+"@ssh.example.com"); err != nil || errs != "" {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	t.Cleanup(func() { _ = b.Command(t.Context(), "ssh", "-F", b.config, "-O", "exit", "ssh.example.com").Run() })
	defer must(t, b.World, "ssh", "-F", b.config, "-O", "exit", "ssh.example.com")
	for i := range 3 {
		if out := must(t, b.World, "ssh", "-F", b.config, "ssh.example.com", "echo", "hello"); out != "hello\n" {
			t.Errorf("%q", out)
		}
		if i == 0 {
			must(t, b.World, "ssh", "-F", b.config, "-O", "check", "ssh.example.com")
		}
	}
	sockets := 0
	for _, r := range b.Edge.Requests(accesstest.ToHost("ssh.example.com")) {
		if r.WebSocket && r.Status == 101 {
			sockets++
		}
	}
	if sockets != 1 {
		t.Errorf("%d WebSockets", sockets)
	}
}

// When the lines are gone, nobody gets in by a connection that was made before; a session that is open goes on.
func TestRemovedLinesLeaveNoSharedConnection(t *testing.T) {
	b := newSSHBed(t)
	must(t, b.World, "access-ssh-proxy", "config", "--install", "--file", b.config, account()+"@ssh.example.com")
	folder := filepath.Join(filepath.Dir(b.config), "gitaccess")
	session := b.Command(t.Context(), "ssh", "-F", b.config, "ssh.example.com", "cat")
	in, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	echoes := func() {
		t.Helper()
		if _, err := io.WriteString(in, "still here\n"); err != nil {
			t.Error(err)
		}
		if s, err := lines.ReadString('\n'); s != "still here\n" {
			t.Errorf("%q, %v", s, err)
		}
	}
	echoes()
	must(t, b.World, "access-ssh-proxy", "config", "--remove", "--file", b.config, "ssh.example.com")
	if left, err := os.ReadDir(folder); !errors.Is(err, fs.ErrNotExist) {
		for _, e := range left {
			_ = b.Command(t.Context(), "ssh", "-S", filepath.Join(folder, e.Name()), "-O", "exit", "any").Run()
		}
		t.Fatalf("left in %s: %v, %v", folder, left, err)
	}
	echoes()
	in.Close()
	if err := session.Wait(); err != nil {
		t.Error(err)
	}
}

// A shared connection has no standard error, and ssh tells all the same why there
// is none: through it, git does.
func TestSSHTellsWhyThereIsNoConnection(t *testing.T) {
	b := newSSHBed(t)
	must(t, b.World, "access-ssh-proxy", "config", "--install", "--file", b.config, "ssh.example.com")
	b.Set("ACCESS_INTERACTIVE=never")
	const why = "access-ssh-proxy: error: ssh.example.com needs a login: ACCESS_INTERACTIVE=never; hint: log in where you have a terminal: access login ssh.example.com"
	out, errs, err := command(t, b.World, "ssh", "-F", b.config, "ssh.example.com", "true")
	if err == nil || out != "" || !strings.Contains(errs, why) {
		t.Errorf("%v %q\n%s", err, out, errs)
	}
	b.Set("GIT_SSH_COMMAND=ssh -F " + b.config)
	if _, errs, err := command(t, b.World, "git", "ls-remote", "ssh://ssh.example.com/demo.git"); err == nil || !strings.Contains(errs, why) {
		t.Errorf("%v\n%s", err, errs)
	}
	// Where standard error leads somewhere, it is told there and nowhere else.
	out, errs, err = command(t, b.World, "access-ssh-proxy", "--tell-ssh", "ssh.example.com")
	if err == nil || out != "" || !strings.HasPrefix(errs, "access-ssh-proxy: error: ssh.example.com needs a login") {
		t.Errorf("%v %q\n%s", err, out, errs)
	}
	// Without the flag nothing but the stream is on standard output.
	cmd := b.Command(t.Context(), "access-ssh-proxy", "ssh.example.com")
	if out, err := cmd.Output(); err == nil || len(out) > 0 {
		t.Errorf("%v %q", err, out)
	}
	cmd = b.Command(t.Context(), "access-ssh-proxy", "ssh.example.com")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout // cmd.Stderr nil is the null device
	if err := cmd.Run(); err == nil || stdout.Len() > 0 {
		t.Errorf("%v %q", err, &stdout)
	}
}

// What was relayed once is followed by the stream alone, whatever happens.
func TestNothingIsToldIntoAStream(t *testing.T) {
	w := newWorld(t)
	echo(t, w, func(c net.Conn) {
		c.Write([]byte("some bytes"))
		c.Read(make([]byte, 1))
	})
	cmd := w.Command(t.Context(), "access-ssh-proxy", "--tell-ssh", "ssh.example.com")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out syncBuffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.await(t, "some bytes")
	w.Edge.CutRelays()
	if err := cmd.Wait(); err == nil || out.String() != "some bytes" {
		t.Errorf("%v %q", err, out.String())
	}
}
