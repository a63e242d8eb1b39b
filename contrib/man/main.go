// Command man writes the manual pages of the programs: contrib/man/*.1, in mdoc(7). Commands and flags are what the programs print
// with --help; what help has no room for (environment, files, examples) is in prose.go. Run it by
//
//	go generate ./contrib/man
//
// whenever help or prose.go has changed; a test compares.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/gitaccess/gitaccess/contrib/internal/programs"
)

//go:generate go run . -root ../..

func main() {
	root := flag.String("root", ".", "the checkout")
	flag.Parse()
	if err := generate(context.Background(), *root); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

func generate(ctx context.Context, root string) error {
	bin, err := os.MkdirTemp("", "man-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-tags", "urfave_cli_no_docs", "-o", bin+string(filepath.Separator), "./cmd/...")
	build.Dir, build.Stderr = root, os.Stderr
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		return err
	}
	names, err := programs.Names(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		pages, err := programs.Read(ctx, bin, name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, "contrib", "man", name+".1"), manual(pages, names), 0o644); err != nil {
			return err
		}
	}
	return nil
}
