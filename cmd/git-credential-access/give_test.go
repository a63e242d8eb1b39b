package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// What a repository calls its submodule is one word in a command to be copied.
func TestSetUpRepositoryIsOneWord(t *testing.T) {
	sh := scripttest.Need(t, "sh", "dash")
	for path, plain := range map[string]bool{
		"team/code.git":                   true,
		"team/code.git/info/lfs":          true,
		"team/a b.git":                    true, // %20
		"team/x;exit 7;":                  false,
		"team/x&exit 7&":                  false,
		"team/$(exit 7)":                  false,
		"team/`exit 7`":                   true,
		"team/x';exit 7;'":                false,
		"team/x\"$HOME\"|exit 7":          false,
		"team/x>out<in*?[a]{b,c}!~=~#%27": false,
	} {
		req, err := githelper.ReadRequest(strings.NewReader("protocol=https\nhost=git.example.com\npath=" + path + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		u, err := req.URL()
		if err != nil {
			t.Fatal(err)
		}
		repository, _, _ := strings.Cut(u.String(), "/info/lfs")
		command := setUpRepository(u)
		if got := !strings.Contains(command, "'"); got != plain {
			t.Errorf("%s", command)
		}
		out, err := exec.Command(sh, "-c", `access() { printf '%s|' "$@"; }; `+command).CombinedOutput()
		if want := "setup|git|" + repository + "|"; err != nil || string(out) != want {
			t.Errorf("%s: %v, words %s want %s", command, err, out, want)
		}
	}
}

func TestSendsHeader(t *testing.T) {
	const o, prefix = access.Origin("https://git.example.com"), "authorization: bearer "
	for _, tt := range []struct {
		want bool
		env  []string
	}{
		{true, []string{"GIT_CONFIG_KEY_3=http.https://git.example.com/.extraHeader", "GIT_CONFIG_VALUE_3=Authorization: Bearer x"}},
		{true, []string{"GIT_CONFIG_KEY_0=http.https://git.example.com/team/.extraheader", "GIT_CONFIG_VALUE_0=Authorization: Bearer x"}},
		{true, []string{"GIT_CONFIG_PARAMETERS='a.b=c' 'http.https://git.example.com/.extraHeader=Authorization: Bearer x'"}},
		{true, []string{"GIT_CONFIG_PARAMETERS='http.https://git.example.com/team/.extraHeader'='Authorization: Bearer x'"}},
		{false, []string{"GIT_CONFIG_KEY_0=http.https://git.example.com.evil.test/.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Bearer x"}},
		{false, []string{"GIT_CONFIG_KEY_0=http.https://git.example.com:8443/.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Bearer x"}},
		{false, []string{"GIT_CONFIG_KEY_0=http.https://git.example.com/.extraHeader", "GIT_CONFIG_VALUE_0=X-Trace: 1"}},
		{false, []string{"GIT_CONFIG_KEY_0=http.https://git.example.com/.cookieFile", "GIT_CONFIG_VALUE_0=Authorization: Bearer x"}},
		{false, []string{"GIT_CONFIG_PARAMETERS='http.https://git.example.com/.extraHeader=X-Trace: 1' 'x'='Authorization: Bearer x'"}},
		{false, []string{"GIT_CONFIG_PARAMETERS='"}},
		{false, nil},
	} {
		h := &helper{env: &cli.Env{
			Environ: func() []string { return tt.env },
			Getenv: func(name string) string {
				for _, kv := range tt.env {
					if v, ok := strings.CutPrefix(kv, name+"="); ok {
						return v
					}
				}
				return ""
			},
		}}
		if got := h.sendsHeader(o, prefix); got != tt.want {
			t.Errorf("%q: %t", tt.env, got)
		}
	}
}
