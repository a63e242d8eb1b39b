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
)

// copyTree copies what git knows, or would, into a temporary folder: no test of the tree itself ever meets a program without one
// of its defences.
func copyTree(ctx context.Context) (tree string, err error) {
	files, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return "", fmt.Errorf("git ls-files: %w", err)
	}
	if tree, err = os.MkdirTemp("", "gitaccess-defences-"); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tree))
		}
	}()
	for name := range strings.SplitSeq(string(bytes.TrimRight(files, "\x00")), "\x00") {
		info, err := os.Stat(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and not committed yet
		}
		if err != nil {
			return "", err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		to := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(to, b, info.Mode().Perm()); err != nil {
			return "", err
		}
	}
	return tree, os.Mkdir(filepath.Join(tree, ".testbed"), 0o755)
}
