package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/gitaccess/gitaccess/internal/cli"
)

var errHeader = errors.New("want NAME: VALUE")

// logOptions say where to tell what happens. What is told carries no secrets: they
// have a type that prints as [redacted].
type logOptions struct {
	file, level string
	verbose     bool
}

// open returns a logger, and what to call when it is not needed any more.
func (o *logOptions) open(env *cli.Env) (*slog.Logger, func(), error) {
	nothing := func() {}
	if o.file == "" && !o.verbose {
		return slog.New(slog.DiscardHandler), nothing, nil
	}
	level := slog.LevelInfo
	if o.verbose && o.file == "" {
		level = slog.LevelDebug
	}
	if o.level != "" {
		if err := level.UnmarshalText([]byte(o.level)); err != nil {
			return nil, nil, cli.Usagef("--log-level %q: want debug, info, warn or error", o.level)
		}
	}
	var w io.Writer = env.Stderr
	done := nothing
	if o.file != "" {
		f, err := os.OpenFile(o.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("log file: %w", err)
		}
		w, done = f, func() { f.Close() }
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})), done, nil
}
