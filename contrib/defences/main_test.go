package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// Each promise names tests that exist, and for each of them there is a defence that it would miss.
func TestThreatModel(t *testing.T) {
	promises, err := readPromises(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(promises) < 35 {
		t.Errorf("only %d promises were found", len(promises))
	}
	for _, p := range promises {
		var missed []string
		for _, d := range defences {
			if strings.HasPrefix(p.text, d.promise) {
				missed = append(missed, d.tests...)
			}
		}
		for _, test := range p.tests {
			if !exists(t, test) {
				t.Errorf("%q: there is no test %s", p.text, test)
			}
			if !slices.Contains(missed, test) {
				t.Errorf("%q: nothing that can be taken away makes %s fail", p.text, test)
			}
		}
	}
}

// Each defence still stands where it is looked for, and is there for a promise that names its tests.
func TestDefences(t *testing.T) {
	promises, err := readPromises(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range defences {
		source, err := os.ReadFile(filepath.Join(root, d.file))
		if err != nil {
			t.Error(err)
		}
		if n := bytes.Count(source, []byte(d.code)); n != 1 {
			t.Errorf("%s has this %d times: %s", d.file, n, d.code)
		}
		var of []promise
		for _, p := range promises {
			if strings.HasPrefix(p.text, d.promise) {
				of = append(of, p)
			}
		}
		if len(of) != 1 {
			t.Errorf("%d promises begin with %q", len(of), d.promise)
			continue
		}
		for _, test := range d.tests {
			if !slices.Contains(of[0].tests, test) {
				t.Errorf("the promise %q does not name %s", d.promise, test)
			}
		}
	}
}

// exists reports whether the package has the test function or the script.
func exists(t *testing.T, test string) bool {
	t.Helper()
	pkg, name, _ := strings.Cut(test, " ")
	dir := filepath.Join(root, pkg)
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && !strings.Contains(path, "testdata"):
			return fs.SkipDir // another package
		case strings.HasSuffix(name, ".txtar"):
			found = found || d.Name() == name
		case strings.HasSuffix(path, "_test.go"):
			b, err := os.ReadFile(path)
			found = found || bytes.Contains(b, []byte("\nfunc "+name+"("))
			return err
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return found
}
