package accesstest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/nacl/box"
)

// blob is what the transfer host holds for one client key.
type blob struct {
	ready chan struct{} // closed once body is there
	body  []byte
	key   string
}

func (e *Edge) blob(clientKey string) *blob {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.blobs[clientKey]
	if b == nil {
		b = &blob{ready: make(chan struct{})}
		e.blobs[clientKey] = b
	}
	return b
}

// serveTransfer is the transfer host: GET /transfer/KEY is held until the
// person has approved. [client] reads any status below 500 but 200 as "not
// yet"; that it is a 404 here, and that a blob is handed out once, is [assumed].
func (e *Edge) serveTransfer(w http.ResponseWriter, r *http.Request) {
	key, ok := strings.CutPrefix(r.URL.Path, transferPath)
	if !ok || r.Method != http.MethodGet || clientKey(key) == nil {
		http.NotFound(w, r)
		return
	}
	b := e.blob(key)
	timeout := time.NewTimer(e.opt.PollTimeout)
	defer timeout.Stop()
	select {
	case <-b.ready:
	case <-timeout.C:
		http.Error(w, "not found", http.StatusNotFound)
		return
	case <-r.Context().Done():
		return
	case <-e.done:
		http.Error(w, "closing", http.StatusServiceUnavailable)
		return
	}
	e.mu.Lock()
	if e.blobs[key] == b {
		delete(e.blobs, key)
	}
	e.mu.Unlock()
	body, service := b.body, b.key
	if change := e.switches().Transfer; change != nil {
		body, service = change(key, body, service)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set(headerTransferKey, service)
	w.Write(body)
}

// clientKey decodes a client's public key: base64, URL alphabet, 32 bytes. [client]
func clientKey(s string) *[32]byte {
	b, err := base64.URLEncoding.DecodeString(s)
	if err != nil || len(b) != 32 {
		return nil
	}
	return (*[32]byte)(b)
}

// transfer seals the tokens for the client: base64 of nonce and NaCl box, the
// service's public key beside it. [client]
func (e *Edge) transfer(key string, v any) error {
	plain, err := json.Marshal(v)
	if err != nil {
		return err
	}
	pub, priv, err := box.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	var nonce [24]byte
	if _, err := io.ReadFull(rand.Reader, nonce[:]); err != nil {
		return err
	}
	sealed := box.Seal(nonce[:], plain, &nonce, clientKey(key), priv)
	b := e.blob(key)
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-b.ready: // approved twice
		return nil
	default:
	}
	b.body = []byte(base64.StdEncoding.EncodeToString(sealed))
	b.key = base64.URLEncoding.EncodeToString(pub[:])
	close(b.ready)
	return nil
}

// serveCLI is the page that the client opens in the browser: it wants the
// application's cookie, then a click, and passes the tokens on. [client]
func (e *Edge) serveCLI(w http.ResponseWriter, r *http.Request, host string, rec *entry) {
	if r.Method == http.MethodPost {
		e.clicked(w, r)
		return
	}
	q := r.URL.Query()
	a := e.findApp(func(app *App) bool { return app.named(host) && app.AUD == q.Get("aud") })
	back, err := url.Parse(q.Get("redirect_url"))
	switch {
	case a == nil:
		page(w, http.StatusBadRequest, "Unable to log in", "<p>No such application.</p>", nil)
		return
	case clientKey(q.Get("token")) == nil:
		page(w, http.StatusBadRequest, "Unable to log in", "<p>The link is damaged: its token is not a public key.</p>", nil)
		return
	case err != nil || back.Scheme != "https" || hostname(back.Host) != host:
		page(w, http.StatusBadRequest, "Unable to log in", "<p>The link leads to another site.</p>", nil)
		return
	}
	app := a.App()
	var s *session
	for _, c := range r.CookiesNamed(cookieAuthorization) {
		claims, err := a.checkToken(r, app, c.Value)
		rec.credential(TokenCookie, err)
		if err != nil || claims.IdentityNonce == "" {
			continue
		}
		e.mu.Lock()
		s = app.Team.sessions[claims.IdentityNonce]
		e.mu.Unlock()
	}
	if s == nil {
		a.redirectToLogin(w, r, app)
		return
	}
	finish := func(w http.ResponseWriter) {
		tokens := map[string]string{"app_token": a.appToken(app, s)}
		if q.Get("send_org_token") == "true" {
			tokens["org_token"] = app.Team.orgToken(s)
		}
		if err := e.transfer(q.Get("token"), tokens); err != nil {
			page(w, http.StatusInternalServerError, "Unable to log in", "<p>"+html.EscapeString(err.Error())+"</p>", nil)
			return
		}
		page(w, http.StatusOK, "Success", "<p>You are logged in to <strong>"+html.EscapeString(app.Name)+
			"</strong> as "+html.EscapeString(s.email)+". You can close this window and go back to your terminal.</p>", nil)
	}
	if app.Team.settings().AutoApprove {
		finish(w)
		return
	}
	id := e.await(r.URL.Path, func(w http.ResponseWriter, r *http.Request, answer string) {
		if answer != "approve" {
			page(w, http.StatusOK, "Denied", "<p>Nothing was handed over. You can close this window.</p>", nil)
			return
		}
		finish(w)
	})
	page(w, http.StatusOK, "Approve this request?", "<p>A program on your computer asks for access to <strong>"+
		html.EscapeString(app.Name)+"</strong> as "+html.EscapeString(s.email)+
		".</p><p>Approve only if you have just started it yourself.</p>", &form{
		action: r.URL.Path, id: id,
		buttons: []button{{"approve", "Approve", true}, {"deny", "Deny", false}},
	})
}
