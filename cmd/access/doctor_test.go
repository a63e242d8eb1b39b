package main

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/cmd/internal/doctor"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

const doctorHost = "git.example.com"

// machine is a world with the means to break it.
type machine struct {
	*testing.T
	*scripttest.World
	env []string // beside the world's
}

func (m *machine) run(name string, args ...string) string {
	m.Helper()
	cmd := m.Command(patient(m.T), name, args...)
	cmd.Env = append(cmd.Env, m.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func (m *machine) login() { m.run("access", "login", doctorHost) }
func (m *machine) setup() { m.run("access", "setup", "git", doctorHost) }
func (m *machine) git(args ...string) {
	m.run("git", append([]string{"config", "--global"}, args...)...)
}
func (m *machine) change(verb string, args ...string) {
	m.Helper()
	if err := m.Change(verb, args...); err != nil {
		m.Fatal(err)
	}
}

func (m *machine) write(path, text string) {
	m.Helper()
	path = filepath.Join(m.Dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		m.Fatal(err)
	}
}

// without puts programs of another folder in place of ours.
func (m *machine) without(missing, version string) {
	m.Helper()
	dir := filepath.Join(m.Dir, "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		m.Fatal(err)
	}
	for _, name := range []string{"git-credential-access", "access-ssh-proxy"} {
		if name == missing && version == "" {
			continue
		}
		text := "#!/bin/sh\nexec " + m.path(name) + " \"$@\"\n"
		if name == missing {
			text = "#!/bin/sh\necho " + name + " " + version + "\n"
		}
		m.write("bin/"+name, text)
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			m.Fatal(err)
		}
	}
	// The machine's own folders may have the programs as well, as a package installs them.
	for _, name := range []string{"git", "ssh"} {
		if path, err := exec.LookPath(name); err == nil {
			if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
				m.Fatal(err)
			}
		}
	}
	m.env = append(m.env, "PATH="+dir)
}

func (m *machine) path(name string) string {
	m.Helper()
	return m.Command(m.Context(), name).Path
}

// report runs the doctor and returns what it finds.
func (m *machine) report(args ...string) doctorReport {
	m.Helper()
	cmd := m.Command(patient(m.T), "access", append([]string{"doctor", "--json"}, args...)...)
	cmd.Env = append(cmd.Env, m.env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		m.Fatalf("%v: %s", err, stderr.String())
	}
	var r doctorReport
	if err := json.Unmarshal(out, &r); err != nil {
		m.Fatalf("%v: %s%s", err, out, stderr.String())
	}
	if faulty := slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.Status == "fault" }); faulty != (exit != nil) {
		m.Errorf("a fault: %t, exit: %v", faulty, err)
	}
	return r
}

// proxyless has programs connect by themselves.
var proxyless = []string{"HTTPS_PROXY=", "https_proxy=", "ALL_PROXY=", "all_proxy="}

