//go:build unix

package doc

import (
	"fmt"
	"html"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The table of tasks has one command for each, and it does it.
func TestTasks(t *testing.T) {
	_, table, ok := strings.Cut(readDocument(t, "README.md"), "\n| to | type |\n|---|---|\n")
	if !ok {
		t.Fatal("README has no table of tasks")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	s := open(t)
	write(t, filepath.Join(s.world.Dir, "secret"), s.world.Service.Secret()+"\n", 0o600)
	n := 0
	for row := range strings.Lines(table) {
		m := regexp.MustCompile("\\| `([^`]+)` \\|").FindStringSubmatch(row)
		if m == nil {
			t.Errorf("a task without a command: %s", row)
			continue
		}
		n++
		host := "git.example.com"
		switch {
		case strings.Contains(m[1], "ssh"):
			host = "ssh.example.com"
		case strings.Contains(m[1], "curl"):
			host = "wiki.example.com" // it has a page at its root
		}
		command := strings.ReplaceAll(m[1], "HOST", host)
		if strings.HasPrefix(command, "access service-token add") {
			command += ` --client-id "$CF_ACCESS_CLIENT_ID_OF_TEST" <../secret`
		}
		if printed, code := s.run(command); code != 0 {
			t.Errorf("%s: exit code %d\n%s", m[1], code, printed)
		}
	}
	if n < 8 {
		t.Errorf("only %d tasks", n)
	}
}

var (
	stepName  = regexp.MustCompile(`(?m)^	\{"([^"]+)", func`)
	stepShown = regexp.MustCompile(`✓ (.*?)\s{2,}[0-9.]+ s  `)
)

// What README and the picture show of the demo is what the demo does: its steps, in their order.
func TestDemo(t *testing.T) {
	var want []string
	for _, m := range stepName.FindAllStringSubmatch(readDocument(t, "contrib/demo/steps.go"), -1) {
		want = append(want, m[1])
	}
	want = append(want, "leave nothing behind")
	if len(want) < 10 {
		t.Fatalf("only %d steps were found in the demo", len(want))
	}
	var got []string
	svg := tag.ReplaceAllString(readDocument(t, "contrib/doc/demo.svg"), "")
	for _, m := range stepShown.FindAllStringSubmatch(html.UnescapeString(svg), -1) {
		got = append(got, m[1])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the picture shows other steps than the demo has (-demo +picture); contrib/demo/picture draws it:\n%s", diff)
	}
	last := fmt.Sprintf("all %d steps hold", len(want))
	if !strings.Contains(svg, last) || !strings.Contains(readDocument(t, "README.md"), last) {
		t.Errorf("README and picture do not end with %q", last)
	}
}

var tag = regexp.MustCompile(`<[^>]*>`)
