package githelper

import (
	"strings"
	"testing"
)

// Git for Windows takes slashes, and runs a helper whose path begins with a drive by its shell.
func TestSetOnWindows(t *testing.T) {
	h := hostConfig()
	h.Helper, h.Jar = `C:\Program Files\gitaccess\git-credential-access.exe`, `C:\Users\Ada L\AppData\Local\gitaccess\jar\git.example.com`
	got := string(mustSet(t, h, nil, newGit))
	for _, want := range []string{
		`helper = "C:/Program\\ Files/gitaccess/git-credential-access.exe" # gitaccess`,
		`cookieFile = "C:/Users/Ada L/AppData/Local/gitaccess/jar/git.example.com" # gitaccess`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}
