package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// withoutBlanks returns the short form of a path with blanks, "C:\PROGRA~1\…",
// where the volume has one: in Match exec nothing can be quoted.
func withoutBlanks(path string) string {
	if !strings.Contains(path, " ") {
		return path
	}
	long, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return path
	}
	buf := make([]uint16, windows.MAX_LONG_PATH)
	n, err := windows.GetShortPathName(long, &buf[0], uint32(len(buf)))
	if err != nil || int(n) >= len(buf) {
		return path
	}
	return windows.UTF16ToString(buf[:n])
}

// sshPrograms returns Windows' own ssh and that of Git for Windows: which one runs
// is decided by PATH and by git's core.sshCommand, and both read the same files.
func sshPrograms(getenv func(string) string) (programs []string) {
	add := func(path string) {
		info, err := os.Stat(path)
		if err != nil {
			return
		}
		for _, p := range programs {
			if other, err := os.Stat(p); err == nil && os.SameFile(info, other) {
				return
			}
		}
		programs = append(programs, path)
	}
	if path, err := exec.LookPath("ssh"); err == nil {
		add(path)
	}
	if root := getenv("SystemRoot"); root != "" {
		add(filepath.Join(root, "System32", "OpenSSH", "ssh.exe"))
	}
	if git, err := exec.LookPath("git"); err == nil { // …\Git\cmd\git.exe
		add(filepath.Join(filepath.Dir(filepath.Dir(git)), "usr", "bin", "ssh.exe"))
	}
	return programs
}
