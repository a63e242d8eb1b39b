package gitaccess

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// public are the packages that other modules may import.
var public = []string{"access", "githelper", "githelper/gogit", "sshproxy", "keystore"}

// Each of the public packages reads as a guide: what it is, its errors and sources, an example that runs, and a
// contract for everything that is exported.
func TestDocumentation(t *testing.T) {
	for _, dir := range public {
		fset := token.NewFileSet()
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		var files []*ast.File
		for _, name := range names {
			f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		examples := 0
		for _, e := range doc.Examples(files...) {
			if e.Output != "" {
				examples++
			}
		}
		if examples == 0 {
			t.Errorf("%s has no example that runs", dir)
		}
		p, err := doc.NewFromFiles(fset, files, module+"/"+dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range []string{"# Errors", "# Sources"} {
			if !strings.Contains(p.Doc, section) && !(dir == "sshproxy" && strings.Contains(p.Doc, "# On the wire")) {
				t.Errorf("the package comment of %s has no section %q", dir, section)
			}
		}
		undocumented := func(what, text string) {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s.%s has no comment", dir, what)
			}
		}
		for _, f := range p.Funcs {
			undocumented(f.Name, f.Doc)
		}
		for _, ty := range p.Types {
			undocumented(ty.Name, ty.Doc)
			for _, f := range ty.Funcs {
				undocumented(f.Name, f.Doc)
			}
			for _, m := range ty.Methods {
				switch m.Name {
				case "Error", "Unwrap", "String", "Is": // their interfaces say it
				default:
					undocumented(ty.Name+"."+m.Name, m.Doc)
				}
			}
		}
	}
}
