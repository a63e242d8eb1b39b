package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

// mkdirAll gives the folder, not those above it, an access list of its own: the user, the system and the administrators.
// Modes mean nothing here, and a folder outside of the profile would inherit what everybody may do.
func mkdirAll(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	me, err := user()
	if err != nil {
		return err
	}
	// P: inherit nothing from above. OICI: files and folders below inherit. FA: full access. SY: the system. BA: the administrators.
	sd, err := windows.SecurityDescriptorFromString(fmt.Sprintf("D:P(A;OICI;FA;;;%s)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", me))
	if err != nil {
		return err
	}
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return err
	}
	sa := windows.SecurityAttributes{SecurityDescriptor: sd}
	sa.Length = uint32(unsafe.Sizeof(sa))
	if err := windows.CreateDirectory(path, &sa); err != nil {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: err}
	}
	return nil
}

func user() (*windows.SID, error) {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, err
	}
	return u.User.Sid, nil
}

// checkOwner accepts the administrators and the system too: what an elevated process makes belongs to the former
// (https://learn.microsoft.com/windows/security/threat-protection/security-policy-settings/system-objects-default-owner-for-objects-created-by-members-of-the-administrators-group).
func checkOwner(path string, _ fs.FileInfo) error {
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		return fmt.Errorf("state: owner of %q: %w", path, err)
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return fmt.Errorf("state: owner of %q: %w", path, err)
	}
	me, err := user()
	if err != nil {
		return err
	}
	if owner == nil || owner.Equals(me) || owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) || owner.IsWellKnown(windows.WinLocalSystemSid) {
		return nil
	}
	return &UnsafePathError{path, "belongs to another user"}
}

// checkMode has nothing to look at: access is by list, and ours comes from the folder.
func checkMode(string, fs.FileInfo) error { return nil }

// syncDir does nothing: Windows has no such call, and NTFS journals the rename.
func syncDir(*os.Root) {}
