package sshproxy_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitaccess/gitaccess/internal/scripttest"
	"github.com/gitaccess/gitaccess/sshproxy"
)

func hostConfig() *sshproxy.HostConfig {
	return &sshproxy.HostConfig{Host: "git.example.com", Program: "/usr/bin/access-ssh-proxy", Folder: "~/.ssh/gitaccess", Multiplex: true}
}

// options are the lines of a block without comments.
func options(block string) (lines []string) {
	for line := range strings.Lines(block) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestBlock(t *testing.T) {
	tests := []struct {
		name string
		set  func(*sshproxy.HostConfig)
		want []string
	}{
		{"plain", func(h *sshproxy.HostConfig) { h.Multiplex = false }, []string{
			"Host git.example.com",
			"ProxyCommand /usr/bin/access-ssh-proxy --hostname=%h",
			"ConnectTimeout 660", "ServerAliveInterval 30", "ServerAliveCountMax 3",
		}},
		{"one connection", func(h *sshproxy.HostConfig) { h.User = "ada" }, []string{
			"Host git.example.com",
			"ProxyCommand /usr/bin/access-ssh-proxy --tell-ssh --hostname=%h",
			"User ada",
			"ConnectTimeout 660", "ServerAliveInterval 30", "ServerAliveCountMax 3",
			"ControlMaster auto", "ControlPath ~/.ssh/gitaccess/%C", "ControlPersist 600",
		}},
		{"certificate", func(h *sshproxy.HostConfig) {
			h.Multiplex, h.Certificate, h.Application, h.Flags = false, true, ":8443/ssh", []string{"--team=a.cloudflareaccess.com", "--ca-file=/a b/50%.pem"}
			h.Program = "/opt/git access/access-ssh-proxy"
		}, []string{
			"Host git.example.com",
			"ProxyCommand '/opt/git access/access-ssh-proxy' --team=a.cloudflareaccess.com '--ca-file=/a b/50%%.pem' --hostname=%h:8443/ssh",
			"ConnectTimeout 660", "ServerAliveInterval 30", "ServerAliveCountMax 3",
			`Match host git.example.com exec "'/opt/git access/access-ssh-proxy' cert --team=a.cloudflareaccess.com '--ca-file=/a b/50%%.pem' git.example.com:8443/ssh"`,
			"IdentityFile ~/.ssh/gitaccess/git.example.com", "CertificateFile ~/.ssh/gitaccess/git.example.com-cert.pub",
			"IdentitiesOnly yes", "IdentityAgent SSH_AUTH_SOCK",
		}},
		{"another folder", func(h *sshproxy.HostConfig) { h.Certificate, h.Folder = true, "/a b/50%" }, []string{
			"Host git.example.com",
			"ProxyCommand /usr/bin/access-ssh-proxy --tell-ssh --hostname=%h",
			"ConnectTimeout 660", "ServerAliveInterval 30", "ServerAliveCountMax 3",
			"ControlMaster auto", `ControlPath "/a b/50%%/%C"`, "ControlPersist 600",
			`Match host git.example.com exec "/usr/bin/access-ssh-proxy cert '--key=/a b/50%%/git.example.com' git.example.com"`,
			`IdentityFile "/a b/50%%/git.example.com"`, `CertificateFile "/a b/50%%/git.example.com-cert.pub"`,
			"IdentitiesOnly yes", "IdentityAgent SSH_AUTH_SOCK",
		}},
		{"Windows", func(h *sshproxy.HostConfig) {
			h.Multiplex, h.Windows, h.Program = false, true, `C:\Program Files\gitaccess\access-ssh-proxy.exe`
		}, []string{
			"Host git.example.com",
			`ProxyCommand "C:/Program Files/gitaccess/access-ssh-proxy.exe" --hostname=%h`,
			"ConnectTimeout 660", "ServerAliveInterval 30", "ServerAliveCountMax 3",
		}},
		{"Windows, certificate", func(h *sshproxy.HostConfig) {
			h.Multiplex, h.Windows, h.Certificate, h.Program = false, true, true, `C:\PROGRA~1\gitaccess\access-ssh-proxy.exe`
		}, []string{
			"Host git.example.com",
			`ProxyCommand C:/PROGRA~1/gitaccess/access-ssh-proxy.exe --hostname=%h`,
			"ConnectTimeout 660", "ServerAliveInterval 30", "ServerAliveCountMax 3",
			`Match host git.example.com exec "C:/PROGRA~1/gitaccess/access-ssh-proxy.exe cert git.example.com"`,
			"IdentityFile ~/.ssh/gitaccess/git.example.com", "CertificateFile ~/.ssh/gitaccess/git.example.com-cert.pub",
			"IdentitiesOnly yes",
		}},
	}
	for _, tt := range tests {
		h := hostConfig()
		tt.set(h)
		block, err := h.Block()
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, options(block)); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
	}
}

