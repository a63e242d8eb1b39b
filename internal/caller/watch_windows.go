package caller

import (
	"context"

	"golang.org/x/sys/windows"
)

// waitForEnd waits until the process that started us has ended, or ctx has.
func waitForEnd(ctx context.Context, parent int) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(parent))
	if err != nil {
		<-ctx.Done()
		return false
	}
	defer windows.CloseHandle(h)
	for ctx.Err() == nil {
		if e, err := windows.WaitForSingleObject(h, 500); err == nil && e == windows.WAIT_OBJECT_0 {
			return true
		} else if err != nil {
			<-ctx.Done()
		}
	}
	return false
}
