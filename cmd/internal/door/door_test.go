package door

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/keystore"
)

// testEnv is a process with the variables given, "NAME=value".
func testEnv(t *testing.T, vars ...string) (*cli.Env, *bytes.Buffer) {
	t.Helper()
	m := map[string]string{"ACCESS_STATE_DIR": t.TempDir(), "ACCESS_KEYSTORE": "file"}
	for _, kv := range vars {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	var stderr bytes.Buffer
	return &cli.Env{
		Name: "prog", Stdin: strings.NewReader(""), Stdout: &bytes.Buffer{}, Stderr: &stderr,
		Getenv: func(k string) string { return m[k] },
		Environ: func() (out []string) {
			for k, v := range m {
				out = append(out, k+"="+v)
			}
			return out
		},
	}, &stderr
}

const host = access.Origin("https://git.example.com")

func TestMayAsk(t *testing.T) {
	tests := []struct {
		name   string
		caller Caller
		vars   []string
		why    string // "" allows
	}{
		{"a host nobody named", Caller{}, []string{"ACCESS_INTERACTIVE=always"}, "was not set up"},
		{"named, a person said so", Caller{Named: true}, []string{"ACCESS_INTERACTIVE=always"}, ""},
		{"an explicit login needs no terminal", Caller{Named: true, Explicit: true}, nil, ""},
		{"a window needs no terminal", Caller{Named: true, Window: true}, nil, ""},
		{"a window in CI is nobody's", Caller{Named: true, Window: true}, []string{"CI=true", "DISPLAY=:0"}, "CI is set"},
		{"CI", Caller{Named: true, Explicit: true}, []string{"CI=true"}, "CI is set"},
		{"CI=false is no CI", Caller{Named: true, Explicit: true}, []string{"CI=false"}, ""},
		{"never", Caller{Named: true, Explicit: true}, []string{"ACCESS_INTERACTIVE=never"}, "ACCESS_INTERACTIVE=never"},
		{"GCM's never", Caller{Named: true}, []string{"GCM_INTERACTIVE=False", "ACCESS_INTERACTIVE=always"}, "GCM_INTERACTIVE=False"},
		{"git's terminal prompts are off", Caller{Named: true}, []string{"GIT_TERMINAL_PROMPT=0", "ACCESS_INTERACTIVE=always"}, "GIT_TERMINAL_PROMPT=0"},
		{"git's terminal prompts are on", Caller{Named: true}, []string{"GIT_TERMINAL_PROMPT=1", "ACCESS_INTERACTIVE=always"}, ""},
		{"an editor fetches by itself", Caller{Named: true}, []string{"VSCODE_GIT_FETCH_SILENT=true", "ACCESS_INTERACTIVE=always"}, "background"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			env, _ := testEnv(t, tt.vars...)
			d, err := Open(env, nil)
			if err != nil {
				t.Fatal(err)
			}
			tt.caller.Origin = host
			err = d.MayAsk(t.Context(), tt.caller)
			if tt.why == "" && err != nil || tt.why != "" && (err == nil || !strings.Contains(err.Error(), tt.why)) {
				t.Errorf("got %v, want %q", err, tt.why)
			}
		})
	}
}

