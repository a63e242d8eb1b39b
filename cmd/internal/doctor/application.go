package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
)

// application asks the host who it is.
func (x *Exam) application(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	app, err := x.Door.Client.Discover(ctx, x.URL)
	if err != nil {
		x.refused("application", err)
		return
	}
	x.mode = app.Mode
	if app.Mode == access.ModeOpen {
		x.warn("application", "not-behind-access", x.Host+" lets everyone in without a login: no Access application, or a Bypass policy for where you are",
			"if Access should guard it, ask your administrator; if it guards a part of the host, name that: access doctor https://"+x.Host+"/…")
		return
	}
	what := map[access.Mode]string{
		access.ModeLogin: "a person's login", access.ModeOAuth: "Managed OAuth", access.ModeServiceToken: "service tokens alone",
	}[app.Mode]
	text := fmt.Sprintf("%s admits %s", x.Host, what)
	if app.Path != "" {
		text += " at " + app.Path
	}
	x.ok("application", text)
	if app.Team != "" {
		x.ok("team", app.Team+", as it was at first")
	}
}

// causes are the names of what Access may have against a request.
var causes = map[access.Cause]string{
	access.TokenNotAccepted:       "binding-cookie",
	access.ServiceTokenRequired:   "service-token-required",
	access.ServiceTokenInvalid:    "service-token-refused",
	access.ServiceTokenNotAllowed: "service-token-refused",
	access.ServiceTokenRefused:    "service-token-refused",
	access.Denied:                 "denied",
	access.NotWithOAuth:           "oauth-only",
	access.Blocked:                "firewall",
	access.TunnelDown:             "tunnel-down",
	access.OriginDown:             "origin-down",
	access.CaptivePortal:          "captive-portal",
}

func (x *Exam) refused(check string, err error) {
	text, hints := explained(err)
	var (
		refused *access.RefusedError
		changed *access.TeamChangedError
		login   *access.LoginRequiredError
		found   *access.DiscoveryError
	)
	name := "access"
	switch {
	case errors.As(err, &changed):
		check, name = "team", "team-changed"
	case errors.As(err, &refused):
		name = causes[refused.Cause]
	case errors.As(err, &login):
		name = "no-session"
	case errors.As(err, &found):
		name = "discovery"
		text = "what the host says of its Access application cannot be trusted or read: " + text
		hints = append(hints, "if this goes on, something between you and "+x.Host+" changes its answers, or it is not behind Access any more")
	}
	if len(hints) == 0 {
		hints = []string{"see what a login says: access login " + x.Host}
	}
	x.fault(check, name, text, hints...)
}

// credential has the host try what there is for it.
func (x *Exam) credential(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	x.expiring(ctx)
	held, err := x.session(ctx)
	if err != nil {
		return // told by the keystore's check
	}
	p := access.Policy{Named: x.Origin, Login: func(context.Context) error { return errors.New("the doctor asks nobody") }}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, x.URL.String(), nil)
	if err != nil {
		x.fault("session", "session", err.Error())
		return
	}
	resp, err := x.Door.Client.Transport(x.Door.Transport, p).RoundTrip(req)
	var login *access.LoginRequiredError
	switch {
	case errors.As(err, &login) && held:
		x.fault("session", "session-refused", x.Host+" does not accept the session any more: it was revoked, or has expired, and could not be renewed", "access login "+x.Host)
	case errors.As(err, &login):
		x.fault("session", "no-session", "nobody is logged in to "+x.Host, "access login "+x.Host)
	case err != nil:
		x.refused("session", err)
	default:
		resp.Body.Close()
		x.accepted(ctx, p, resp)
	}
}

func (x *Exam) accepted(ctx context.Context, p access.Policy, resp *http.Response) {
	text := fmt.Sprintf("accepted by %s (the server behind it answers %d)", x.Host, resp.StatusCode)
	if cr, err := x.Door.Client.Credential(ctx, x.URL, p); err == nil {
		switch {
		case cr.Kind == access.ServiceToken:
			text = fmt.Sprintf("service token %s: %s", cr.ClientID(), text)
		case !cr.Expiry.IsZero():
			text += ", holds for " + door.SessionLength(cr.App, time.Until(cr.Expiry))
		}
	}
	x.ok("session", text)
	if www := resp.Header.Get("Www-Authenticate"); resp.StatusCode == http.StatusUnauthorized && strings.HasPrefix(strings.ToLower(www), "basic") {
		x.note("session", "the server behind Access wants a login of its own, too")
	}
}

// session reports whether there is a stored session for the host.
func (x *Exam) session(ctx context.Context) (bool, error) {
	all, err := x.Door.Client.Sessions(ctx)
	for _, s := range all {
		if s.Origin == x.Origin {
			return true, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return false, err
}

// expiring warns of a service token a week ahead [doc: service tokens].
func (x *Exam) expiring(ctx context.Context) {
	all, _ := x.Door.Client.ServiceTokens(ctx) // one that cannot be read cannot be warned of
	for _, t := range all {
		if left := time.Until(t.Expiry); t.Origin == x.Origin && !t.Expiry.IsZero() && left < 7*24*time.Hour {
			x.warn("service-token", "service-token-ends", fmt.Sprintf("the service token %s ends on %s", t.ClientID, t.Expiry.Format(time.DateOnly)),
				"have it renewed or a new one made, then: access service-token add "+x.Host)
		}
	}
}