// Nothing that a host, a user or a path says becomes configuration or a command.
func TestHostileNames(t *testing.T) {
	bad := []string{
		"", "-oProxyCommand=id", "a b", "a\tb", "a\nProxyCommand id", "a\rb", "a\x00b", "a\"b", "a'b", "a`id`", "a$(id)", "a;id", "a|id", "a&id", "a>b", "a<b",
		"%h", "a%h", "*", "*.example.com", "a?b", "!a", "a,b", "a#b", "a\\b", "a/b", "a:b", "a@b", "[::1]", "~a", "{a}", "a\u2028b", "ä.example.com", "a=b",
		".example.com", "a.", strings.Repeat("a", 254),
	}
	for _, s := range bad {
		h := hostConfig()
		h.Host = s
		if b, err := h.Block(); err == nil {
			t.Errorf("host %q: %s", s, b)
		}
		if s != "" && !strings.HasPrefix(s, "a.") && !strings.HasPrefix(s, "aaa") && s != "a@b" {
			h := hostConfig()
			h.User = s
			if b, err := h.Block(); err == nil {
				t.Errorf("user %q: %s", s, b)
			}
		}
		if s != "" && s != "a/b" {
			h := hostConfig()
			h.Application = s
			if b, err := h.Block(); err == nil {
				t.Errorf("application %q: %s", s, b)
			}
		}
	}
	for _, s := range []string{"access-ssh-proxy", "", "./x", "/a\nHost *\n  ProxyCommand id\n", "/a\x01", `/a\b`, "/a\u2028b"} {
		h := hostConfig()
		h.Program = s
		if b, err := h.Block(); err == nil {
			t.Errorf("program %q: %s", s, b)
		}
	}
	for _, s := range []string{"~/", "/a\nHost *", `/a"b`, "/a'b", "/${HOME}/a", `/a\b`} {
		h := hostConfig()
		h.Folder = s
		if b, err := h.Block(); err == nil {
			t.Errorf("folder %q: %s", s, b)
		}
	}
	// What a shell could be told to take as it is cannot stand in Match exec.
	for _, s := range []string{`/a"b/x`, `/it's/x`} {
		h := hostConfig()
		h.Program = s
		if _, err := h.Block(); err != nil {
			t.Errorf("program %q: %v", s, err)
		}
		h.Certificate = true
		if b, err := h.Block(); err == nil {
			t.Errorf("program %q in Match exec: %s", s, b)
		}
	}
	for _, s := range []string{`C:\a"b\x.exe`, `C:\%a$b\x.exe`, "relative.exe", `\x.exe`} {
		h := hostConfig()
		h.Windows, h.Program = true, s
		if b, err := h.Block(); err == nil {
			t.Errorf("program %q: %s", s, b)
		}
	}
	h := hostConfig()
	h.Windows, h.Certificate, h.Program = true, true, `C:\Program Files\x.exe`
	if b, err := h.Block(); err == nil {
		t.Errorf("blanks in Match exec of Windows: %s", b)
	}
	for _, name := range []string{"", "a*", "a\nb", "~/x", "%d", "${HOME}", "a'b"} {
		if b, err := sshproxy.SetInclude(nil, name); err == nil {
			t.Errorf("include %q: %s", name, b)
		}
	}
}

