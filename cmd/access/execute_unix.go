//go:build unix

package main

import (
	"context"
	"fmt"
	"syscall"

	"github.com/gitaccess/gitaccess/internal/cli"
)

// execute becomes the program: signals, job control and the exit code are its own
// then, and no parent waits beside it.
func execute(_ context.Context, _ *cli.Env, path string, argv, environ []string) error {
	err := syscall.Exec(path, argv, environ)
	return &cli.Error{Err: fmt.Errorf("%s: %w", path, err), Code: 126}
}
