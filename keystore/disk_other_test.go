//go:build !linux

package keystore_test

import "testing"

func tinyDisk(t *testing.T) string {
	t.Helper()
	t.Skip("small and read-only file systems are mounted on Linux only")
	return ""
}

func makeReadOnly(*testing.T, string) {}
