package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/internal/keyringtest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// full reports whether tests that take minutes are wanted, as by make test-full.
func full() bool { return os.Getenv("ACCESS_TEST_FULL") != "" }

// authtypeTest runs the part of git's suite for helpers that its t0303 leaves out.
const authtypeTest = `#!/bin/sh
test_description='external credential helper: authtype'
. ./test-lib.sh
. "$TEST_DIRECTORY"/lib-credential.sh
helper_test_authtype "$GIT_TEST_CREDENTIAL_HELPER"
test_done
`

// The tests of git itself for helpers that store, from the source package of the newest git that is there. Their cases are told again,
// for every run, in the tests of package githelper.
func TestGitsOwnSuite(t *testing.T) {
	if !full() {
		t.Skip("left to make test-full")
	}
	gits := scripttest.Gits(t)
	bin := filepath.Dir(gits[len(gits)-1].Path)
	suite, ok := strings.CutPrefix(filepath.Base(filepath.Dir(bin)), "git-")
	if !ok {
		scripttest.Missing(t, "a git of Debian's", "it by contrib/testbed/newgit")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	prepare := exec.CommandContext(t.Context(), filepath.Join(root, "contrib/testbed/gitsuite"), suite, filepath.Join(root, ".testbed/gitsuite-"+suite))
	prepare.Stderr = os.Stderr
	out, err := prepare.Output()
	if err != nil {
		scripttest.Missing(t, "git's test suite", "make, gcc, xz-utils and zlib1g-dev")
	}
	tests := strings.TrimSpace(string(out))
	authtype := filepath.Join(tests, "t0303-credential-external-authtype.sh")
	if err := os.WriteFile(authtype, []byte(authtypeTest), 0o755); err != nil {
		t.Fatal(err)
	}
	helper := filepath.Join(t.TempDir(), "helper") // git's tests want a name without arguments
	program := filepath.Join(scripttest.Build(t, "git-credential-access"), "git-credential-access")
	if err := os.WriteFile(helper, []byte("#!/bin/sh\nexec '"+program+"' --store \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	keyringtest.Unlocked(t)
	for name, vars := range map[string][]string{
		"file":           {"ACCESS_KEYSTORE=file"},
		"sealed file":    {"ACCESS_KEYSTORE=file", "ACCESS_KEYSTORE_PASSPHRASE=correct horse battery staple"},
		"secret service": {"ACCESS_KEYSTORE=secret-service"},
	} {
		for test, want := range map[string]string{"t0303-credential-external.sh": "# passed all 21 test(s)", filepath.Base(authtype): "# passed all 8 test(s)"} {
			t.Run(name+"/"+test, func(t *testing.T) {
				cmd := exec.CommandContext(t.Context(), "./"+test, "--root="+t.TempDir())
				cmd.Dir = tests
				cmd.Env = append(append(os.Environ(), vars...), "ACCESS_STATE_DIR="+t.TempDir(), "GIT_TEST_INSTALLED="+bin, "GIT_TEST_CREDENTIAL_HELPER="+helper)
				out, err := cmd.CombinedOutput()
				if err != nil || !strings.Contains(string(out), "# passed all ") {
					t.Fatalf("%v\n%s", err, out)
				}
				if !strings.Contains(string(out), want) {
					t.Logf("git has other tests by now, want %q: look whether there is something to be told again:\n%s", want, out)
				}
			})
		}
	}
}
