package cli

import (
	"path/filepath"
	"testing"
)

func TestHome(t *testing.T) {
	abs := func(name string) string {
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	both := map[string]string{"HOME": abs("home"), "USERPROFILE": abs("profile")}
	for _, tt := range []struct {
		goos string
		vars map[string]string
		want string
	}{
		{"linux", both, both["HOME"]},
		{"darwin", both, both["HOME"]},
		{"windows", both, both["USERPROFILE"]},
		{"windows", map[string]string{"HOME": both["HOME"]}, ""},
		{"linux", map[string]string{"USERPROFILE": both["HOME"]}, ""},
		{"linux", map[string]string{"HOME": "relative"}, ""},
	} {
		env := &Env{Getenv: func(name string) string { return tt.vars[name] }}
		if got, err := env.home(tt.goos); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s, %v: %q, %v", tt.goos, tt.vars, got, err)
		}
	}
}
