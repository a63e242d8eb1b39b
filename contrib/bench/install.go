package main

import (
	"os"
	"path/filepath"
)

// install copies all programs that are measured into the world, as an installation does, and measures the copies. A file that
// the linker has just written starts slower, by up to a third and differently after each build: it lies in the page cache in
// smaller pieces.
func (b *bench) install(dir string) error {
	ours, err := filepath.Glob(filepath.Join(b.bin, "*"))
	if err != nil {
		return err
	}
	b.bin = filepath.Join(dir, "bin")
	if err := copyPrograms(b.bin, ours...); err != nil {
		return err
	}
	others := []string{filepath.Join(b.tools, "bare"), filepath.Join(b.tools, "empty")}
	b.tools = filepath.Join(dir, "tools")
	if b.peer != "" {
		others = append(others, b.peer)
		b.peer = filepath.Join(b.tools, filepath.Base(b.peer))
	}
	return copyPrograms(b.tools, others...)
}

func copyPrograms(dir string, programs ...string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for _, p := range programs {
		program, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(p)), program, 0o700); err != nil {
			return err
		}
	}
	return nil
}
