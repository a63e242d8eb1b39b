//go:build unix

// Package doc has no code: its tests run every command of the documents and of the manual pages, against the edge of accesstest.
//
// A document is read from top to bottom in one shell. A block of it is told by its language:
//
//	console   commands behind "$ ", and what they print; "…" stands for anything, digits for digits
//	sh        a script, of which each line must succeed
//	others    is no command, and has a marker
//
// A marker is a comment in front of a block, with words separated by ";":
//
//	<!-- test: fresh -->             begin anew, on another machine
//	<!-- test: edge VERB ARG... -->  change the edge first, see scripttest
//	<!-- test: do COMMAND -->        run a command first that readers have no use for
//	<!-- test: exit N -->            the last command of the block ends with this code
//	<!-- test: file PATH -->         the block is the content of this file
//	<!-- test: shown by COMMAND -->  the lines of the block are printed by the command, in this order
//	<!-- test: from PATH -->         the block stands in this file of the repository
//	<!-- test: not run NAME -->      the reason is in notRun
package doc

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/contrib/internal/programs"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

const root = "../.."

// notRun are blocks that cannot be run here, by the name in their marker.
var notRun = map[string]string{
	"scale":        "a calculation of contrib/scale, whose tests compare it",
	"release":      "fetches from the network what is not published yet",
	"demo":         "the steps of `make demo` are tests of contrib/demo; TestDemo compares their names",
	"build":        "make build is what CI begins with",
	"single":       "go test of other packages",
	"contributor":  "make targets, which TestDocumentedTargets of the root compares with the Makefile",
	"edge by hand": "takes two terminals; the programs in it are run by the tests of access-edge",
}

// elsewhere are documents whose commands other tests run.
var elsewhere = map[string]string{
	"contrib/agents/AGENTS.md": "a scripted agent follows it, in the tests of cmd/access",
}

func TestMain(m *testing.M) {
	names, _ := programs.Names(root) // none elsewhere: this is also $BROWSER
	scripttest.Main(m, nil, names...)
}

// documents returns the documents for people, by their path in the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var docs []string
	for _, in := range []string{"*.md", "contrib/*.md", "contrib/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, in))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			name, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, filepath.ToSlash(name))
		}
	}
	if !slices.Contains(docs, "README.md") {
		t.Fatalf("no README among %q", docs)
	}
	return docs
}

func readDocument(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A block is fenced code with its marker.
type block struct {
	line     int
	language string
	lines    []string
	marker   []string // its words, split at ";"
}

// mark returns what stands behind a word of the marker.
func (b *block) mark(word string) (string, bool) {
	for _, m := range b.marker {
		if rest, ok := strings.CutPrefix(m, word); ok && (rest == "" || rest[0] == ' ') {
			return strings.TrimSpace(rest), true
		}
	}
	return "", false
}

func blocks(t *testing.T, name, text string) []*block {
	t.Helper()
	var all []*block
	var now *block
	var marker []string
	indent := ""
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case now != nil && trimmed == "```":
			all, now = append(all, now), nil
		case now != nil:
			now.lines = append(now.lines, strings.TrimPrefix(line, indent))
		case strings.HasPrefix(trimmed, "```"):
			indent = line[:strings.Index(line, "```")]
			now = &block{line: i + 1, language: strings.TrimPrefix(trimmed, "```"), marker: marker}
			marker = nil
		case strings.HasPrefix(trimmed, "<!-- test:"):
			body, closed := strings.CutSuffix(strings.TrimPrefix(trimmed, "<!-- test:"), "-->")
			if !closed || marker != nil {
				t.Errorf("%s:%d: a marker is one line, in front of a block", name, i+1)
			}
			for _, m := range strings.Split(body, ";") {
				marker = append(marker, strings.TrimSpace(m))
			}
		case trimmed != "" && marker != nil:
			t.Errorf("%s:%d: a marker without a block behind it", name, i+1)
			marker = nil
		}
	}
	if now != nil {
		t.Errorf("%s:%d: the block does not end", name, now.line)
	}
	return all
}

func TestDocuments(t *testing.T) {
	for _, name := range documents(t) {
		if elsewhere[name] != "" {
			continue
		}
		t.Run(strings.TrimPrefix(name, "contrib/doc/"), func(t *testing.T) {
			var s *session
			for _, b := range blocks(t, name, readDocument(t, name)) {
				if why, ok := b.mark("not run"); ok {
					if notRun[why] == "" {
						t.Errorf("%s:%d: there is no reason %q in notRun", name, b.line, why)
					}
					continue
				}
				if path, ok := b.mark("from"); ok {
					standsIn(t, name, b, path)
					continue
				}
				if _, fresh := b.mark("fresh"); s == nil || fresh {
					s = open(t)
				}
				s.block(name, b)
			}
		})
	}
}

func TestNotRun(t *testing.T) {
	text := ""
	for _, name := range documents(t) {
		text += readDocument(t, name)
	}
	for why := range notRun {
		if !strings.Contains(text, "not run "+why) {
			t.Errorf("notRun has %q, which no document needs", why)
		}
	}
}

