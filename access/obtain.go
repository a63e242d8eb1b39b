package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Credential is the one door: it returns a credential that may be sent to u, by
// the order in the package comment. If Access does not guard u, the credential has
// Kind [None]. Errors: [*LoginRequiredError], [*RefusedError], [*TeamChangedError],
// [*DiscoveryError], [*RenewalError], [*LoginTimeoutError], [*BusyError], or a transport or storage error.
func (c *Client) Credential(ctx context.Context, u *url.URL, p Policy) (Credential, error) {
	o, err := OriginOf(u)
	if err != nil {
		return Credential{}, err
	}
	r := c.host(o)
	if cr, ok, err := c.serviceToken(ctx, o, r, p); err != nil || ok {
		if app, known := r.match(u.Path); known {
			// What is known of the application is for messages; the token goes to
			// the whole origin that it is bound to.
			cr.App.Team, cr.App.Audience = app.Team, app.Audience
		}
		return cr, err
	}
	app, known := r.match(u.Path)
	app.byJWT = p.JWT
	switch {
	case !known || p.AcceptTeam != "":
	case app.Mode == ModeOpen && c.now().Sub(app.Seen) < discoveryFresh:
		return Credential{App: app}, nil
	case (app.Mode == ModeLogin || app.Mode == ModeOAuth) && !p.Fresh && (c.team == "" || c.team == app.Team):
		s, err := c.loadSession(ctx, app)
		if err != nil && !errors.Is(err, errNoSession) {
			return Credential{}, err
		}
		cr, ok := c.credential(app, s)
		if ok && cr.valid(c.now(), renewAhead) {
			accepted, err := c.stillAccepted(ctx, cr, u, r, p)
			if err != nil {
				return Credential{}, err
			}
			if accepted {
				return cr, nil
			}
		}
	}
	return c.obtain(ctx, o, u, p)
}

// obtain gets a credential with the help of the network.
func (c *Client) obtain(ctx context.Context, o Origin, u *url.URL, p Policy) (Credential, error) {
	app, err := c.application(ctx, o, u, p)
	if err != nil {
		return Credential{}, err
	}
	app.byJWT = p.JWT
	switch app.Mode {
	case ModeOpen:
		return Credential{App: app}, nil
	case ModeServiceToken:
		return Credential{}, &RefusedError{App: app, Cause: ServiceTokenRequired}
	}
	if app.byJWT && app.Audience == "" {
		// Its team is what it says itself. A login by transfer could be led to any
		// application of that team, whose token would then be sent here.
		return Credential{}, &RefusedError{App: app, Cause: NotWithOAuth, Detail: "without signed metadata it gets no other token"}
	}
	before, _ := c.loadSession(ctx, app)
	began := c.now()
	refusal := p.mayLogin(ctx)
	lease, waited, err := c.lock(ctx, lockName(app), app, refusal)
	if err != nil {
		return Credential{}, err
	}
	defer lease.Release()

	// Somebody else may have renewed or logged in while we waited.
	s, err := c.loadSession(ctx, app)
	if err != nil && !errors.Is(err, errNoSession) {
		return Credential{}, err
	}
	cr, ok := c.credential(app, s)
	if ok && cr.valid(c.now(), renewAhead) && (!p.Fresh || s.Token != before.Token) {
		return cr, nil
	}
	renewed, err := c.renew(ctx, app, u, s)
	if err == nil {
		return renewed, nil
	}
	if ctx.Err() != nil {
		return Credential{}, ctx.Err()
	}
	if !errors.Is(err, errNoSession) {
		c.log.Info("renewal failed", "host", o.Host(), "err", err)
	}
	if ok && !p.Fresh {
		return cr, nil // it still has some seconds
	}
	if trouble(err) {
		return Credential{}, &RenewalError{App: app, Err: err}
	}
	return c.login(ctx, app, u, turn{p, refusal, lease, began, waited}, err)
}

// application returns the application that protects u, discovering it at most
// once across processes.
func (c *Client) application(ctx context.Context, o Origin, u *url.URL, p Policy) (App, error) {
	fresh := func() (App, bool) {
		app, ok := c.host(o).match(u.Path)
		return app, ok && p.AcceptTeam == "" && c.now().Sub(app.Seen) < discoveryFresh && (c.team == "" || c.team == app.Team)
	}
	if app, ok := fresh(); ok {
		return app, nil
	}
	lease, _, err := c.lock(ctx, cacheName("host", string(o)), App{Origin: o}, errNobody)
	if err != nil {
		return App{}, err
	}
	defer lease.Release()
	if app, ok := fresh(); ok {
		return app, nil
	}
	return c.discover(ctx, o, u.Path, p)
}

// BusyError says that another process holds what this one waits for and does not
// let go: it was stopped, or hangs.
type BusyError struct {
	App   App
	PID   int
	After time.Duration
}

func (e *BusyError) Error() string {
	if e.PID == 0 { // it was ended or stopped before it said who it is
		return fmt.Sprintf("access: another process has been renewing the session of %s for %s", e.App.Origin.Host(), e.After)
	}
	return fmt.Sprintf("access: process %d has been renewing the session of %s for %s", e.PID, e.App.Origin.Host(), e.After)
}

