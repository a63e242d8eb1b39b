//go:build unix

package scripttest

import "syscall"

// leaveTerminal takes the tests away from the terminal that they were started on. With one, programs ask whom a test does not have.
func leaveTerminal() error {
	_, err := syscall.Setsid()
	if err == syscall.EPERM { // we lead a group already, as under a debugger; its session is its own matter
		return nil
	}
	return err
}
