//go:build unix

package keyringtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// Pass sets up pass with a key that is thrown away afterwards, protected by a passphrase or not.
func Pass(t testing.TB, passphrase string) (dir string) {
	t.Helper()
	scripttest.Need(t, "pass", "pass")
	scripttest.Need(t, "gpg", "gnupg")
	scripttest.Need(t, "gpgconf", "gnupg")
	home, err := os.MkdirTemp("", "ks-gpg-") // short: the agent's socket is in it
	must(t, err)
	dir = filepath.Join(t.TempDir(), "store")
	t.Setenv("GNUPGHOME", home)
	t.Setenv("PASSWORD_STORE_DIR", dir)
	t.Cleanup(func() {
		kill := exec.Command("gpgconf", "--kill", "gpg-agent")
		kill.Env = environ("GNUPGHOME=" + home)
		kill.Run()
		os.RemoveAll(home)
	})
	for _, args := range [][]string{
		{"gpg", "--batch", "--passphrase", passphrase, "--pinentry-mode", "loopback", "--quick-gen-key", "test <test@example.com>", "default", "default", "never"},
		{"pass", "init", "test@example.com"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
	}
	return dir
}