// waitInSilence is how long a wait for another process is not worth a word.
const waitInSilence = 3 * time.Second

// renewalTimeout bounds the wait for one other process that renews, and
// renewalsTimeout that for all of them: on a busy machine many stand in line, and
// each looks whether there is still something to do.
const (
	renewalTimeout  = 30 * time.Second
	renewalsTimeout = 2 * time.Minute
)

// errStuck: one process has the turn and does not go on.
var errStuck = errors.New("the same process for the whole time")

// lock waits for its turn. A caller that may not ask a person, for the reason in
// refusal, does not wait for another process's person either. waited tells whether
// another process had the turn before.
func (c *Client) lock(ctx context.Context, name string, app App, refusal error) (lease Lease, waited bool, err error) {
	limit, all := renewalTimeout, renewalsTimeout
	if refusal == nil {
		limit, all = c.cfg.LoginTimeout+renewalTimeout, c.cfg.LoginTimeout+renewalsTimeout
	}
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, stop := context.WithTimeout(ctx, all)
	defer stop()
	stuck := time.AfterFunc(limit, func() { cancel(errStuck) })
	defer stuck.Stop()
	var mu sync.Mutex
	var holder int
	told := false
	// A renewal takes a moment; it is worth a line only if it goes on.
	slow := time.AfterFunc(waitInSilence, func() {
		mu.Lock()
		defer mu.Unlock()
		if holder != 0 && !told {
			told = true
			c.tell(Event{Kind: WaitingForProcess, App: app, PID: holder})
		}
	})
	defer slow.Stop()
	lease, err = c.cfg.Locker.Lock(ctx, name, func(pid int, note string) {
		if note != "" && refusal != nil {
			cancel(&LoginRequiredError{App: app, Reason: refusal.Error(), PID: pid, URL: note})
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if holder != 0 && holder != pid {
			stuck.Reset(limit) // the line moves
		}
		holder = pid
		if note != "" {
			told = true
			c.tell(Event{Kind: WaitingForProcess, App: app, PID: pid, URL: note})
		}
	})
	mu.Lock()
	defer mu.Unlock()
	var required *LoginRequiredError
	switch {
	case err == nil:
		return lease, holder != 0, nil
	case outer.Err() != nil:
		return nil, false, outer.Err()
	case errors.As(context.Cause(ctx), &required):
		return nil, false, required
	case errors.Is(context.Cause(ctx), errStuck):
		return nil, false, &BusyError{App: app, PID: holder, After: limit}
	case ctx.Err() != nil:
		return nil, false, &BusyError{App: app, After: all} // no single one is to blame
	}
	return nil, false, fmt.Errorf("access: lock: %w", err)
}

// renew gets a new token without a person.
func (c *Client) renew(ctx context.Context, app App, u *url.URL, s session) (Credential, error) {
	if app.bearer() {
		return c.refresh(ctx, app, s) // once: a refresh token may serve once
	}
	var cr Credential
	err := retry(ctx, func() (again bool, err error) {
		cr, err = c.exchange(ctx, app, u)
		return trouble(err), err
	})
	return cr, err
}

// turn is a caller's turn to log in.
type turn struct {
	policy  Policy
	refusal error // why no person may be asked, or nil
	lease   Lease
	began   time.Time // when the caller began to wait for it
	waited  bool      // another process had it before
}

// login asks a person, if one may be asked. failed is why no renewal was possible.
func (c *Client) login(ctx context.Context, app App, u *url.URL, t turn, failed error) (Credential, error) {
	required := &LoginRequiredError{App: app}
	if !errors.Is(failed, errNoSession) {
		required.Err = failed
	}
	if t.refusal != nil {
		required.Reason = t.refusal.Error()
		return Credential{}, required
	}
	last := c.lastAttempt(app)
	since := last.Ended
	if since.IsZero() {
		since = last.Began
	}
	switch ago := c.now().Sub(since); {
	case last.Done || since.IsZero() || ago < 0:
	case last.Error != "" && last.Ended.After(t.began):
		// A person was asked while we waited and did not log in: do not ask again
		// for each process that stands in line.
		required.Reason = last.Error
		return Credential{}, required
	case t.policy.Background && !t.waited && ago < leftUndone:
		// One that waited takes over at once from a process that was killed.
		required.Reason = fmt.Sprintf("a login was left undone %s ago", ago.Round(time.Second))
		return Credential{}, required
	}
	a := attempt{Began: c.now().UTC()}
	c.saveAttempt(app, a)
	var cr Credential
	var err error
	if app.bearer() {
		cr, err = c.authorize(ctx, app, t.lease)
	} else {
		cr, err = c.transfer(ctx, app, t.lease)
	}
	if err == nil {
		err = c.proveFresh(ctx, cr, u)
	}
	a.Ended, a.Done = c.now().UTC(), err == nil
	if err != nil && ctx.Err() == nil { // Ctrl-C here is no answer for the others
		a.Error = err.Error()
	}
	c.saveAttempt(app, a)
	if err != nil {
		return Credential{}, err
	}
	cr.fresh = true
	c.tell(Event{Kind: LoginDone, App: app, Account: cr.Account, Expiry: cr.Expiry})
	return cr, nil
}

// proveFresh tries a token that was issued just now, so that an application which
// no client but a browser can pass (Binding Cookie) is named at once and not found
// out by a loop of logins.
func (c *Client) proveFresh(ctx context.Context, cr Credential, u *url.URL) error {
	answer, err := c.try(ctx, cr, u)
	if err != nil {
		return nil // the network's trouble is not the token's; the next request will tell
	}
	switch answer.Kind {
	case AnswerLogin, AnswerOAuth:
		if !cr.valid(c.now(), time.Second) {
			return nil // it has ended meanwhile, which proves nothing
		}
		if c.ofOrigin(ctx, cr, u, answer) {
			return nil
		}
		if err := c.dropSession(ctx, cr); err != nil {
			c.log.Warn("refused session not deleted", "err", err)
		}
		return &RefusedError{App: cr.App, Cause: notAccepted(cr, nil), StatusCode: answer.StatusCode, Detail: cut(answer.Detail)}
	case AnswerForbidden:
		return &RefusedError{App: cr.App, Cause: Denied, StatusCode: answer.StatusCode}
	}
	return nil
}

// try sends one HEAD request with the credential and reads the answer.
func (c *Client) try(ctx context.Context, cr Credential, u *url.URL) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	v := *u
	v.User, v.RawQuery, v.Fragment = nil, "", ""
	if v.Path == "" {
		v.Path = "/"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, v.String(), nil)
	if err != nil {
		return Answer{}, err
	}
	if !cr.Apply(req) {
		return Answer{}, fmt.Errorf("access: credential of %s does not cover %s", cr.App.Origin.Host(), redactQuery(u))
	}
	resp, err := c.do(ctx, req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	return ReadAnswer(resp), nil
}

// stillAccepted reports whether a stored session may be used as it is. It asks the
// server at most once per policy.CheckEvery and host, whoever asks, and once for each
// path that is new: it may belong to another application of the host. The error is
// that of refused.
func (c *Client) stillAccepted(ctx context.Context, cr Credential, u *url.URL, r *hostRecord, p Policy) (bool, error) {
	stale := func(r *hostRecord) bool {
		age := c.now().Sub(r.Checked)
		return age < 0 || age >= p.CheckEvery || !r.knowsPath(u.Path)
	}
	if p.CheckEvery <= 0 || !stale(r) {
		return true, nil
	}
	mine := false
	err := c.updateHost(ctx, cr.App.Origin, func(r *hostRecord) {
		if mine = stale(r); mine {
			r.Checked = c.now().UTC() // claimed before it is done, so that it is done once
			r.sawPath(u.Path)
		}
	})
	if err != nil || !mine {
		return true, nil
	}
	answer, err := c.try(ctx, cr, u)
	if err != nil || answer.Kind != AnswerLogin && answer.Kind != AnswerOAuth || c.ofOrigin(ctx, cr, u, answer) {
		return true, nil
	}
	return false, c.refused(ctx, cr, u)
}

// refused draws the consequence of an answer that wants a login although cr was
// sent: either u belongs to another application of the same host, which is learnt,
// or the session is dead and is dropped. The host is asked who it is first, whatever
// the answer says: one that has another team now gets a [*TeamChangedError], and no
// person is sent there to log in.
func (c *Client) refused(ctx context.Context, cr Credential, u *url.URL) error {
	app, err := c.discover(ctx, cr.App.Origin, u.Path, Policy{})
	var changed *TeamChangedError
	switch {
	case errors.As(err, &changed):
		return changed
	case err != nil:
		c.log.Warn("application not discovered", "err", err)
	case app.Audience != cr.App.Audience || app.Mode != cr.App.Mode:
		return nil
	}
	if err := c.Reject(ctx, cr); err != nil {
		c.log.Warn("refused session not deleted", "err", err)
	}
	return nil
}

// ofOrigin reports whether a challenge of Managed OAuth, in answer to a credential
// that is no Bearer token, comes from the server behind Access, which may guard
// itself in the same way: asked without a credential, Access wants something else.
func (c *Client) ofOrigin(ctx context.Context, cr Credential, u *url.URL, answer Answer) bool {
	if answer.Kind != AnswerOAuth || cr.Kind != JWT && cr.Kind != ServiceToken {
		return false
	}
	app, err := c.discover(ctx, cr.App.Origin, u.Path, Policy{})
	return err == nil && app.Mode != ModeOAuth
}

func (c *Client) lastAttempt(app App) attempt {
	var a attempt
	if b, err := c.cfg.Cache.Load(cacheName("attempt", lockName(app))); err == nil {
		_ = json.Unmarshal(b, &a) // unreadable counts as none
	}
	return a
}

func (c *Client) saveAttempt(app App, a attempt) {
	b, err := json.Marshal(a)
	if err == nil {
		err = c.cfg.Cache.Save(cacheName("attempt", lockName(app)), b)
	}
	if err != nil {
		c.log.Warn("login attempt not noted", "err", err)
	}
}
