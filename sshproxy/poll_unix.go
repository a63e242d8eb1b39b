//go:build unix && !darwin

package sshproxy

// poll(2) reports errors and hang-ups unasked.
const goneEvents = 0

func pollTimeout(int16) int { return -1 }

func waitAgain(int) bool { return true }
