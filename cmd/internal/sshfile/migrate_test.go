package sshfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

func migration(all bool, hosts ...string) *Migration {
	return &Migration{Hosts: hosts, All: all, Proxy: "/opt/access-ssh-proxy", Certificate: "/opt/access-ssh-proxy cert", Folder: "~/.ssh/gitaccess"}
}

// Each file of testdata has a configuration before and after, and the hosts, or "all".
func TestMigration(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			a, err := txtar.ParseFile(f)
			if err != nil {
				t.Fatal(err)
			}
			part := map[string]string{}
			for _, x := range a.Files {
				part[x.Name] = string(x.Data)
			}
			hosts := strings.Fields(part["hosts"])
			m := migration(len(hosts) == 1 && hosts[0] == "all", hosts...)
			if m.All {
				m.Hosts = nil
			}
			before := []byte(part["before"])
			after := m.Apply(before)
			if d := cmp.Diff(part["after"], string(after)); d != "" {
				t.Error(d)
			}
			if got := strings.Join(m.Names, " ") + "\n"; got != part["names"] {
				t.Errorf("names %q, want %q", got, part["names"])
			}
			if got := strings.Join(m.Certificates, " ") + "\n"; got != part["certificates"] {
				t.Errorf("certificates %q, want %q", got, part["certificates"])
			}
			if d := cmp.Diff(part["before"], string(Undo(after, "", true))); d != "" {
				t.Errorf("undo: %s", d)
			}
			again := migration(m.All, m.Hosts...)
			if d := cmp.Diff(string(after), string(again.Apply(after))); d != "" {
				t.Errorf("twice: %s", d)
			}
		})
	}
}

func TestUndoOfOneHost(t *testing.T) {
	const before = "Host a.example.com\n  ProxyCommand cloudflared access ssh --hostname %h\nHost b.example.com\n  ProxyCommand cloudflared access ssh --hostname %h"
	after := migration(true).Apply([]byte(before))
	one := Undo(after, "a.example.com", false)
	if want := migration(false, "b.example.com").Apply([]byte(before)); string(one) != string(want) {
		t.Error(cmp.Diff(string(want), string(one)))
	}
	if back := Undo(one, "b.example.com", false); string(back) != before {
		t.Error(cmp.Diff(before, string(back)))
	}
}

// A last line without a line feed has none afterwards, whatever stood in its place.
func TestUndoWithoutLastLineFeed(t *testing.T) {
	for _, before := range []string{
		"Host *.example.com\n  ProxyCommand cloudflared access ssh --hostname %h",
		"Host *.example.com\r\n  ProxyCommand cloudflared access ssh --hostname %h",
		"Host a.example.com\r\n  ProxyCommand cloudflared access ssh --hostname %h\r\n",
		"Host *.example.com\r\n  ProxyCommand cloudflared access ssh --hostname %h\r",
	} {
		after := migration(true).Apply([]byte(before))
		if !strings.Contains(string(after), was) {
			t.Errorf("%q was left", before)
		}
		if back := Undo(after, "", true); string(back) != before {
			t.Errorf("%q became %q", before, back)
		}
	}
}

// Whatever a file holds, undoing gives the same bytes.
func FuzzMigration(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, x := range txtar.Parse(b).Files {
			f.Add(x.Data, true)
			f.Add([]byte(strings.ReplaceAll(string(x.Data), "\n", "\r\n")), false)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte, all bool) {
		if strings.Contains(string(file), "gitaccess was") {
			return
		}
		m := migration(all, "vm.example.com")
		if got := Undo(m.Apply(file), "", true); string(got) != string(file) {
			t.Errorf("%q became %q", file, got)
		}
	})
}
