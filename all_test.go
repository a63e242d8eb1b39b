// Package gitaccess has no code: this file keeps the rules of the whole repository (CONTRIBUTING.md).
package gitaccess

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/gitaccess/gitaccess"

// rooms are the packages that know nothing of one another; commands join them.
var rooms = []string{"access", "githelper", "keystore", "sshproxy", "webproxy"}

// adapters are packages inside a room that exist to join it with another.
var adapters = []string{"githelper/gogit"}

// programModules are the modules that our programs and libraries may import; a new one needs a reason in its commit.
var programModules = []string{
	"github.com/99designs/keyring", // keyrings of the desktop systems
	"github.com/go-git/go-git/v5",  // programs that use it pass Access (githelper/gogit alone)
	"github.com/godbus/dbus/v5",    // Secret Service with a deadline
	"github.com/gofrs/flock",       // locks that end with their holder
	"github.com/golang-jwt/jwt/v5", // signed metadata and tokens
	"github.com/urfave/cli/v2",     // commands and flags
	"golang.org/x/crypto",          // NaCl box of the transfer, argon2, ssh
	"golang.org/x/net",             // proxies of the environment, names beyond ASCII
	"golang.org/x/oauth2",          // PKCE, code, refresh
	"golang.org/x/sys",             // terminals, descriptors, Windows
	"golang.org/x/term",            // questions
	"rsc.io/qr",                    // login addresses for a phone's camera
}

// releaseModules make a release, and are in no program.
var releaseModules = []string{
	"github.com/CycloneDX/cyclonedx-go", // bills of materials
}

// testModules are for tests and their servers alone.
var testModules = []string{
	"github.com/coder/websocket", // an independent peer for frames
	"github.com/creack/pty",
	"github.com/go-jose/go-jose/v4", // an independent reader of the edge's tokens
	"github.com/google/go-cmp",
	"github.com/rogpeppe/go-internal", // testscript
}

// neverLinked are packages that no program may contain: test code that would ship, with flags and servers of its own.
var neverLinked = []string{
	"testing", "net/http/httptest", "github.com/rogpeppe/go-internal/testscript", "github.com/google/go-cmp/cmp",
	module + "/internal/scripttest", module + "/internal/keyringtest", module + "/keystore/keystoretest",
}

// sizes are the limits of stripped programs for linux/amd64 in MB; every other program has the default.
const defaultSize = 11.0

var sizes = map[string]float64{"access": 14, "access-edge": 0} // 0: none

type goPackage struct {
	Dir, ImportPath, Name              string
	Imports, TestImports, XTestImports []string
	Deps                               []string
	GoFiles                            []string
}

// short is the path below the module.
func (p *goPackage) short() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

var listed = map[string][]*goPackage{}

// packages returns the packages of the module as they are built for a system.
func packages(t *testing.T, goos string) []*goPackage {
	t.Helper()
	if listed[goos] == nil {
		listed[goos] = list(t, goos)
	}
	return listed[goos]
}

func list(t *testing.T, goos string) []*goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var all []*goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := &goPackage{}
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

var systems = []string{"linux", "darwin", "windows"}

// room returns the room that the package is in, or "".
func room(short string) string {
	first, _, _ := strings.Cut(short, "/")
	if slices.Contains(rooms, first) {
		return first
	}
	return ""
}

func within(short, dir string) bool { return short == dir || strings.HasPrefix(short, dir+"/") }

// mayNotImport says why a package of ours must not import another one, or "". Tests may import everything.
func mayNotImport(from, to string) string {
	switch {
	case within(from, "access/accesstest"):
		if !within(to, "access/accesstest") {
			return "the edge is an independent witness: it imports nothing of ours"
		}
	case within(to, "access/accesstest"):
		if from != "cmd/access-edge" && from != "contrib/demo" && from != "contrib/bench" && from != "internal/scripttest" {
			return "only access-edge, the demo, the bench and tests may contain the edge"
		}
	case from == "internal/scripttest", from == "internal/keyringtest":
	case within(to, "internal/scripttest"):
		return "only tests import scripttest"
	case within(from, "internal"):
		if !within(to, "internal") {
			return "internal knows nothing of the rooms and commands"
		}
	case room(from) != "":
		if within(to, "cmd") || within(to, "contrib") {
			return "rooms know nothing of commands"
		}
		if r := room(to); r != "" && r != room(from) && !slices.Contains(adapters, from) {
			return "rooms do not import one another: commands join them"
		}
	case within(from, "cmd"):
		if within(to, "cmd") && !within(to, "cmd/internal") || within(to, "contrib") {
			return "commands share cmd/internal only"
		}
	case within(from, "contrib"):
		if within(to, "cmd") {
			return "contrib runs programs, it does not contain them"
		}
	}
	return ""
}

