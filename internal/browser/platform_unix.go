//go:build unix && !darwin

package browser

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gitaccess/gitaccess/internal/powershell"
)

func platform(o *Options) ([]opener, error) {
	if inWSL(o.Getenv) {
		if openers := windowsFromWSL(); len(openers) > 0 {
			return openers, nil
		}
	}
	if path, err := exec.LookPath("termux-open-url"); err == nil { // Android has no DISPLAY
		return []opener{command(path)}, nil
	}
	if o.Getenv("DISPLAY") == "" && o.Getenv("WAYLAND_DISPLAY") == "" {
		return nil, &NoBrowserError{Why: "neither DISPLAY, WAYLAND_DISPLAY nor BROWSER is set"}
	}
	var openers []opener
	for _, c := range [][]string{{"xdg-open"}, {"gio", "open"}, {"x-www-browser"}, {"sensible-browser"}, {"firefox"}, {"chromium"}, {"google-chrome"}} {
		if path, err := exec.LookPath(c[0]); err == nil {
			openers = append(openers, command(path, c[1:]...))
		}
	}
	if len(openers) == 0 {
		return nil, &NoBrowserError{Why: "neither xdg-open nor a browser is on PATH"}
	}
	return openers, nil
}

// osRelease is where a kernel of Microsoft's says so. A container inside WSL says so, too, but has no way to Windows; it then has
// none of the programs below either.
const osRelease = "/proc/sys/kernel/osrelease"

func inWSL(getenv func(string) string) bool {
	if getenv("WSL_DISTRO_NAME") != "" || getenv("WSL_INTEROP") != "" {
		return true
	}
	b, err := os.ReadFile(osRelease)
	return err == nil && strings.Contains(strings.ToLower(string(b)), "microsoft")
}

// windowsFromWSL returns the ways to the browser of the Windows around us: wslu's wslview, PowerShell, and the DLL call that the
// shell itself uses. explorer.exe is not among them: it ends with code 1 when it succeeds.
func windowsFromWSL() []opener {
	var openers []opener
	if path, err := exec.LookPath("wslview"); err == nil {
		openers = append(openers, command(path))
	}
	if path, ok := windowsProgram("powershell.exe", "WindowsPowerShell/v1.0/powershell.exe"); ok {
		// The page has no quotation marks left, see checkURL.
		openers = append(openers, opener{"powershell.exe", func(ctx context.Context, page string, o *Options) error {
			return start(ctx, path, []string{"-NoProfile", "-NonInteractive", "-EncodedCommand", powershell.Encode("Start-Process -FilePath '" + page + "'")}, o)
		}})
	}
	if path, ok := windowsProgram("rundll32.exe", "rundll32.exe"); ok {
		openers = append(openers, command(path, "url.dll,FileProtocolHandler"))
	}
	return openers
}

// windowsProgram finds a program of Windows also where appendWindowsPath=false keeps Windows out of PATH (wsl.conf).
func windowsProgram(name, inSystem32 string) (string, bool) {
	if path, err := exec.LookPath(name); err == nil {
		return path, true
	}
	path := filepath.Join("/mnt/c/Windows/System32", inSystem32)
	_, err := os.Stat(path)
	return path, err == nil
}
