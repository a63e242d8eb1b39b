package keystore_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/keystore"
	"github.com/gitaccess/gitaccess/keystore/keystoretest"
)

// open is for the suite: what it opens is in the environment, and nothing in it depends on how fast this machine is.
func open(ctx context.Context) (keystoretest.Store, error) {
	return keystore.Open(ctx, &keystore.Options{Timeout: 2 * time.Minute})
}

func TestMain(m *testing.M) {
	// What the machine has must not decide what is tested.
	for _, v := range []string{"ACCESS_KEYSTORE_KEY_FILE", "ACCESS_KEYSTORE_PASSPHRASE", "CREDENTIALS_DIRECTORY"} {
		if os.Getenv("KEYSTORETEST_WORK") == "" {
			os.Unsetenv(v)
		}
	}
	keystoretest.Main(m, open)
}

// suite runs keystoretest against the store of a name.
func suite(t *testing.T, name string, o *keystoretest.Options) {
	t.Helper()
	t.Setenv("ACCESS_KEYSTORE", name)
	t.Setenv("ACCESS_STATE_DIR", t.TempDir())
	s, err := keystore.Open(t.Context(), &keystore.Options{Timeout: 2 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Info().Backend; got != name {
		t.Fatalf("opened %q", got)
	}
	o.Plant = func(t *testing.T, key string, blob []byte) { keystore.Plant(t, s, key, blob) }
	o.Raw = func(t *testing.T, key string) []byte { return keystore.Raw(t, s, key) }
	o.Newer = func(err error) bool {
		var newer *keystore.NewerError
		return errors.As(err, &newer) && newer.Version == 2 && newer.Key != ""
	}
	keystoretest.Run(t, open, o)
}

func TestFileSuite(t *testing.T) { suite(t, "file", &keystoretest.Options{}) }

func TestSealedFileSuite(t *testing.T) {
	key := t.TempDir() + "/key"
	if err := os.WriteFile(key, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ACCESS_KEYSTORE_KEY_FILE", key)
	suite(t, "file", &keystoretest.Options{Kills: 50})
}