func (s *session) block(name string, b *block) {
	t := s.t
	t.Helper()
	for _, m := range b.marker {
		switch word, rest, _ := strings.Cut(m, " "); word {
		case "edge":
			args := strings.Fields(rest)
			if err := s.world.Change(args[0], args[1:]...); err != nil {
				t.Fatalf("%s:%d: %s: %v", name, b.line, m, err)
			}
		case "do":
			s.must(rest)
		case "fresh", "exit", "file", "shown":
		default:
			t.Fatalf("%s:%d: unknown marker %q", name, b.line, m)
		}
	}
	if path, ok := b.mark("file"); ok {
		path = strings.Replace(path, "~", filepath.Join(s.world.Dir, "home"), 1)
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.bash.Dir, path)
		}
		old, _ := os.ReadFile(path)
		write(t, path, string(old)+strings.Join(b.lines, "\n")+"\n", 0o600)
		return
	}
	if command, ok := b.mark("shown by"); ok {
		printed, code := s.run(command)
		if code != 0 {
			t.Errorf("%s:%d: %s: exit code %d\n%s", name, b.line, command, code, printed)
		}
		matches(t, name, b.line, command, b.lines, printed)
		return
	}
	switch b.language {
	case "console":
		s.console(name, b)
	case "sh":
		for _, command := range joined(b.lines) {
			if printed, code := s.run(command); code != 0 {
				t.Errorf("%s:%d: %s: exit code %d\n%s", name, b.line, command, code, printed)
			}
		}
	default:
		t.Errorf("%s:%d: a block in %q without a marker: say what it is", name, b.line, b.language)
	}
}

// joined puts lines together that a backslash continues, and leaves out comments.
func joined(lines []string) []string {
	var all []string
	rest := ""
	for _, l := range lines {
		if trimmed := strings.TrimSpace(l); rest == "" && (trimmed == "" || strings.HasPrefix(trimmed, "#")) {
			continue
		}
		if before, ok := strings.CutSuffix(l, `\`); ok {
			rest += before
			continue
		}
		all, rest = append(all, rest+l), ""
	}
	return all
}

// console types what stands behind "$ " and compares the rest.
func (s *session) console(name string, b *block) {
	t := s.t
	t.Helper()
	wantCode := "0"
	if n, ok := b.mark("exit"); ok {
		wantCode = n
	}
	type step struct {
		line    int
		command string
		want    []string
	}
	var steps []step
	for i, l := range b.lines {
		if command, ok := strings.CutPrefix(l, "$ "); ok {
			steps = append(steps, step{line: b.line + 1 + i, command: command})
		} else if len(steps) == 0 {
			t.Errorf("%s:%d: what prints this? %q", name, b.line+1+i, l)
		} else {
			last := &steps[len(steps)-1]
			last.want = append(last.want, l)
		}
	}
	if len(steps) == 0 {
		t.Errorf("%s:%d: a console without a command", name, b.line)
	}
	for i, step := range steps {
		printed, code := s.run(standIns.Replace(withoutComment(step.command)))
		want := 0
		if i == len(steps)-1 && wantCode != "0" {
			want = int(wantCode[0] - '0')
		}
		if code != want {
			t.Errorf("%s:%d: %s: exit code %d, want %d\n%s", name, step.line, step.command, code, want, printed)
			continue
		}
		if len(step.want) > 0 {
			matches(t, name, step.line, step.command, step.want, printed)
		}
	}
}

// withoutComment takes away what is set off by two spaces or more.
func withoutComment(command string) string {
	return strings.TrimSpace(regexp.MustCompile(`\s{2,}.*`).ReplaceAllString(strings.TrimSpace(command), ""))
}

// matches compares what a document shows with what was printed. Lines that are shown must come in their order; where a document shows
// the whole, it has no line of "…".
func matches(t *testing.T, name string, line int, command string, want []string, printed string) {
	t.Helper()
	got := strings.Split(strings.TrimRight(printed, "\n"), "\n")
	at, gap := 0, false
	for _, w := range want {
		if strings.TrimSpace(w) == "…" {
			gap = true
			continue
		}
		re := pattern(w)
		next := slices.IndexFunc(got[min(at, len(got)):], re.MatchString)
		if next < 0 || next > 0 && !gap {
			t.Errorf("%s:%d: %s does not print %q here but:\n%s", name, line, command, w, strings.Join(got[min(at, len(got)):], "\n"))
			return
		}
		at, gap = at+next+1, false
	}
	if at < len(got) && !gap {
		t.Errorf("%s:%d: %s prints more than is shown:\n%s", name, line, command, strings.Join(got[at:], "\n"))
	}
}

var (
	digits   = regexp.MustCompile(`[0-9]+`)
	weekdays = regexp.MustCompile(`\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b`)
	spaces   = regexp.MustCompile(` +`)
)

func pattern(shown string) *regexp.Regexp {
	p := regexp.QuoteMeta(strings.TrimRight(shown, " "))
	p = digits.ReplaceAllString(p, `[0-9]+`)
	p = weekdays.ReplaceAllString(p, `(Mon|Tue|Wed|Thu|Fri|Sat|Sun)`)
	p = spaces.ReplaceAllString(p, ` +`)
	p = strings.ReplaceAll(p, "…", ".*")
	return regexp.MustCompile(`^` + p + ` *$`)
}

// standsIn wants the block's lines one after another in a file of the repository, indented as they may be.
func standsIn(t *testing.T, name string, b *block, path string) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Errorf("%s:%d: %v", name, b.line, err)
		return
	}
	flat := func(lines []string) string {
		var out []string
		for _, l := range lines {
			if l = strings.TrimSpace(l); l != "" {
				out = append(out, l)
			}
		}
		return "\n" + strings.Join(out, "\n") + "\n"
	}
	if !strings.Contains(flat(strings.Split(string(file), "\n")), flat(b.lines)) {
		t.Errorf("%s:%d: the block does not stand in %s", name, b.line, path)
	}
}