// Each of these breaks one thing on a machine where all is well.
var seededFaults = []struct {
	name string
	host string // "": git.example.com
	does func(*machine)
	also []string // what follows from it
}{
	{name: "helper-missing", does: func(m *machine) { m.without("git-credential-access", "") }},
	{name: "ssh-proxy-missing", does: func(m *machine) { m.without("access-ssh-proxy", "") }},
	{name: "versions-differ", does: func(m *machine) { m.without("access-ssh-proxy", "v0.0.1") }},
	{name: "service-token-half", does: func(m *machine) { m.env = append(m.env, "CF_ACCESS_CLIENT_ID=x.access") }},
	{name: "service-token-unbound", does: func(m *machine) {
		m.env = append(m.env, "CF_ACCESS_CLIENT_ID="+m.Service.ID, "CF_ACCESS_CLIENT_SECRET="+m.Service.Secret())
	}},
	{name: "login-forbidden", does: func(m *machine) { m.env = append(m.env, "ACCESS_INTERACTIVE=never") }},
	{name: "git-no-verify", does: func(m *machine) { m.git("http.sslVerify", "false") }},
	{name: "state-folder", does: func(m *machine) {
		if err := os.Chmod(filepath.Join(m.Dir, "state"), 0o777); err != nil {
			m.Fatal(err)
		}
	}},
	{name: "keystore", does: func(m *machine) { m.env = append(m.env, "ACCESS_KEYSTORE=nonsense") }},
	{name: "git-lines-lost", does: func(m *machine) {
		m.setup()
		m.write("home/.gitconfig", "")
	}},
	{name: "git-lines-old", does: func(m *machine) { // as a newer git wants them, or an older one
		m.setup()
		config := filepath.Join(m.Dir, "home", ".gitconfig")
		b, err := os.ReadFile(config)
		if err != nil {
			m.Fatal(err)
		}
		text := strings.Replace(string(b), "\temptyAuth = true #", "\tproactiveAuth = auto #", 1)
		if text == string(b) {
			text = strings.Replace(text, "\tproactiveAuth = auto #", "\temptyAuth = true #", 1)
		}
		m.write("home/.gitconfig", text)
	}},
	{name: "git-helper-reset", does: func(m *machine) {
		m.setup()
		m.git("--add", "credential.https://"+doctorHost+".helper", "")
	}},
	{name: "git-other-helper", does: func(m *machine) {
		m.setup()
		m.git("--add", "credential.https://"+doctorHost+".helper", "")
		m.git("--add", "credential.https://"+doctorHost+".helper", "store")
		m.git("--add", "credential.https://"+doctorHost+".helper", m.path("git-credential-access"))
	}},
	{name: "git-helper-gone", does: func(m *machine) { m.git("credential.https://"+doctorHost+".helper", "/opt/gone/git-credential-access") }},
	{name: "git-extra-header", does: func(m *machine) {
		m.git("http.https://"+doctorHost+"/.extraHeader", "cf-access-token: "+m.Apps[doctorHost].Token(scripttest.Person))
	}},
	{name: "git-cookie-file", does: func(m *machine) {
		m.setup()
		m.git("--add", "http.https://"+doctorHost+".cookieFile", "~/cookies.txt")
	}},
	{name: "git-asks-late", does: func(m *machine) {
		m.setup()
		m.git("--add", "http.https://"+doctorHost+"/.proactiveAuth", "none")
	}},
	{name: "github-desktop", does: func(m *machine) { m.write("home/.config/GitHub Desktop/x", "") }},
	{name: "dns", host: "nowhere.invalid", does: func(m *machine) { m.env = append(m.env, proxyless...) }},
	{name: "tcp", does: func(m *machine) {
		m.env = append(m.env, proxyless...)
	}, host: refusingHost},
	{name: "proxy", does: func(m *machine) {
		m.env = append(m.env, "HTTPS_PROXY=http://ada:proxy-password@"+refusingHost, "https_proxy=")
	}},
	{name: "tls-issuer", does: func(m *machine) { m.Edge.SetTLS(doctorHost, accesstest.TLSUnknownCA) }},
	{name: "tls-name", does: func(m *machine) { m.Edge.SetTLS(doctorHost, accesstest.TLSOtherName) }},
	{name: "tls-expired", does: func(m *machine) { m.Edge.SetTLS(doctorHost, accesstest.TLSExpired) }},
	{name: "clock", does: func(m *machine) { m.change("skew", "-5m") }},
	{name: "not-behind-access", does: func(m *machine) { m.change("bypass", doctorHost, "on") }},
	{name: "discovery", does: func(m *machine) {
		m.Apps[doctorHost].Set(func(a *accesstest.App) { a.Metadata = accesstest.MetadataFaults()[0] })
	}},
	{name: "team-changed", does: func(m *machine) { m.change("move", doctorHost, "other") }},
	{name: "no-session", does: func(m *machine) { m.run("access", "logout", "--team-session", doctorHost) }},
	{name: "session-refused", does: func(m *machine) {
		m.change("revoke-user", scripttest.Person)
	}},
	{name: "binding-cookie", does: func(m *machine) { m.change("binding-cookie", doctorHost, "on") }},
	{name: "service-token-required", host: "ci.example.com"},
	{name: "service-token-refused", host: "ci.example.com", does: func(m *machine) {
		m.env = append(m.env, "CF_ACCESS_CLIENT_ID="+m.Service.ID, "CF_ACCESS_CLIENT_SECRET="+m.Service.Secret(), "ACCESS_HOSTS=ci.example.com")
		m.change("service", "disable")
	}},
	{name: "service-token-ends", host: "ci.example.com", does: func(m *machine) {
		m.write("secret", m.Service.Secret())
		m.run("access", "service-token", "add", "--client-id", m.Service.ID, "--secret-file", filepath.Join(m.Dir, "secret"),
			"--expires", time.Now().Add(3*24*time.Hour).Format(time.DateOnly), "ci.example.com")
	}},
	{name: "tunnel-down", does: func(m *machine) { m.change("fail", doctorHost, "-1", "down") }},
	{name: "firewall", does: func(m *machine) { m.change("fail", doctorHost, "-1", "waf") }},
	{name: "ssh-cloudflared", host: "ssh.example.com", does: func(m *machine) {
		m.write("home/.ssh/config", "Host ssh.example.com\n  ProxyCommand cloudflared access ssh --hostname %h\n")
	}},
	{name: "ssh-secret", host: "ssh.example.com", does: func(m *machine) {
		m.write("home/.ssh/config", "Include extra\n")
		m.write("home/.ssh/extra", "Host *.example.com\n  ProxyCommand cloudflared access ssh --hostname %h --id x.access --secret "+m.Service.Secret()+"\n")
	}, also: []string{"ssh-cloudflared"}},
	{name: "ssh-proxy-gone", host: "ssh.example.com", does: func(m *machine) {
		m.write("home/.ssh/config", "Host ssh.example.com\n  ProxyCommand /opt/gone/access-ssh-proxy --hostname=%h\n")
	}},
	{name: "ssh-token-for-all", host: "ssh.example.com", does: func(m *machine) {
		m.env = append(m.env, "CF_ACCESS_CLIENT_ID="+m.Service.ID, "CF_ACCESS_CLIENT_SECRET="+m.Service.Secret(), "ACCESS_HOSTS=ssh.example.com")
		m.write("home/.ssh/config", "Host *\n  ProxyCommand access-ssh-proxy --hostname=%h\n")
	}},
}

