package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const m = "github.com/gitaccess/gitaccess"

func TestReport(t *testing.T) {
	tests := []struct {
		name, in, want string
		strict, ok     bool
		full           bool
	}{
		{name: "all well", ok: true, in: `
{"Action":"start","Package":"M/access"}
{"Action":"run","Package":"M/access","Test":"TestA"}
{"Action":"output","Package":"M/access","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"run","Package":"M/access","Test":"TestA/one"}
{"Action":"pass","Package":"M/access","Test":"TestA/one","Elapsed":0}
{"Action":"pass","Package":"M/access","Test":"TestA","Elapsed":0}
{"Action":"output","Package":"M/access","Output":"PASS\n"}
{"Action":"pass","Package":"M/access","Elapsed":1.25}
{"Action":"skip","Package":"M/cmd/internal/x","Elapsed":0}
`, want: `ok    access    1.2s  1 passed
-     cmd/internal/x  no tests

1 passed, 0 failed, 0 skipped
`},
		{name: "a failure is shown whole", in: `
{"Action":"run","Package":"M/access","Test":"TestA"}
{"Action":"run","Package":"M/access","Test":"TestA/one"}
{"Action":"output","Package":"M/access","Test":"TestA/one","Output":"=== RUN   TestA/one\n"}
{"Action":"output","Package":"M/access","Test":"TestA/one","Output":"    a_test.go:3: got 1,\n"}
{"Action":"output","Package":"M/access","Test":"TestA/one","Output":"        want 2\n"}
{"Action":"output","Package":"M/access","Test":"TestA/one","Output":"    --- FAIL: TestA/one (0.00s)\n"}
{"Action":"fail","Package":"M/access","Test":"TestA/one","Elapsed":0}
{"Action":"fail","Package":"M/access","Test":"TestA","Elapsed":0}
{"Action":"output","Package":"M/access","Output":"FAIL\n"}
{"Action":"output","Package":"M/access","Output":"FAIL\tM/access\t0.1s\n"}
{"Action":"fail","Package":"M/access","Elapsed":0.1}
`, want: `FAIL  access    0.1s  0 passed, 1 failed

--- access TestA/one
    a_test.go:3: got 1,
        want 2
    --- FAIL: TestA/one (0.00s)

0 passed, 1 failed, 0 skipped
`},
		{name: "a skip has its reason", ok: true, in: skip, want: `ok    access    0.1s  1 passed, 1 skipped

skipped:
  access TestSSHD: sshd is missing: install openssh-server

1 passed, 0 failed, 1 skipped
`},
		{name: "what is left to make test-full is no skip", ok: true, strict: true, in: strings.ReplaceAll(skip, "sshd is missing: install openssh-server", "left to make test-full"), want: `ok    access    0.1s  1 passed

left to make test-full:
  access TestSSHD

1 passed, 0 failed, 0 skipped
`},
		{name: "the full run leaves nothing", strict: true, full: true, in: strings.ReplaceAll(skip, "sshd is missing: install openssh-server", "left to make test-full"), want: `ok    access    0.1s  1 passed, 1 skipped

skipped:
  access TestSSHD: left to make test-full
CI=true allows no skipped test

1 passed, 0 failed, 1 skipped
`},
		{name: "CI allows no skip", strict: true, in: skip, want: `ok    access    0.1s  1 passed, 1 skipped

skipped:
  access TestSSHD: sshd is missing: install openssh-server
CI=true allows no skipped test

1 passed, 0 failed, 1 skipped
`},
		{name: "a panic names the test that did not end", in: `
{"Action":"run","Package":"M/access","Test":"TestA"}
{"Action":"output","Package":"M/access","Test":"TestA","Output":"panic: oh\n"}
{"Action":"output","Package":"M/access","Output":"FAIL\tM/access\t0.1s\n"}
{"Action":"fail","Package":"M/access","Elapsed":0.1}
`, want: `FAIL  access    0.1s  0 passed, 1 failed

--- access TestA
panic: oh
    (did not end)

0 passed, 1 failed, 0 skipped
`},
		{name: "a package that fails after its tests", in: `
{"Action":"pass","Package":"M/access","Test":"TestA"}
{"Action":"output","Package":"M/access","Output":"leaked 3 goroutines\n"}
{"Action":"fail","Package":"M/access","Elapsed":0.1}
`, want: `FAIL  access    0.1s  1 passed

--- access
leaked 3 goroutines

1 passed, 1 failed, 0 skipped
`},
		{name: "a package that cannot be built", in: `
{"ImportPath":"M/access [M/access.test]","Action":"build-output","Output":"access/a.go:1: no\n"}
{"ImportPath":"M/access [M/access.test]","Action":"build-fail"}
{"Action":"start","Package":"M/access"}
{"Action":"output","Package":"M/access","Output":"FAIL\tM/access [build failed]\n"}
{"Action":"fail","Package":"M/access","Elapsed":0,"FailedBuild":"M/access [M/access.test]"}
`, want: `FAIL  access    0.0s  0 passed

--- access could not be built
access/a.go:1: no

0 passed, 1 failed, 0 skipped
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			ok, err := report(strings.NewReader(strings.ReplaceAll(strings.TrimSpace(tt.in), "M/", m+"/")), &out, tt.strict, tt.full)
			if err != nil || ok != tt.ok {
				t.Errorf("ok %t, error %v", ok, err)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

const skip = `
{"Action":"pass","Package":"M/access","Test":"TestA"}
{"Action":"output","Package":"M/access","Test":"TestSSHD","Output":"=== RUN   TestSSHD\n"}
{"Action":"output","Package":"M/access","Test":"TestSSHD","Output":"    a_test.go:3: sshd is missing: install openssh-server\n"}
{"Action":"output","Package":"M/access","Test":"TestSSHD","Output":"--- SKIP: TestSSHD (0.00s)\n"}
{"Action":"skip","Package":"M/access","Test":"TestSSHD","Elapsed":0}
{"Action":"pass","Package":"M/access","Elapsed":0.1}
`

// Nothing run is not success: a pattern that matches nothing, a go command that has failed.
func TestNothingRun(t *testing.T) {
	var out strings.Builder
	if ok, err := report(strings.NewReader("go: cannot find main module\n"), &out, false, false); ok || err == nil {
		t.Errorf("ok %t, error %v", ok, err)
	}
	if !strings.Contains(out.String(), "cannot find main module") {
		t.Errorf("what is no event was lost: %q", out.String())
	}
}
