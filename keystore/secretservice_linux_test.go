package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/gitaccess/gitaccess/internal/keyringtest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
	"github.com/gitaccess/gitaccess/keystore"
	"github.com/gitaccess/gitaccess/keystore/keystoretest"
)

const secretsBus = keyringtest.SecretsBus

var (
	newBus          = keyringtest.NewBus
	connect         = keyringtest.Connect
	keyringHome     = keyringtest.Home
	gnomeKeyring    = keyringtest.GnomeKeyring
	unlockedKeyring = keyringtest.Unlocked
)

// lockedKeyring has a login collection that nobody has unlocked.
func lockedKeyring(t testing.TB) *dbus.Conn {
	t.Helper()
	home := keyringHome(t)
	first := newBus(t)
	daemon := gnomeKeyring(t, first, home, "--unlock")
	s := openAs(t, "secret-service", nil) // the collection is made when it is first used
	must(t, s.Put(context.Background(), "before", []byte("it was locked")))
	daemon.Process.Kill()
	daemon.Wait()
	bus := newBus(t)
	gnomeKeyring(t, bus, home)
	return bus
}

func TestSecretServiceSuite(t *testing.T) {
	unlockedKeyring(t)
	suite(t, "secret-service", &keystoretest.Options{Kills: 50})
}

// The same through parts, on a real service: Windows and macOS have the limit, but not here.
func TestSecretServiceSuiteInParts(t *testing.T) {
	unlockedKeyring(t)
	t.Setenv("KEYSTORE_TEST_LIMIT", "2500")
	s := suite(t, "secret-service", &keystoretest.Options{Processes: 8, Operations: 50, Kills: 20})
	if n := keystore.Blobs(t, s); n != 0 {
		t.Errorf("%d items are left over", n)
	}
	must(t, s.Put(t.Context(), "a", make([]byte, 9000)))
	must(t, s.Put(t.Context(), "b", nil))
	keystore.Plant(t, s, "newer", []byte(`{"v":2}`))
	must(t, s.Clear(t.Context()))
	if n := keystore.Blobs(t, s); n != 0 {
		t.Errorf("%d items are left after Clear", n)
	}
}

