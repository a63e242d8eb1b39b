package keystore_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// tinyDisk is a file system of 256 KiB.
func tinyDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		scripttest.Missing(t, "the right to mount", "nothing, but run it as root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	state := filepath.Join(dir, "state")
	return state
}

func makeReadOnly(t *testing.T, dir string) {
	t.Helper()
	must(t, syscall.Mount("", filepath.Dir(dir), "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
}
