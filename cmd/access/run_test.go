package main

import (
	"slices"
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
	vars, dropped := withoutTraces(environ)
	if want := []string{"GIT_TRACE_CURL", "GIT_CURL_VERBOSE"}; !slices.Equal(dropped, want) {
		t.Errorf("told of %q, want %q", dropped, want)
	}
	for _, v := range vars {
		environ = v.apply(environ)
	}
	if want := []string{"PATH=/bin", "GIT_TRACE2=0", "GIT_TRACE2_EVENT=0", "GIT_TRACE2_PERF=0"}; !slices.Equal(environ, want) {
		t.Errorf("environment %q, want %q", environ, want)
	}
}
