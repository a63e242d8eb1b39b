//go:build unix && !darwin

package dialog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fake puts a program on PATH that keeps its arguments, and ends as a script says.
func fake(t *testing.T, name, end string) (args string) {
	t.Helper()
	dir := t.TempDir()
	args = filepath.Join(dir, "args")
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" >'"+args+"'\n"+end+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return args
}

func find(t *testing.T, vars map[string]string) *Dialog {
	t.Helper()
	d, ok := Find(&Options{Getenv: func(n string) string { return vars[n] }})
	if !ok {
		t.Fatal("there is no dialog")
	}
	return d
}

const nasty = "-x_y <b>bold</b> & \\n\u202e\x1b[2J\nnext"

func TestArguments(t *testing.T) {
	kde := map[string]string{"WAYLAND_DISPLAY": "wayland-0", "XDG_CURRENT_DESKTOP": "KDE"}
	gnome := map[string]string{"DISPLAY": ":0"}
	for _, tt := range []struct {
		program string
		vars    map[string]string
		ask     func(*Dialog) error
		want    string
	}{
		{"zenity", gnome, func(d *Dialog) error { _, err := d.Ask(t.Context(), "git asks", nasty, false); return err },
			"--entry\n--hide-text\n--title=git asks\n--text=-x__y <b>bold</b> & \\\\n\ufffd\ufffd[2J\nnext\n"},
		{"zenity", gnome, func(d *Dialog) error { _, err := d.Ask(t.Context(), "git asks", "User", true); return err },
			"--entry\n--title=git asks\n--text=User\n"},
		{"zenity", gnome, func(d *Dialog) error { return d.Confirm(t.Context(), "git asks", nasty) },
			"--question\n--no-markup\n--default-cancel\n--title=git asks\n--text=-x_y <b>bold</b> & \\\\n\ufffd\ufffd[2J\nnext\n"},
		{"zenity", gnome, func(d *Dialog) error { return d.Notice(t.Context(), "git asks", "Touch") },
			"--info\n--no-markup\n--title=git asks\n--text=Touch\n"},
		{"kdialog", kde, func(d *Dialog) error { _, err := d.Ask(t.Context(), "git asks", nasty, false); return err },
			"--title\ngit asks\n--password\n<qt>-x_y &lt;b&gt;bold&lt;/b&gt; &amp; \\n\ufffd\ufffd[2J<br/>next</qt>\n"},
		{"kdialog", kde, func(d *Dialog) error { return d.Confirm(t.Context(), "git asks", "?") }, "--title\ngit asks\n--warningyesno\n<qt>?</qt>\n"},
	} {
		args := fake(t, tt.program, "echo answer")
		if err := tt.ask(find(t, tt.vars)); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(args); err != nil || string(got) != tt.want {
			t.Errorf("%s was called with %q, want %q", tt.program, got, tt.want)
		}
	}
}

func TestEnds(t *testing.T) {
	for end, want := range map[string]string{
		"printf 'pa ss\\n'": "",
		"exit 1":            "canceled",
		"echo 'Gtk-WARNING **: cannot open display: :9' >&2; exit 1": "display",
		"echo 'some theme is missing' >&2; exit 1":                   "canceled",
		"exit 255": "255",
	} {
		fake(t, "zenity", end)
		b, err := find(t, map[string]string{"DISPLAY": ":0"}).Ask(t.Context(), "t", "?", false)
		switch {
		case want == "" && (err != nil || string(b) != "pa ss"),
			want == "canceled" && !errors.Is(err, ErrCanceled),
			want != "" && want != "canceled" && (err == nil || errors.Is(err, ErrCanceled) || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %q, %v", end, b, err)
		}
	}
	if _, ok := Find(&Options{Getenv: func(string) string { return "" }}); ok {
		t.Error("a window without a display")
	}
}
