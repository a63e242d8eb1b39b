package lease

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The test binary is the other process too: with LEASE_TEST_ROLE set it takes the lease of LEASE_TEST_PATH.
func TestMain(m *testing.M) {
	path := os.Getenv("LEASE_TEST_PATH")
	switch role := os.Getenv("LEASE_TEST_ROLE"); role {
	case "":
		os.Exit(m.Run())
	case "hold": // until stdin ends
		l, err := Acquire(context.Background(), path, nil)
		if err == nil {
			err = l.Note("https://team.cloudflareaccess.com/cdn-cgi/access/cli?x=1")
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		io.Copy(io.Discard, os.Stdin)
		l.Release()
	case "turn": // a moment in which nobody else may be
		l, err := Acquire(context.Background(), path, nil)
		if err == nil {
			err = moment(path + ".inside")
			err = errors.Join(err, l.Release())
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Exit(0)
}

// moment fails if two are in it at once.
func moment(marker string) error {
	f, err := os.OpenFile(marker, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("two at once: %w", err)
	}
	f.Close()
	return os.Remove(marker)
}

type child struct {
	*exec.Cmd
	stdin io.WriteCloser
}

func start(t *testing.T, role, path string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LEASE_TEST_ROLE="+role, "LEASE_TEST_PATH="+path)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if role == "hold" {
		if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "held\n" {
			t.Fatalf("child says %q", line)
		}
	}
	return &child{cmd, stdin}
}

func TestWaitersSeeWhoHoldsItAndWhy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "l")
	holder := start(t, "hold", path)
	seen := make(chan Holder, 10)
	got := make(chan error, 1)
	go func() {
		l, err := Acquire(context.Background(), path, func(h Holder) { seen <- h })
		if err == nil {
			err = l.Release()
		}
		got <- err
	}()
	var h Holder
	select {
	case h = <-seen:
	case err := <-got:
		t.Fatalf("did not wait: %v", err)
	}
	want := Holder{PID: holder.Process.Pid, Note: "https://team.cloudflareaccess.com/cdn-cgi/access/cli?x=1"}
	if time.Since(h.Since) > time.Hour || time.Until(h.Since) > time.Minute {
		t.Errorf("since %v", h.Since)
	}
	h.Since = time.Time{}
	if d := cmp.Diff(want, h); d != "" {
		t.Error(d)
	}
	holder.stdin.Close()
	must(t, <-got)
	if n := len(seen); n != 0 {
		t.Errorf("told %d more times though nothing changed", n)
	}
}

func TestNoteIsShownWhileWaiting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	l, err := Acquire(t.Context(), path, nil)
	must(t, err)
	seen := make(chan Holder)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := Acquire(ctx, path, func(h Holder) { seen <- h }); err == nil {
			t.Error("did not wait")
		}
		close(seen)
	}()
	if h := <-seen; h.PID != os.Getpid() || h.Note != "" {
		t.Errorf("first %+v", h)
	}
	for _, note := range []string{strings.Repeat("long ", 500), "short", "evil\x1b[2J\r\n\u202eline"} {
		must(t, l.Note(note))
		want := strings.NewReplacer("\x1b", "", "\r", "", "\n", "", "\u202e", "").Replace(note)
		if h := <-seen; h.Note != want {
			t.Errorf("got %q, want %q", h.Note, want)
		}
	}
	cancel()
	<-done
	must(t, l.Release())
	must(t, l.Release())
	if err := l.Note("late"); err == nil {
		t.Error("a released lease took a note")
	}
	if h, ok := read(path); ok {
		t.Errorf("a released lease still shows %+v", h)
	}
	if b, _ := os.ReadFile(path); strings.Contains(string(b), "long") {
		t.Error("an old note is still in the file")
	}
}

func TestKilledHolderFreesItAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	for range 5 {
		holder := start(t, "hold", path)
		waits := make(chan struct{})
		var once sync.Once
		got := make(chan error, 1)
		go func() {
			l, err := Acquire(context.Background(), path, func(Holder) { once.Do(func() { close(waits) }) })
			if err == nil {
				err = l.Release()
			}
			got <- err
		}()
		select {
		case <-waits:
		case err := <-got:
			t.Fatalf("did not wait: %v", err)
		}
		must(t, holder.Process.Kill())
		holder.Wait()
		killed := time.Now()
		must(t, <-got)
		if d := time.Since(killed); d > time.Second {
			t.Errorf("the next one waited %v", d)
		}
	}
}

func TestStoppedHolderIsNamedWhenTheWaitEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	holder := start(t, "hold", path)
	stop(t, holder.Process)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := Acquire(ctx, path, nil)
	var held *HeldError
	if !errors.As(err, &held) || held.Holder.PID != holder.Process.Pid || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the holder %d", err, holder.Process.Pid)
	}
	if !strings.Contains(err.Error(), fmt.Sprint(holder.Process.Pid)) {
		t.Errorf("message %q does not name the process", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	go cancel()
	if _, err := Acquire(ctx, path, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestFiftyProcessesNeverTwoAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	var all []*child
	for range 50 {
		all = append(all, start(t, "turn", path))
	}
	for _, c := range all {
		if err := c.Wait(); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestGoroutinesExcludeOneAnotherToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	var wg sync.WaitGroup
	var turns atomic.Int32
	for range 8 {
		wg.Go(func() {
			for range 5 {
				l, err := Acquire(t.Context(), path, nil)
				if err != nil {
					t.Error(err)
					return
				}
				turns.Add(1)
				if err := moment(path + ".inside"); err != nil {
					t.Error(err)
				}
				l.Release()
			}
		})
	}
	wg.Wait()
	if n := turns.Load(); n != 40 {
		t.Errorf("%d turns, want 40", n)
	}
}

// A logout deletes the files of leases that it holds. One that had opened the file before must not then hold what nobody else can find.
func TestHolderMayDeleteTheFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not delete an open file")
	}
	path := filepath.Join(t.TempDir(), "l")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				l, err := try(path)
				if err != nil {
					t.Error(err)
					return
				}
				if l == nil {
					continue
				}
				if err := moment(path + ".inside"); err != nil {
					t.Error(err)
				}
				if err := os.Remove(path); err != nil {
					t.Error(err)
				}
				l.Release()
			}
		})
	}
	wg.Wait()
}

func TestRefusesALinkAsLeaseFile(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	must(t, os.WriteFile(target, []byte("precious"), 0o600))
	if err := os.Symlink(target, filepath.Join(dir, "l")); err != nil {
		t.Skipf("needs symbolic links: %v", err)
	}
	if l, err := Acquire(t.Context(), filepath.Join(dir, "l"), nil); err == nil {
		l.Release()
		t.Error("took a lease through a link")
	}
	if b, _ := os.ReadFile(target); string(b) != "precious" {
		t.Errorf("target now holds %q", b)
	}
	if runtime.GOOS == "windows" {
		return // it makes a file behind a link, which stays empty
	}
	// Nor is a file made behind one.
	must(t, os.Remove(target))
	if l, err := Acquire(t.Context(), filepath.Join(dir, "l"), nil); err == nil {
		l.Release()
		t.Error("took a lease through a link that leads nowhere")
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was made behind the link: %v", err)
	}
}

func TestLeaseFileIsOurs(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes on Windows")
	}
	path := filepath.Join(t.TempDir(), "folder", "l")
	l, err := Acquire(t.Context(), path, nil)
	must(t, err)
	defer l.Release()
	for p, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700 | fs.ModeDir} {
		if info, err := os.Stat(p); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", p, info.Mode(), err, want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