func TestSetAndUnsetHost(t *testing.T) {
	a, b := hostConfig(), hostConfig()
	b.Host, b.Multiplex = "b.example.com", false
	set := func(h *sshproxy.HostConfig, file []byte) []byte {
		t.Helper()
		out, err := h.Set(file)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	one := set(a, nil)
	two := set(b, one)
	if got := sshproxy.ConfiguredHosts(two); !slices.Equal(got, []string{"b.example.com", "git.example.com"}) {
		t.Errorf("hosts: %q", got)
	}
	if !bytes.Equal(set(a, two), two) || !bytes.Equal(set(b, two), two) {
		t.Error("setting again changes the file")
	}
	changed := *a
	changed.User = "ada"
	third := set(&changed, two)
	if !bytes.Contains(third, []byte("  User ada\n")) || bytes.Count(third, []byte("Host git.example.com\n")) != 1 {
		t.Errorf("not replaced:\n%s", third)
	}
	if !bytes.Equal(set(a, third), two) {
		t.Error("setting back leaves a trace")
	}
	if got, err := sshproxy.UnsetHost(two, b.Host); err != nil || !bytes.Equal(got, one) {
		t.Errorf("unset: %v\n%s", err, got)
	}
	if got, err := sshproxy.UnsetHost(one, a.Host); err != nil || got != nil {
		t.Errorf("the last one: %v\n%s", err, got)
	}
	// What somebody changed by hand is not guessed at.
	cut := bytes.Replace(two, []byte("# gitaccess end b.example.com\n"), nil, 1)
	if got, err := sshproxy.UnsetHost(cut, "b.example.com"); err == nil {
		t.Errorf("without its end:\n%s", got)
	}
	if got, err := b.Set(append(slices.Clone(two), two...)); err == nil {
		t.Errorf("twice:\n%s", got)
	}
	if got, err := sshproxy.UnsetHost(cut, "git.example.com"); err != nil || !bytes.Contains(got, []byte("Host b.example.com")) {
		t.Errorf("the other one: %v\n%s", err, got)
	}
}

const include = "gitaccess/config"

func TestSetInclude(t *testing.T) {
	set := func(file []byte) []byte {
		t.Helper()
		out, err := sshproxy.SetInclude(file, include)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, file := range []string{"", "\n", "Host *", "Host *\n  User ada\n", "Host *\r\n  User ada\r\n", "# hello\nHost *\r\n", "\ufeffHost *\n", "Include gitaccess/config\n"} {
		got := set([]byte(file))
		first, rest, _ := strings.Cut(string(got), "Include gitaccess/config")
		if !strings.HasPrefix(first, "# gitaccess") || !strings.HasSuffix(rest, file) {
			t.Errorf("%q became %q", file, got)
		}
		if crlf := strings.Contains(strings.TrimSuffix(string(got), file), "\r"); crlf != strings.Contains(strings.SplitAfter(file, "\n")[0], "\r\n") {
			t.Errorf("line ends of %q: %q", file, got)
		}
	}
	// Lines that somebody moved below a Host line serve that host alone.
	moved := []byte("Host *\n  User ada\n" + string(set([]byte{})))
	if got := set(moved); !bytes.HasPrefix(got, []byte("# gitaccess")) || bytes.Count(got, []byte("Include")) != 1 || !bytes.HasSuffix(got, []byte("\nHost *\n  User ada\n")) {
		t.Errorf("moved: %q", got)
	}
	// Above one they may stand anywhere.
	below := []byte("# mine\nCompression yes\n" + string(set([]byte("Host *\n"))))
	if got := set(below); !bytes.Equal(got, below) {
		t.Errorf("not the first lines: %q", got)
	}
	// A file that began with us and got other lines since keeps them.
	if got, err := sshproxy.UnsetInclude(append(set(nil), "Host *\n"...), include); err != nil || string(got) != "Host *\n" {
		t.Errorf("other lines: %q, %v", got, err)
	}
	if got, err := sshproxy.SetInclude([]byte("H\x00o\x00s\x00t\x00"), include); err == nil {
		t.Errorf("UTF-16: %q", got)
	}
}

// FuzzInclude: taking away what was set gives the same bytes, and setting twice is
// setting once.
func FuzzInclude(f *testing.F) {
	for _, s := range []string{"", "\n", "Host *", "Host *\r\n", "Include gitaccess/config\n", "# gitaccess: this file was not there before\n", "a\r"} {
		f.Add([]byte(s), s != "")
		if b, err := sshproxy.SetInclude([]byte(s), include); err == nil {
			f.Add(append([]byte("Host a\n"), b...), true)
			f.Add(b[:len(b)-1], true)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte, exists bool) {
		if !exists {
			file = nil
		} else if file == nil {
			file = []byte{}
		}
		once, err := sshproxy.SetInclude(file, include)
		if err != nil {
			return
		}
		twice, err := sshproxy.SetInclude(once, include)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("set twice: %q, %v; once: %q", twice, err, once)
		}
		want, err := sshproxy.UnsetInclude(file, include)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(file, []byte("# gitaccess")) && (!bytes.Equal(want, file) || (want == nil) != (file == nil)) {
			t.Errorf("nothing to take away from %q: %q", file, want)
		}
		back, err := sshproxy.UnsetInclude(once, include)
		if err != nil || !bytes.Equal(back, want) || (back == nil) != (want == nil) {
			t.Errorf("%q came back as %q, %v", want, back, err)
		}
	})
}

// FuzzIncludeAsSSHReads: ssh reads our file before all else, for the hosts in it, and
// the person's as before for all others. What would have ssh run something or look for
// names is left out.
func FuzzIncludeAsSSHReads(f *testing.F) {
	ssh := scripttest.Need(f, "ssh", "openssh-client")
	for _, s := range []string{"", "Host *\n  User root", "User=root\r\nHost other.example.com\r\n\tUser \"a b\"\r\n", "Host git.example.com !other\n User x\nMatch final all\n User y\n", "\ufeffUser x\n",
		"# gitaccess: ours\nMatch host *.example.com\n", "Host \"\n", "Port 22\\\nUser x\n", "\fUser x\n", "\r"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, word := range []string{"exec", "canon", "include", "command", "\x00"} {
			if bytes.Contains(bytes.ToLower(file), []byte(word)) {
				return
			}
		}
		dir := t.TempDir()
		ours := filepath.Join(dir, "ours")
		writeFile(t, ours, "Host git.example.com\n  User of-ours\n", 0o600)
		config := filepath.Join(dir, "config")
		read := func(content []byte, host string) (string, error) {
			writeFile(t, config, string(content), 0o600)
			out, err := exec.Command(ssh, "-G", "-F", config, host).Output()
			return string(out), err
		}
		before, err := read(file, "other.example.com")
		if err != nil {
			return // ssh ends at such a file
		}
		with, err := sshproxy.SetInclude(file, ours)
		if err != nil {
			return
		}
		if after, err := read(with, "other.example.com"); err != nil || after != before {
			t.Errorf("%q became %q: %v\n%s", file, with, err, cmp.Diff(before, after))
		}
		if got, err := read(with, "git.example.com"); err != nil || !strings.Contains(got, "\nuser of-ours\n") {
			t.Errorf("%q hides our file: %v\n%s", with, err, got)
		}
	})
}

