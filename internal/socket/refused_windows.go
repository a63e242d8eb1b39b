package socket

import "golang.org/x/sys/windows"

// refused is what a socket says that nobody listens at.
const refused = windows.WSAECONNREFUSED
