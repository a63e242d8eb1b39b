package cli

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// stdoutGone says whether the error is only that nobody reads our standard output any more, for which other systems have SIGPIPE.
func stdoutGone(err error) bool {
	var pe *fs.PathError
	return errors.As(err, &pe) && pe.Path == os.Stdout.Name() &&
		(errors.Is(pe.Err, windows.ERROR_NO_DATA) || errors.Is(pe.Err, windows.ERROR_BROKEN_PIPE))
}
