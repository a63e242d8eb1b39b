package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/githelper"
)

// A git that prints what it sends is not told to, whatever the credential is.
func TestTracesOfOldGits(t *testing.T) {
	environ := []string{"PATH=/bin", "GIT_TRACE_CURL=1", "GIT_CURL_VERBOSE=0"}
	for _, tt := range []struct {
		kind  access.Kind
		minor int
		shown bool
	}{
		{access.JWT, 25, true},  // Ubuntu 20.04: cookies as they are
		{access.JWT, 30, false}, // Debian 11: not over HTTP/1.1
		{access.JWT, 47, false},
		{access.ServiceToken, 47, true},
		{access.Bearer, 47, true},
		{access.None, 25, false},
	} {
		v := githelper.Version{Major: 2, Minor: tt.minor}
		if got := printedByTraces(v, access.Credential{Kind: tt.kind}); got != tt.shown {
			t.Errorf("%v, git %v: shown by traces: %v", tt.kind, v, got)
		}
	}
	environ = append(environ, "GIT_TRACE2=/tmp/trace", "GIT_CONFIG_PARAMETERS='user.name'='Ada'")
	settings := []setting{{key: "http.a.extraHeader", value: "A: 5ecret", secret: "5ecret"}, {key: "http.b.extraHeader", value: "B: other", secret: "other"}}
	for _, tt := range []struct {
		minor   int
		masks   []string // of each variable
		changed []string
	}{
		{30, []string{"5ecret other"}, []string{"PATH=/bin", "GIT_CONFIG_PARAMETERS='user.name'='Ada' 'http.a.extraHeader=A: 5ecret' 'http.b.extraHeader=B: other'"}},
		{47, []string{"5ecret", "other"}, []string{"PATH=/bin", "GIT_CONFIG_PARAMETERS='user.name'='Ada'", "GIT_CONFIG_KEY_0=http.a.extraHeader", "GIT_CONFIG_VALUE_0=A: 5ecret",
			"GIT_CONFIG_KEY_1=http.b.extraHeader", "GIT_CONFIG_VALUE_1=B: other", "GIT_CONFIG_COUNT=2"}},
	} {
		vars, dropped, err := configured(environ, githelper.Version{Major: 2, Minor: tt.minor}, settings, true)
		if want := []string{"GIT_TRACE_CURL", "GIT_CURL_VERBOSE", "GIT_TRACE2"}; err != nil || !slices.Equal(dropped, want) {
			t.Errorf("told of %q, want %q; %v", dropped, want, err)
		}
		got := environ
		var masks []string
		for _, v := range vars {
			got = v.apply(got)
			if v.secrets != nil {
				masks = append(masks, strings.Join(v.secrets, " "))
			}
		}
		if want := append(tt.changed, "GIT_TRACE2=0", "GIT_TRACE2_EVENT=0", "GIT_TRACE2_PERF=0"); !slices.Equal(got, want) {
			t.Errorf("environment %q, want %q", got, want)
		}
		if !slices.Equal(masks, tt.masks) {
			t.Errorf("secret: %q, want %q", masks, tt.masks)
		}
	}
}
