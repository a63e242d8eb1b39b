package doctor

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/state"
)

// tokenVars are the pairs in which service tokens come.
var tokenVars = [][2]string{{"CF_ACCESS_CLIENT_ID", "CF_ACCESS_CLIENT_SECRET"}, {"TUNNEL_SERVICE_TOKEN_ID", "TUNNEL_SERVICE_TOKEN_SECRET"}}

func (x *Exam) environment() {
	get := x.Env.Getenv
	for _, v := range tokenVars {
		id, secret := get(v[0]), get(v[1])
		switch {
		case (id == "") != (secret == ""):
			x.half = true
			missing := v[0]
			if secret == "" {
				missing = v[1]
			}
			x.fault("environment", "service-token-half", fmt.Sprintf("of a service token's two halves one is set and %s is not", missing), "set "+missing+", or unset the other one")
		case id != "" && get("ACCESS_HOSTS") == "":
			x.warn("environment", "service-token-unbound", fmt.Sprintf("%s is set and ACCESS_HOSTS is not: the token goes to hosts that are named on a command line alone, and git by itself gets none", v[0]),
				"say where it may go: ACCESS_HOSTS="+x.hostOr("git.example.com"))
		case id != "":
			x.ok("environment", fmt.Sprintf("the service token %s is for %s", id, get("ACCESS_HOSTS")))
		}
	}
	if name := door.ForbidsLogin(get); name != "" {
		x.warn("environment", "login-forbidden", fmt.Sprintf("%s=%s: no command opens a login here", name, get(name)), "unset "+name+", or log in elsewhere beforehand")
	}
	if door.IsSet(get("CI")) {
		x.warn("environment", "login-forbidden", "CI is set: no command opens a login here", "give the job a service token: set CF_ACCESS_CLIENT_ID, CF_ACCESS_CLIENT_SECRET and ACCESS_HOSTS="+x.hostOr("HOST"))
	}
	if lower, upper := get("https_proxy"), get("HTTPS_PROXY"); lower != "" && upper != "" && lower != upper {
		x.warn("environment", "proxies-differ", "https_proxy and HTTPS_PROXY name different proxies; https_proxy counts", "unset one of them")
	}
	if get("GIT_SSL_NO_VERIFY") != "" {
		x.fault("environment", "git-no-verify", "GIT_SSL_NO_VERIFY is set: git does not check to whom it sends the session", "unset GIT_SSL_NO_VERIFY")
	}
}

func (x *Exam) hostOr(other string) string {
	if x.Host != "" {
		return x.Host
	}
	return other
}

// folders looks at who may change what the programs trust.
func (x *Exam) folders() {
	dir := x.Door.State.Path()
	err := state.CheckDir(dir)
	var unsafe *state.UnsafePathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.ok("folder", dir+" (not there yet)")
	case errors.As(err, &unsafe):
		x.unsafe = true
		x.fault("folder", "state-folder", err.Error(), "make it yours alone: chmod 700 "+dir)
	case err != nil:
		x.unsafe = true
		x.fault("folder", "state-folder", err.Error(), "see what is there: "+dir)
	default:
		x.ok("folder", dir)
	}
}
