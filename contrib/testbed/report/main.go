// Report reads the events of `go test -json` and tells people what they mean: a line for each package as it ends, the whole output
// of each failed test, each skipped test with its reason, and at the very end
//
//	212 passed, 0 failed, 3 skipped
//
// Tests that take too long for each change skip with the reason "left to make test-full"; they are listed by themselves. It fails when a test has failed, when a package could not be built, when there was no test at all, and, with CI=true, when a
// test was skipped: where everything can be installed a skip is a hole.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	ok, err := report(os.Stdin, os.Stdout, os.Getenv("CI") == "true", os.Getenv("ACCESS_TEST_FULL") != "")
	if err != nil {
		fmt.Fprintln(os.Stderr, "report: error:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// An event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	Test        string
	Elapsed     float64
	Output      string
	ImportPath  string // of build output
	FailedBuild string
}

type test struct {
	name   string
	result string // pass, fail, skip, left; empty while it runs
	output []string
	parent bool // has subtests
}

type pkg struct {
	name   string
	tests  []*test
	byName map[string]*test
	output []string // of the package itself: a panic, a data race after the tests, TestMain
	failed bool
}

func (p *pkg) test(name string) *test {
	t := p.byName[name]
	if t == nil {
		t = &test{name: name}
		p.byName[name] = t
		p.tests = append(p.tests, t)
		if i := strings.LastIndexByte(name, '/'); i > 0 {
			p.test(name[:i]).parent = true
		}
	}
	return t
}

// count returns the number of tests by result. A test with subtests counts only where it fails by itself.
func (p *pkg) count(result string) int {
	n := 0
	for _, t := range p.tests {
		if t.result == result && (!t.parent || result == "fail" && !p.subtestFailed(t)) {
			n++
		}
	}
	return n
}

func (p *pkg) subtestFailed(t *test) bool {
	return slices.ContainsFunc(p.tests, func(s *test) bool {
		return s.result == "fail" && strings.HasPrefix(s.name, t.name+"/")
	})
}

// report allows no skipped test if it is strict, and in the full run there is nothing that others are left to.
func report(in io.Reader, out io.Writer, strict, full bool) (ok bool, err error) {
	packages := map[string]*pkg{}
	builds := map[string][]string{}
	var order []*pkg
	var failures []string
	broken := 0
	width := 0

	r := bufio.NewReader(in)
	for {
		line, err := r.ReadString('\n')
		if line == "" && err != nil {
			break
		}
		var e event
		if json.Unmarshal([]byte(line), &e) != nil {
			fmt.Fprint(out, line) // not of go test: pass it on
			continue
		}
		if e.Action == "build-output" {
			builds[e.ImportPath] = append(builds[e.ImportPath], e.Output)
			continue
		}
		if e.Package == "" {
			continue
		}
		p := packages[e.Package]
		if p == nil {
			p = &pkg{name: e.Package, byName: map[string]*test{}}
			packages[e.Package] = p
			order = append(order, p)
		}
		switch {
		case e.Test != "" && e.Action == "output":
			t := p.test(e.Test)
			t.output = append(t.output, e.Output)
		case e.Test != "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip"):
			t := p.test(e.Test)
			if t.result = e.Action; e.Action == "skip" && !full && t.reason() == leftToFull {
				t.result = "left"
			}
		case e.Test != "":
			p.test(e.Test)
		case e.Action == "output":
			p.output = append(p.output, e.Output)
		case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
			p.failed = e.Action == "fail"
			p.endUnfinished()
			if e.FailedBuild != "" {
				broken++
				failures = append(failures, fmt.Sprintf("--- %s could not be built\n%s", short(p.name), strings.Join(builds[e.FailedBuild], "")))
				p.output = nil
			}
			width = max(width, len(short(p.name)))
			fmt.Fprintln(out, p.line(e, width))
			failures = append(failures, p.failures()...)
		}
	}

	var passed, failed, skipped int
	for _, p := range order {
		passed += p.count("pass")
		failed += p.count("fail")
		skipped += p.count("skip")
		if p.failed && p.count("fail") == 0 {
			failed++ // the package itself
		}
	}
	for _, f := range failures {
		fmt.Fprintf(out, "\n%s\n", strings.TrimRight(f, "\n"))
	}
	list(out, order, "left", leftToFull, func(t *test) string { return t.name })
	list(out, order, "skip", "skipped", func(t *test) string { return t.name + ": " + t.reason() })
	if skipped > 0 && strict {
		fmt.Fprintln(out, "CI=true allows no skipped test")
	}
	fmt.Fprintf(out, "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if passed+failed+skipped == 0 {
		return false, fmt.Errorf("no test has run")
	}
	return failed == 0 && broken == 0 && (skipped == 0 || !strict), nil
}

