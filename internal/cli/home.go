package cli

import (
	"fmt"
	"path/filepath"
	"runtime"
)

// Home returns the person's home folder, below which ssh has its files: HOME, and on Windows, where a shell of another system may have set
// that, USERPROFILE.
func (e *Env) Home() (string, error) { return e.home(runtime.GOOS) }

func (e *Env) home(goos string) (string, error) {
	name := "HOME"
	if goos == "windows" {
		name = "USERPROFILE"
	}
	home := e.Getenv(name)
	if !filepath.IsAbs(home) {
		return "", fmt.Errorf("no home folder: %s=%q", name, home)
	}
	return home, nil
}
