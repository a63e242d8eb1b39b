package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// Marks of our answers, which come back when the server refused a request with them.
const (
	jarState   = "access:jar"         // the session is in the cookie file
	againState = "access:jar-again"   // the same, after Access refused one
	tokenState = "access:token:"      // and the token's mark
	lastState  = "access:token-again" // a token, after Access refused one
)

// sent is what of ours was on the request that was refused.
type sent struct {
	cookie, token bool
	again         bool   // one had been refused before, and this is what came of looking at it
	mark          string // of the token, if git tells
}

func (t *host) sent() (s sent) {
	for _, state := range t.req.State {
		m, isToken := strings.CutPrefix(state, tokenState)
		switch {
		case isToken, state == lastState:
			return sent{token: true, again: !isToken, mark: m}
		case state == jarState, state == againState:
			return sent{cookie: true, again: state == againState}
		}
	}
	// git drops the state with the first request that succeeds, and keeps the authtype.
	return sent{cookie: t.req.Has("authtype") && t.req.AuthType == "", token: strings.EqualFold(t.req.AuthType, "bearer")}
}

// mark tells a token from its successors, and nothing about it.
func mark(cr access.Credential) string {
	sum := sha256.Sum256([]byte(cr.Token().Reveal()))
	return hex.EncodeToString(sum[:4])
}

// give answers with a credential, each kind in the way in which git can send it.
func (h *helper) give(ctx context.Context, t *host, cr access.Credential, state string) error {
	switch cr.Kind {
	case access.ServiceToken:
		if !h.sendsHeader(t.origin, "cf-access-client-") {
			return h.stop(t, &cli.Error{
				Err: fmt.Errorf("%s has a service token, which git cannot get from a credential helper", t.origin.Host()),
				Hints: []string{
					fmt.Sprintf("run git with it: access run %s -- git …", t.origin.Host()),
					"git can send a person's session; " + door.WithoutServiceToken(cr.Source(), t.origin.Host()),
				},
				Code: cli.ExitRefused,
			})
		}
	case access.None:
		if !t.setUp {
			return h.serverLogin(ctx, t.req, nil)
		}
	}
	if cr.Kind == access.JWT && t.reads && cr.App.Path != "" && !slices.Contains(t.note.Paths, cr.App.Path) {
		return h.stop(t, &cli.Error{
			Err:   fmt.Errorf("%s%s is an application of its own, and git has no cookie file for it yet", t.origin.Host(), cr.App.Path),
			Hints: []string{setUpRepository(t.url)},
		})
	}
	if cr.Kind != access.ServiceToken {
		if err := t.WriteJar(cr); err != nil { // a stale cookie beside a token would be judged, too
			return h.stop(t, err)
		}
	}
	switch {
	case cr.Kind == access.Bearer && h.sendsHeader(t.origin, "authorization: bearer "):
		if state != jarState {
			return h.stop(t, &cli.Error{
				Err:   fmt.Errorf("the token for %s that git was given in its environment has ended", t.origin.Host()),
				Hints: []string{fmt.Sprintf("run it again: access run %s -- …", t.origin.Host())},
			})
		}
		return h.answer(t.req.CookieInJar(jarState, false)) // there is no second one to send
	case cr.Kind == access.Bearer:
		if state != lastState {
			state = tokenState + mark(cr)
		}
		return h.answer(t.req.BearerToken(githelper.NewSecret(cr.Token().Reveal()), cr.Expiry, state))
	case t.byServer():
		return h.serverLogin(ctx, t.req, t.req.NextHelper())
	case t.note.OwnLogin && !t.req.Can(githelper.CapabilityState): // there is one round alone
		return h.serverLogin(ctx, t.req, t.req.CookieInJar(state, true))
	}
	if state == lastState {
		state = jarState // the first cookie
	}
	return h.answer(t.req.CookieInJar(state, t.note.OwnLogin))
}

// setUpRepository is the command that sets a repository up. People copy it, and a submodule names whatever URL it likes; url.URL leaves
// no single quotation mark in one.
func setUpRepository(u *url.URL) string {
	repository, _, _ := strings.Cut(u.String(), "/info/lfs")
	if strings.ContainsAny(repository, "$&;,=@+*()!~") {
		repository = "'" + repository + "'"
	}
	return "access setup git " + repository
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

// sendsHeader reports whether the git that asks was given a header for the origin in its environment, as by "access run".
func (h *helper) sendsHeader(o access.Origin, prefix string) bool {
	const extraHeader = "/.extraheader"
	section := strings.ToLower("http." + string(o)) // and the path of an application, if it has one
	isHeader := func(key string) bool {
		path, ok := strings.CutPrefix(strings.ToLower(key), section)
		return ok && strings.HasPrefix(path, "/") && strings.HasSuffix(path, extraHeader)
	}
	for _, kv := range h.env.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "GIT_CONFIG_KEY_") && isHeader(value):
			n := strings.TrimPrefix(name, "GIT_CONFIG_KEY_")
			if strings.HasPrefix(strings.ToLower(h.env.Getenv("GIT_CONFIG_VALUE_"+n)), prefix) {
				return true
			}
		case name == "GIT_CONFIG_PARAMETERS": // git below 2.31
			words := strings.Split(value, "'") // 'key=value', and 'key'='value' of -c in newer ones
			for i, word := range words {
				key, header, one := strings.Cut(word, "=")
				if !one && i+2 < len(words) {
					header = words[i+2]
				}
				if isHeader(key) && strings.HasPrefix(strings.ToLower(header), prefix) {
					return true
				}
			}
		}
	}
	return false
}
