package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// Where nobody can answer the program ends without waiting for anything and without a word to anybody: no other program, no network, no
// bus, no timer. And so does an answer of the environment.
func TestNobodyIsQuick(t *testing.T) {
	strace := scripttest.Need(t, "strace", "strace")
	w := newWorld(t)
	program := filepath.Join(scripttest.Build(t, "access-askpass"), "access-askpass")
	account := []string{"ACCESS_ORIGIN_HOST=login.example.com", "ACCESS_ORIGIN_USERNAME=ada", "ACCESS_ORIGIN_PASSWORD=origin-password"}
	for _, tt := range []struct {
		name, prompt, out string
		env               []string
	}{
		{"CI and a prompt that nobody knows", "What? ", "", []string{"CI=true"}},
		{"CI and a password that is not kept", "Password for 'https://ada@login.example.com': ", "", []string{"CI=true"}},
		{"no terminal", "Password for 'https://ada@login.example.com': ", "", nil},
		{"a bus and a display that do not answer", "ada@ssh.example.com's password: ", "", []string{"CI=true", "DISPLAY=192.0.2.1:0", "DBUS_SESSION_BUS_ADDRESS=tcp:host=192.0.2.1,port=1", "ACCESS_KEYSTORE="}},
		{"the same, and a password", "Password for 'https://ada@login.example.com': ", "", []string{"CI=true", "DISPLAY=192.0.2.1:0", "DBUS_SESSION_BUS_ADDRESS=tcp:host=192.0.2.1,port=1", "ACCESS_KEYSTORE="}},
		{"consent", "Allow use of key ada?", "", []string{"SSH_ASKPASS_PROMPT=confirm", "ACCESS_INTERACTIVE=never", "DISPLAY=:0"}},
		{"the account of a job", "Password for 'https://ada@login.example.com': ", "origin-password\n", append(account, "CI=true")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			cmd := w.Command(t.Context(), strace, "-f", "-qq", "-o", log, "-e", "trace=execve,connect,socket,clone,fork,vfork,nanosleep,clock_nanosleep,timerfd_create,poll,select,openat", program, tt.prompt)
			cmd.Env = append(cmd.Env, tt.env...)
			out, err := cmd.Output()
			if (err == nil) != (tt.out != "") || string(out) != tt.out {
				t.Errorf("%v, output %q", err, out)
			}
			b, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			calls := string(b)
			if n := strings.Count(calls, "execve("); n != 1 {
				t.Errorf("%d programs were started:\n%s", n-1, calls)
			}
			// The runtime starts threads by clone(…CLONE_THREAD…), and its monitor sleeps for microseconds.
			if bad := regexp.MustCompile(`(?m)^.*\b(connect|socket|fork|vfork|timerfd_create|poll|select)\(.*$`).FindAllString(calls, -1); len(bad) > 0 {
				t.Errorf("%q", bad)
			}
			for _, line := range regexp.MustCompile(`(?m)^.*\bclone\(.*$`).FindAllString(calls, -1) {
				if !strings.Contains(line, "CLONE_THREAD") && strings.Contains(line, "flags=") {
					t.Errorf("a child: %s", line)
				}
			}
			for _, m := range regexp.MustCompile(`nanosleep\(.*tv_sec=(\d+)`).FindAllStringSubmatch(calls, -1) {
				if m[1] != "0" {
					t.Errorf("it sleeps: %s", m[0])
				}
			}
		})
	}
}
