package githelper

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestReadRemote(t *testing.T) {
	for raw, want := range map[string]string{
		"https://git.example.com/demo.git":               "git.example.com",
		"https://git.example.com":                        "git.example.com",
		"https://Git.Example.com:8443/team/a%20b.git/":   "Git.Example.com:8443",
		"https://ada@git.example.com/demo.git":           "git.example.com",
		"https://ada%40example.com@git.example.com/d":    "git.example.com",
		"https://[2001:db8::1]:8443/demo.git":            "[2001:db8::1]:8443",
		"https://git.example.com/demo.git?a=b":           "git.example.com",
		"":                                               "",
		"https://":                                       "",
		"https:///demo.git":                              "",
		"http://git.example.com/demo.git":                "",
		"HTTPS://git.example.com/demo.git":               "", // git looks for a helper of that name
		"access::https://git.example.com/demo.git":       "",
		"access://git.example.com/demo.git":              "",
		"ssh://git.example.com/demo.git":                 "",
		"ext::sh -c true":                                "",
		"/demo.git":                                      "",
		"-https://git.example.com/demo.git":              "",
		"https://git.example.com/\ndemo.git":             "",
		"https://git.example.com/%0Ademo.git":            "",
		"https://git.example.com/%0d%7f":                 "",
		"https://git.example.com/a b":                    "",
		"https://git.example.com\\@evil.example.com/d":   "",
		"https://git.example.com?@evil.example.com/d":    "",
		"https://git.example.com#@evil.example.com/d":    "",
		"https://git.example.com/d#x":                    "",
		"https://git.example.com%2f@evil.example.com/d":  "evil.example.com", // a user name
		"https://a@git.example.com@evil.example.com/d":   "",
		"https://git.example.com:443@evil.example.com/d": "",
		"https://evil%2eexample.com/d":                   "",
		"https://git.example.com:0/d":                    "",
		"https://git.example.com:99999/d":                "",
		"https://git.exämple.com/d":                      "",
		"https://gİt.example.com/d":                      "",
		"https://ada:password@git.example.com/demo.git":  "",
		"https://git.example.com;evil.example.com/d":     "",
	} {
		r, err := ReadRemote([]string{"origin", raw})
		var refused *RemoteError
		switch {
		case want == "" && !errors.As(err, &refused):
			t.Errorf("%q: %v, %v", raw, r, err)
		case want != "" && (err != nil || r.URL.Host != want || r.URL.Scheme != "https"):
			t.Errorf("%q: %v, %v", raw, r, err)
		}
		if err != nil && strings.Contains(err.Error(), "password@") {
			t.Errorf("%q: %v", raw, err)
		}
	}
	for _, args := range [][]string{nil, {"origin"}, {"-x", "https://git.example.com/d"}, {"", "https://git.example.com/d"}, {"a", "b", "c"}, {"a\nb", "https://git.example.com/d"}} {
		if _, err := ReadRemote(args); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}

// Whatever is accepted names one host to every reader of URLs, and nothing in it can end a line of git's protocols.
func FuzzReadRemote(f *testing.F) {
	for _, s := range []string{"https://git.example.com/demo.git", "https://a%40b@h:1/%20?x", "https://h%0a", "https://h\\@i/", "https://[::1]/", "https://g\u0130t.example.com/", "https://\u212aate.example.com", "https://git.example.com/%0ahost=evil.example.com"} {
		f.Add("origin", s)
	}
	f.Fuzz(func(t *testing.T, name, raw string) {
		r, err := ReadRemote([]string{name, raw})
		if err != nil {
			return
		}
		decoded, err := url.PathUnescape(raw)
		if err == nil && strings.ContainsFunc(decoded, isControl) || strings.ContainsFunc(name, isControl) || name[0] == '-' || raw[0] == '-' {
			t.Errorf("%q %q was accepted", name, raw)
		}
		authority, _, _ := strings.Cut(strings.TrimPrefix(raw, "https://"), "/")
		if host := authority[strings.LastIndex(authority, "@")+1:]; host != r.URL.Host || strings.Count(authority, "@") > 1 || beyondASCII(host) {
			t.Errorf("%q: %q", raw, r.URL.Host)
		}
	})
}

func TestRemoteCommand(t *testing.T) {
	jar := &Jar{Path: filepath.Join(t.TempDir(), "jar", "git.example.com"), Host: "git.example.com"}
	r, err := ReadRemote([]string{"origin", "https://ada@Git.example.com/demo.git"})
	if err != nil {
		t.Fatal(err)
	}
	g := &Git{Path: "/usr/bin/git", Version: Version{2, 47, 0}, Env: []string{"HOME=/h", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=a.b", "GIT_CONFIG_VALUE_0=c"}}
	cmd, release, err := r.Command(t.Context(), g, &RemoteOptions{
		Jar: jar, Cookies: []Cookie{{Name: "CF_Authorization", Value: NewSecret("jwt")}},
		Header: http.Header{"Cf-Access-Client-Secret": {"hidden"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if want := []string{"/usr/bin/git", "remote-https", "origin", "https://ada@Git.example.com/demo.git"}; !slices.Equal(cmd.Args, want) {
		t.Errorf("%q", cmd.Args)
	}
	const section = "http.https://git.example.com/."
	for _, want := range []string{
		"GIT_CONFIG_KEY_0=a.b", "GIT_CONFIG_KEY_1=" + section + "proactiveAuth", "GIT_CONFIG_VALUE_1=none",
		"GIT_CONFIG_KEY_5=" + section + "followRedirects", "GIT_CONFIG_VALUE_5=false", "GIT_CONFIG_VALUE_6=Cf-Access-Client-Secret: hidden", "GIT_CONFIG_COUNT=7",
	} {
		if !slices.Contains(cmd.Env, want) {
			t.Errorf("no %q in %q", want, cmd.Env)
		}
	}
	env := strings.Join(cmd.Env, "\n")
	if strings.Contains(env, "jwt") {
		t.Error("the cookie is in the environment")
	}
	switch {
	case runtime.GOOS == "linux":
		if len(cmd.ExtraFiles) != 1 || !slices.Contains(cmd.Env, "GIT_CONFIG_VALUE_3=/proc/self/fd/3") {
			t.Errorf("%d files, %q", len(cmd.ExtraFiles), cmd.Env)
		}
		if _, err := os.Stat(jar.Path); err == nil {
			t.Error("the cookie is in a file")
		}
	case !slices.Contains(cmd.Env, "GIT_CONFIG_VALUE_3="+filepath.ToSlash(jar.Path)):
		t.Errorf("%q", cmd.Env)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

// Where a file without a name cannot be handed over, the child reads the jar.
func TestHandOverByTheJar(t *testing.T) {
	jar := &Jar{Path: filepath.Join(t.TempDir(), "jar", "git.example.com"), Host: "git.example.com"}
	path, file, err := jar.hand([]Cookie{{Name: "CF_Authorization", Value: NewSecret("jwt")}}, func([]byte) (*os.File, error) { return nil, errors.ErrUnsupported })
	if err != nil || file != nil || path != filepath.ToSlash(jar.Path) {
		t.Fatalf("%q, %v, %v", path, file, err)
	}
	info, err := os.Stat(jar.Path)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if all, err := jar.Load(); err != nil || len(all) != 1 || all[0].Value.Reveal() != "jwt" {
		t.Errorf("%v, %v", all, err)
	}
}

// Setup has a section for each application by path, which git would take before one for the whole host.
func TestRemoteCommandByPath(t *testing.T) {
	r, err := ReadRemote([]string{"origin", "https://git.example.com/a%20team/demo.git"})
	if err != nil {
		t.Fatal(err)
	}
	g := &Git{Path: "/usr/bin/git", Version: Version{2, 47, 0}, Env: []string{}}
	cmd, _, err := r.Command(t.Context(), g, &RemoteOptions{Path: "/a team", Header: http.Header{"X": {"y"}}})
	if err != nil || !slices.Contains(cmd.Env, "GIT_CONFIG_KEY_3=http.https://git.example.com/a%20team/.extraHeader") {
		t.Errorf("%v, %v", cmd, err)
	}
}

func TestConfigure(t *testing.T) {
	settings := [][2]string{{"http.https://h/.x", "it's!"}}
	for _, tt := range []struct {
		v          Version
		have, want []string
	}{
		{Version{2, 31, 0}, nil, []string{"GIT_CONFIG_KEY_0=http.https://h/.x", "GIT_CONFIG_VALUE_0=it's!", "GIT_CONFIG_COUNT=1"}},
		{Version{2, 47, 0}, []string{"GIT_CONFIG_PARAMETERS='a'='b'", "GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_1=k"},
			[]string{"GIT_CONFIG_PARAMETERS='a'='b'", "GIT_CONFIG_KEY_1=k", "GIT_CONFIG_KEY_2=http.https://h/.x", "GIT_CONFIG_VALUE_2=it's!", "GIT_CONFIG_COUNT=3"}},
		{Version{2, 30, 2}, []string{"A=b"}, []string{"A=b", `GIT_CONFIG_PARAMETERS='http.https://h/.x=it'\''s'\!''`}},
		{Version{2, 30, 2}, []string{"GIT_CONFIG_PARAMETERS='a=b'"}, []string{`GIT_CONFIG_PARAMETERS='a=b' 'http.https://h/.x=it'\''s'\!''`}},
	} {
		got, err := tt.v.Configure(tt.have, settings)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("git %v: %q, %v\nwant %q", tt.v, got, err, tt.want)
		}
	}
	for _, bad := range [][]string{{"GIT_CONFIG_COUNT=x"}, {"GIT_CONFIG_COUNT=-1"}} {
		if got, err := (Version{2, 47, 0}).Configure(bad, settings); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
	if got, err := (Version{2, 47, 0}).Configure(nil, [][2]string{{"a.b", "c\nd"}}); err == nil {
		t.Errorf("%q", got)
	}
}
