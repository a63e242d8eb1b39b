package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitaccess/gitaccess/contrib/internal/programs"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// help returns the pages of each program.
func help(t *testing.T) (names []string, pages map[string][]*programs.Page) {
	t.Helper()
	names, err := programs.Names("../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := scripttest.Build(t, names...)
	pages = map[string][]*programs.Page{}
	for _, name := range names {
		if pages[name], err = programs.Read(t.Context(), bin, name); err != nil {
			t.Fatal(err)
		}
	}
	return names, pages
}

func TestPages(t *testing.T) {
	names, pages := help(t)
	there, err := filepath.Glob("*.1")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range names {
		want = append(want, name+".1")
	}
	slices.Sort(want)
	slices.Sort(there)
	if diff := cmp.Diff(want, there); diff != "" {
		t.Errorf("a page for each program, no other (-want +there): go generate ./contrib/man\n%s", diff)
	}
	for _, name := range names {
		b, err := os.ReadFile(name + ".1")
		if err != nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(string(manual(pages[name], names)), string(b)); diff != "" {
				t.Errorf("the page is not what the program says; go generate ./contrib/man makes it anew (-program +page):\n%s", diff)
			}
			mandoc := scripttest.Need(t, "mandoc", "mandoc")
			lint(t, mandoc, b)
			// What a reader sees, against what the program prints: neither knows how the page was made.
			shown := flagsIn(render(t, mandoc, b))
			told := map[string]bool{}
			for _, p := range pages[name] {
				for _, f := range append(slices.Clone(p.Flags), p.Shared...) {
					for _, n := range f.Names {
						told[n] = true
					}
				}
			}
			for f := range told {
				if !shown[f] {
					t.Errorf("the page does not have %s", f)
				}
			}
			for f := range shown {
				if strings.HasPrefix(f, "--") && !told[f] && !slices.Contains(flagsOfOthers, f) && !knownElsewhere(pages, f) {
					t.Errorf("the page has %s, which no program of ours knows", f)
				}
			}
		})
	}
}

// flagsOfOthers stand in examples and belong to git, ssh, make and the like.
var flagsOfOthers = []string{"--global", "--add", "--header", "--credential_helper", "--verbose"}

func knownElsewhere(pages map[string][]*programs.Page, flag string) bool {
	for _, all := range pages {
		for _, p := range all {
			if p.Has(flag) {
				return true
			}
		}
	}
	return false
}

var flagWord = regexp.MustCompile(`(?m)(?:^|[\s(,"])(--?[a-z][a-z_-]*)`)

func flagsIn(s string) map[string]bool {
	found := map[string]bool{}
	for _, m := range flagWord.FindAllStringSubmatch(s, -1) {
		found[m[1]] = true
	}
	return found
}

// render returns the page as plain text, in lines long enough to break no word.
func render(t *testing.T, mandoc string, page []byte) string {
	t.Helper()
	cmd := exec.Command(mandoc, "-T", "ascii", "-O", "width=200")
	cmd.Stdin = bytes.NewReader(page)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("mandoc: %v", err)
	}
	return regexp.MustCompile(".\x08").ReplaceAllString(string(out), "")
}

// lint wants a page that mandoc finds nothing wrong with; which other pages this machine has is no fault of ours.
func lint(t *testing.T, mandoc string, page []byte) {
	t.Helper()
	cmd := exec.Command(mandoc, "-T", "lint", "-W", "style")
	cmd.Stdin = bytes.NewReader(page)
	out, _ := cmd.CombinedOutput() // its exit code tells of the worst line
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "referenced manual not found") && !strings.Contains(line, "mandoc.db") {
			t.Errorf("%s", line)
		}
	}
}

var readsVariable = regexp.MustCompile(`(?:[gG]etenv|\bget|lookup)\("([A-Za-z_]+)"\)|"((?:ACCESS|CF_ACCESS)_[A-Z_]+)"`)

// Each variable that a program reads stands in ENVIRONMENT, and no other.
func TestEnvironment(t *testing.T) {
	var sources []string
	for _, dir := range []string{"access", "cmd", "githelper", "internal", "keystore", "sshproxy"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, d os.DirEntry, err error) error {
			if d != nil && d.IsDir() && (d.Name() == "accesstest" || d.Name() == "scripttest" || d.Name() == "access-edge" || d.Name() == "keystoretest") {
				return filepath.SkipDir
			}
			if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				sources = append(sources, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	read := map[string]bool{}
	for _, path := range sources {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range readsVariable.FindAllSubmatch(b, -1) {
			read[string(m[1])+string(m[2])] = true
		}
	}
	told := map[string]bool{}
	_, pages := help(t)
	for _, all := range pages {
		for _, p := range all {
			for _, v := range p.Environment {
				name, _, _ := strings.Cut(v.Name, "=")
				told[name] = true
			}
		}
	}
	for _, e := range environment {
		for _, n := range e.names {
			told[n] = true
			if !read[n] && !slices.Contains(readOtherwise, n) {
				t.Errorf("no program reads %s", n)
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(read)) {
		if !told[n] && !slices.Contains(plumbing, n) && n != strings.ToLower(n) {
			t.Errorf("%s is read and stands in no ENVIRONMENT", n)
		}
	}
}

// readOtherwise are variables whose names stand in tables.
var readOtherwise = []string{"HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "CI", "GCM_INTERACTIVE", "GIT_SSL_CAINFO", "GIT_SSL_CERT", "GIT_SSL_KEY",
	"ACCESS_PROXY_URL", "SSL_CERT_DIR", "VSCODE_GIT_FETCH_SILENT", "GIT_TERMINAL_PROMPT", "NO_COLOR"}

// plumbing are variables of the system, of git and of desktops, which nobody sets for our sake.
var plumbing = []string{
	"HOME", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "SystemRoot", "LocalAppData", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR",
	"TERM", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "WSL_INTEROP", "SSH_CONNECTION", "SSH_TTY", "KUBERNETES_SERVICE_HOST", "DBUS_SESSION_BUS_ADDRESS", "PASSWORD_STORE_DIR", "PASSWORD_STORE_GPG_OPTS",
	"LOCALAPPDATA", "XDG_CURRENT_DESKTOP", "GPG_TTY", "REQUEST_METHOD", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "PATH",
}
