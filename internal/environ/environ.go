// Package environ has what a package that starts programs of others may know of the process's environment.
package environ

import "os"

// Vars are the variables of a process. Nil, and each nil field, means those of this one.
type Vars struct {
	Getenv  func(string) string
	Environ func() []string // of the programs that are started; a caller keeps its secrets out of it
}

// WithDefaults returns a copy without nil fields.
func (v *Vars) WithDefaults() Vars {
	var d Vars
	if v != nil {
		d = *v
	}
	if d.Getenv == nil {
		d.Getenv = os.Getenv
	}
	if d.Environ == nil {
		d.Environ = os.Environ
	}
	return d
}
