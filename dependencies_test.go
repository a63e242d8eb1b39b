package gitaccess

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type goModule struct {
	Path, Version, Dir string
	Time               *time.Time
	Indirect, Main     bool
	Replace            *goModule
}

func modules(t *testing.T) []goModule {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-json", "all").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goModule
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var m goModule
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

var dependencyRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (v[^ ]+) \\| ([0-9-]{10}) \\| ([^ |]+) \\| (.+) \\|$")

// The page that tells why each module is here is held to go.mod and to the modules.
func TestDependencyPage(t *testing.T) {
	page, err := os.ReadFile("contrib/doc/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ Version, Released, Licence string }
	told, used := map[string]row{}, map[string]row{}
	section := map[string]string{}
	for _, part := range regexp.MustCompile(`(?m)^## `).Split(string(page), -1) {
		title, _, _ := strings.Cut(part, "\n")
		for _, m := range dependencyRow.FindAllStringSubmatch(part, -1) {
			told[m[1]] = row{m[2], m[3], m[4]}
			section[m[1]] = title
			if len(m[5]) < 10 {
				t.Errorf("%s: no reason is given", m[1])
			}
		}
	}
	for _, m := range modules(t) {
		if m.Main || m.Indirect || !slices.Contains(slices.Concat(programModules, releaseModules, testModules), m.Path) {
			continue
		}
		r := row{Version: m.Version, Released: told[m.Path].Released, Licence: licenceOf(t, m.Dir)}
		if m.Time != nil { // absent where the module cache was filled by other ways
			r.Released = m.Time.UTC().Format(time.DateOnly)
		}
		used[m.Path] = r
	}
	if diff := cmp.Diff(used, told); diff != "" {
		t.Errorf("contrib/doc/dependencies.md (-as it is +as it says):\n%s", diff)
	}
	for m, title := range section {
		want := "In the programs"
		switch {
		case strings.HasPrefix(m, "github.com/go-git/"):
			want = "In a package, and in no program"
		case slices.Contains(releaseModules, m):
			want = "In what makes a release"
		case slices.Contains(testModules, m):
			want = "In tests and their servers"
		}
		if title != want {
			t.Errorf("%s stands under %q, not under %q", m, title, want)
		}
	}
}

// licenceOf tells the licence of a module by the words of its text.
func licenceOf(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "LICENSE*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: no licence: %v", dir, err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(b)), " ")
	switch {
	case strings.Contains(text, "Apache License Version 2.0"):
		return "Apache-2.0"
	case strings.Contains(text, "Permission is hereby granted, free of charge"):
		return "MIT"
	case strings.Contains(text, "Permission to use, copy, modify, and distribute this software for any purpose with or without fee"):
		return "ISC"
	case strings.Contains(text, "Neither the name of"):
		return "BSD-3-Clause"
	case strings.Contains(text, "Redistributions in binary form must reproduce"):
		return "BSD-2-Clause"
	}
	t.Errorf("%s: a licence that is not known here", names[0])
	return "?"
}

// `go install …@version` refuses a module whose go.mod replaces or excludes others.
func TestInstallable(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Module           struct{ Path string }
		Replace, Exclude []any
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	if mod.Module.Path != module || len(mod.Replace) > 0 || len(mod.Exclude) > 0 {
		t.Errorf("go.mod: module %s, replace %v, exclude %v", mod.Module.Path, mod.Replace, mod.Exclude)
	}
}

// No program needs cgo on Linux and Windows: with it allowed, nobody but the standard
// library would use it, and that has another way.
func TestNoCgo(t *testing.T) {
	for _, goos := range []string{"linux", "windows"} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{if .CgoFiles}}{{.ImportPath}}{{end}}{{end}}", "./cmd/...", "./githelper/gogit")
		cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if s := strings.TrimSpace(string(out)); s != "" {
			t.Errorf("%s: cgo in %s", goos, s)
		}
	}
}

// The page of changes, which promises what stays as it is, knows every program and package.
func TestChangesKnowAll(t *testing.T) {
	page, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Clone(rooms)
	programs, err := filepath.Glob("cmd/*/main.go")
	if err != nil || len(programs) == 0 {
		t.Fatalf("no programs: %v", err)
	}
	for _, p := range programs {
		names = append(names, filepath.Base(filepath.Dir(p)))
	}
	for _, name := range names {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("CHANGELOG.md has no %s", name)
		}
	}
}

// What the hosted CI runs is pinned, may read and nothing else, and covers the systems.
func TestHostedCI(t *testing.T) {
	workflows, err := filepath.Glob(".github/workflows/*.yml")
	if err != nil || len(workflows) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range workflows {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for _, m := range regexp.MustCompile(`uses:\s*(\S+)(.*)`).FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`^[\w.-]+/[\w.-]+@[0-9a-f]{40}$`).MatchString(m[1]) || !regexp.MustCompile(`^ # v\d+\.\d+\.\d+$`).MatchString(m[2]) {
				t.Errorf("%s: %s%s is not pinned by its hash, with its version", name, m[1], m[2])
			}
		}
		if !strings.Contains(text, "\npermissions:\n  contents: read\n") || regexp.MustCompile(`:\s*write\b|write-all`).MatchString(text) {
			t.Errorf("%s: the token may write", name)
		}
		if n, want := strings.Count(text, "persist-credentials: false"), strings.Count(text, "actions/checkout@"); n != want {
			t.Errorf("%s: %d of %d checkouts leave the token in the clone", name, want-n, want)
		}
		for _, m := range regexp.MustCompile(`run: make ([a-z-]+)`).FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(makefile) {
				t.Errorf("%s: there is no %s", name, m[0])
			}
		}
		for _, bad := range []string{"pull_request_target", "secrets.", "github.event.", "workflow_run"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: has %s", name, bad)
			}
		}
	}
	b, err := os.ReadFile(".github/workflows/ci.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".ci/run", "macos-", "windows-", "go: [stable, oldstable]", "make vuln", "make release"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("ci.yml has no %q", want)
		}
	}
}
