//go:build unix

package doc

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	path    = regexp.MustCompile(`^(?:access|cmd|contrib|githelper|internal|keystore|sshproxy)/[A-Za-z0-9_./-]*$`)
)

// Links lead somewhere, and files that a document names are there.
func TestLinks(t *testing.T) {
	for _, name := range documents(t) {
		text := readDocument(t, name)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			at := name
			if target != "" {
				at = filepath.Join(filepath.Dir(name), target)
			}
			if _, err := os.Stat(filepath.Join(root, at)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", name, m[1])
				continue
			}
			if anchor != "" && !anchors(readDocument(t, at))[anchor] {
				t.Errorf("%s: the link %s leads to no heading of %s", name, m[1], at)
			}
		}
		for _, m := range span.FindAllStringSubmatch(text, -1) {
			if path.MatchString(m[1]) {
				if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
					t.Errorf("%s: there is no %s", name, m[1])
				}
			}
		}
	}
}

// anchors are the names that GitHub gives to headings.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		name := strings.ToLower(strings.ReplaceAll(m[1], " ", "-"))
		all[regexp.MustCompile(`[^\p{L}\p{N}_-]`).ReplaceAllString(name, "")] = true
	}
	return all
}

// Every header, cookie, path and host of the wire stands in wire.md.
func TestWire(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "access/accesstest/wire.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := readDocument(t, "contrib/doc/wire.md")
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		lit, ok := node.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		n++
		if s, err := strconv.Unquote(lit.Value); err == nil && !strings.Contains(text, s) {
			t.Errorf("wire.md does not have %s", s)
		}
		return true
	})
	if n < 20 {
		t.Errorf("only %d facts were found in wire.go", n)
	}
}

var identifier = regexp.MustCompile(`^\*?(access|accesstest|sshproxy|githelper|gogit|keystore)\.([A-Z]\w*)`)

// What library.md names of the packages is there.
func TestIdentifiers(t *testing.T) {
	dirs := map[string]string{"access": "access", "accesstest": "access/accesstest", "sshproxy": "sshproxy", "githelper": "githelper", "gogit": "githelper/gogit", "keystore": "keystore"}
	n := 0
	for _, m := range span.FindAllStringSubmatch(readDocument(t, "contrib/doc/library.md"), -1) {
		id := identifier.FindStringSubmatch(m[1])
		if id == nil {
			continue
		}
		n++
		if !declared(t, filepath.Join(root, dirs[id[1]]))[id[2]] {
			t.Errorf("package %s has no %s", id[1], id[2])
		}
	}
	if n < 8 {
		t.Errorf("only %d identifiers were found", n)
	}
}

// declared returns what a package declares at its top.
func declared(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				all[d.Name.Name] = all[d.Name.Name] || d.Recv == nil
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						all[s.Name.Name] = true
					case *ast.ValueSpec:
						for _, n := range s.Names {
							all[n.Name] = true
						}
					}
				}
			}
		}
	}
	return all
}