func TestImportDirections(t *testing.T) {
	for _, goos := range systems {
		for _, p := range packages(t, goos) {
			for _, imp := range p.Imports {
				to, ours := strings.CutPrefix(imp, module+"/")
				if !ours {
					continue
				}
				if why := mayNotImport(p.short(), to); why != "" {
					t.Errorf("%s imports %s: %s", p.short(), to, why)
				}
			}
		}
	}
}

// The table above is only worth something if it refuses what design forbids.
func TestImportRules(t *testing.T) {
	for _, bad := range [][2]string{
		{"access", "keystore"}, {"githelper", "access"}, {"webproxy", "access"}, {"sshproxy", "githelper"}, {"keystore", "access"}, {"keystore/keystoretest", "access"},
		{"internal/cli", "access"}, {"internal/browser", "cmd/internal/door"}, {"access/accesstest", "access"}, {"access/accesstest/origin", "internal/cli"},
		{"access", "access/accesstest"}, {"cmd/access", "access/accesstest"}, {"cmd/access", "cmd/access-edge"}, {"sshproxy", "cmd/internal/door"},
		{"cmd/access", "internal/scripttest"}, {"contrib/demo", "cmd/internal/door"}, {"cmd/access", "contrib/demo"},
	} {
		if mayNotImport(bad[0], bad[1]) == "" {
			t.Errorf("%s may import %s", bad[0], bad[1])
		}
	}
	for _, good := range [][2]string{
		{"cmd/access", "access"}, {"cmd/access", "cmd/internal/door"}, {"cmd/internal/door", "keystore"}, {"keystore", "internal/lease"},
		{"cmd/access-edge", "access/accesstest"}, {"access/accesstest/origin", "access/accesstest"}, {"internal/lease", "internal/state"},
		{"contrib/demo", "access/accesstest"}, {"internal/scripttest", "access/accesstest"}, {"keystore", "keystore/internal/busguard"},
	} {
		if why := mayNotImport(good[0], good[1]); why != "" {
			t.Errorf("%s may not import %s: %s", good[0], good[1], why)
		}
	}
}

func TestProgramsContainNoTestCode(t *testing.T) {
	for _, goos := range systems {
		for _, p := range packages(t, goos) {
			if p.Name != "main" || !within(p.short(), "cmd") {
				continue
			}
			for _, never := range neverLinked {
				if slices.Contains(p.Deps, never) {
					t.Errorf("%s for %s contains %s", p.short(), goos, never)
				}
			}
			// 3.6 MB and a start-up of its own (PlainClone over a program with net/http and ssh).
			if i := slices.IndexFunc(p.Deps, func(dep string) bool { return strings.HasPrefix(dep, "github.com/go-git/") }); i >= 0 {
				t.Errorf("%s for %s contains %s, which is for githelper/gogit and its users", p.short(), goos, p.Deps[i])
			}
			if edge := module + "/access/accesstest"; slices.Contains(p.Deps, edge) && p.short() != "cmd/access-edge" {
				t.Errorf("%s for %s contains the edge", p.short(), goos)
			}
		}
	}
}

// testSupport says whether a package is there for tests, and may import and do what they may.
func testSupport(short string) bool {
	return within(short, "access/accesstest") || within(short, "internal/scripttest") || within(short, "internal/keyringtest") || within(short, "keystore/keystoretest")
}

func TestModules(t *testing.T) {
	required, direct := requirements(t)
	moduleOf := func(imp string) string {
		best := ""
		for _, m := range required {
			if (imp == m || strings.HasPrefix(imp, m+"/")) && len(m) > len(best) {
				best = m
			}
		}
		return best
	}
	inPrograms, inRelease, inTests := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, goos := range systems {
		for _, p := range packages(t, goos) {
			for _, imp := range p.Imports {
				switch m := moduleOf(imp); {
				case m == "":
				case testSupport(p.short()):
					inTests[m] = true
				case within(p.short(), "contrib/release"):
					inRelease[m] = true
				default:
					inPrograms[m] = true
				}
			}
			for _, imp := range append(p.TestImports, p.XTestImports...) {
				if m := moduleOf(imp); m != "" {
					inTests[m] = true
				}
			}
		}
	}
	for m := range inPrograms {
		delete(inRelease, m)
		delete(inTests, m)
	}
	for m := range inRelease {
		delete(inTests, m)
	}
	if diff := cmp.Diff(sorted(programModules), slices.Sorted(maps.Keys(inPrograms))); diff != "" {
		t.Errorf("modules of programs (-list +used):\n%s", diff)
	}
	if diff := cmp.Diff(sorted(releaseModules), slices.Sorted(maps.Keys(inRelease))); diff != "" {
		t.Errorf("modules of contrib/release (-list +used):\n%s", diff)
	}
	if diff := cmp.Diff(sorted(testModules), slices.Sorted(maps.Keys(inTests))); diff != "" {
		t.Errorf("modules of tests (-list +used):\n%s", diff)
	}
	if diff := cmp.Diff(sorted(slices.Concat(programModules, releaseModules, testModules)), sorted(direct)); diff != "" {
		t.Errorf("direct requirements in go.mod (-used +required):\n%s", diff)
	}
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

// requirements returns the modules that go.mod requires, and those without "// indirect".
func requirements(t *testing.T) (all, direct []string) {
	t.Helper()
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		all = append(all, r.Path)
		if !r.Indirect {
			direct = append(direct, r.Path)
		}
	}
	return all, direct
}

