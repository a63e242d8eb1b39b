package keystore_test

import (
	"testing"

	"github.com/gitaccess/gitaccess/keystore/keystoretest"
)

// The kernel's keyring belongs to the user, not to the test: the suite deletes what it wrote.
func TestKeyctlSuite(t *testing.T) {
	suite(t, "keyctl", &keystoretest.Options{Kills: 100, LargeValue: 16 << 10})
}
