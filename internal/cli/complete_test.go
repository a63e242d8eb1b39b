package cli

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestComplete(t *testing.T) {
	app := &cli.App{
		Flags: []cli.Flag{&cli.StringFlag{Name: "team", Usage: "the `DOMAIN`"}},
		Commands: []*cli.Command{
			{Name: "login", Usage: "log in", ArgsUsage: "HOST", Flags: []cli.Flag{&cli.BoolFlag{Name: "json"}, &cli.StringFlag{Name: "timeout"}}},
			{Name: "logout", ArgsUsage: "[HOST]"},
			{Name: "hidden", Hidden: true},
			{Name: "curl", SkipFlagParsing: true, ArgsUsage: "HOST"},
			{Name: "setup", Subcommands: []*cli.Command{{Name: "git", ArgsUsage: "HOST"}, {Name: "ssh", ArgsUsage: "HOST..."}}},
		},
	}
	hosts := func(usage string) []Candidate {
		if !strings.Contains(usage, "HOST") {
			return nil
		}
		return []Candidate{{"a.example.com", ""}, {"b.example.com:8443", ""}}
	}
	for line, want := range map[string]string{
		"":                         "login logout curl setup",
		"lo":                       "login logout",
		"hid":                      "",
		"login ":                   "a.example.com b.example.com:8443",
		"login b":                  "b.example.com:8443",
		"login a.example.com ":     "",
		"login --":                 "--json --timeout= --team= --help",
		"login a.example.com --j":  "--json",
		"login --timeout ":         "",
		"login --timeout 1s a":     "a.example.com",
		"login --timeout=1s a":     "a.example.com",
		"--team x lo":              "login logout",
		"setup ":                   "git ssh",
		"setup git a":              "a.example.com",
		"setup ssh a.example.com ": "a.example.com b.example.com:8443",
		"curl ":                    "",
		"login -- ":                "",
		"nonsense ":                "",
	} {
		var got []string
		for _, c := range Complete(app, strings.Split(line, " "), hosts) {
			got = append(got, c.Word)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	if c := Complete(app, []string{"log"}, hosts)[0]; c.Description != "log in" {
		t.Errorf("%+v", c)
	}
}
