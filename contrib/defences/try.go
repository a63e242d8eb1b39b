package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// try takes the defence away in a copy of the tree, runs its tests and puts it back. It returns those that failed, as they should. The
// error says why nothing is proved, and output what the go command or the test had to say.
func (d defence) try(ctx context.Context, tree string) (failed []string, output string, err error) {
	path := filepath.Join(tree, d.file)
	before, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	if n := bytes.Count(before, []byte(d.code)); n != 1 {
		return nil, "", fmt.Errorf("the code stands there %d times: %s", n, d.code)
	}
	if err := os.WriteFile(path, bytes.Replace(before, []byte(d.code), []byte(d.without), 1), 0o600); err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, os.WriteFile(path, before, 0o600)) }()

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
				return failed, string(out), fmt.Errorf("without it %s does not compile: %w", pkg, err)
			}
		}
		passed, out, err := runTest(ctx, binary, filepath.Join(tree, pkg), name)
		switch {
		case ctx.Err() != nil:
			return failed, "", ctx.Err()
		case err != nil:
			return failed, out, fmt.Errorf("%s: %w", t, err)
		case !passed:
			failed = append(failed, t)
		}
	}
	return failed, "", nil
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
