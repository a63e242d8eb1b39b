package accesstest

import (
	"net/http"
	"strings"
)

// forward hands an admitted request to the origin: without what proved it,
// with the signed assertion of who it is. [cookie]
func (a *Application) forward(w http.ResponseWriter, r *http.Request, app App, v verdict, rec *entry) {
	upgrade := isWebSocket(r)
	if upgrade && app.WebSocketsOff {
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	r = r.Clone(r.Context())
	destination := r.Header.Get(headerJumpDestination)
	if !app.Bypass {
		strip(r.Header, app, v)
		r.Header.Set(headerAssertion, v.assertion)
		if v.email != "" {
			r.Header.Set(headerEmail, v.email)
		}
	}
	switch {
	case upgrade && app.TCP != nil:
		a.relay(w, r, app, destination, rec)
	case app.Origin != nil:
		app.Origin.ServeHTTP(w, r)
	case app.TCP != nil:
		// A tunnel has no HTTP answer of a TCP origin.
		http.Error(w, "Bad Request", http.StatusBadRequest)
	default:
		BadGateway.write(w)
	}
}

// strip removes what is between client and edge. The application token stays
// in its cookie ([observed]: an origin sees it, and no secret of a service token);
// that CF_Binding and cf-access-token go, and nothing under Bypass, is [assumed].
func strip(h http.Header, app App, v verdict) {
	for _, name := range []string{headerClientID, headerClientSecret, headerAccessToken, headerAssertion, headerEmail, headerMetadataRequest} {
		h.Del(name)
	}
	if app.ServiceHeader != "" && strings.HasPrefix(strings.TrimSpace(h.Get(app.ServiceHeader)), "{") {
		h.Del(app.ServiceHeader)
	}
	if v.bearer && !app.OAuth.KeepBearer {
		h.Del("Authorization")
	}
	cookies := h.Values("Cookie")
	h.Del("Cookie")
	for _, line := range cookies {
		var keep []string
		for part := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(strings.TrimSpace(part), "=")
			if name != cookieBinding && name != cookieAppSession {
				keep = append(keep, strings.TrimSpace(part))
			}
		}
		if len(keep) > 0 {
			h.Add("Cookie", strings.Join(keep, "; "))
		}
	}
}
