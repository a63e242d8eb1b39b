package accesstest

import (
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// verdict is what the edge thinks of a request to an application.
type verdict struct {
	pass      bool
	creds     []Credential // everything presented
	email     string       // of the person
	common    string       // or client id of the service token
	assertion string       // token for the origin
	cookies   []*http.Cookie
	status    int  // strict refusal: 401 or 403
	bearer    bool // passed by Managed OAuth
}

// judge looks at the credentials of a request.
func (a *Application) judge(r *http.Request, app App) verdict {
	var v verdict
	if app.Bypass {
		v.pass = true
		return v
	}
	a.judgeService(&v, r, app)
	if v.pass || v.status != 0 {
		return v
	}
	a.judgeBearer(&v, r, app)
	a.judgeJWT(&v, r, app)
	return v
}

func (a *Application) judgeService(v *verdict, r *http.Request, app App) {
	p := presentedService(r, app)
	if !p.present {
		return
	}
	kind := ServiceHeaders
	if p.single {
		kind = ServiceSingleHeader
	}
	svc, err := app.Team.authenticate(p.id, p.secret)
	if app.Strict && p.malformed != nil {
		err = p.malformed
	}
	status := http.StatusUnauthorized
	if err == nil && !slices.Contains(app.Services, svc) {
		err, status = errors.New("not admitted by the policy"), http.StatusForbidden
	}
	v.add(kind, err)
	if err != nil {
		if app.Strict {
			v.status = status
		}
		return
	}
	v.pass, v.common = true, svc.ID
	v.assertion = app.Team.issue(tokenClaims{AUD: []string{app.AUD}, Type: "app", CommonName: svc.ID}, app.session())
	if !app.Strict { // [service]: strict gives none back
		v.cookies = a.appCookies(app, v.assertion)
	}
}

// judgeJWT looks for an application token where [cli], [cookie] and [observed] have it accepted.
// Authorization is not among them.
func (a *Application) judgeJWT(v *verdict, r *http.Request, app App) {
	try := func(kind Kind, tok string) {
		c, err := a.checkToken(r, app, tok)
		if err == nil && app.OAuth != nil && app.OAuth.RefuseJWT {
			err = errors.New("this application takes no JWT")
		}
		v.add(kind, err)
		if err == nil && !v.pass {
			v.pass, v.email, v.common, v.assertion = true, c.Email, c.CommonName, tok
		}
	}
	for _, tok := range r.Header.Values(headerAccessToken) {
		try(TokenHeader, tok)
	}
	for _, c := range r.CookiesNamed(cookieAuthorization) {
		try(TokenCookie, c.Value)
	}
	for _, tok := range r.Header.Values(headerAssertion) {
		try(TokenAssertion, tok)
	}
}

func (a *Application) checkToken(r *http.Request, app App, tok string) (tokenClaims, error) {
	c, err := app.Team.verify(tok, "app")
	if err != nil {
		return c, err
	}
	a.edge.mu.Lock()
	since := a.revoked
	a.edge.mu.Unlock()
	if err := app.Team.live(tok, c, since); err != nil {
		return c, err
	}
	switch {
	case !slices.Contains(c.AUD, app.AUD):
		return c, errors.New("audience of another application")
	case c.CommonName != "" && !app.Allow: // [observed]
		return c, errors.New("token of a service token, and no Allow policy")
	case c.CommonName == "" && !app.admits(c.Email):
		return c, errors.New("not admitted by the policy")
	}
	if app.BindingCookie {
		b, err := r.Cookie(cookieBinding)
		if err != nil || b.Value != binding(tok) {
			return c, errors.New("CF_Binding is missing")
		}
	}
	return c, nil
}

// appCookies are the cookies that go with an application token.
func (a *Application) appCookies(app App, tok string) []*http.Cookie {
	path := "/"
	if app.PathCookie && app.Path != "" {
		path = app.Path
	}
	cookies := []*http.Cookie{{
		Name: cookieAuthorization, Value: tok, Path: path,
		// The public client takes the cookie only with a time in the future. [client]
		Expires: a.edge.now().Add(app.session()), Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode,
	}}
	if app.BindingCookie {
		cookies = append(cookies, &http.Cookie{Name: cookieBinding, Value: binding(tok), Path: path,
			Expires: a.edge.now().Add(app.session()), Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode})
	}
	return cookies
}

// refuse tells the client what is wanted.
func (a *Application) refuse(w http.ResponseWriter, r *http.Request, app App, v verdict) {
	switch {
	case v.status != 0: // strict service token; what else such an answer carries is [assumed]
		a.forbid(w, r, app, v.status)
	case app.Allow && app.OAuth != nil && !app.OAuth.browser(r):
		a.challengeOAuth(w, r, app)
	case app.Allow && r.Header.Get("X-Requested-With") == "XMLHttpRequest": // [session]
		w.Header().Set("WWW-Authenticate", challenge(r))
		page(w, http.StatusUnauthorized, "Log in", "<p>Your session has ended.</p>", nil)
	case app.Allow:
		a.redirectToLogin(w, r, app)
	case app.ServiceAuth401:
		a.forbid(w, r, app, http.StatusUnauthorized)
	default:
		a.forbid(w, r, app, http.StatusForbidden)
	}
}

// challenge is the header that came with a login redirect. [observed]
func challenge(r *http.Request) string {
	return fmt.Sprintf(`Cloudflare-Access resource_metadata="%s"`, resourceURL(r))
}

func resourceURL(r *http.Request) string {
	return "https://" + r.Host + pathResource + r.URL.EscapedPath()
}

// forbid is the answer of an application that only service tokens may pass. [observed]
func (a *Application) forbid(w http.ResponseWriter, r *http.Request, app App, status int) {
	w.Header().Set(headerAUD, app.AUD)
	w.Header().Set(headerDomain, app.Host+app.Path)
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		writeJSON(w, status, map[string]any{
			"message":     "Forbidden. You don't have permission to view this. Please contact your system administrator.",
			"status_code": status,
			"aud":         app.AUD,
			"app_domain":  app.Host + app.Path,
		})
		return
	}
	page(w, status, "Forbidden", "<p>You do not have permission to view <strong>"+html.EscapeString(app.Name)+"</strong>.</p>", nil)
}

// redirectToLogin sends a person to the team's login page. [observed]
func (a *Application) redirectToLogin(w http.ResponseWriter, r *http.Request, app App) {
	secret := token(16)
	now := a.edge.now()
	http.SetCookie(w, &http.Cookie{Name: cookieAppSession, Value: secret, Path: "/",
		Expires: now.Add(24 * time.Hour), Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode})
	w.Header().Set("WWW-Authenticate", challenge(r))
	w.Header().Set("Cache-Control", "private, max-age=0, no-store, no-cache, must-revalidate, post-check=0, pre-check=0")
	w.Header().Set("Location", app.loginURL(r.Host, r.URL.RequestURI(), app.loginMeta(r.Host, secret, now)))
	w.WriteHeader(http.StatusFound)
}

func (app *App) loginURL(host, back, meta string) string {
	q := url.Values{"kid": {app.AUD}, "meta": {meta}, "redirect_url": {back}}
	return app.Team.URL() + pathLogin + host + "?" + q.Encode()
}

// hasCertificate reports whether the client showed a certificate of one of the
// authorities.
func hasCertificate(r *http.Request, roots *x509.CertPool) bool {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return false
	}
	between := x509.NewCertPool()
	for _, c := range r.TLS.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := r.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err == nil
}