// leftToFull is the reason of tests that are no part of make test, but of make test-full.
const leftToFull = "left to make test-full"

// list writes the tests with a result, under a title, if there are any.
func list(out io.Writer, packages []*pkg, result, title string, text func(*test) string) {
	for _, p := range packages {
		for _, t := range p.tests {
			if t.result != result || t.parent {
				continue
			}
			if title != "" {
				fmt.Fprintf(out, "\n%s:\n", title)
				title = ""
			}
			fmt.Fprintf(out, "  %s %s\n", short(p.name), text(t))
		}
	}
}

// endUnfinished gives tests without a result, which a panic, a deadline or os.Exit has ended, the result that they deserve.
func (p *pkg) endUnfinished() {
	for _, t := range p.tests {
		if t.result == "" && p.failed {
			t.result = "fail"
			t.output = append(t.output, "    (did not end)\n")
		}
	}
}

func (p *pkg) line(e event, width int) string {
	if len(p.tests) == 0 && !p.failed {
		return fmt.Sprintf("-     %-*s  no tests", width, short(p.name))
	}
	state := "ok"
	if p.failed {
		state = "FAIL"
	}
	s := fmt.Sprintf("%-4s  %-*s %6.1fs  %d passed", state, width, short(p.name), e.Elapsed, p.count("pass"))
	if n := p.count("fail"); n > 0 {
		s += fmt.Sprintf(", %d failed", n)
	}
	if n := p.count("skip"); n > 0 {
		s += fmt.Sprintf(", %d skipped", n)
	}
	return s
}

// failures returns the output of the failed tests, and of the package itself where it has failed.
func (p *pkg) failures() []string {
	if !p.failed {
		return nil
	}
	var all []string
	for _, t := range p.tests {
		if own := strings.Join(keep(t.output), ""); t.result == "fail" && (own != "" || !p.subtestFailed(t)) {
			all = append(all, fmt.Sprintf("--- %s %s\n%s", short(p.name), t.name, own))
		}
	}
	if own := strings.Join(keep(p.output), ""); own != "" {
		all = append(all, fmt.Sprintf("--- %s\n%s", short(p.name), own))
	}
	return all
}

var noise = regexp.MustCompile(`^\s*(=== (RUN|PAUSE|CONT|NAME) |PASS\n?$|FAIL\n?$|FAIL\t|ok  \t|exit status |-test\.shuffle )`)

func keep(output []string) []string {
	return slices.DeleteFunc(slices.Clone(output), noise.MatchString)
}

var place = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)

// reason is the text that the test gave to Skip.
func (t *test) reason() string {
	var words []string
	for _, line := range keep(t.output) {
		line = place.ReplaceAllString(strings.TrimRight(line, "\n"), "")
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--- SKIP") {
			words = append(words, line)
		}
	}
	if len(words) == 0 {
		return "no reason given"
	}
	return words[len(words)-1] // a script's log comes first
}

func short(name string) string {
	const module = "github.com/gitaccess/gitaccess"
	if name == module {
		return "."
	}
	return strings.TrimPrefix(name, module+"/")
}
