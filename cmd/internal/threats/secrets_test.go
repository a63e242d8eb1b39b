package threats

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
	"github.com/gitaccess/gitaccess/keystore"
)

func TestMain(m *testing.M) {
	scripttest.Main(m, nil, "access", "git-credential-access", "git-remote-access", "access-ssh-proxy", "access-askpass")
}

// ran is what a program said.
type ran struct {
	what           string
	code           int
	stdout, stderr []byte
}

func run(t *testing.T, w *scripttest.World, stdin string, env []string, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := w.Command(ctx, args[0], args[1:]...)
	cmd.Env = append(cmd.Env, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%v: %v, %v\n%s", args, err, ctx.Err(), &stderr)
	}
	return ran{strings.Join(args, " "), cmd.ProcessState.ExitCode(), stdout.Bytes(), stderr.Bytes()}
}

// kept returns every secret in the keystore, by the key that it stands under.
func kept(t *testing.T, w *scripttest.World) map[string]string {
	t.Helper()
	s, err := keystore.Open(t.Context(), &keystore.Options{Backend: "file", Dir: filepath.Join(w.Dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{}
	for _, key := range keys {
		raw, err := s.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if json.Unmarshal(raw, &doc) != nil {
			secrets[key] = string(raw)
			continue
		}
		for name, v := range doc {
			switch text, _ := v.(string); strings.ToLower(name) {
			case "token", "refresh", "secret", "password", "credential", "oauth_refresh_token":
				if text != "" {
					secrets[key+" "+name] = text
				}
			}
		}
	}
	return secrets
}

// Every program, at every level of talk, in success and in each kind of failure: no secret is in what it prints, but in the answers that are
// asked for one. The same goes for what git says while it is traced, and for each file but the keystore and the cookie jar.
func TestSecretsInNoOutput(t *testing.T) {
	w := scripttest.NewWorld(t, scripttest.Git{})
	w.Set("ACCESS_INTERACTIVE=always")
	var all []ran
	do := func(env []string, stdin string, args ...string) ran {
		t.Helper()
		r := run(t, w, stdin, env, args...)
		all = append(all, r)
		return r
	}
	must := func(args ...string) {
		t.Helper()
		if r := do(nil, "", args...); r.code != 0 {
			t.Fatalf("%s: code %d\n%s", r.what, r.code, r.stderr)
		}
	}
	for _, host := range []string{"git.example.com", "basic.example.com", "oauth.example.com", "ssh.example.com"} {
		must("access", "login", host)
	}
	must("access", "setup", "git", "git.example.com")
	must("access", "setup", "git", "oauth.example.com")
	if r := do(nil, w.Service.Secret()+"\n", "access", "service-token", "add", "--client-id", w.Service.ID, "ci.example.com"); r.code != 0 {
		t.Fatalf("%s: code %d\n%s", r.what, r.code, r.stderr)
	}
	const password = "hunter2-of-the-origin-itself"
	do(nil, "protocol=https\nhost=basic.example.com\nusername=ada\npassword="+password+"\n\n", "git-credential-access", "--store", "store")
	secrets := kept(t, w)
	secrets["service token"], secrets["origin's password"] = w.Service.Secret(), password
	if len(secrets) < 6 {
		t.Fatalf("only %d secrets are kept", len(secrets))
	}

	w.Set("ACCESS_INTERACTIVE=never") // a person who refuses in the browser is waited for
	trace := []string{"GIT_TRACE=1", "GIT_TRACE_CURL=1", "GIT_CURL_VERBOSE=1", "GIT_TRACE_PACKET=1", "GIT_TRACE2=1", "GIT_TRACE2_EVENT=2",
		"GIT_TRACE2_ENV_VARS=HOME,GIT_CONFIG_COUNT,GIT_CONFIG_PARAMETERS,GIT_CONFIG_VALUE_0,GIT_CONFIG_VALUE_1,GIT_CONFIG_VALUE_2,CF_ACCESS_CLIENT_SECRET", "GIT_TRACE2_CONFIG_PARAMS=*"}
	wrong := []string{"CF_ACCESS_CLIENT_ID=" + w.Service.ID, "CF_ACCESS_CLIENT_SECRET=" + w.Service.Secret() + "x", "ACCESS_HOSTS=*"}
	visit := func(state string) {
		for _, host := range []string{"git.example.com", "basic.example.com", "oauth.example.com", "ssh.example.com", "ci.example.com", "open.example.com"} {
			request := "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=" + host + "\n"
			do(nil, request+"wwwauth[]=Basic realm=\"x\"\n\n", "git-credential-access", "erase")
			do(trace, "", "git", "ls-remote", "https://"+host+"/demo.git")
			do(trace, "", "access", "run", host, "--", "git", "ls-remote", "https://"+host+"/demo.git")
			do(trace, "", "git", "ls-remote", "access::https://"+host+"/demo.git")
			for _, level := range []string{"debug", "info", "error"} {
				do(nil, "", "access-ssh-proxy", "--linger=1ms", "--log-file=/dev/stderr", "--log-level="+level, "-v", host)
			}
			do(wrong, "", "access-ssh-proxy", "--linger=1ms", "--log-file=/dev/stderr", "--log-level=debug", host)
			do(wrong, "", "access", "run", host, "--", "git", "ls-remote", "https://"+host+"/demo.git")
			do(nil, "", "access", "whoami", host)
			do(nil, "", "access", "curl", "-sv", "https://"+host+"/")
			do(nil, "", "access", "doctor", host)
			do(nil, "", "access", "doctor", "--json", host)
			do(nil, "", "access", "login", host)
			do(nil, "", "access", "setup", "git", "--dry-run", host)
		}
		do(nil, "", "access", "status")
		do(nil, "", "access", "status", "--json")
		do(nil, "", "access", "service-token", "list")
		do(nil, "", "access-askpass", "Password for 'https://ada@git.example.com': ")
		t.Logf("%s: %d runs", state, len(all))
	}
	visit("all is well")
	for _, a := range w.Apps {
		a.Revoke()
	}
	visit("revoked")
	w.Edge.Fail(w.Team.Domain(), -1, accesstest.Unavailable, nil)
	w.Edge.Fail("git.example.com", -1, accesstest.WAF1010, nil)
	visit("servers in trouble")

	for _, r := range all {
		for key, secret := range secrets {
			for name, out := range map[string][]byte{"output": r.stdout, "error output": r.stderr} {
				if i := bytes.Index(out, []byte(secret)); i >= 0 {
					t.Errorf("%s: the %s has %s: …%.80q…", r.what, name, key, out[max(0, i-40):])
				}
			}
		}
	}
	w.Edge.Heal(w.Team.Domain())

	// In files: in the keystore and in git's cookie file.
	err := filepath.WalkDir(w.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, _ := filepath.Rel(w.Dir, path)
		if strings.HasPrefix(rel, "state/keystore") || strings.HasPrefix(rel, "state/jar") {
			if i, err := d.Info(); err == nil && i.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %s", rel, i.Mode())
			}
			return nil
		}
		b, err := os.ReadFile(path)
		for key, secret := range secrets {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s has %s", rel, key)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for key, secret := range secrets {
		hosts := []string{"git.example.com", "basic.example.com", "oauth.example.com", "ssh.example.com", "ci.example.com", w.Team.Domain()}
		for _, leak := range w.Edge.Leaks(secret, hosts...) {
			t.Errorf("%s went to %v", key, leak)
		}
	}
}
