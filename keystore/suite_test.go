package keystore_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
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
	keystoretest.Work(open)
	// What the machine has must not decide what is tested.
	for _, v := range []string{"ACCESS_KEYSTORE", "ACCESS_KEYSTORE_KEY_FILE", "ACCESS_KEYSTORE_PASSPHRASE", "CREDENTIALS_DIRECTORY"} {
		os.Unsetenv(v)
	}
	code := m.Run()
	for _, f := range exits {
		f()
	}
	os.Exit(code)
}

var exits []func()

// atExit is for what all tests share.
func atExit(f func()) { exits = append(exits, f) }

// suite runs keystoretest against the store of a name, and returns it.
func suite(t *testing.T, name string, o *keystoretest.Options) *keystore.Store {
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
	return s
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openAs opens a store with a state folder of its own, unless the test has set one.
func openAs(t testing.TB, name string, o *keystore.Options) *keystore.Store {
	t.Helper()
	s, err := tryOpen(t, name, o)
	must(t, err)
	return s
}

func tryOpen(t testing.TB, name string, o *keystore.Options) (*keystore.Store, error) {
	t.Helper()
	if o == nil {
		o = &keystore.Options{Timeout: time.Minute}
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Backend = name
	s, err := keystore.Open(context.Background(), o)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

// environ is the test's own environment with changes; a value of "-" unsets.
func environ(changes ...string) []string {
	env := os.Environ()
	for _, c := range changes {
		name, value, _ := strings.Cut(c, "=")
		env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		if value != "-" {
			env = append(env, c)
		}
	}
	return env
}
