package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// hostile values: each character that some shell reads otherwise than as itself.
var hostile = []string{
	"Cf-Access-Client-Id: 1234.access",
	"", " ", "'", `"`, `\`, `\'`, `'\''`, "''", `\\`, "a\\", "$HOME", "$(touch ran)", "`touch ran`", "!x", "a;touch ran", "a&b", "a|b", "*", "~", "#x", "{a,b}", "%PATH%",
	"a\nb", "a\tb", "é世", "\u2018x\u2019; touch ran", "-n", "$env:PATH", "@(1)", "(exit 3)", "\x01", "end-X\nNAME=1",
}

// What sh and fish read is what was meant, and nothing else runs.
func TestShellsReadWhatIsMeant(t *testing.T) {
	for shell, args := range map[string][]string{"sh": nil, "bash": {"--norc"}, "fish": {"--no-config"}} {
		pkg := shell
		if shell == "sh" {
			pkg = "dash"
		}
		t.Run(shell, func(t *testing.T) {
			program := scripttest.Need(t, shell, pkg)
			d, ok := dialects[shell]
			if !ok {
				d = dialects["sh"]
			}
			var script strings.Builder
			for _, v := range hostile {
				line, err := d.set("VALUE", v)
				if err != nil {
					t.Fatal(err)
				}
				script.WriteString(line + "\nprintenv VALUE\nprintf '\\0'\n")
			}
			script.WriteString(d.unset("VALUE") + "\nprintenv VALUE; or true\n")
			cmd := exec.Command(program, args...)
			cmd.Dir = t.TempDir()
			cmd.Stdin = strings.NewReader(strings.ReplaceAll(script.String(), "; or true", map[bool]string{true: "; or true", false: " || true"}[shell == "fish"]))
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "LC_ALL=C.UTF-8"}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			values := bytes.Split(out, []byte("\n\x00"))
			if len(values) != len(hostile)+1 || len(values[len(hostile)]) > 0 {
				t.Fatalf("%d values, want %d: %q", len(values)-1, len(hostile), out)
			}
			for i, v := range hostile {
				if got := string(values[i]); got != v {
					t.Errorf("%q became %q", v, got)
				}
			}
			if files, err := os.ReadDir(cmd.Dir); err != nil || shell != "fish" && len(files) > 0 { // fish keeps its history there
				t.Errorf("something else ran: %v, %v", files, err)
			}
			if _, err := os.Stat(cmd.Dir + "/ran"); err == nil {
				t.Error("a command in a value ran")
			}
		})
	}
}

// By about_Quoting_Rules of PowerShell: in single quotes all characters stand for themselves, a quote is doubled, and four typographic
// quotes are quotes, too.
func TestPowerShellQuoting(t *testing.T) {
	for value, want := range map[string]string{
		"plain":                    `$env:NAME = 'plain'`,
		"it's":                     `$env:NAME = 'it''s'`,
		`$x "y" ` + "`z":           "$env:NAME = '$x \"y\" `z'",
		"\u2018\u2019\u201a\u201b": "$env:NAME = '\u2018\u2018\u2019\u2019\u201a\u201a\u201b\u201b'",
		"\u201c":                   "$env:NAME = '\u201c'",
		"a\nb":                     "$env:NAME = 'a\nb'",
	} {
		if got, err := dialects["powershell"].set("NAME", value); err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", value, got, err, want)
		}
	}
	if program, err := exec.LookPath("pwsh"); err == nil { // Debian has none
		for _, v := range hostile {
			line, err := dialects["powershell"].set("VALUE", v)
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(program, "-NoProfile", "-Command", line+"; [Console]::Out.Write($env:VALUE)").Output()
			if err != nil || string(out) != v {
				t.Errorf("%q became %q, %v", v, out, err)
			}
		}
	}
}

func TestDotenvTakesOnlyWhatItCanHold(t *testing.T) {
	set := dialects["gitlab"].set
	if got, err := set("NAME", "Cf-Access-Client-Id: 1234.access"); err != nil || got != "NAME=Cf-Access-Client-Id:1234.access" {
		t.Errorf("%q, %v", got, err)
	}
	for _, v := range []string{"/home/a b/jar", "a: b c", "a\nb", `"a"`, "'a'", "$a", `a\b`, "a#b", "`a`"} {
		if got, err := set("NAME", v); err == nil {
			t.Errorf("%q became %q", v, got)
		}
	}
}
