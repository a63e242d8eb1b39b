package powershell

import "testing"

// As PowerShell's help makes them: [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($command)).
func TestEncode(t *testing.T) {
	for script, want := range map[string]string{"": "", "dir": "ZABpAHIA", "ü😀": "/AA92ADe"} {
		if got := Encode(script); got != want {
			t.Errorf("Encode(%q) = %q, want %q", script, got, want)
		}
	}
}
