package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// compare fails if two folders do not have the same files, byte by byte.
func compare(a, b string) error {
	of := func(dir string) ([]string, error) {
		entries, err := os.ReadDir(dir)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names, err
	}
	first, err := of(a)
	if err != nil {
		return err
	}
	second, err := of(b)
	if err != nil {
		return err
	}
	if !slices.Equal(first, second) {
		return fmt.Errorf("not reproducible: %q the first time, %q the second", first, second)
	}
	var differ []string
	for _, name := range first {
		x, err := os.ReadFile(filepath.Join(a, name))
		if err != nil {
			return err
		}
		y, err := os.ReadFile(filepath.Join(b, name))
		if err != nil {
			return err
		}
		if !bytes.Equal(x, y) {
			differ = append(differ, name)
		}
	}
	if len(differ) > 0 {
		return fmt.Errorf("not reproducible: a second build made other bytes of %s", strings.Join(differ, ", "))
	}
	fmt.Fprintf(os.Stderr, "release: a second build made the same %d files\n", len(first))
	return nil
}
