package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/githelper"
)

// serverLogin answers with what is kept of the server's own login, or else with otherwise, which may be nil. A request that Access refused
// is not answered so: Access does not know the login, and need not see it.
func (h *helper) serverLogin(ctx context.Context, req *githelper.Request, otherwise *githelper.Response) error {
	if otherwise == nil {
		otherwise = &githelper.Response{Request: req}
	}
	if !h.keeps || byAccess(req) {
		return h.answer(otherwise)
	}
	var answer *githelper.Response
	logins, err := h.logins()
	if err == nil {
		answer, err = logins.Get(ctx, req)
	}
	if answer == nil || err != nil {
		if werr := h.answer(otherwise); werr != nil {
			return werr
		}
		return err // git goes on to the next helper, or asks the person
	}
	if otherwise.Ephemeral != nil { // of the first round, see [githelper.Request.NextHelper]
		answer.Ephemeral = otherwise.Ephemeral
	}
	return h.answer(answer)
}

// store keeps what worked, if it is the server's own. That Access let a request pass is no thing to keep: its tokens have their place, and
// git says "store" of every answer, those of other helpers included, and after a login page that came with status 200.
func (h *helper) store(ctx context.Context) error {
	if !h.keeps {
		return nil
	}
	req, err := githelper.ReadRequest(h.env.Stdin)
	if err != nil {
		return err
	}
	t, err := h.host(req)
	if err != nil {
		return err
	}
	if isAccessToken(req.Password) || isAccessToken(req.Credential) {
		return nil
	}
	if t != nil {
		app, _ := t.Client.Lookup(t.url)
		switch {
		case req.Username == "" && req.Password.Empty() && req.Credential.Empty(): // our answer to git below 2.46
			return nil
		case app.Mode == access.ModeOAuth && !req.Credential.Empty(): // the header is Access's
			return nil
		case isTokenOf(app.Team, req.Password), isTokenOf(app.Team, req.Credential):
			return nil
		}
	}
	logins, err := h.logins()
	if err != nil {
		return err
	}
	_, err = logins.Save(ctx, req)
	return err
}

// forgetLogin drops the server's own login that was refused.
func (h *helper) forgetLogin(ctx context.Context, req *githelper.Request) error {
	if !h.keeps || byAccess(req) {
		return nil
	}
	logins, err := h.logins()
	if err != nil {
		return err
	}
	return logins.Erase(ctx, req)
}

func (h *helper) logins() (*githelper.Logins, error) {
	d, err := h.open()
	if err != nil {
		return nil, err
	}
	return d.Logins(), nil
}

// accessIssuers are the domains of all teams, FedRAMP's included.
var accessIssuers = []string{".cloudflareaccess.com", ".fed.cloudflareaccess.com"}

// isAccessToken reports whether a secret is a token of Access, whoever brought it to git: a JWT that a team has issued, or an access
// token of Managed OAuth.
func isAccessToken(s githelper.Secret) bool {
	if strings.HasPrefix(s.Reveal(), "oauth:") {
		return true
	}
	issuer := issuerOf(s)
	for _, domain := range accessIssuers {
		if strings.HasSuffix(issuer, domain) {
			return true
		}
	}
	return false
}

// isTokenOf reports whether a secret is a JWT of the team, which may have a domain of its own.
func isTokenOf(team string, s githelper.Secret) bool { return team != "" && issuerOf(s) == team }

// issuerOf returns the host of a JWT's issuer, or "". Nothing is trusted by it.
func issuerOf(s githelper.Secret) string {
	parts := strings.Split(s.Reveal(), ".")
	if len(parts) != 3 {
		return ""
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err != nil || json.Unmarshal(b, &claims) != nil {
		return ""
	}
	u, err := url.Parse(claims.Issuer)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