// FuzzSetHost: the same for our own file.
func FuzzSetHost(f *testing.F) {
	one, _ := hostConfig().Set(nil)
	for _, s := range []string{"", "Host x", string(one), string(one[:len(one)-1]), "# gitaccess begin git.example.com\r\n# gitaccess end git.example.com", "# gitaccess end git.example.com\n"} {
		f.Add([]byte(s), s != "")
	}
	f.Fuzz(func(t *testing.T, file []byte, exists bool) {
		if !exists {
			file = nil
		}
		h := hostConfig()
		once, err := h.Set(file)
		if err != nil {
			if _, err := sshproxy.UnsetHost(file, h.Host); err == nil {
				t.Errorf("can be taken away but not set: %q", file)
			}
			return
		}
		if twice, err := h.Set(once); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("set twice: %q, %v; once: %q", twice, err, once)
		}
		want, err := sshproxy.UnsetHost(file, h.Host)
		if err != nil {
			t.Fatal(err)
		}
		back, err := sshproxy.UnsetHost(once, h.Host)
		header := bytes.HasPrefix(want, []byte("# Hosts of ")) && bytes.Count(want, []byte("\n")) == 1 // a file that says nothing
		if err != nil || !header && !bytes.Equal(back, want) {
			t.Errorf("%q came back as %q, %v", want, back, err)
		}
	})
}

// FuzzNames: whatever is accepted is one line per option, and the command is one
// word for the program.
func FuzzNames(f *testing.F) {
	f.Add("git.example.com", ":8443/x", "/opt/a b/x", "~/.ssh/gitaccess", "ada", "--team=x")
	f.Add("a\nb", "/%h", "/it's", "/x y", "-x", "$(id)")
	f.Fuzz(func(t *testing.T, host, application, program, folder, user, flag string) {
		h := &sshproxy.HostConfig{Host: host, Application: application, Program: program, Folder: folder, User: user, Flags: []string{flag}, Multiplex: true, Certificate: true}
		block, err := h.Block()
		if err != nil {
			return
		}
		var keywords []string
		for _, line := range options(block) {
			keyword, _, _ := strings.Cut(line, " ")
			keywords = append(keywords, keyword)
		}
		want := []string{"Host", "ProxyCommand", "User", "ConnectTimeout", "ServerAliveInterval", "ServerAliveCountMax", "ControlMaster", "ControlPath", "ControlPersist",
			"Match", "IdentityFile", "CertificateFile", "IdentitiesOnly", "IdentityAgent"}
		if user == "" {
			want = slices.Delete(want, 2, 3)
		}
		if diff := cmp.Diff(want, keywords); diff != "" {
			t.Errorf("%s\n%s", diff, block)
		}
	})
}