func TestAutomaticChoiceOnLinux(t *testing.T) {
	t.Run("a keyring that works", func(t *testing.T) {
		unlockedKeyring(t)
		s := openAs(t, "", nil)
		want := keystore.Info{Backend: "secret-service", Location: "Secret Service, collection login", Sealed: true, Why: "it can be written to"}
		if d := cmp.Diff(want, s.Info()); d != "" {
			t.Error(d)
		}
		if keys, err := s.List(t.Context(), ""); err != nil || len(keys) > 0 {
			t.Errorf("the probe left %q, %v", keys, err)
		}
	})
	for name, prepare := range map[string]struct {
		do  func(t *testing.T)
		why string
	}{
		"no bus":           {func(t *testing.T) { t.Setenv("DBUS_SESSION_BUS_ADDRESS", ""); t.Setenv("XDG_RUNTIME_DIR", t.TempDir()) }, "there is no session bus"},
		"bus gone":         {func(t *testing.T) { t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent") }, "no session bus answers"},
		"no service":       {func(t *testing.T) { newBus(t) }, "there is no Secret Service on the session bus"},
		"locked":           {func(t *testing.T) { lockedKeyring(t) }, "is locked"},
		"no collection":    {func(t *testing.T) { gnomeKeyring(t, newBus(t), keyringHome(t)) }, "no collection"},
		"a bus over a net": {func(t *testing.T) { t.Setenv("DBUS_SESSION_BUS_ADDRESS", "tcp:host=127.0.0.1,port=1") }, "is not a unix socket"},
		"a bus that runs":  {func(t *testing.T) { t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unixexec:path=/bin/false") }, "is not a unix socket"},
		"not let in": {func(t *testing.T) {
			t.Setenv("DBUS_SESSION_BUS_ADDRESS", newFakeBus(t, "REJECTED EXTERNAL\r\n").address)
		}, "the bus does not let us in"},
		"no bus at all": {func(t *testing.T) {
			t.Setenv("DBUS_SESSION_BUS_ADDRESS", newFakeBus(t, "HTTP/1.1 400 Bad Request\r\n\r\n").address)
		}, "the bus does not let us in"},
		"a bus of nonsense": {func(t *testing.T) {
			t.Setenv("DBUS_SESSION_BUS_ADDRESS", newFakeBus(t, "OK 00\r\n"+strings.Repeat("\x00nonsense", 100)).address)
		}, "did not answer within"},
		"hanging bus": {func(t *testing.T) { t.Setenv("DBUS_SESSION_BUS_ADDRESS", newDeadBus(t).address) }, "did not answer within"},
	} {
		t.Run(name, func(t *testing.T) {
			path, launched := fakeLaunch(t)
			t.Setenv("PATH", path)
			prepare.do(t)
			o := &keystore.Options{Dir: t.TempDir(), Timeout: time.Minute}
			if strings.Contains(prepare.why, "did not answer") {
				o.Timeout = 200 * time.Millisecond
			}
			openAs(t, "", o)
			s := openAs(t, "", &keystore.Options{Dir: o.Dir, Timeout: time.Minute}) // by what is remembered
			info := s.Info()
			if info.Backend != "file" || info.Sealed || !strings.Contains(info.Why, prepare.why) {
				t.Errorf("got %+v, want the file store because %s", info, prepare.why)
			}
			must(t, s.Put(t.Context(), "k", []byte("v")))
			if v, err := s.Get(t.Context(), "k"); err != nil || string(v) != "v" {
				t.Errorf("%q, %v", v, err)
			}
			if launched() {
				t.Error("dbus-launch was run")
			}
			// The same, by name, is an error that says so.
			_, err := tryOpen(t, "secret-service", o)
			if err == nil || !strings.Contains(err.Error(), prepare.why) {
				t.Errorf("by name: %v", err)
			}
		})
	}
}

func TestLockedKeyringSaysSo(t *testing.T) {
	lockedKeyring(t)
	var locked *keystore.LockedError
	if _, err := tryOpen(t, "secret-service", nil); !errors.As(err, &locked) || locked.Backend != "secret-service" {
		t.Errorf("by name: %v", err)
	}
}

// Once secrets are in a keyring, that it is locked must not send us to look elsewhere: it would look as if they were gone.
func TestKeyringThatLocksLater(t *testing.T) {
	home := keyringHome(t)
	bus := newBus(t)
	daemon := gnomeKeyring(t, bus, home, "--unlock")
	dir := t.TempDir()
	o := &keystore.Options{Dir: dir, Timeout: time.Minute}
	s := openAs(t, "", o)
	must(t, s.Put(t.Context(), "k", []byte("v")))
	daemon.Process.Kill()
	daemon.Wait()
	gnomeKeyring(t, bus, home)

	check := func(s *keystore.Store) {
		t.Helper()
		var locked *keystore.LockedError
		if v, err := s.Get(t.Context(), "k"); !errors.As(err, &locked) {
			t.Errorf("get: %q, %v", v, err)
		}
		if v, err := s.Get(t.Context(), "never there"); !errors.As(err, &locked) {
			t.Errorf("get of what may be there: %q, %v", v, err)
		}
		if err := s.Put(t.Context(), "k", []byte("w")); !errors.As(err, &locked) {
			t.Errorf("put: %v", err)
		}
		if err := s.Delete(t.Context(), "k"); !errors.As(err, &locked) {
			t.Errorf("delete: %v", err)
		}
		if keys, err := s.List(t.Context(), ""); !errors.As(err, &locked) {
			t.Errorf("list: %q, %v", keys, err)
		}
	}
	check(s)
	check(openAs(t, "", o)) // remembered
	age(t, dir, 48*time.Hour)
	check(openAs(t, "", o)) // remembered for too long, probed again
}

// age makes what is remembered older than it is.
func age(t testing.TB, dir string, by time.Duration) {
	t.Helper()
	files, err := filepath.Glob(dir + "/keystore-choice/*")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("nothing is remembered")
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		must(t, err)
		before, rest, ok := strings.Cut(string(b), `"at":"`)
		_, after, ok2 := strings.Cut(rest, `"`)
		if !ok || !ok2 {
			t.Fatalf("%q", b)
		}
		must(t, os.WriteFile(f, []byte(before+`"at":"`+time.Now().Add(-by).Format(time.RFC3339Nano)+`"`+after), 0o600))
	}
}

// calls lists what is asked of the Secret Service while f runs.
func calls(t testing.TB, bus *dbus.Conn, f func()) []string {
	t.Helper()
	address := os.Getenv("DBUS_SESSION_BUS_ADDRESS")
	monitor := connect(t, address)
	messages := make(chan *dbus.Message, 1000)
	must(t, monitor.BusObject().Call("org.freedesktop.DBus.Monitoring.BecomeMonitor", 0,
		[]string{"type='method_call',destination='" + secretsBus + "'", "type='method_call',member='GetId'"}, uint32(0)).Err)
	monitor.Eavesdrop(messages)
	defer monitor.Eavesdrop(nil) // closed with its connection, which may still send to it
	f()
	// What the bus routed before this is in the channel before this.
	must(t, bus.BusObject().Call("org.freedesktop.DBus.GetId", 0).Err)
	var members []string
	for m := range messages {
		if m.Type != dbus.TypeMethodCall {
			continue
		}
		member := m.Headers[dbus.FieldMember].Value().(string)
		if member == "GetId" {
			break
		}
		members = append(members, member)
	}
	return members
}

func TestWarmGetAsksTheKeyringOnce(t *testing.T) {
	bus, _ := unlockedKeyring(t)
	dir := t.TempDir()
	get := func() {
		s := openAs(t, "", &keystore.Options{Dir: dir, Timeout: time.Minute})
		v, err := s.Get(t.Context(), "k")
		if err != nil || string(v) != "v" {
			t.Errorf("%q, %v", v, err)
		}
	}
	must(t, openAs(t, "", &keystore.Options{Dir: dir, Timeout: time.Minute}).Put(t.Context(), "k", []byte("v")))
	warm := []string{"OpenSession", "SearchItems", "GetSecrets"}
	if d := cmp.Diff(warm, calls(t, bus, get)); d != "" {
		t.Error(d)
	}
	for _, by := range []time.Duration{25 * time.Hour, -time.Hour} { // grown old; a clock that was ahead and no longer is
		age(t, dir, by)
		if got := calls(t, bus, get); !slices.Contains(got, "CreateItem") {
			t.Errorf("%v later it was not probed again: %q", by, got)
		}
		if d := cmp.Diff(warm, calls(t, bus, get)); d != "" {
			t.Error(d)
		}
	}
}

// A warm Get runs nothing and leaves the machine's network alone; what it opens are its memory and the bus.
func TestWarmGetSystemCalls(t *testing.T) {
	strace := scripttest.Need(t, "strace", "strace")
	unlockedKeyring(t)
	dir := t.TempDir()
	must(t, openAs(t, "", &keystore.Options{Dir: dir, Timeout: time.Minute}).Put(t.Context(), "k", []byte("v")))
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(strace, "-f", "-qq", "-e", "trace=execve,socket,connect", "-e", "signal=none", "-o", trace, built(t, "start"), "get", "k")
	cmd.Env = environ("ACCESS_STATE_DIR=" + dir)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "<nil>\n" {
		t.Fatalf("%v: %q", err, out)
	}
	b, err := os.ReadFile(trace)
	must(t, err)
	got := map[string]int{}
	for line := range strings.Lines(string(b)) {
		// Beside calls it tells of signals, of threads that end, and of ends of calls that another thread's came between.
		_, call, _ := strings.Cut(line, " ")
		name, args, ok := strings.Cut(strings.TrimSpace(call), "(")
		if !ok || !slices.Contains([]string{"execve", "socket", "connect"}, name) {
			continue
		}
		call = name
		if name == "socket" {
			family, _, _ := strings.Cut(args, ",")
			call += " " + family
		}
		got[call]++
	}
	if d := cmp.Diff(map[string]int{"execve": 1, "socket AF_UNIX": 1, "connect": 1}, got); d != "" {
		t.Errorf("%s\n%s", d, b)
	}
}

func TestHangingBusIsWaitedForOnce(t *testing.T) {
	bus := newDeadBus(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)
	dir := t.TempDir()
	openAs(t, "", &keystore.Options{Dir: dir, Timeout: 200 * time.Millisecond})
	for range 3 {
		s := openAs(t, "", &keystore.Options{Dir: dir, Timeout: time.Minute})
		if _, err := s.Get(t.Context(), "k"); !errors.Is(err, keystore.ErrNotFound) {
			t.Error(err)
		}
	}
	if n := bus.connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	// And it is hung up on, not left to wait in a program that goes on.
	c := bus.conns[0]
	must(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("it is still connected: %v", err)
	}
	// Another bus is another keyring.
	other := newDeadBus(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", other.address)
	openAs(t, "", &keystore.Options{Dir: dir, Timeout: 200 * time.Millisecond})
	if n := other.connections(); n != 1 {
		t.Errorf("the new bus: %d connections", n)
	}
}

// A service that is stopped in mid-work: the call ends in time, and what was given up on does not undo what is written later.
func TestHangingService(t *testing.T) {
	_, daemon := unlockedKeyring(t)
	dir := t.TempDir()
	patient := openAs(t, "secret-service", &keystore.Options{Dir: dir, Timeout: time.Minute})
	s := openAs(t, "secret-service", &keystore.Options{Dir: dir, Timeout: 300 * time.Millisecond})
	must(t, patient.Put(t.Context(), "k", []byte("first")))
	must(t, daemon.Process.Signal(syscall.SIGSTOP))
	var timeout *keystore.TimeoutError
	if _, err := s.Get(t.Context(), "k"); !errors.As(err, &timeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("get: %v", err)
	}
	for i := range 3 {
		if err := s.Put(t.Context(), "k", fmt.Appendf(nil, "given up %d", i)); !errors.As(err, &timeout) {
			t.Errorf("put: %v", err)
		}
	}
	must(t, daemon.Process.Signal(syscall.SIGCONT))
	must(t, patient.Put(t.Context(), "k", []byte("last")))
	for range 10 {
		if v, err := patient.Get(t.Context(), "k"); err != nil || string(v) != "last" {
			t.Fatalf("%q, %v", v, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A session that ends takes its bus with it, and programs of it may go on.
func TestKeyringGoesAwayWhileOpen(t *testing.T) {
	bus, daemon := unlockedKeyring(t)
	dir := t.TempDir()
	s := openAs(t, "", &keystore.Options{Dir: dir, Timeout: time.Minute})
	must(t, s.Put(t.Context(), "k", []byte("v")))
	daemon.Process.Kill()
	daemon.Wait()
	// Gone for the bus too?
	for owned := true; owned; {
		must(t, bus.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, secretsBus).Store(&owned))
	}
	if _, err := s.Get(t.Context(), "k"); !errors.Is(err, keystore.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	if got := s.Info().Backend; got != "file" {
		t.Errorf("now it is %q", got)
	}
	must(t, s.Put(t.Context(), "meanwhile", []byte("in a file")))

	// And comes back: what was put into the file is still found, and moves when it is next written.
	age(t, dir, 2*time.Hour)
	gnomeKeyring(t, bus, keyringHome(t), "--unlock")
	s = openAs(t, "", &keystore.Options{Dir: dir, Timeout: time.Minute})
	if got := s.Info().Backend; got != "secret-service" {
		t.Fatalf("it is %q", got)
	}
	if v, err := s.Get(t.Context(), "meanwhile"); err != nil || string(v) != "in a file" {
		t.Errorf("%q, %v", v, err)
	}
	if keys, err := s.List(t.Context(), "mean"); err != nil || len(keys) != 1 {
		t.Errorf("%q, %v", keys, err)
	}
	must(t, s.Put(t.Context(), "meanwhile", []byte("in the keyring")))
	left := 0
	filepath.WalkDir(dir+"/keystore", func(_ string, d os.DirEntry, _ error) error {
		if !d.IsDir() {
			left++
		}
		return nil
	})
	if left != 0 {
		t.Errorf("%d files are left", left)
	}
}

// What anybody can see of our items without unlocking them.
func TestItemsSayNothingPersonal(t *testing.T) {
	bus, _ := unlockedKeyring(t)
	s := openAs(t, "secret-service", nil)
	must(t, s.Put(t.Context(), "session/git.example.com", []byte("v")))
	var open, locked []dbus.ObjectPath
	must(t, bus.Object(secretsBus, "/org/freedesktop/secrets").Call("org.freedesktop.Secret.Service.SearchItems", 0, map[string]string{}).Store(&open, &locked))
	if len(open) != 1 {
		t.Fatalf("%q", open)
	}
	var all map[string]dbus.Variant
	must(t, bus.Object(secretsBus, open[0]).Call("org.freedesktop.DBus.Properties.GetAll", 0, "org.freedesktop.Secret.Item").Store(&all))
	if text := fmt.Sprint(all); strings.Contains(text, "example") || !strings.Contains(text, keystore.NameOf("session/git.example.com")) {
		t.Errorf("%s", text)
	}
}

// fakeService is a Secret Service whose only collection is locked, with a prompt that does as it is told.
type fakeService struct {
	conn   *dbus.Conn
	answer string // "unlock", "dismiss", "" never

	mu        sync.Mutex
	unlocked  bool
	prompted  int
	dismissed int
	items     map[string][]byte
}

type fakeSecret struct {
	Session           dbus.ObjectPath
	Parameters, Value []byte
	ContentType       string
}

const (
	fakeItem   = dbus.ObjectPath("/org/freedesktop/secrets/collection/login/1")
	fakePrompt = dbus.ObjectPath("/org/freedesktop/secrets/prompt/1")
)

func newFakeService(t *testing.T, answer string) *fakeService {
	newBus(t)
	f := &fakeService{conn: connect(t, os.Getenv("DBUS_SESSION_BUS_ADDRESS")), answer: answer, items: map[string][]byte{}}
	for path, iface := range map[dbus.ObjectPath]string{
		"/org/freedesktop/secrets":                  "org.freedesktop.Secret.Service",
		"/org/freedesktop/secrets/collection/login": "org.freedesktop.Secret.Collection",
		fakeItem:   "org.freedesktop.Secret.Item",
		fakePrompt: "org.freedesktop.Secret.Prompt",
	} {
		must(t, f.conn.Export(f, path, iface))
	}
	must(t, f.conn.Export(fakeProperties{f}, "/org/freedesktop/secrets/collection/login", "org.freedesktop.DBus.Properties"))
	_, err := f.conn.RequestName(secretsBus, 0)
	must(t, err)
	return f
}

func (f *fakeService) OpenSession(string, dbus.Variant) (dbus.Variant, dbus.ObjectPath, *dbus.Error) {
	return dbus.MakeVariant(""), "/org/freedesktop/secrets/session/1", nil
}

func (f *fakeService) SearchItems(map[string]string) (open, locked []dbus.ObjectPath, _ *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.items) > 0 && f.unlocked { // as KeePassXC: while it is locked it finds nothing
		open = []dbus.ObjectPath{fakeItem}
	}
	return open, nil, nil
}

func (f *fakeService) GetSecrets(paths []dbus.ObjectPath, s dbus.ObjectPath) (map[dbus.ObjectPath]fakeSecret, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return map[dbus.ObjectPath]fakeSecret{fakeItem: {s, nil, f.items["x"], ""}}, nil
}

func (f *fakeService) CreateItem(_ map[string]dbus.Variant, s fakeSecret, _ bool) (item, prompt dbus.ObjectPath, _ *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.unlocked {
		return "/", "/", &dbus.Error{Name: "org.freedesktop.Secret.Error.IsLocked"}
	}
	f.items["x"] = s.Value
	return fakeItem, "/", nil
}

func (f *fakeService) Delete() (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.items)
	return "/", nil
}

func (f *fakeService) Unlock([]dbus.ObjectPath) ([]dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	return nil, fakePrompt, nil
}

func (f *fakeService) Prompt(string) *dbus.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.prompted++
	if f.answer != "" {
		f.unlocked = f.answer == "unlock"
		f.conn.Emit(fakePrompt, "org.freedesktop.Secret.Prompt.Completed", !f.unlocked, dbus.MakeVariant(""))
	}
	return nil
}

func (f *fakeService) Dismiss() *dbus.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dismissed++
	return nil
}

type fakeProperties struct{ f *fakeService }

func (p fakeProperties) Get(_, name string) (dbus.Variant, *dbus.Error) {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	return dbus.MakeVariant(!p.f.unlocked), nil
}

func TestPrompts(t *testing.T) {
	tests := []struct {
		name, answer string
		interactive  bool
		works        bool
		prompted     int
	}{
		{"nobody there", "unlock", false, false, 0},
		{"unlocked by a person", "unlock", true, true, 1},
		{"turned down", "dismiss", true, false, 1},
		{"nobody answers", "", true, false, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeService(t, tt.answer)
			timeout := time.Minute
			if tt.answer == "" {
				timeout = 300 * time.Millisecond
			}
			s, err := tryOpen(t, "secret-service", &keystore.Options{Timeout: timeout, Interactive: tt.interactive})
			if tt.works {
				must(t, err)
				must(t, s.Put(t.Context(), "k", []byte("v")))
				if v, err := s.Get(t.Context(), "k"); err != nil || string(v) != "v" {
					t.Errorf("%q, %v", v, err)
				}
			} else {
				var locked *keystore.LockedError
				var late *keystore.TimeoutError
				if !errors.As(err, &locked) && !(tt.answer == "" && errors.As(err, &late)) {
					t.Errorf("got %v", err)
				}
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.prompted != tt.prompted {
				t.Errorf("asked %d times, want %d", f.prompted, tt.prompted)
			}
		})
	}
}
