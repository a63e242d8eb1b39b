package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
const patience = 4 * time.Minute

// try takes the defence away in a copy of the tree, runs its tests and puts it back. It returns those that failed, as they should,
// and what the others printed. The error says why nothing is proved.
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
		pattern := "^" + name + "$"
		if script, ok := strings.CutSuffix(name, ".txtar"); ok {
			pattern = "^TestScripts$/^" + regexp.QuoteMeta(script) + "$"
		}
		cmd := exec.CommandContext(ctx, binary, "-test.v", "-test.timeout="+patience.String(), "-test.run="+pattern)
		cmd.Dir = filepath.Join(tree, pkg)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		switch {
		case ctx.Err() != nil:
			return failed, "", ctx.Err()
		case !bytes.Contains(out, []byte("=== RUN")):
			return failed, string(out), fmt.Errorf("no test %s in %s", name, pkg)
		case errors.As(err, &exit):
			failed = append(failed, t)
		default:
			output += string(out)
		}
	}
	return failed, output, nil
}
