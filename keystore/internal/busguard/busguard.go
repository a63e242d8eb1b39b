// Package busguard keeps github.com/99designs/keyring away from D-Bus while its packages initialise.
//
// On Linux that library connects to the session bus in two init functions, before main and whether or not a keyring is wanted
// (kwallet.go, secretservice.go at v1.2.2): it runs dbus-launch where there is no bus, which leaves a dbus-daemon behind on each run,
// and waits for ever where a bus accepts but does not answer. Importing this package, from a package that imports the library, gives
// it an address that it gives up on without a system call, until [Restore].
//
// That this package comes first is a matter of order (https://go.dev/ref/spec#Program_initialization, sorted by import path): it needs
// nothing but os, so it is ready long before anything that needs net, as the library does, and no path of ours sorts behind "net".
// It must therefore import nothing else. Tests in package keystore run a program against a dead bus to see that it is still so.
package busguard
