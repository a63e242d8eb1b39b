package sshproxy_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails the run if a goroutine of the package outlives its tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := leaked(time.Minute); left != "" {
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked returns the stacks of goroutines that are in the package, when they have
// not ended within patience.
func leaked(patience time.Duration) string {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		buf := make([]byte, 4<<20)
		var stacks []string
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "/sshproxy.") && !strings.Contains(g, "sshproxy_test.TestMain") {
				stacks = append(stacks, g)
			}
		}
		if len(stacks) == 0 || time.Now().After(end) {
			return strings.Join(stacks, "\n\n")
		}
	}
}
