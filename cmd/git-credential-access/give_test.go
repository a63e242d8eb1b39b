package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/githelper"
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
