//go:build !windows

package sshproxy

func isBrokenPipe(error) bool { return false }
