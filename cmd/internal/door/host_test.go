package door

import (
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/internal/cli"
)

// The URLs that git clones by SSH are no hosts, and the host in them is named.
func TestParseHost(t *testing.T) {
	for _, s := range []string{
		"git@git.example.com:code.git", "git.example.com:code.git", "ssh://git@git.example.com/code.git", "ssh://git@git.example.com:22/code.git",
		"git://git.example.com/code.git", "http://git.example.com",
	} {
		_, _, err := ParseHost(s)
		env, stderr := testEnv(t)
		if code := cli.Report(env, err); code != 2 || !strings.Contains(stderr.String(), "prog: hint: name the host alone: git.example.com\n") {
			t.Errorf("%s: exit code %d\n%s", s, code, stderr)
		}
		if strings.Contains(stderr.String(), "access:") {
			t.Errorf("the package is named:\n%s", stderr)
		}
	}
	for _, s := range []string{"", " ", "git example", "https://", "/code.git", "@", "git@:code.git"} {
		_, _, err := ParseHost(s)
		env, stderr := testEnv(t)
		if code := cli.Report(env, err); code != 2 || strings.Contains(stderr.String(), "name the host") {
			t.Errorf("%q: exit code %d\n%s", s, code, stderr)
		}
	}
	for _, s := range []string{"git.example.com", "https://git.example.com/", "git.example.com:443", "https://me@git.example.com/code.git", "Git.Example.com."} {
		if o, _, err := ParseHost(s); err != nil || o != "https://git.example.com" {
			t.Errorf("%s: %s, %v", s, o, err)
		}
	}
}