// Real ssh reads the block, through the Include, as it is meant, and runs the
// program with the words that were given.
func TestBlockWithSSH(t *testing.T) {
	ssh := scripttest.Need(t, "ssh", "openssh-client")
	top := t.TempDir()
	for _, name := range []string{"plain", "with blanks", "50% (it's #1) $HOME ~ & co; a=b", "日本"} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp(top, "")
			if err != nil {
				t.Fatal(err)
			}
			folder := filepath.Join(dir, "gitaccess")
			bin := filepath.Join(dir, name)
			for _, d := range []string{folder, bin} {
				if err := os.Mkdir(d, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			program := filepath.Join(bin, "access-ssh-proxy")
			called := filepath.Join(dir, "called")
			writeFile(t, program, "#!/bin/sh\nfor a; do printf '%s\\n' \"$a\"; done >>"+called+"\n", 0o700)
			h := &sshproxy.HostConfig{
				Host: "git.example.com", Program: program, Folder: folder, User: "ada", Multiplex: true,
				Flags: []string{"--ca-file=" + filepath.Join(bin, "ca")}, Application: ":8443", Certificate: !strings.Contains(name, "'"),
			}
			own, err := h.Set(nil)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(folder, "config"), string(own), 0o600)
			config := filepath.Join(dir, "config")
			old := "Host *\n  ProxyCommand none\n  ConnectTimeout 3\n  User root\n"
			with, err := sshproxy.SetInclude([]byte(old), filepath.Join(folder, "config"))
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, config, string(with), 0o600)
			dump := run(t, ssh, "-F", config, "-G", h.Host)
			shadows, err := h.Shadows(dump)
			if err != nil || len(shadows) > 0 {
				t.Errorf("ssh takes other values: %+v, %v\n%s", shadows, err, dump)
			}
			if h.Certificate {
				want := fmt.Sprintf("cert\n%s\n--key=%s\ngit.example.com:8443\n", h.Flags[0], filepath.Join(folder, h.Host))
				if got, err := os.ReadFile(called); err != nil || string(got) != want {
					t.Errorf("Match exec called it with %q, %v, want %q", got, err, want)
				}
			}
			// Other hosts are as before.
			if dump := run(t, ssh, "-F", config, "-G", "other.example.com"); !bytes.Contains(dump, []byte("\nconnecttimeout 3\n")) {
				t.Errorf("another host:\n%s", dump)
			}
			for _, shell := range []string{"sh", "bash", "dash", "zsh", "fish", "tcsh", "mksh"} {
				path, err := exec.LookPath(shell)
				if err != nil {
					t.Logf("no %s here", shell)
					continue
				}
				if err := os.Remove(called); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
				cmd := exec.Command(ssh, "-F", config, "-o", "BatchMode=yes", h.Host)
				cmd.Env = append(os.Environ(), "SHELL="+path)
				out, _ := cmd.CombinedOutput() // fails: nobody answers
				got, err := os.ReadFile(called)
				want := fmt.Sprintf("--tell-ssh\n%s\n--hostname=git.example.com:8443\n", h.Flags[0])
				if err != nil || !strings.HasSuffix(string(got), want) {
					t.Errorf("%s called it with %q, %v, want %q\n%s", shell, got, err, want, out)
				}
			}
			// What stands above our line goes before it, and is found.
			writeFile(t, config, "Host git.*\n  ServerAliveInterval 7\n  ProxyCommand id\nMatch all\n"+string(with), 0o600)
			shadows, err = h.Shadows(run(t, ssh, "-F", config, "-G", h.Host))
			var options []string
			for _, s := range shadows {
				options = append(options, s.Option+"="+s.Got)
			}
			if diff := cmp.Diff([]string{"ProxyCommand=id", "ServerAliveInterval=7"}, options); diff != "" {
				t.Errorf("shadows (%v):\n%s", err, diff)
			}
		})
	}
}

func writeFile(t *testing.T, path, text string, perm os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), perm); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return out
}
