package access

import (
	"context"
	"errors"
	"time"
)

// A Policy says what may be done to obtain a credential. The zero Policy allows
// what needs no person: the store, renewals, bound service tokens.
type Policy struct {
	// Login decides whether a person may be asked to log in: it returns nil if so,
	// else the reason why not ("CI is set"), which [LoginRequiredError] repeats. It
	// is not called while a stored session serves. Without a Login nobody is asked.
	Login func(ctx context.Context) error
	// Background marks a caller that nobody watches: it waits ten minutes before
	// it asks a person again after a login that was left undone.
	Background bool
	// Named is the origin that a person named to this program. A service token
	// of the environment may go there; a URL out of a repository names nothing.
	Named Origin
	// Fresh ignores a stored session and obtains a new one.
	Fresh bool
	// JWT wants an application token also where the application offers Managed
	// OAuth: for a caller that can place a cookie but no Authorization header, or
	// that needs a token with claims. Applications may accept one beside Bearer;
	// whether they do is an edge's setting that is not documented. Where it is
	// refused, the error is a [*RefusedError] with [NotWithOAuth].
	JWT bool
	// CheckEvery, if above zero, has a stored session tried by one cheap request
	// when it was last seen accepted longer ago than this. git never tells that
	// Access refused a session.
	CheckEvery time.Duration
	// Keep, if above zero, lets a [Client.Transport] use a credential for so long
	// without asking the Store, and has one request obtain it while the others wait:
	// for a program with many requests at once. A logout in another process is
	// noticed so much later.
	Keep time.Duration
	// AcceptTeam pins this team domain in place of another one; it is written as
	// Config.Team is.
	AcceptTeam string
}

// mayLogin returns the reason why nobody may be asked, or nil.
func (p Policy) mayLogin(ctx context.Context) error {
	if p.Login == nil {
		return errNobody
	}
	return p.Login(ctx)
}

var errNobody = errors.New("nobody may be asked here")

// renewAhead: a session with less left than this is renewed before use.
const renewAhead = time.Minute

// leftUndone: how long background callers leave a person alone after a login
// that was not finished.
const leftUndone = 10 * time.Minute
