package accesstest

import "net/http"

// OAuth are the switches of Managed OAuth.
type OAuth struct {
	RefuseJWT    bool
	MethodString bool
	KeepBearer   bool
	Document     func(map[string]any)
}

func (o *OAuth) browser(*http.Request) bool                                             { return false }
func (a *Application) challengeOAuth(http.ResponseWriter, *http.Request, App, verdict)  {}
func (a *Application) serveOAuthDocuments(http.ResponseWriter, *http.Request, App) bool { return false }
func (a *Application) judgeBearer(*verdict, *http.Request, App)                         {}
func (t *Team) serveOAuth(http.ResponseWriter, *http.Request) bool                      { return false }
func (e *Edge) revokeGrants(*Application)                                               {}
func (t *Team) serveCertSign(w http.ResponseWriter, r *http.Request)                    { http.NotFound(w, r) }

type sshAuthority struct{}
