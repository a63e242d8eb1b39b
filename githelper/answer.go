package githelper

import "time"

// CookieInJar returns the answer "the credential is in the cookie file; send no Authorization". git asks a helper and reads the
// cookie file after that, for every request (http.c, get_active_slot), so a helper that has just written the file has said it all;
// but git insists on an answer. ownLogin says that the server behind the cookie is known to want a login of its own. state is the
// helper's mark, such as "example:jar"; see [Request.Answered].
//
// A caller that understands it is told an empty authtype and credential: git makes them the header "Authorization:  ", and curl
// drops a custom header with a blank value. continue=1 makes git ask again after a 401, with our state, instead of erasing; then
// [Request.NextHelper] is the answer. So an open server gets no Authorization, and one with its own login gets that login, whether
// ownLogin is known or not. None of this is documented; git 2.47.3, 2.53.0 and 2.55.0 and git-lfs 3.6.1 and later do it. An empty user
// name and password instead would do for an open server only, and git 2.47 would send "Basic Og==" first.
//
// A caller that announces nothing (git up to 2.45, git-lfs up to 3.5) has one round only. With ownLogin the answer is empty, so that
// the next helper or the person gives the server's login in that round; without, it is an empty user name and password, which git
// takes and curl then does not send unless asked to.
func (r *Request) CookieInJar(state string, ownLogin bool) *Response {
	switch {
	case r.Can(CapabilityAuthType) && r.Can(CapabilityState):
		return &Response{
			Request: r,
			Auth:    &Auth{},
			// Else every helper that is configured gets to store the empty credential.
			Ephemeral: new(true),
			State:     []string{state},
			Continue:  true,
		}
	case ownLogin:
		return &Response{Request: r}
	default:
		return &Response{Request: r, Login: &Login{}}
	}
}

// BearerToken returns the answer "send this token as Authorization". The caller must have announced [CapabilityAuthType]. No other
// helper gets the token to keep. As with [Request.CookieInJar], a 401 makes git ask again, with state, instead of erasing: the token
// may have died in mid-use, and a new one lets the same command go on.
func (r *Request) BearerToken(token Secret, expiry time.Time, state string) *Response {
	a := &Response{Request: r, Auth: &Auth{Type: "Bearer", Credential: token}, Ephemeral: new(true), Expiry: expiry}
	if r.Can(CapabilityState) {
		a.State, a.Continue = []string{state}, true
	}
	return a
}

// NextHelper returns the answer "not from me": the floor is the next helper's. After [Request.CookieInJar] git still holds
// ephemeral=1 from the first round, which would keep credential-cache and others from storing the person's own password; the answer
// takes it back.
func (r *Request) NextHelper() *Response {
	if !r.Can(CapabilityAuthType) {
		return &Response{Request: r}
	}
	return &Response{Request: r, Ephemeral: new(false)}
}

// Stop returns the answer that ends git at once, without asking another helper or the person. The reason belongs on standard error,
// which reaches the person, before git's "fatal: credential helper '…' told us to quit".
func (r *Request) Stop() *Response { return &Response{Request: r, Quit: true} }