func TestSizes(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w", "-o", dir+string(filepath.Separator), "./cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	programs, err := os.ReadDir(dir)
	if err != nil || len(programs) == 0 {
		t.Fatalf("no programs: %v", err)
	}
	for _, p := range programs {
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		limit, ok := sizes[p.Name()]
		if !ok {
			limit = defaultSize
		}
		size := float64(info.Size()) / 1e6
		t.Logf("%-24s %5.1f MB", p.Name(), size)
		if limit > 0 && size > limit {
			t.Errorf("%s has %.1f MB, more than %.0f", p.Name(), size, limit)
		}
	}
}

// sourceFiles calls f for each file of the repository that people write.
func sourceFiles(t *testing.T, f func(path string, content []byte)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "bin", "dist", ".testbed":
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) { // a temporary file of an editor
			return nil
		}
		if err == nil && !bytes.ContainsRune(b[:min(len(b), 8000)], 0) {
			f(path, b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFormat(t *testing.T) {
	sourceFiles(t, func(path string, b []byte) {
		if filepath.Ext(path) != ".go" {
			return
		}
		formatted, err := format.Source(b)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if !bytes.Equal(formatted, b) {
			t.Errorf("%s is not formatted: gofmt -w %[1]s", path)
		}
	})
}

// What is not done is an issue, not a word in the source.
func TestForbiddenWords(t *testing.T) {
	words := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX|HA` + `CK)\b|//\s*no` + `lint`)
	sourceFiles(t, func(path string, b []byte) {
		if path == "LICENSE" {
			return
		}
		for i, line := range strings.Split(string(b), "\n") {
			if w := words.FindString(line); w != "" {
				t.Errorf("%s:%d: %q", path, i+1, w)
			}
		}
	})
}

// processEdge lists what belongs to main functions and internal/cli: the process is theirs.
var processEdge = map[string][]string{
	"os":  {"Exit", "Args", "Stdin", "Stdout", "Stderr"},
	"fmt": {"Print", "Printf", "Println"},
	"log": {"Print", "Printf", "Println", "Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"},
}

// Libraries never print and never exit; commands do it through internal/cli, so that standard output stays the protocol's.
func TestProcessEdge(t *testing.T) {
	for _, goos := range systems {
		for _, p := range packages(t, goos) {
			short := p.short()
			if short == "internal/cli" || testSupport(short) || within(short, "contrib") {
				continue
			}
			for _, name := range p.GoFiles {
				checkProcessEdge(t, filepath.Join(p.Dir, name), path.Join(short, name), p.Name == "main")
			}
		}
	}
}

func checkProcessEdge(t *testing.T, file, shown string, isMain bool) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, 0)
	if err != nil {
		t.Error(err)
		return
	}
	names := map[string]string{} // of imports in this file
	for _, imp := range f.Imports {
		p := strings.Trim(imp.Path.Value, `"`)
		name := path.Base(p)
		if imp.Name != nil {
			name = imp.Name.Name
		}
		names[name] = p
	}
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		mainFunc := isMain && ok && fn.Recv == nil && fn.Name.Name == "main"
		ast.Inspect(decl, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if !ok || !slices.Contains(processEdge[names[x.Name]], n.Sel.Name) {
					return true
				}
				if what := names[x.Name] + "." + n.Sel.Name; !(mainFunc && what == "os.Exit") {
					t.Errorf("%s:%d: %s belongs to main and internal/cli", shown, fset.Position(n.Pos()).Line, what)
				}
			case *ast.CallExpr:
				if x, ok := n.Fun.(*ast.Ident); ok && (x.Name == "print" || x.Name == "println") && x.Obj == nil {
					t.Errorf("%s:%d: %s is for debugging", shown, fset.Position(n.Pos()).Line, x.Name)
				}
			}
			return true
		})
	}
}

// The commands that README and CONTRIBUTING tell people to type are there.
func TestDocumentedTargets(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	for _, doc := range []string{"README.md", "CONTRIBUTING.md"} {
		b, err := os.ReadFile(doc)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range regexp.MustCompile("(?m)(?:^|[`$ ] ?|=1 )make ([a-z-]+)(?:`|$)").FindAllStringSubmatch(string(b), -1) {
			if !targets[m[1]] {
				t.Errorf("%s tells people to type `make %s`, which the Makefile does not have", doc, m[1])
			}
		}
	}
	for _, target := range []string{"build", "demo", "test", "test-full", "bench", "lint", "cross", "fuzz", "clean"} {
		if !targets[target] {
			t.Errorf("the Makefile has no target %s", target)
		}
	}
}
