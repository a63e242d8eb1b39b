package keystore

import (
	"context"
	"errors"
	"fmt"

	"github.com/99designs/keyring"
	"golang.org/x/sys/windows"
)

// openWincred opens the Credential Manager. A blob there may have CRED_MAX_CREDENTIAL_BLOB_SIZE = 5·512 bytes
// (https://learn.microsoft.com/windows/win32/api/wincred/ns-wincred-credentialw); larger ones fail with "The stub received bad data".
func openWincred(context.Context, *config) (backend, error) {
	return openRing(keyring.Config{
		AllowedBackends: []keyring.BackendType{keyring.WinCredBackend},
		WinCredPrefix:   service,
	}, partSize, "Windows Credential Manager, generic credentials "+service+":*")
}

func vanished(error) bool { return false }

func ringError(err error) error {
	// A session without the user's password, as sshd makes them for keys, has no credentials of its own.
	if errors.Is(err, windows.ERROR_NO_SUCH_LOGON_SESSION) {
		return fmt.Errorf("this logon session has no Credential Manager (a remote one, by key?): %w", err)
	}
	return err
}
