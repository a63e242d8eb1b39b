//go:build unix

package child

import (
	"bufio"
	"context"
	"os/exec"
	"testing"
	"time"
)

// A program that is asked to end tidies up first.
func TestAskToEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", `trap "echo tidied; exit 0" TERM; echo ready; while :; do sleep 0.01; done`)
	cmd.WaitDelay = 2 * time.Minute
	AskToEnd(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{"ready", "tidied"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("%q, want %q", lines.Text(), want)
		}
		cancel()
	}
	cmd.Wait()
}
