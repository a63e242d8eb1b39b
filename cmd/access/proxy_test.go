package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// A running is "access proxy --json HOST" in another process.
type running struct {
	proxyEvent
	t      *testing.T
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr *bytes.Buffer // to be read when it has ended
	client *http.Client
	ended  func() error
}

func startProxy(t *testing.T, w *scripttest.World, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	r := &running{t: t, cmd: w.Command(ctx, "access", append([]string{"proxy", "--json"}, args...)...), stderr: &bytes.Buffer{}}
	r.cmd.Stderr = r.stderr
	out, err := r.cmd.StdoutPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	r.stdout = bufio.NewReader(out)
	r.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
	r.ended = sync.OnceValue(func() error {
		if runtime.GOOS == "windows" {
			r.cmd.Process.Kill()
		} else {
			r.cmd.Process.Signal(syscall.SIGTERM)
		}
		rest, _ := io.ReadAll(r.stdout)
		err := r.cmd.Wait()
		if len(rest) > 0 {
			t.Errorf("more on standard output: %q", rest)
		}
		return err
	})
	t.Cleanup(func() { r.client.CloseIdleConnections(); r.ended(); cancel() })
	line, err := r.stdout.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r.proxyEvent)
	}
	if err != nil {
		t.Fatalf("%q: %v, %v\n%s", line, err, r.ended(), r.stderr)
	}
	return r
}

func (r *running) post(text string) (int, string, error) {
	resp, err := r.client.Post(r.URL+"echo", "text/plain", strings.NewReader(text))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func (r *running) want(status int, text string) {
	r.t.Helper()
	if s, b, err := r.post("x"); err != nil || s != status || !strings.Contains(b, text) {
		r.t.Errorf("status %d, want %d with %q: %q, %v", s, status, text, b, err)
	}
}

func loginTo(t *testing.T, w *scripttest.World, host string) {
	t.Helper()
	if out, err := w.Command(t.Context(), "access", "login", host).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func posted(q accesstest.Request) bool { return q.Method == http.MethodPost }

// The life of a proxy: sessions that end are renewed once, one that cannot be is answered with the cause and the command and told in
// one line whatever the number of clients, and a new login serves the proxy that runs.
func TestProxyThroughTheLifeOfASession(t *testing.T) {
	w := scripttest.NewWorld(t, scripttest.Git{})
	if err := addServers(w); err != nil {
		t.Fatal(err)
	}
	const host = "pkg.example.com"
	loginTo(t, w, host)
	r := startProxy(t, w, host)
	if r.Event != "listening" || r.Host != host || r.Header == "" || r.Token == "" || !strings.Contains(r.URL, r.Token) {
		t.Errorf("announced %+v", r.proxyEvent)
	}
	r.want(200, "POST x")

	w.Apps[host].Revoke()
	w.Edge.ClearLog()
	r.want(200, "POST x")
	if n := len(w.Edge.Requests(accesstest.ToHost(host), accesstest.ToPath("/echo"), posted)); n != 2 {
		t.Errorf("a revoked session cost %d requests for /echo, want the refused one and another", n)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, _, err := websocket.Dial(ctx, r.URL+"ws", &websocket.DialOptions{HTTPClient: r.client})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if err := c.Write(ctx, websocket.MessageText, []byte("echo")); err != nil {
		t.Fatal(err)
	}
	if _, b, err := c.Read(ctx); err != nil || string(b) != "echo" {
		t.Errorf("WebSocket: %q, %v", b, err)
	}

	w.Team.RevokeUser(scripttest.Person)
	w.Apps[host].Revoke()
	var clients sync.WaitGroup
	for range 20 {
		clients.Go(func() { r.want(403, "access: hint: log in where you have a terminal: access login "+host) })
	}
	clients.Wait()
	if tabs := len(w.Tabs()); tabs != 1 {
		t.Errorf("%d logins were opened, want the one at the beginning", tabs)
	}
	loginTo(t, w, host)
	r.want(200, "POST x")

	w.Edge.Fail(host, 1, accesstest.TunnelDown, nil)
	r.want(530, "") // what the edge says stays as it is
	if err := r.ended(); err != nil && runtime.GOOS != "windows" {
		t.Errorf("after SIGTERM: %v", err)
	}
	if _, _, err := c.Read(ctx); err == nil {
		t.Error("the WebSocket survived the proxy")
	}
	if got, want := r.stderr.String(), "access: warning: "+host+" needs a login: there is no terminal\n"; got != want {
		t.Errorf("standard error:\n%swant\n%s", got, want)
	}
}

// A thousand requests at once go over few connections to the edge, and all get through.
func TestProxyAThousandRequests(t *testing.T) {
	w := scripttest.NewWorld(t, scripttest.Git{})
	if err := addServers(w); err != nil {
		t.Fatal(err)
	}
	const host = "oauth-pkg.example.com"                                // a credential of the keystore
	w.Apps[host].Set(func(a *accesstest.App) { a.Origin = servers(w) }) // which looks at no command lines
	loginTo(t, w, host)
	r := startProxy(t, w, host)
	w.Edge.ClearLog()
	w.Team.ExpireAccessTokens() // the first thing that all of them find out
	failed := make(chan error, 1000)
	for i := range cap(failed) {
		go func() {
			status, got, err := r.post(fmt.Sprint(i))
			if want := fmt.Sprintf("POST %d", i); err == nil && (status != 200 || got != want) {
				err = fmt.Errorf("status %d, %q, want %q", status, got, want)
			}
			failed <- err
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	refreshes := 0
	for _, q := range w.Edge.Requests(accesstest.ToHost(w.Team.Domain())) {
		for _, c := range q.Credentials {
			if c.Kind == accesstest.RefreshToken {
				refreshes++
			}
		}
	}
	if refreshes != 1 {
		t.Errorf("%d refreshes, want one", refreshes)
	}
	if n := len(w.Edge.Connections(host)); n > 500 {
		t.Errorf("%d connections to the edge", n)
	}
	r.ended()
	if r.stderr.Len() > 0 {
		t.Errorf("standard error:\n%s", r.stderr)
	}
}

// A signal to the proxy ends its command, and then the proxy as shells report it.
func TestProxyEndsItsCommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such signals on Windows")
	}
	w := scripttest.NewWorld(t, scripttest.Git{})
	w.Set("CF_ACCESS_CLIENT_ID="+w.Service.ID, "CF_ACCESS_CLIENT_SECRET="+w.Service.Secret())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := w.Command(ctx, "access", "proxy", "ci.example.com", "--", "sh", "-c", "echo ready; exec sleep 1000")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Errorf("%q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	rest, err := io.ReadAll(out) // the command has it open, too
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) || err != nil || len(rest) > 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d, %q, %v\n%s", code, rest, err, &stderr)
	}
}
