package browser

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://team.example.com/login?a=b&c=%20d": "https://team.example.com/login?a=b&c=%20d",
		"http://127.0.0.1:8080/":                    "http://127.0.0.1:8080/",
		// What a shell would run in an opener that is a careless script:
		"https://h/?a=$(reboot)&b=`id`;c='|d\"": "https://h/?a=%24%28reboot%29&b=%60id%60%3Bc=%27%7Cd%22",
		// What ends a string in PowerShell, and what stands between its words:
		"https://h/’?a=’\u0085-Verb\u00a0‘x‚y‛#’": "https://h/%E2%80%99?a=%E2%80%99%C2%85-Verb%C2%A0%E2%80%98x%E2%80%9Ay%E2%80%9B#%E2%80%99",
	} {
		if got, err := checkURL(in); got != want || err != nil {
			t.Errorf("checkURL(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "file:///etc/passwd", "javascript:alert(1)", "-flag", "--app=https://h", "https://", "https:///path", "ssh://h/",
		"https://user:s3cret@h/", "https://h/\nX", "//h/", "h/", "vscode://h/",
	} {
		if got, err := checkURL(in); err == nil {
			t.Errorf("checkURL(%q) = %q, want a refusal", in, got)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("checkURL(%q) tells the password: %v", in, err)
		}
	}
}

func TestSplit(t *testing.T) {
	tests := []struct {
		in   string
		want []string
	}{
		{"firefox", []string{"firefox"}},
		{"  firefox   --new-tab %s ", []string{"firefox", "--new-tab", "%s"}},
		{`"/opt/my browser/run" -P 'two words'`, []string{"/opt/my browser/run", "-P", "two words"}},
		{`a"b c"d ''`, []string{"ab cd", ""}},
		{`$HOME/x; rm -rf /`, []string{"$HOME/x;", "rm", "-rf", "/"}},
		{"", nil},
	}
	for _, tt := range tests {
		got, err := split(tt.in)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("split(%q): %v %s", tt.in, err, diff)
		}
	}
	if got, err := split(`"open`); err == nil {
		t.Errorf("an open quote gave %q", got)
	}
}

func TestWithPage(t *testing.T) {
	for _, tt := range []struct{ args, want []string }{
		{nil, []string{"P"}},
		{[]string{"-n"}, []string{"-n", "P"}},
		{[]string{"--app=%s", "-n"}, []string{"--app=P", "-n"}},
	} {
		if diff := cmp.Diff(tt.want, withPage(tt.args, "P")); diff != "" {
			t.Error(diff)
		}
	}
}

func TestNoBrowser(t *testing.T) {
	env := map[string]string{"BROWSER": "no-such-browser-of-gitaccess:/nor/this"}
	err := Open(context.Background(), "https://h/", &Options{Getenv: func(k string) string { return env[k] }})
	var nb *NoBrowserError
	if !errors.As(err, &nb) || !strings.Contains(err.Error(), "no-such-browser-of-gitaccess") {
		t.Errorf("got %v, want a NoBrowserError that names the program", err)
	}
}
