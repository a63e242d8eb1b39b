//go:build !unix

package sshproxy

import "syscall"

// file is of no use here: there is no poll(2), and a read of a console or an
// anonymous pipe cannot be woken.
type file struct{}

func openFile(syscall.Conn) *file { return nil }

func (*file) waitReadable() error { return nil }
func (*file) waitGone() bool      { return false }
func (*file) wake()               {}
func (*file) release()            {}
