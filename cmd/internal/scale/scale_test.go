package scale

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

func TestMain(m *testing.M) {
	scripttest.Main(m, nil, "access", "git-credential-access", "access-ssh-proxy")
}

// full reports whether tests that take minutes are wanted, as by make test-full.
func full() bool { return os.Getenv("ACCESS_TEST_FULL") != "" }

func run(t *testing.T, w *scripttest.World, args ...string) {
	t.Helper()
	if out, err := w.Command(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func request(host string) string {
	return "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=" + host + "\n\n"
}

// echoes returns what it gets.
func echoes(c net.Conn) { io.Copy(c, c) }

// A machine of a build farm: 500 helpers and 200 streams start at once (fewer where the tests of other packages run beside), with an access
// token that has ended and a stream that wants its own session. All of them get through, by one refresh, one exchange and no login.
func TestFarm(t *testing.T) {
	gets, streams := 200, 50
	if full() {
		gets, streams = 500, 200
	}
	w := scripttest.NewWorld(t, scripttest.Git{})
	w.Set("ACCESS_INTERACTIVE=always")
	w.ServeTCP(t, "ssh.example.com", echoes)
	life := func(d time.Duration) {
		w.Apps["oauth.example.com"].Set(func(a *accesstest.App) { a.OAuth.AccessLifetime, a.OAuth.ReuseRevokes = d, true })
	}
	life(time.Second)
	run(t, w, "access", "login", "oauth.example.com")
	ends := time.Now().Add(2 * time.Second)
	life(15 * time.Minute)
	run(t, w, "access", "login", "git.example.com") // the team's session, for the streams
	time.Sleep(time.Until(ends))
	tabs := len(w.Tabs())
	w.Edge.ClearLog()

	var wg sync.WaitGroup
	start := make(chan struct{})
	for range gets {
		wg.Go(func() {
			<-start
			cmd := w.Command(t.Context(), "git-credential-access", "get")
			cmd.Stdin = strings.NewReader(request("oauth.example.com"))
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "\nauthtype=Bearer\ncredential=oauth:") {
				t.Errorf("get: %v, %d bytes\n%s", err, len(out), &stderr)
			}
		})
	}
	for i := range streams {
		wg.Go(func() {
			<-start
			if err := stream(t.Context(), w, fmt.Sprintf("stream %d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()

	count := func(f ...func(accesstest.Request) bool) int {
		return len(w.Edge.Requests(append(f, accesstest.ByProgram)...))
	}
	if n := count(func(r accesstest.Request) bool {
		return slices.ContainsFunc(r.Credentials, func(c accesstest.Credential) bool { return c.Kind == accesstest.RefreshToken })
	}); n != 1 {
		t.Errorf("%d refreshes", n)
	}
	if n := count(accesstest.ToHost(w.Team.Domain()), func(r accesstest.Request) bool {
		return strings.Contains(r.Path, "/cdn-cgi/access/login/ssh.example.com")
	}); n != 1 {
		t.Errorf("%d exchanges", n)
	}
	if n := len(w.Tabs()) - tabs; n != 0 {
		t.Errorf("%d browser tabs", n)
	}
}

// stream sends text through access-ssh-proxy and wants it back.
func stream(ctx context.Context, w *scripttest.World, text string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := w.Command(ctx, "access-ssh-proxy", "ssh.example.com")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	io.WriteString(in, text)
	got := make([]byte, len(text))
	_, err = io.ReadFull(out, got)
	cmd.Process.Signal(os.Interrupt)
	in.Close()
	cmd.Wait()
	if err != nil || string(got) != text {
		return fmt.Errorf("%q came back as %q: %w\n%s", text, got, errors.Join(err, ctx.Err()), &stderr)
	}
	return nil
}

// files are those below dir.
func files(t *testing.T, dir string) (n int, size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err == nil {
			n, size = n+1, size+i.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, size
}

// Many gets in a row leave nothing behind: no file, no lease, no byte more in any of them.
func TestManyGets(t *testing.T) {
	many := 1000
	if full() {
		many = 10000
	}
	w := scripttest.NewWorld(t, scripttest.Git{})
	w.Set("ACCESS_INTERACTIVE=always")
	run(t, w, "access", "setup", "git", "git.example.com")
	get := func() {
		cmd := w.Command(t.Context(), "git-credential-access", "get")
		cmd.Stdin = strings.NewReader(request("git.example.com"))
		if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "continue=1") {
			t.Fatalf("%v: %q", err, out)
		}
	}
	get()
	state, home := filepath.Join(w.Dir, "state"), filepath.Join(w.Dir, "home")
	n, size := files(t, state)
	nHome, _ := files(t, home)
	w.Edge.ClearLog()
	for range many {
		get()
	}
	// A get after five minutes asks the host whether the session still holds, and notes when: that is all that may come.
	if requests := len(w.Edge.Requests(accesstest.ByProgram)); requests > many/100 {
		t.Errorf("%d requests", requests)
	}
	if n2, size2 := files(t, state); n2 != n || size2 > size+64 {
		t.Errorf("%d files of %d bytes, before %d of %d", n2, size2, n, size)
	}
	if n2, _ := files(t, home); n2 != nHome {
		t.Errorf("%d files in the home folder, before %d", n2, nHome)
	}
}

var (
	peak    = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
	threads = regexp.MustCompile(`Threads:\s+(\d+)`)
)

// number is what the expression finds in a file of /proc, or 0.
func number(re *regexp.Regexp, s string) int {
	m := re.FindStringSubmatch(s)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// Many connections to one listener, a hundred new ones at a time, each with an echo of its own; what one costs in memory is bounded, and an
// end of all of them leaves nothing open.
func TestListenWithManyConnections(t *testing.T) {
	many := 500
	if full() {
		many = 2000
	}
	w := scripttest.NewWorld(t, scripttest.Git{})
	w.Set("ACCESS_INTERACTIVE=always")
	w.ServeTCP(t, "ssh.example.com", echoes)
	run(t, w, "access", "login", "ssh.example.com")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	socket := filepath.Join(w.Dir, "s")
	cmd := w.Command(ctx, "access-ssh-proxy", "--listen", "unix:"+socket, "ssh.example.com")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s", &stderr)
		}
	}()
	for {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	status := func(name string) string {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	open := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if runtime.GOOS != "linux" {
		status, open = func(string) string { return "" }, func() int { return 0 }
	}
	before := open()
	conns := make([]net.Conn, many)
	for from := 0; from < many; from += 100 {
		var wg sync.WaitGroup
		for i := from; i < min(from+100, many); i++ {
			wg.Go(func() {
				c, err := net.Dial("unix", socket)
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = c
				text := fmt.Sprintf("connection %d", i)
				io.WriteString(c, text)
				got := make([]byte, len(text))
				if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
					t.Errorf("%q came back as %q, %v", text, got, err)
				}
			})
		}
		wg.Wait()
	}
	kB, n := number(peak, status("status")), number(threads, status("status"))
	if n > many/2 {
		t.Errorf("%d threads for %d connections", n, many)
	}
	if per := kB / many; kB > 20<<10 && per > 160 {
		t.Errorf("%d kB for each of %d connections", per, many)
	}
	t.Logf("%d connections: %d MB at most, %d descriptors, %d threads", many, kB>>10, open(), n)
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
	if runtime.GOOS == "linux" {
		for open() > before+2 { // those of the pool of idle ones may stay
			time.Sleep(10 * time.Millisecond)
			if t.Context().Err() != nil {
				t.Fatalf("%d descriptors, before %d", open(), before)
			}
		}
	}
	if tabs := len(w.Tabs()); tabs != 1 {
		t.Errorf("%d browser tabs", tabs)
	}
}
