//go:build unix && !darwin

package dialog

import (
	"html"
	"strings"
)

// kinds puts the program of the desktop in use first.
func kinds(getenv func(string) string) []kind {
	if getenv("DISPLAY") == "" && getenv("WAYLAND_DISPLAY") == "" {
		return nil
	}
	if strings.Contains(strings.ToUpper(getenv("XDG_CURRENT_DESKTOP")), "KDE") {
		return []kind{kdialog, zenity}
	}
	return []kind{zenity, kdialog}
}

// zenity(1) 3 and 4. It reads C escapes in each text, and accelerators in that of an entry; markup elsewhere, but for --no-markup.
var zenity = kind{name: "zenity", yesCode: true, call: func(f form, title, text string) (args, env []string) {
	text = strings.ReplaceAll(text, `\`, `\\`)
	switch f {
	case secret, line:
		args = []string{"--entry"}
		if f == secret {
			args = append(args, "--hide-text")
		}
		text = strings.ReplaceAll(text, "_", "__")
	case yesNo:
		args = []string{"--question", "--no-markup", "--default-cancel"}
	case notice:
		args = []string{"--info", "--no-markup"}
	}
	return append(args, "--title="+title, "--text="+text), nil
}}

// kdialog takes a text for HTML if it looks like it.
var kdialog = kind{name: "kdialog", yesCode: true, call: func(f form, title, text string) (args, env []string) {
	how := map[form]string{secret: "--password", line: "--inputbox", yesNo: "--warningyesno", notice: "--msgbox"}[f]
	text = "<qt>" + strings.ReplaceAll(html.EscapeString(text), "\n", "<br/>") + "</qt>"
	return []string{"--title", title, how, text}, nil
}}