// refusingHost stands for an address where nobody listens.
const refusingHost = "127.0.0.1:1"

func TestDoctorFindsFaults(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the faults are seeded by shell scripts and file modes")
	}
	if c, err := net.Dial("tcp", refusingHost); err == nil {
		c.Close()
		t.Fatalf("somebody listens at %s", refusingHost)
	}
	if len(seededFaults) < 25 {
		t.Fatalf("%d faults are seeded", len(seededFaults))
	}
	for _, f := range seededFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			m := &machine{T: t, World: scripttest.NewWorld(t, scripttest.Git{})}
			host := f.host
			if host == "" {
				host = doctorHost
				m.login()
			} else if host == "ssh.example.com" {
				m.run("access", "login", host)
			}
			if f.does != nil {
				f.does(m)
			}
			r := m.report(host)
			want := append([]string{f.name}, f.also...)
			if !slices.Contains(r.Faults, f.name) {
				t.Errorf("not found; found %q", r.Faults)
			}
			for _, name := range r.Faults {
				if !slices.Contains(want, name) {
					t.Errorf("found %q, which was not seeded: %+v", name, r.of(name))
				}
			}
			for _, x := range r.Findings {
				if x.Name != "" && (len(x.Next) == 0 || x.Text == "") {
					t.Errorf("%s has no cause or next step", x.Name)
				}
			}
		})
	}
}

func (r doctorReport) of(name string) (all []doctor.Finding) {
	for _, f := range r.Findings {
		if f.Name == name {
			all = append(all, f)
		}
	}
	return all
}

