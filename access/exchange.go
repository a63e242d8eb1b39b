package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// authorizedPath sets the application cookie at the end of a login [client].
const authorizedPath = "/cdn-cgi/access/authorized"

// sessionCookie ties the steps of one login together [live, client].
const sessionCookie = "CF_AppSession"

// exchange gets an application token for the team's org token, as a browser with a
// session at the team domain gets one: application → team login → application.
// Each hop is checked before anything is sent: the org token goes to the pinned
// team domain's login page and nowhere else.
func (c *Client) exchange(ctx context.Context, app App, u *url.URL) (Credential, error) {
	org, err := c.loadOrg(ctx, app.Team)
	if err != nil {
		return Credential{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()

	at := app.Origin.URL()
	if at.Path = u.Path; at.Path == "" {
		at.Path = "/"
	}
	var appSession *http.Cookie
	for hop := 0; hop < 8; hop++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, at.String(), nil)
		if err != nil {
			return Credential{}, err
		}
		onTeam := at.Scheme == "https" && at.Host == app.Team
		onApp := sameOrigin(at, app.Origin.URL())
		switch {
		case onTeam && isLoginURL(at):
			req.AddCookie(&http.Cookie{Name: tokenCookie, Value: org.Token})
		case onApp && isAuthorized(at) && appSession != nil:
			req.AddCookie(&http.Cookie{Name: appSession.Name, Value: appSession.Value})
		case !onTeam && !onApp:
			return Credential{}, fmt.Errorf("access: the login of %s leads to %s, which is neither the application nor its team", app.Origin.Host(), redactQuery(at))
		}
		resp, err := c.do(ctx, req)
		if err != nil {
			return Credential{}, err
		}
		resp.Body.Close()
		if onApp {
			for _, ck := range resp.Cookies() {
				switch {
				case ck.Name == sessionCookie:
					appSession = ck
				case ck.Name == tokenCookie && isAuthorized(at):
					return c.takeTokens(ctx, app, ck.Value, "")
				}
			}
		}
		next, err := resp.Location()
		if resp.StatusCode < 300 || resp.StatusCode >= 400 || err != nil {
			switch {
			case onTeam && resp.StatusCode == http.StatusOK:
				// The login page itself: the org token does not hold any more.
				c.dropOrg(ctx, org)
				return Credential{}, errNoSession
			case passing(resp.StatusCode):
				return Credential{}, newStatusError(resp, nil)
			}
			return Credential{}, fmt.Errorf("access: %s did not lead to the team's login (status %d)", redactQuery(at), resp.StatusCode)
		}
		at = next
	}
	return Credential{}, errors.New("access: too many redirects in the team's login")
}

func isAuthorized(u *url.URL) bool {
	p := path.Clean(u.Path)
	return p == authorizedPath || strings.HasPrefix(p, authorizedPath+"/")
}
