package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/gitaccess/gitaccess/internal/cli"
)

// execute runs the program and takes over its exit code. It is not ended with ctx:
// Ctrl-C reaches it by itself, and it decides.
func execute(_ context.Context, env *cli.Env, path string, argv, environ []string) error {
	cmd := exec.Command(path, argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environ, env.Stdin, env.Stdout, env.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &cli.Error{Code: exit.ExitCode()}
	}
	if err != nil {
		return &cli.Error{Err: fmt.Errorf("%s: %w", path, err), Code: 126}
	}
	return nil
}