// Where all is well, nothing is found.
func TestDoctorFindsNothing(t *testing.T) {
	m := &machine{T: t, World: scripttest.NewWorld(t, scripttest.Git{})}
	m.login()
	m.setup()
	m.write("home/.ssh/config", "Host git.example.com\n  ProxyCommand "+m.path("access-ssh-proxy")+" --hostname=%h\n")
	if r := m.report(doctorHost); len(r.Faults) > 0 {
		t.Errorf("%q: %+v", r.Faults, r.Findings)
	}
	if r := m.report(); len(r.Faults) > 0 || r.Faults == nil {
		t.Errorf("%q: %+v", r.Faults, r.Findings)
	}
	for _, host := range []string{"basic.example.com", "oauth.example.com"} {
		m.run("access", "login", host)
		if r := m.report(host); len(r.Faults) > 0 {
			t.Errorf("%s: %q: %+v", host, r.Faults, r.Findings)
		}
	}
}

// A report holds none of the secrets that lie about.
func TestDoctorBundle(t *testing.T) {
	m := &machine{T: t, World: scripttest.NewWorld(t, scripttest.Git{})}
	m.login()
	m.setup()
	session := strings.TrimSpace(m.run("access", "token", doctorHost))
	jwt := m.Apps[doctorHost].Token("bob@example.com")
	secrets := map[string]string{
		"the session": session, "a token in git's configuration": jwt, "the service token": m.Service.Secret(),
		"the proxy's password": "proxy-password", "a basic login": "YWRhOnNlY3JldA", "a secret in ssh's configuration": strings.Repeat("ab", 32),
		"a passphrase": "correct horse", "a password in a URL": "url-password", "an odd secret": "odd-secret-value", "a value of git's configuration": "known-to-nobody-else",
		"the login of another ProxyCommand": "nc-login", "a command of a Match line": "match-login",
	}
	m.git("http.https://"+doctorHost+"/.extraHeader", "cf-access-token: "+jwt)
	m.git("http.extraHeader", "Authorization: Basic YWRhOnNlY3JldA==")
	m.git("http.proxy", "http://ada:proxy-password@proxy.example.com:3128")
	m.git("url.https://ada:url-password@git.example.com/.insteadOf", "https://git.example.com/")
	m.git("credential.https://"+doctorHost+".username", "known-to-nobody-else")
	m.git("--add", "credential.https://"+doctorHost+".helper", "!echo password=odd-secret-value; #")
	m.write("home/.ssh/config", "Host *\n  SetEnv CF_ACCESS_CLIENT_SECRET="+m.Service.Secret()+"\n  ProxyCommand cloudflared access ssh --hostname %h --id x --secret "+strings.Repeat("ab", 32)+
		"\nHost git.*\n  ProxyCommand ncat --proxy-auth ada:nc-login --proxy proxy:3128 %h %p\nMatch host git.example.com exec \"check --login match-login\"\n  ControlMaster auto\n")
	m.env = append(m.env, "CF_ACCESS_CLIENT_ID="+m.Service.ID, "CF_ACCESS_CLIENT_SECRET="+m.Service.Secret(), "ACCESS_KEYSTORE_PASSPHRASE=correct horse",
		"MY_TOKEN=odd-secret-value", "NO_PROXY=odd-secret-value", "http_proxy=http://ada:proxy-password@proxy.example.com:3128")
	cmd := m.Command(patient(t), "access", "doctor", "--bundle", "report.txt", doctorHost)
	cmd.Env = append(cmd.Env, m.env...)
	out, _ := cmd.CombinedOutput()
	report, err := os.ReadFile(filepath.Join(m.Dir, "report.txt"))
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for what, secret := range secrets {
		if strings.Contains(string(report), secret) {
			t.Errorf("%s is in the report", what)
		}
		if strings.Contains(string(out), secret) {
			t.Errorf("%s is in the output", what)
		}
	}
	for _, want := range []string{"name: git-extra-header", "name: ssh-secret", "host: https://git.example.com", "== git's configuration", "HTTPS_PROXY=http", "CF_ACCESS_CLIENT_SECRET is set", "SetEnv [not shown]"} {
		if !strings.Contains(string(report), want) {
			t.Errorf("the report lacks %q:\n%s", want, report)
		}
	}
	info, err := os.Stat(filepath.Join(m.Dir, "report.txt"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// Nothing is written over.
	cmd = m.Command(patient(t), "access", "doctor", "--bundle", "report.txt")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "there is something already") {
		t.Errorf("%v: %s", err, out)
	}
	if t.Failed() {
		t.Logf("%s", report)
	}
}
