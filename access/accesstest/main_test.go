package accesstest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"testing"

	"github.com/coder/websocket"
)

// The test binary is also the ProxyCommand of the ssh that the tests run: a
// relay over a library that is not ours.
const proxyCommand = "ACCESSTEST_PROXY_COMMAND"

func TestMain(m *testing.M) {
	if link := os.Getenv(proxyCommand); link != "" {
		if err := relayStdio(link, os.Getenv("ACCESSTEST_TOKEN")); err != nil {
			fmt.Fprintln(os.Stderr, "relay:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// need returns the path of a program, or ends the test: a skip for people, a
// failure with CI=true.
func need(t *testing.T, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: install %s", program, pkg)
	}
	if err != nil {
		t.Skipf("%s is missing: install %s", program, pkg)
	}
	return path
}

func relayStdio(link, tok string) error {
	ctx := context.Background()
	ws, _, err := websocket.Dial(ctx, link, &websocket.DialOptions{HTTPHeader: http.Header{"Cf-Access-Token": {tok}}})
	if err != nil {
		return err
	}
	conn := websocket.NetConn(ctx, ws, websocket.MessageBinary)
	go io.Copy(conn, os.Stdin)
	_, err = io.Copy(os.Stdout, conn)
	return err
}
