//go:build cgo

package keystore

import (
	"context"
	"strings"

	"github.com/99designs/keyring"
)

// openKeychain opens the user's default keychain through the Security framework. Entries trust the program that wrote them; after an
// upgrade of an unsigned program macOS asks once.
func openKeychain(context.Context, *config) (backend, error) {
	r, err := openRing(keyring.Config{
		AllowedBackends:                []keyring.BackendType{keyring.KeychainBackend},
		KeychainTrustApplication:       true,
		KeychainSynchronizable:         false,
		KeychainAccessibleWhenUnlocked: true,
	}, partSize, keychainLocation)
	if err != nil {
		return nil, err
	}
	return text{r}, nil
}

func vanished(error) bool { return false }

// ringError knows errSecInteractionNotAllowed and errSecAuthFailed by their numbers: the library's binding names them in its text only.
func ringError(err error) error {
	if err != nil && (strings.Contains(err.Error(), "-25308") || strings.Contains(err.Error(), "-25293") || strings.Contains(err.Error(), "interaction is not allowed")) {
		return &LockedError{"keychain", err}
	}
	return err
}
