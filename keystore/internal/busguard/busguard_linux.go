package busguard

import "os"

// The library's D-Bus client splits the address at ':' and finds no transport: no path to look up, no socket to open.
const nowhere = "gitaccess-none"

type variable struct {
	name, value string
	set         bool
}

var saved = replace(variable{"DBUS_SESSION_BUS_ADDRESS", nowhere, true}, variable{"DISABLE_KWALLET", "1", true})

func replace(with ...variable) (before []variable) {
	for _, v := range with {
		value, ok := os.LookupEnv(v.name)
		before = append(before, variable{v.name, value, ok})
		os.Setenv(v.name, v.value)
	}
	return before
}

// Restore puts the environment back exactly as it was. The package that imports the library calls it from its own initialisation,
// which comes after that of the library.
func Restore() {
	for _, v := range saved {
		if v.set {
			os.Setenv(v.name, v.value)
		} else {
			os.Unsetenv(v.name)
		}
	}
	saved = nil
}
