package keystore_test

import (
	"testing"

	"github.com/gitaccess/gitaccess/keystore"
	"github.com/gitaccess/gitaccess/keystore/keystoretest"
)

// The kernel's keyring belongs to the user, not to the test: the suite deletes what it wrote.
func TestKeyctlSuite(t *testing.T) {
	before := 0
	if s, err := tryOpen(t, "keyctl", nil); err == nil {
		before = keystore.Blobs(t, s)
	}
	s := suite(t, "keyctl", &keystoretest.Options{Kills: 100})
	if n := keystore.Blobs(t, s); n != before {
		t.Errorf("%d blobs in the ring, %d before: something is left over", n, before)
	}
}
