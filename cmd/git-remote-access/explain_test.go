package main

import (
	"net/http"
	"testing"
)

// People copy what a hint says into a shell, also where a server has chosen it.
func TestRepositoryOf(t *testing.T) {
	for from, want := range map[string]string{
		"https://open.example.com/demo.git/info/refs?service=git-upload-pack": "'https://open.example.com/demo.git'",
		"https://Open.example.com:8443/a b/info/refs":                         "'https://open.example.com:8443/a%20b'",
		"https://open.example.com/$(reboot)'`id`;/info/refs":                  "'https://open.example.com/$%28reboot%29%27%60id%60;'",
		"https://$(reboot)/demo.git/info/refs":                                "",
		"https://a'b.example.com/demo.git/info/refs":                          "",
		"http://open.example.com/demo.git/info/refs":                          "",
	} {
		resp := &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {from}}}
		to := location(resp)
		if to == nil {
			t.Fatalf("%s is no URL", from)
		}
		if got := repositoryOf(to); got != want {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
}
