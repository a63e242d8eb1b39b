//go:build unix

package main

import "os/exec"

// withoutBlanks is for Windows alone.
func withoutBlanks(path string) string { return path }

// sshPrograms returns the ssh that people here have.
func sshPrograms(func(string) string) []string {
	if path, err := exec.LookPath("ssh"); err == nil {
		return []string{path}
	}
	return nil
}
