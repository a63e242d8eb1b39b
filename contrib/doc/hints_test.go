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

// What a hint tells people to type stands at its beginning, behind a colon or in quotation marks.
var typed = regexp.MustCompile("(?:^|: |[\"`])((?:access|access-ssh-proxy|access-askpass|git-credential-access|git-remote-access) [a-z-][^\"`;]*)")

// The hints of the programs name no command and no flag that there is not.
func TestHints(t *testing.T) {
	all := readHelp(t)
	n := 0
	for _, dir := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(node ast.Node) bool {
				lit, ok := node.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				s, err := strconv.Unquote(lit.Value)
				if err != nil || strings.Contains(s, "\n") { // a page of help: TestManualPages runs what is in it
					return true
				}
				for _, m := range typed.FindAllStringSubmatch(s, -1) {
					n++
					for _, wrong := range unknown(all, m[1]) {
						t.Errorf("%s: %s, in %q", fset.Position(lit.Pos()), wrong, s)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 20 {
		t.Errorf("only %d hints were found", n)
	}
}