func TestSetUpAllowsAsking(t *testing.T) {
	env, _ := testEnv(t, "ACCESS_INTERACTIVE=always")
	d, err := Open(env, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := Caller{Origin: host}
	if err := d.MarkSetUp(host, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := d.MayAsk(t.Context(), c); err != nil {
		t.Error(err)
	}
	if err := d.MayAsk(t.Context(), Caller{Origin: "https://git.example.com:8443"}); err == nil {
		t.Error("another port counts as set up")
	}
	if err := d.ForgetSetUp(host); err != nil {
		t.Fatal(err)
	}
	if err := d.MayAsk(t.Context(), c); err == nil {
		t.Error("asked after unsetup")
	}
}

// git is asked with the variables of the run, as it is by who runs it.
func TestGitForbidsAsking(t *testing.T) {
	const off = "credential.interactive is off in git's configuration"
	for value, want := range map[string]string{"false": off, "never": off, "true": "", "auto": ""} {
		env, _ := testEnv(t, "ACCESS_INTERACTIVE=always", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=credential.interactive", "GIT_CONFIG_VALUE_0="+value)
		d, err := Open(env, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = d.MayAsk(t.Context(), Caller{Origin: host, Named: true, Git: "git"})
		if got := fmt.Sprint(err); err == nil && want != "" || err != nil && got != want {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
}

func TestIsMaintenance(t *testing.T) {
	for line, want := range map[string]bool{
		"git maintenance run --schedule=hourly":             true,
		"/usr/lib/git-core/git maintenance run":             true,
		"git -c a=b -C /x --no-pager maintenance run":       true,
		"git-maintenance run":                               true,
		"git fetch maintenance":                             false,
		"git -c maintenance.auto=0 fetch":                   false,
		"vim git maintenance":                               false,
		"git":                                               false,
		"git --exec-path=/x clone https://maintenance.test": false,
	} {
		if got := isMaintenance(strings.Fields(line)); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
	if underMaintenance() {
		t.Error("this test is no maintenance")
	}
}

func TestEnvironmentTokens(t *testing.T) {
	env, _ := testEnv(t, "CF_ACCESS_CLIENT_ID=a.access", "CF_ACCESS_CLIENT_SECRET=s1", "TUNNEL_SERVICE_TOKEN_ID=b.access",
		"TUNNEL_SERVICE_TOKEN_SECRET=s2", "ACCESS_HOSTS=git.example.com, *.ci.example.com")
	got := environmentTokens(env)
	if len(got) != 2 || got[0].ClientID != "a.access" || got[1].Secret.Reveal() != "s2" || len(got[0].Hosts) != 2 || got[0].Hosts[1] != "*.ci.example.com" {
		t.Errorf("%v", got)
	}
	if env, _ := testEnv(t); len(environmentTokens(env)) != 0 {
		t.Error("tokens out of nothing")
	}
}

func TestProxies(t *testing.T) {
	tests := []struct {
		vars []string
		url  string
		want string
	}{
		{nil, "https://git.example.com", ""},
		{[]string{"HTTPS_PROXY=http://p:1"}, "https://git.example.com", "http://p:1"},
		{[]string{"https_proxy=http://low:1", "HTTPS_PROXY=http://p:1"}, "https://git.example.com", "http://low:1"},
		{[]string{"ALL_PROXY=socks5://p:1"}, "https://git.example.com", "socks5://p:1"},
		{[]string{"ALL_PROXY=socks5h://p:1", "HTTPS_PROXY=http://q:2"}, "https://git.example.com", "http://q:2"},
		{[]string{"HTTPS_PROXY=http://p:1", "NO_PROXY=.example.com"}, "https://git.example.com", ""},
		{[]string{"HTTPS_PROXY=http://p:1"}, "https://127.0.0.1:8443", ""},
		{[]string{"HTTP_PROXY=http://p:1"}, "https://git.example.com", ""},
	}
	for _, tt := range tests {
		env, _ := testEnv(t, tt.vars...)
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		got, err := proxies(env)(&http.Request{URL: u})
		if err != nil {
			t.Fatal(err)
		}
		if s := urlString(got); s != tt.want {
			t.Errorf("%v %s: %q, want %q", tt.vars, tt.url, s, tt.want)
		}
	}
}

func urlString(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}

func TestAuthorities(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	env, _ := testEnv(t)
	for _, file := range []string{empty, filepath.Join(t.TempDir(), "missing.pem")} {
		if _, _, err := authorities(env, file); err == nil {
			t.Errorf("--ca-file %s was taken", file)
		}
		env, _ := testEnv(t, "SSL_CERT_FILE="+file)
		_, fill, err := authorities(env, "")
		if err == nil {
			err = fill()
		}
		if err == nil {
			t.Errorf("SSL_CERT_FILE=%s was taken", file)
		}
	}
}

// Each error that a person can meet comes with what to do next and the exit code
// of its kind, and without the name of a Go package.
func TestExplain(t *testing.T) {
	app := access.App{Origin: host, Team: "team.cloudflareaccess.com"}
	refused := func(c access.Cause) error { return &access.RefusedError{App: app, Cause: c} }
	refusedFrom := func(source string, c access.Cause) error {
		return &access.RefusedError{App: app, Cause: c, Source: source}
	}
	tests := []struct {
		err  error
		code int
		hint string
	}{
		{&access.LoginRequiredError{App: app, Reason: "CI is set"}, 3, "CF_ACCESS_CLIENT_ID"},
		{&access.LoginRequiredError{App: app, Err: &net.OpError{Op: "proxyconnect", Err: errors.New("refused")}}, 3, "HTTPS_PROXY"},
		{&access.LoginRequiredError{App: app, PID: 42, URL: "https://x"}, 3, "process 42"},
		{refused(access.TokenNotAccepted), 4, "Binding Cookie"},
		{refused(access.ServiceTokenRequired), 4, "access service-token add git.example.com"},
		{refused(access.ServiceTokenInvalid), 4, "expiry"},
		{refused(access.ServiceTokenNotAllowed), 4, "Service Auth"},
		{refused(access.ServiceTokenRefused), 4, "Service Auth"},
		{refused(access.ServiceTokenInvalid), 4, "store a new one: access service-token add git.example.com"},
		{refused(access.ServiceTokenRefused), 4, "remove the token: access service-token remove git.example.com"},
		{refusedFrom("A, B", access.ServiceTokenInvalid), 4, "put a new one where this one comes from: A, B"},
		{refusedFrom("A, B", access.ServiceTokenRefused), 4, "take the token out of the environment: unset A B"},
		{refusedFrom("--service-token-id", access.ServiceTokenRefused), 4, "leave out --service-token-id"},
		{refused(access.Denied), 4, "administrator"},
		{refused(access.NotWithOAuth), 4, "Managed OAuth"},
		{refused(access.Blocked), 4, "firewall"},
		{refused(access.TunnelDown), 4, "connector"},
		{refused(access.OriginDown), 4, "server itself"},
		{refused(access.CaptivePortal), 4, "browser"},
		{&access.TeamChangedError{Origin: host, Was: "a", Now: "b"}, 4, "access login --accept-team b git.example.com"},
		{&access.LoginTimeoutError{App: app, After: time.Minute}, 3, "access login git.example.com"},
		{&access.BusyError{App: app, PID: 7}, 1, "kill -CONT 7"},
		{&access.BusyError{App: app}, 1, "has not said which"},
		{&access.NoRegistrationError{App: app}, 1, "--client-id"},
		{&access.OAuthError{App: app, Step: "token", Code: "invalid_grant"}, 1, "single-use"},
		{&access.OAuthError{App: app, Step: "refresh", Code: "invalid_client"}, 1, "anew"},
		{&access.OAuthError{App: app, Step: "registration", Code: "invalid_client_metadata"}, 1, "--redirect-url"},
		{&access.OAuthError{App: app, Step: "authorization", Code: "invalid_request"}, 1, "code_challenge_method"},
		{&access.OAuthError{App: app, Step: "authorization", Code: "something_new"}, 1, "access login"},
		{&access.DiscoveryError{Origin: host, Step: "metadata", Err: &net.DNSError{Name: "x", IsNotFound: true}}, 1, "DNS"},
		{&url.Error{Op: "Get", Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}}, 1, "captive portal"},
		{&url.Error{Op: "Get", Err: x509.UnknownAuthorityError{}}, 1, "--ca-file"},
		{&url.Error{Op: "Get", Err: x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}}, 1, "clock"},
		{&net.OpError{Op: "proxyconnect", Err: errors.New("refused")}, 1, "HTTPS_PROXY"},
		{&access.DiscoveryError{Origin: host, Step: "metadata", Err: &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}}, 1, "git.example.com cannot be reached"},
		{context.DeadlineExceeded, 1, "no answer in time"},
		{&keystore.LockedError{Backend: "secret-service"}, 1, "unlock the keyring"},
		{&keystore.TimeoutError{Backend: "secret-service"}, 1, "ACCESS_KEYSTORE=file"},
		{&keystore.SealedError{Key: "x"}, 1, "ACCESS_KEYSTORE_KEY_FILE"},
		{&keystore.NewerError{Key: "x"}, 1, "newer version"},
		{&keystore.CorruptError{Key: "x", Err: errors.New("y")}, 1, "access logout --all"},
		{&keystore.UnusableError{Backend: "pass", Err: errors.New("y")}, 1, "ACCESS_KEYSTORE=file"},
	}
	for _, tt := range tests {
		env, stderr := testEnv(t)
		code := cli.Report(env, Explain(tt.err))
		if code != tt.code {
			t.Errorf("%v: exit code %d, want %d", tt.err, code, tt.code)
		}
		out := stderr.String()
		if !strings.Contains(out, "prog: hint: ") || !strings.Contains(out, tt.hint) {
			t.Errorf("%v: no hint with %q:\n%s", tt.err, tt.hint, out)
		}
		if strings.Contains(out, "error: access: ") {
			t.Errorf("the package is named:\n%s", out)
		}
	}
	if Explain(nil) != nil {
		t.Error("nothing is an error")
	}
	usage := &cli.UsageError{Err: errors.New("x")}
	env, _ := testEnv(t)
	if code := cli.Report(env, Explain(usage)); code != 2 {
		t.Errorf("usage: exit code %d", code)
	}
}

// The URL of a login goes to standard error, never to standard output.
func TestTellerSpeaksToPeople(t *testing.T) {
	env, stderr := testEnv(t)
	tell := (&teller{env: env}).tell
	app := access.App{Origin: host}
	tell(access.Event{Kind: access.LoginURL, App: app, URL: "https://login"})
	tell(access.Event{Kind: access.WaitingForProcess, App: app, PID: 9, URL: "https://other"})
	tell(access.Event{Kind: access.WaitingForProcess, App: app, PID: 9})
	tell(access.Event{Kind: access.LoginDone, App: app, Account: "ada@example.com", Expiry: time.Now()})
	for _, want := range []string{"https://login", "process 9 has begun", "process 9, which renews", "as ada@example.com"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q is not told:\n%s", want, stderr)
		}
	}
	if out := env.Stdout.(*bytes.Buffer); out.Len() > 0 {
		t.Errorf("standard output: %s", out)
	}
}

// What a browser inherits outlives us: no secrets in it.
func TestCleanEnviron(t *testing.T) {
	env, _ := testEnv(t, "CF_ACCESS_CLIENT_SECRET=s", "GITHUB_TOKEN=s", "GIT_CONFIG_VALUE_0=s",
		"ACCESS_KEYSTORE_PASSPHRASE=s", "DB_PASSWORD=s", "DISPLAY=:0")
	d, err := Open(env, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(d.CleanEnviron(), "\n")
	if strings.Contains(got, "=s") || !strings.Contains(got, "DISPLAY=:0") {
		t.Errorf("%s", got)
	}
}

// A child that has told the person itself leaves its code and no words.
func TestExplainOfAChild(t *testing.T) {
	env, stderr := testEnv(t)
	if code := cli.Report(env, Explain(&cli.Error{Code: 7})); code != 7 || stderr.Len() > 0 {
		t.Errorf("code %d, %q", code, stderr)
	}
}
