// Package keyringtest gives tests real keyrings of their own: a D-Bus with gnome-keyring on it, and pass with a key that is thrown away.
package keyringtest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// environ is the test's own environment with changes; a value of "-" unsets.
func environ(changes ...string) []string {
	env := os.Environ()
	for _, c := range changes {
		name, value, _ := strings.Cut(c, "=")
		env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		if value != "-" {
			env = append(env, c)
		}
	}
	return env
}
