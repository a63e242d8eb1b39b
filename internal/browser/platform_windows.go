package browser

import (
	"context"
	"fmt"
	"syscall"

	"golang.org/x/sys/windows"
)

// platform asks the Windows shell, which runs the default browser without a command line of ours.
func platform(*Options) ([]opener, error) {
	return []opener{{"ShellExecute", func(_ context.Context, page string, _ *Options) error {
		verb, err := windows.UTF16PtrFromString("open")
		if err != nil {
			return err
		}
		file, err := windows.UTF16PtrFromString(page)
		if err != nil {
			return err
		}
		if err := windows.ShellExecute(0, verb, file, nil, nil, windows.SW_SHOWNORMAL); err != nil {
			return fmt.Errorf("no default browser: %w", err)
		}
		return nil
	}}}, nil
}

func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.DETACHED_PROCESS}
}
