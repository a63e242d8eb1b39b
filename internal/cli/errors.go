package cli

import (
	"errors"
	"fmt"
)

// Error is what a command makes of a library's error: the same error with what the person can do about it.
type Error struct {
	Err   error    // nil: nothing is printed, the exit code says it all (the code of a child that has spoken for itself)
	Hints []string // printed after the error, in order
	Code  int      // zero: the code of Err, else 1
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// ExitCode returns Code, or what Err says where Code is zero.
func (e *Error) ExitCode() int {
	if e.Code == 0 && e.Err != nil {
		return exitCode(e.Err)
	}
	return e.Code
}

// UsageError says that the command line cannot be understood. Its exit code is 2.
type UsageError struct {
	Err   error
	Hints []string
}

// Usagef returns a *UsageError.
func Usagef(format string, args ...any) error { return &UsageError{Err: fmt.Errorf(format, args...)} }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// ExitCode returns ExitUsage.
func (e *UsageError) ExitCode() int { return ExitUsage }

// hints collects the hints of all errors in the chain, outermost first, each once.
func hints(err error) []string {
	var all []string
	seen := map[string]bool{}
	var walk func(error)
	walk = func(err error) {
		var own []string
		switch e := err.(type) {
		case nil:
			return
		case *Error:
			own = e.Hints
		case *UsageError:
			own = e.Hints
		}
		for _, h := range own {
			if !seen[h] {
				seen[h] = true
				all = append(all, h)
			}
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				walk(err)
			}
		}
	}
	walk(err)
	return all
}

func silent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Err == nil
}
