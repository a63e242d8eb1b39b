package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Transport returns a RoundTripper that attaches a credential to each request for
// a host behind Access, obtained by [Client.Credential] with p, and sends it by
// base (nil: the Client's own).
//
// It attaches by scheme, host and port of the request at hand, so a client that
// follows a redirect to another host takes nothing along. If Access refuses a
// session, the session is dropped, renewed once and the request sent once more,
// provided that it has no body or a GetBody; what is refused then becomes
// a [*RefusedError] or [*LoginRequiredError], which errors.As finds in the error of
// http.Client. Answers of the origin, 401 and 403 included, pass through. A 101
// answer's body stays an io.ReadWriteCloser.
//
// Requests that carry an Authorization header of their own keep it; a Bearer
// credential would need that place, so such requests fail with [*RefusedError].
func (c *Client) Transport(base http.RoundTripper, p Policy) http.RoundTripper {
	if base == nil {
		base = c.cfg.Transport
	}
	t := &transport{client: c, base: base, policy: p}
	if p.Keep > 0 {
		t.grants = &grants{client: c, policy: p}
	}
	return t
}

type transport struct {
	client *Client
	base   http.RoundTripper
	policy Policy
	grants *grants // nil: nothing is kept
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, held, cr, answer, err := t.send(req)
	if err != nil {
		return nil, err
	}
	switch answer.Kind {
	case AnswerLogin, AnswerOAuth:
		if t.client.ofOrigin(req.Context(), cr, req.URL, answer) {
			return resp, nil
		}
		if cr.Kind == ServiceToken {
			return nil, t.refuse(resp, &RefusedError{App: cr.App, Cause: ServiceTokenRefused, StatusCode: answer.StatusCode, Source: cr.source})
		}
		if cr.Fresh() {
			return nil, t.refuse(resp, &RefusedError{App: cr.App, Cause: notAccepted(cr, req), StatusCode: answer.StatusCode})
		}
		refused := t.client.refused
		if held != nil {
			refused = func(ctx context.Context, cr Credential, u *url.URL) error { return t.grants.refused(ctx, held, cr, u) }
		}
		if err := refused(req.Context(), cr, req.URL); err != nil {
			return nil, t.refuse(resp, err)
		}
	case AnswerServiceOnly, AnswerUnauthorized, AnswerForbidden:
		return t.final(req, resp, cr, answer)
	default:
		return resp, nil
	}
	second, ok := rewind(req)
	if !ok {
		return nil, t.refuse(resp, &LoginRequiredError{App: cr.App, Reason: "the session was refused and the request cannot be sent twice"})
	}
	discard(resp)
	resp, _, cr, answer, err = t.send(second)
	if err != nil {
		return nil, err
	}
	switch answer.Kind {
	case AnswerLogin, AnswerOAuth:
		if t.client.ofOrigin(req.Context(), cr, req.URL, answer) {
			return resp, nil
		}
		cause := notAccepted(cr, req)
		if cr.Kind == ServiceToken {
			cause = ServiceTokenRefused
		}
		return nil, t.refuse(resp, &RefusedError{App: cr.App, Cause: cause, StatusCode: answer.StatusCode, Source: cr.source})
	case AnswerServiceOnly, AnswerUnauthorized, AnswerForbidden:
		return t.final(req, resp, cr, answer)
	}
	return resp, nil
}

// notAccepted names the likely cause of a fresh session's refusal. Whether Managed
// OAuth's tokens serve for a WebSocket, and JWTs where OAuth is on, is not
// documented.
func notAccepted(cr Credential, req *http.Request) Cause {
	upgrade := req != nil && req.Header.Get("Upgrade") != ""
	if cr.App.Mode == ModeOAuth && (cr.Kind == JWT || upgrade) {
		return NotWithOAuth
	}
	return TokenNotAccepted
}

// send obtains a credential, attaches it to a copy of req and reads the answer.
func (t *transport) send(req *http.Request) (resp *http.Response, held *grant, cr Credential, answer Answer, err error) {
	if t.grants != nil {
		held, cr, err = t.grants.credential(req.Context(), req.URL)
	} else {
		cr, err = t.client.Credential(req.Context(), req.URL, t.policy)
	}
	if err == nil && cr.Kind == Bearer && req.Header.Get("Authorization") != "" {
		err = &RefusedError{App: cr.App, Cause: NotWithOAuth, Detail: "the request has an Authorization header of its own"}
	}
	if err != nil {
		if req.Body != nil {
			req.Body.Close() // RoundTripper's contract
		}
		return nil, held, cr, Answer{}, err
	}
	out := req.Clone(req.Context())
	if !cr.Apply(out) && cr.Kind != None {
		// Without the credential the answer would tell of a session what is not true.
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, held, cr, Answer{}, fmt.Errorf("access: the request to %s names the host %q", cr.App.Origin.Host(), cut(req.Host))
	}
	resp, err = t.base.RoundTrip(out)
	if err != nil {
		return nil, held, cr, Answer{}, err
	}
	return resp, held, cr, ReadAnswer(resp), nil
}

// final tells what a 401 or 403 means, given what was presented.
func (t *transport) final(req *http.Request, resp *http.Response, cr Credential, a Answer) (*http.Response, error) {
	e := &RefusedError{App: cr.App, StatusCode: a.StatusCode, Detail: a.Detail, Source: cr.source}
	switch {
	case cr.Kind == ServiceToken && a.Kind == AnswerUnauthorized:
		e.Cause = ServiceTokenInvalid
	case cr.Kind == ServiceToken && a.Kind == AnswerForbidden:
		e.Cause = ServiceTokenNotAllowed
	case cr.Kind == ServiceToken && t.client.admitsPeople(req.Context(), cr.App.Origin, req.URL.Path):
		// Not strict, the token would have been answered with the login. In strict
		// mode a token that is wrong gets 401, and a 403 means not admitted.
		e.Cause = ServiceTokenNotAllowed
	case cr.Kind == ServiceToken:
		// Service Auth policies only: not strict, wrong and not admitted look alike,
		// and nothing in the answer tells the modes apart.
		e.Cause = ServiceTokenRefused
	case a.Kind == AnswerServiceOnly && cr.Kind == None:
		e.Cause = ServiceTokenRequired
	case a.Kind == AnswerServiceOnly, a.Kind == AnswerForbidden:
		e.Cause = Denied
	default: // a 401 without a challenge, in answer to a session: the origin's
		return resp, nil
	}
	return nil, t.refuse(resp, e)
}

func (t *transport) refuse(resp *http.Response, err error) error {
	discard(resp)
	return err
}

// rewind returns the request for a second try.
func rewind(req *http.Request) (*http.Request, bool) {
	r := req.Clone(req.Context())
	if req.Body == nil || req.Body == http.NoBody {
		return r, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	r.Body = body
	return r, true
}

// discard reads a little, so that the connection can be used again, and closes.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	resp.Body.Close()
}

// IsRefusal reports whether err says that Access refused or wants a login, as
// opposed to a failure of network or storage.
func IsRefusal(err error) bool {
	var refused *RefusedError
	var login *LoginRequiredError
	var team *TeamChangedError
	return errors.As(err, &refused) || errors.As(err, &login) || errors.As(err, &team)
}
