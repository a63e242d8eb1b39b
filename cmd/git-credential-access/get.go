package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// checkEvery is how long a session is taken for good without asking the server. git asks no helper and erases nothing when Access
// answers a revoked session with a redirect, so the helper looks for itself.
const checkEvery = 5 * time.Minute

// jarState marks the answer "the cookie is in the jar", and comes back when the server behind Access refused a request with it.
const jarState = "access:jar"

func (h *helper) get(ctx context.Context) error {
	t, err := h.host()
	if t == nil || err != nil {
		return err
	}
	again := t.req.Answered(jarState)
	switch {
	case t.byAccess() && again:
		// The cookie did not help: the application has another mode than it had.
		if _, err := t.Client.Discover(ctx, t.url); err != nil {
			return h.stop(t, err)
		}
	case again, t.byServer():
		if err := t.learnOwnLogin(ctx, h); err != nil {
			h.env.Warn("%v", err)
		}
	}
	if again && !t.byAccess() {
		return h.answer(t.req.NextHelper())
	}
	cr, err := t.Client.Credential(ctx, t.url, t.Policy(door.Caller{Origin: t.origin, Git: "git", CheckEvery: checkEvery}))
	if err == nil && again && cr.Kind == access.JWT {
		err = &access.RefusedError{App: cr.App, Cause: access.TokenNotAccepted}
	}
	if err != nil {
		return h.stop(t, err)
	}
	return h.give(t, cr)
}

// give answers with a credential, each kind in the way in which git can send it.
func (h *helper) give(t *host, cr access.Credential) error {
	switch cr.Kind {
	case access.Bearer:
		if t.byServer() {
			return h.answer(t.req.NextHelper())
		}
		if !t.req.Can(githelper.CapabilityAuthType) {
			return h.stop(t, &cli.Error{
				Err:   fmt.Errorf("%s uses Managed OAuth, and this git cannot send its tokens", t.origin.Host()),
				Hints: []string{"git 2.46 or later can"},
			})
		}
		return h.answer(&githelper.Response{
			Request:   t.req,
			Auth:      &githelper.Auth{Type: "Bearer", Credential: githelper.NewSecret(cr.Token().Reveal())},
			Ephemeral: new(true), // it is kept by us, and by nobody else
			Expiry:    cr.Expiry,
		})
	case access.ServiceToken:
		if !h.sendsServiceToken(t.origin) {
			return h.stop(t, &cli.Error{
				Err: fmt.Errorf("%s has a service token, which git cannot get from a credential helper", t.origin.Host()),
				Hints: []string{
					fmt.Sprintf("run git with it: access run %s -- git …", t.origin.Host()),
					fmt.Sprintf("to use a person's session in its place: access service-token remove %s", t.origin.Host()),
				},
				Code: cli.ExitRefused,
			})
		}
	case access.None:
		if !t.setUp {
			return nil
		}
	}
	if cr.Kind != access.ServiceToken {
		if err := t.WriteJar(cr); err != nil {
			return h.stop(t, err)
		}
	}
	if t.byServer() {
		return h.answer(t.req.NextHelper())
	}
	return h.answer(t.req.CookieInJar(jarState, t.note.OwnLogin))
}

func (h *helper) answer(r *githelper.Response) error {
	_, err := r.WriteTo(h.env.Stdout)
	return err
}

// stop ends git: what it could do next is ask the person for a password that does not exist. The error stands above git's own.
func (h *helper) stop(t *host, err error) error {
	if werr := h.answer(t.req.Stop()); werr != nil {
		h.env.Warn("%v", werr)
	}
	return err
}

// sendsServiceToken reports whether the git that asks was given the service token's headers in its environment, as by "access run".
func (h *helper) sendsServiceToken(o access.Origin) bool {
	want := strings.ToLower("http." + string(o) + "/.extraheader")
	for _, kv := range h.env.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "GIT_CONFIG_KEY_") && strings.ToLower(value) == want:
			n := strings.TrimPrefix(name, "GIT_CONFIG_KEY_")
			if isServiceTokenHeader(h.env.Getenv("GIT_CONFIG_VALUE_" + n)) {
				return true
			}
		case name == "GIT_CONFIG_PARAMETERS": // git below 2.31
			if _, rest, ok := strings.Cut(strings.ToLower(value), want); ok && isServiceTokenHeader(strings.TrimLeft(rest, "'=")) {
				return true
			}
		}
	}
	return false
}

func isServiceTokenHeader(s string) bool {
	return strings.HasPrefix(strings.ToLower(s), "cf-access-client-")
}
