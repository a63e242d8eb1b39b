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
		kept  bool
	}{
		{access.JWT, 25, false}, // Ubuntu 20.04: cookies as they are
		{access.JWT, 30, true},  // Debian 11: not over HTTP/1.1
		{access.JWT, 47, true},
		{access.ServiceToken, 47, false},
		{access.Bearer, 47, false},
	} {
		v := githelper.Version{Major: 2, Minor: tt.minor}
		clean, dropped := withoutTraces(environ, v, access.Credential{Kind: tt.kind})
		if got := slices.Contains(clean, "GIT_TRACE_CURL=1"); got != tt.kept || !slices.Contains(clean, "PATH=/bin") {
			t.Errorf("%v, git %v: %q", tt.kind, v, clean)
		}
		if want := []string{"GIT_TRACE_CURL"}; !tt.kept && !slices.Equal(dropped, want) {
			t.Errorf("%v, git %v: told of %q, want %q", tt.kind, v, dropped, want)
		}
	}
}
