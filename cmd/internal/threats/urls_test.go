package threats

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// Whatever a URL or a name looks like, a credential goes to the host that a person set up, over TLS, and nothing is run or asked by it.
func TestHostileURLs(t *testing.T) {
	w := scripttest.NewWorld(t, scripttest.Git{})
	w.Set("ACCESS_INTERACTIVE=always", "GIT_ASKPASS=false", "SSH_ASKPASS=false")
	for _, host := range []string{"evil.example.com", "git.example.com.evil.example.com", "xn--gt-c6a.example.com", "xn--gt-elb.example.com", "xn--git-9dc.example.com"} {
		w.Edge.Handle(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="give"`)
			w.Header().Add("WWW-Authenticate", `Bearer realm="give", resource_metadata="https://git.example.com/.well-known/cloudflare-access-protected-resource/"`)
			w.WriteHeader(http.StatusUnauthorized)
		}))
	}
	// Really behind Access, of a team that anybody can have.
	w.Edge.AddApp(accesstest.App{Host: "team.evil.example.com", Allow: true, Team: w.Edge.AddTeam("evil")})
	for _, args := range [][]string{
		{"access", "setup", "git", "git.example.com"},
		{"access", "setup", "git", "oauth.example.com"},
		{"access", "login", "ssh.example.com"},
	} {
		if r := run(t, w, "", nil, args...); r.code != 0 {
			t.Fatalf("%s: code %d\n%s", r.what, r.code, r.stderr)
		}
	}
	secrets := kept(t, w)
	tabs := len(w.Tabs())
	w.Edge.ClearLog()

	mark := filepath.Join(w.Dir, "ran")
	touch := "touch${IFS}" + mark
	authorities := []string{
		"git.example.com@evil.example.com", "git.example.com:443@evil.example.com", "ada:x@evil.example.com", "evil.example.com/git.example.com",
		"evil.example.com?git.example.com", "evil.example.com#git.example.com", `evil.example.com\@git.example.com`, "git.example.com.evil.example.com",
		"git.example.com%0a.evil.example.com", "git.example.com%0d%0ahost=evil.example.com", "git.example.com\nhost=evil.example.com", "git.example.com%00.evil.example.com",
		"git.example.com:8443", "git.example.com:80", "g\u0456t.example.com", "g\u0131t.example.com", "g\u0130t.example.com", "git.example.com\u3002evil.example.com",
		"-oProxyCommand=" + touch, "--upload-pack=" + touch, "$(" + touch + ")", "`" + touch + "`", ";" + touch, "|" + touch, "", ".", "..", "[::1", "%67it.evil.example.com",
	}
	for _, a := range authorities {
		for _, prefix := range []string{"https://", "http://", "access::https://", "access::http://", "access::", "ssh://"} {
			run(t, w, "", nil, "git", "ls-remote", prefix+a+"/demo.git")
		}
		run(t, w, "", []string{"ACCESS_INTERACTIVE=never"}, "access-ssh-proxy", "--linger=1ms", "--hostname="+a)
		run(t, w, "", []string{"ACCESS_INTERACTIVE=never"}, "access", "token", a)
		run(t, w, "", []string{"ACCESS_INTERACTIVE=never"}, "access", "curl", "-s", "https://"+a+"/")
		for _, request := range []string{"protocol=https\nhost=" + a + "\n\n", "url=https://" + a + "/demo.git\n\n", "protocol=http\nhost=" + a + "\n\n"} {
			run(t, w, "capability[]=authtype\ncapability[]=state\n"+request, []string{"ACCESS_INTERACTIVE=never"}, "git-credential-access", "get")
		}
	}

	// ssh is configured to call access-ssh-proxy for every name, git for those that were set up.
	for _, prefix := range []string{"https://", "access::https://"} {
		run(t, w, "", nil, "git", "ls-remote", prefix+"team.evil.example.com/demo.git")
	}
	run(t, w, "url=https://team.evil.example.com/demo.git\n\n", nil, "git-credential-access", "get")

	if _, err := os.Stat(mark); err == nil {
		t.Error("a name was run as a command")
	}
	if n := len(w.Tabs()) - tabs; n != 0 {
		t.Errorf("%d browser tabs: %q", n, w.Tabs()[tabs:])
	}
	hosts := []string{"git.example.com", "oauth.example.com", "ssh.example.com", w.Team.Domain()}
	for key, secret := range secrets {
		for _, leak := range w.Edge.Leaks(secret, hosts...) {
			t.Errorf("%s went to %v", key, leak)
		}
	}
	met := map[string]bool{}
	for _, r := range w.Edge.Requests(accesstest.ByProgram) {
		met[r.Host] = true
		if len(r.Credentials) > 0 && (r.Scheme == "http" || strings.Contains(r.Host, "evil")) {
			t.Errorf("a credential in %s %s://%s%s", r.Method, r.Scheme, r.Host, r.Path)
		}
	}
	if !met["evil.example.com"] {
		t.Error("nothing came to the hostile host: the test tries nothing")
	}
}
