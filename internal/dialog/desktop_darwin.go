package dialog

// kinds is empty for a session without a screen.
func kinds(getenv func(string) string) []kind {
	if getenv("SSH_CONNECTION") != "" {
		return nil
	}
	return []kind{osascript}
}

// osascript hands its arguments to the script's run handler, so that no text becomes a part of the script.
var osascript = kind{name: "osascript", call: func(f form, title, text string) (args, env []string) {
	what := map[form]string{
		secret: `text returned of (display dialog (item 2 of argv) with title (item 1 of argv) default answer "" with hidden answer buttons {"Cancel", "OK"} default button "OK" cancel button "Cancel")`,
		line:   `text returned of (display dialog (item 2 of argv) with title (item 1 of argv) default answer "" buttons {"Cancel", "OK"} default button "OK" cancel button "Cancel")`,
		yesNo:  `button returned of (display dialog (item 2 of argv) with title (item 1 of argv) buttons {"No", "Yes"} default button "No" cancel button "No" with icon caution)`,
		notice: `button returned of (display dialog (item 2 of argv) with title (item 1 of argv) buttons {"OK"} default button "OK")`,
	}[f]
	return []string{"-e", "on run argv", "-e", "return " + what, "-e", "end run", title, text}, nil
}}
