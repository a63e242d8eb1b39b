package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

const curlHelpText = `Usage: curl [options...] <url>
 -b, --cookie <data|filename> Send cookies
 -d, --data <data>        HTTP POST data
 -e, --referer <URL>      Referrer URL
 -f, --fail               Fail fast
 -H, --header <header/@file> Pass custom header
 -L, --location           Follow redirects
     --location-trusted   Like --location, and send auth to other hosts
 -:, --next               Make next URL use its separate set of options
 -o, --output <file>      Write to file
 -s, --silent             Silent mode
     --tls13-ciphers <list> ciphers
     --url <url>          URL to work with
 -u, --user <user:password> Server user and password
 -v, --verbose            talkative
 -x, --proxy [protocol://]host[:port] Use this proxy
`

func TestParseCurl(t *testing.T) {
	o := readCurlHelp(strings.Replace(curlHelpText, "[protocol://]host[:port]", "<[protocol://]host[:port]>", 1))
	for _, tt := range []struct {
		args  string
		host  string
		curl  string // "": as args
		login bool
	}{
		{args: "https://a.example.com/x", host: "a.example.com"},
		{args: "-sSf a.example.com/x -o b.example.com", host: "a.example.com", curl: "-sSf https://a.example.com/x -o b.example.com"},
		{args: "-sob.example.com https://a.example.com/", host: "a.example.com"},
		{args: "-x http://proxy:3128 -e https://c.example.com/ https://a.example.com/", host: "a.example.com"},
		{args: "--refer https://c.example.com/ --url a.example.com", host: "a.example.com", curl: "--refer https://c.example.com/ https://a.example.com"},
		{args: "-LsH x:y -d https://b.example.com/ https://a.example.com:8443/", host: "a.example.com:8443"},
		{args: "-uada:secret https://a.example.com", host: "a.example.com", login: true},
		{args: "-H authorization:x https://a.example.com", host: "a.example.com", login: true},
		{args: "https://ada:secret@a.example.com/", host: "a.example.com", login: true},
		{args: "https://a.example.com/1 - https://a.example.com/2"},
		{args: "https://a.example.com/ https://{b,c}.example.com/"},
		{args: "-s"},
		{args: "-: https://a.example.com/"},
		{args: "-s --location-trusted https://a.example.com/"},
		{args: "ftp://a.example.com/"},
	} {
		c, err := parseCurl(strings.Fields(tt.args), o)
		if tt.host == "" {
			if err == nil {
				t.Errorf("%s: taken for %s", tt.args, c.origin)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.args, err)
			continue
		}
		if tt.curl == "" {
			tt.curl = tt.args
		}
		if got := strings.Join(c.args, " "); c.origin.Host() != tt.host || got != tt.curl || c.login != tt.login {
			t.Errorf("%s: host %s, login %t\n%s", tt.args, c.origin.Host(), c.login, cmp.Diff(tt.curl, got))
		}
	}
}

// Whatever the credential is, a redirect takes it to no other host, and --location
// works where it can.
func TestCurlRedirects(t *testing.T) {
	scripttest.Need(t, "curl", "curl")
	w := scripttest.NewWorld(t, scripttest.Git{})
	w.Edge.Handle("else.example.com", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Write([]byte("elsewhere"))
	}))
	for host := range w.Apps {
		w.Apps[host].Set(func(a *accesstest.App) {
			a.Origin = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/far":
					http.Redirect(rw, r, "https://else.example.com/", http.StatusFound)
				case "/near":
					http.Redirect(rw, r, "/here", http.StatusFound)
				default:
					rw.Write([]byte("here"))
				}
			})
		})
	}
	run := func(env []string, args ...string) (string, string, error) {
		cmd := w.Command(patient(t), "access", args...)
		cmd.Env = append(cmd.Env, env...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		return stdout.String(), stderr.String(), err
	}
	more := w.Dir + "/more"
	if err := os.WriteFile(more, []byte("url = https://else.example.com/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	service := []string{"CF_ACCESS_CLIENT_ID=" + w.Service.ID, "CF_ACCESS_CLIENT_SECRET=" + w.Service.Secret()}
	for _, tt := range []struct {
		host   string
		env    []string
		follow bool
	}{{"git.example.com", nil, true}, {"oauth.example.com", nil, true}, {"ci.example.com", service, false}} {
		secret := w.Service.Secret()
		if tt.env == nil {
			if _, stderr, err := run(nil, "login", tt.host); err != nil {
				t.Fatalf("%v: %s", err, stderr)
			}
			token, _, err := run(nil, "token", tt.host)
			if err != nil {
				t.Fatal(err)
			}
			secret = strings.TrimSpace(token)
		}
		for _, path := range []string{"near", "far"} {
			out, stderr, err := run(tt.env, "curl", "-sSL", "https://"+tt.host+"/"+path)
			want := map[string]string{"near": "here", "far": "elsewhere"}[path]
			if path == "far" && !tt.follow {
				if _, ok := err.(*exec.ExitError); !ok || out == want {
					t.Errorf("%s %s: %q, %v", tt.host, path, out, err)
				}
			} else if err != nil || out != want {
				t.Errorf("%s %s: %q, %v: %s", tt.host, path, out, err, stderr)
			}
		}
		// Nor does a URL in a file, which we do not read.
		if out, stderr, err := run(tt.env, "curl", "-sS", "-K", more, "https://"+tt.host+"/"); err != nil || !strings.HasSuffix(out, "here") {
			t.Errorf("%s: a file with another URL: %q, %v: %s", tt.host, out, err, stderr)
		}
		if leaks := w.Edge.Leaks(secret, tt.host, w.Team.Domain(), "login.cloudflareaccess.org"); len(leaks) > 0 {
			t.Errorf("%s: %v", tt.host, leaks)
		}
	}
	if n := len(w.Edge.Requests(accesstest.ToHost("else.example.com"))); n != 3 {
		t.Errorf("%d requests elsewhere, want two of the session and one of the OAuth token", n)
	}
	if _, err := os.Stat(w.Dir + "/state/jar"); err == nil {
		t.Error("a cookie file was left behind")
	}
}
