package sshfile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	const file = "User ada\r\n# a comment\n\nHost a.example.com *.corp.example.com !no.corp.example.com\n  ProxyCommand=/usr/bin/x %h\nMatch host b.example.com,c.example.com exec \"true\"\n\tPort 22\nMatch all\nHost *\n  Compression yes"
	lines := Read([]byte(file))
	var back strings.Builder
	for _, l := range lines {
		back.WriteString(l.Text + l.End)
	}
	if back.String() != file {
		t.Errorf("the lines are not the file: %q", back.String())
	}
	type row struct {
		Keyword, Value string
		Block          int
	}
	var got []row
	for _, l := range lines {
		got = append(got, row{l.Keyword, l.Value, l.Block})
	}
	want := []row{{"user", "ada", 0}, {"", "", 0}, {"", "", 0}, {"host", "a.example.com *.corp.example.com !no.corp.example.com", 1},
		{"proxycommand", "/usr/bin/x %h", 1}, {"match", `host b.example.com,c.example.com exec "true"`, 2}, {"port", "22", 2},
		{"match", "all", 3}, {"host", "*", 4}, {"compression", "yes", 4}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, tt := range []struct {
		line     int
		host     string
		applies  bool
		everyone bool
	}{
		{0, "x", true, true}, {4, "a.example.com", true, false}, {4, "y.corp.example.com", true, false}, {4, "no.corp.example.com", false, false},
		{4, "b.example.com", false, false}, {6, "c.example.com", true, false}, {6, "a.example.com", false, false}, {7, "x", true, true}, {9, "x", true, true},
	} {
		if l := lines[tt.line]; l.Applies(tt.host) != tt.applies || l.Everyone() != tt.everyone {
			t.Errorf("line %d, %s: applies %t, everyone %t", tt.line, tt.host, !tt.applies, l.Everyone())
		}
	}
}

func TestFindCloudflared(t *testing.T) {
	for line, want := range map[string]Cloudflared{
		"ProxyCommand cloudflared access ssh --hostname %h":                                                                  {Command: "ssh", Hostname: "%h"},
		"ProxyCommand /usr/local/bin/cloudflared access ssh --hostname=vm.example.com":                                       {Command: "ssh", Hostname: "vm.example.com"},
		`ProxyCommand "C:\Program Files\cloudflared\cloudflared.exe" access ssh --hostname %h`:                               {Command: "ssh", Hostname: "%h"},
		"ProxyCommand cloudflared access tcp -T %h --destination db:22":                                                      {Command: "tcp", Hostname: "%h", Rest: []string{"--destination=db:22"}},
		"ProxyCommand cloudflared access ssh --hostname %h --id x.access --secret y":                                         {Command: "ssh", Hostname: "%h", Secret: true},
		`Match host vm.example.com exec "/usr/local/bin/cloudflared access ssh-gen --hostname %h"`:                           {Command: "ssh-gen", Hostname: "%h"},
		`ProxyCommand bash -c '/usr/bin/cloudflared access ssh-gen --hostname %h; ssh -tt %r@cfpipe-vm.example.com >&2 <&1'`: {Command: "ssh-gen", Hostname: "%h", Shell: true},
		"ProxyCommand ssh -W %h:%p mycloudflared access":                                                                     {},
		"# ProxyCommand cloudflared access ssh --hostname %h":                                                                {},
		"LocalCommand cloudflared access ssh --hostname %h":                                                                  {},
	} {
		got, ok := Read([]byte(line))[0].FindCloudflared()
		if d := cmp.Diff(want, got); d != "" || ok != (want.Command != "") {
			t.Errorf("%s: %t %s", line, ok, d)
		}
	}
}

func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"-  ProxyCommand cloudflared access ssh --hostname %h --id x.access --secret hunter2\n+Host a": "-  ProxyCommand cloudflared access ssh --hostname %h --id x.access --secret [redacted]\n+Host a",
		"cloudflared access ssh --service-token-secret=hunter2 --hostname %h":                          "cloudflared access ssh --service-token-secret=[redacted] --hostname %h",
		`cloudflared access ssh -secret "hunter2 3"`:                                                   "cloudflared access ssh -secret [redacted]",
		`Match host a exec "cloudflared access ssh-gen --secret hunter2"`:                              `Match host a exec "cloudflared access ssh-gen --secret [redacted]"`,
		"  IdentityFile ~/.ssh/my-secret key":                                                          "  IdentityFile ~/.ssh/my-secret key",
	} {
		if got := Redact(text); got != want {
			t.Errorf("%q", got)
		}
	}
}
