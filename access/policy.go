package access

import "time"

// A Policy says what may be done to obtain a credential. The zero Policy allows
// what needs no person: the store, renewals, bound service tokens.
type Policy struct {
	// Login allows a login by a person.
	Login bool
	// Reason tells why Login is false; it becomes part of the error.
	Reason string
	// Background marks a caller that nobody watches: it waits ten minutes before
	// it asks a person again after a login that was left undone.
	Background bool
	// Named is the origin that a person named to this program. A service token
	// of the environment may go there; a URL out of a repository names nothing.
	Named Origin
	// Fresh ignores a stored session and obtains a new one.
	Fresh bool
	// CheckEvery, if above zero, has a stored session tried by one cheap request
	// when it was last seen accepted longer ago than this. git never tells that
	// Access refused a session.
	CheckEvery time.Duration
	// AcceptTeam pins this team domain in place of another one.
	AcceptTeam string
}

// renewAhead: a session with less left than this is renewed before use.
const renewAhead = time.Minute

// leftUndone: how long background callers leave a person alone after a login
// that was not finished.
const leftUndone = 10 * time.Minute
