package sshproxy

import "golang.org/x/sys/unix"

// On macOS poll(2) reports the hang-up of a pipe's reader only to those who ask
// whether they can write, and they mostly can: so we ask once in a second.
const goneEvents = unix.POLLOUT

func pollTimeout(events int16) int {
	if events == goneEvents {
		return 1000
	}
	return -1
}

// waitAgain waits for a second and reports whether nobody has woken us.
func waitAgain(wake int) bool {
	fds := []unix.PollFd{{Fd: int32(wake), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds, 1000)
	return n <= 0
}
