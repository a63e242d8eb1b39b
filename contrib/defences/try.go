package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A defence is code of ours that keeps a promise.
type defence struct {
	promise string   // how its text in the threat model begins
	file    string   // from the module's root
	code    string   // which stands there once
	without string   // what stands there when it is gone
	tests   []string // "package Test" or "package script.txtar": each must fail then
}

// patience is for one test, which may hang for want of the defence.
const patience = 3 * time.Minute

// An outcome is what came of a try. Without an error it is that of each test: those that failed did what they are for, if something was
// taken away.
type outcome struct {
	failed []string
	err    error  // nothing is proved
	output string // of what made the error
}

// atOnce is how many are tried at the same time: tests without their defence wait a lot.
const atOnce = 2

// tryAll tries each defence and sends its outcome to the channel of its number. wait waits for those that are under way when
// ctx has ended, and removes what there is on disk.
func tryAll(ctx context.Context, all []defence) (tries []chan outcome, wait func() error, err error) {
	tries = make([]chan outcome, len(all))
	for i := range tries {
		tries[i] = make(chan outcome, 1)
	}
	var trees []string
	var workers sync.WaitGroup
	wait = func() (err error) {
		workers.Wait()
		for _, tree := range trees {
			err = errors.Join(err, os.RemoveAll(tree))
		}
		return err
	}
	var next atomic.Int64
	for range atOnce {
		tree, err := copyTree(ctx)
		if err != nil {
			return nil, nil, errors.Join(err, wait())
		}
		trees = append(trees, tree)
	}
	for _, tree := range trees {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				tries[i] <- all[i].try(ctx, tree)
			}
		})
	}
	return tries, wait, nil
}

// try takes the defence away in a copy of the tree, runs its tests and puts it back.
func (d defence) try(ctx context.Context, tree string) (o outcome) {
	if d.isNone() {
		return d.runTests(ctx, tree)
	}
	path := filepath.Join(tree, d.file)
	before, err := os.ReadFile(path)
	if err != nil {
		return outcome{err: err}
	}
	if n := bytes.Count(before, []byte(d.code)); n != 1 {
		return outcome{err: fmt.Errorf("it stands there %d times", n)}
	}
	if err := os.WriteFile(path, bytes.Replace(before, []byte(d.code), []byte(d.without), 1), 0o600); err != nil {
		return outcome{err: err}
	}
	defer func() { o.err = errors.Join(o.err, os.WriteFile(path, before, 0o600)) }()
	return d.runTests(ctx, tree)
}

// untouched returns, for each package, all tests that the defences name and nothing to take away: what fails then would prove nothing.
func untouched(all []defence) (none []defence) {
	var order []string
	tests := map[string][]string{}
	for _, d := range all {
		for _, t := range d.tests {
			pkg, _, _ := strings.Cut(t, " ")
			if tests[pkg] == nil {
				order = append(order, pkg)
			}
			if !slices.Contains(tests[pkg], t) {
				tests[pkg] = append(tests[pkg], t)
			}
		}
	}
	for _, pkg := range order {
		none = append(none, defence{tests: tests[pkg]})
	}
	return none
}

func (d defence) isNone() bool { return d.file == "" }

func (d defence) runTests(ctx context.Context, tree string) (o outcome) {
	built := map[string]string{}
	for _, t := range d.tests {
		pkg, name, _ := strings.Cut(t, " ")
		binary := built[pkg]
		if binary == "" {
			binary = filepath.Join(tree, ".testbed", strings.ReplaceAll(pkg, "/", "-")+".test")
			built[pkg] = binary
			cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-o", binary, "./"+pkg)
			cmd.Dir = tree
			if out, err := cmd.CombinedOutput(); err != nil {
				return outcome{err: fmt.Errorf("without it %s does not compile: %w", pkg, err), output: string(out)}
			}
		}
		passed, out, err := runTest(ctx, binary, filepath.Join(tree, pkg), name)
		if err != nil {
			return outcome{err: fmt.Errorf("%s: %w", t, err), output: out}
		}
		if !passed {
			o.failed = append(o.failed, t)
		}
	}
	return o
}

// runTest runs one test, or one script, of a test binary.
func runTest(ctx context.Context, binary, dir, name string) (passed bool, output string, err error) {
	patterns := []string{"^" + name + "$"}
	if script, ok := strings.CutSuffix(name, ".txtar"); ok {
		patterns = []string{"^TestScripts$/^" + script + "$", "^TestScripts$/^git/^" + script + "$"} // alone, or with each git
	}
	for _, p := range patterns {
		cmd := exec.CommandContext(ctx, binary, "-test.v", "-test.timeout="+patience.String(), "-test.run="+p)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "ACCESS_TEST_FULL=") // the long way shows nothing more
		b, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit):
			return false, string(b), nil
		case err != nil:
			return false, string(b), err
		case !bytes.Contains(b, []byte("no tests to run")):
			return true, string(b), nil
		}
	}
	return false, "", errors.New("there is no such test")
}
