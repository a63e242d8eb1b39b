// Package keystoretest is what every store of secrets must pass: one behind [github.com/gitaccess/gitaccess/access.Store] or a backend
// of package keystore. It uses other processes, so the test binary has to lend itself:
//
//	func open(ctx context.Context) (keystoretest.Store, error) { … } // from the environment alone
//
//	func TestMain(m *testing.M)      { keystoretest.Main(m, open) }
//	func TestStore(t *testing.T)     { keystoretest.Run(t, open, nil) }
package keystoretest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Store is what is tested.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, error) // a missing one matches fs.ErrNotExist
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error // a missing one is no error
	List(ctx context.Context, prefix string) ([]string, error)
}

// Open opens the store under test, in this process and in others that inherit its environment.
type Open func(context.Context) (Store, error)

// Options says how hard to try, of which -short does a fifth. Nil is the same as the zero Options.
type Options struct {
	Processes  int // at once; 0: 32
	Operations int // of each; 0: 200
	Kills      int // of a writer; 0: 500
	LargeValue int // the largest value to try; 0: 64 KiB

	// Plant puts a blob where the entry of a key would be, as another version of the store might have. Nil: what needs it is not tested.
	Plant func(t *testing.T, key string, blob []byte)
	// Raw reads such a blob.
	Raw func(t *testing.T, key string) []byte
	// Newer reports whether an error says that an entry is of a newer version. Needed with Plant.
	Newer func(error) bool
}

const workVar = "KEYSTORETEST_WORK"

// Main runs the tests, or does the work of another process for one of them. It does not return.
func Main(m *testing.M, open Open) {
	Work(open)
	os.Exit(m.Run())
}

// Work is for a TestMain that has more to do than Main: it returns at once, unless this process was started to work for a test; then it
// does not return.
func Work(open Open) {
	work := os.Getenv(workVar)
	if work == "" {
		return
	}
	var j job
	err := json.Unmarshal([]byte(work), &j)
	if err == nil {
		err = j.do(open)
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Run tests the store. Whatever it holds under keys that begin with "keystoretest/" is deleted.
func Run(t *testing.T, open Open, o *Options) {
	opts := Options{}
	if o != nil {
		opts = *o
	}
	for p, d := range map[*int]int{&opts.Processes: 32, &opts.Operations: 200, &opts.Kills: 500, &opts.LargeValue: 64 << 10} {
		if *p == 0 {
			*p = d
		}
	}
	if testing.Short() {
		opts.Operations, opts.Kills = max(opts.Operations/5, 1), max(opts.Kills/5, 1)
	}
	s, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	empty(t, s)
	t.Cleanup(func() { empty(t, s) })

	run := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			f(t)
			empty(t, s)
		})
	}
	run("values come back", func(t *testing.T) { values(t, s, opts.LargeValue) })
	run("keys are kept apart", func(t *testing.T) { keys(t, s) })
	run("an absent key", func(t *testing.T) { absent(t, s) })
	run("list", func(t *testing.T) { list(t, s) })
	run("sizes are replaced by sizes", func(t *testing.T) { sizes(t, s, opts.LargeValue) })
	run("the value is copied", func(t *testing.T) { copied(t, s) })
	if opts.Plant != nil {
		run("a newer version is left alone", func(t *testing.T) { newer(t, s, &opts) })
		run("a damaged entry is told and can be replaced", func(t *testing.T) { damaged(t, s, &opts) })
	}
	run("processes", func(t *testing.T) { processes(t, open, s, &opts) })
	run("killed writers", func(t *testing.T) { killed(t, open, s, &opts) })
}

const prefix = "keystoretest/"

func empty(t *testing.T, s Store) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	keys, err := s.List(ctx, prefix)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if err := s.Delete(ctx, k); err != nil {
			t.Fatal(err)
		}
	}
}

func values(t *testing.T, s Store, large int) {
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	for name, want := range map[string][]byte{
		"empty":   {},
		"nil":     nil,
		"one":     []byte("x"),
		"text":    []byte("eyJhbGciOiJSUzI1NiJ9.e30.c2ln"),
		"newline": []byte("\nends with one\r\n"),
		"json":    []byte(`{"v":9,"key":"<&>"}`),
		"binary":  binary,
		"unicode": []byte("Schlüssel 鍵 \u0000 🔑"),
		"large":   bytes.Repeat([]byte("0123456789abcdef"), large/16),
	} {
		t.Run(name, func(t *testing.T) {
			key := prefix + "value/" + name
			must(t, s.Put(t.Context(), key, want))
			got, err := s.Get(t.Context(), key)
			must(t, err)
			if got == nil || !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes (nil: %t), want %d", len(got), got == nil, len(want))
			}
			must(t, s.Delete(t.Context(), key))
			if _, err := s.Get(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("after delete: %v", err)
			}
		})
	}
}

func keys(t *testing.T, s Store) {
	want := map[string]string{}
	for _, k := range []string{
		"a", "A", "a/b", "a%2Fb", "a:b", "a b", "a.b", "..", "../../etc/passwd", "~", "-", "--help", "*", "%", `"'`, `\`, "\n", "$(id)",
		"https://git.example.com:8443/org/repo.git", "https://git.example.com:8443/org/repo.git/", "ключ/鍵/🔑", "é", "e\u0301",
		strings.Repeat("long", 50), strings.Repeat("long", 50) + "r",
	} {
		want[prefix+"key/"+k] = "value of " + k
	}
	for k, v := range want {
		must(t, s.Put(t.Context(), k, []byte(v)))
	}
	for k, v := range want {
		if got, err := s.Get(t.Context(), k); err != nil || string(got) != v {
			t.Errorf("%q: got %q, %v", k, got, err)
		}
	}
	got, err := s.List(t.Context(), prefix+"key/")
	must(t, err)
	if d := cmp.Diff(slices.Sorted(maps.Keys(want)), got); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"", "\xff", strings.Repeat("x", 1<<20)} {
		if err := s.Put(t.Context(), bad, nil); err == nil {
			t.Errorf("a key of %d bytes was taken", len(bad))
		}
	}
}

func absent(t *testing.T, s Store) {
	key := prefix + "absent"
	for range 2 {
		if v, err := s.Get(t.Context(), key); !errors.Is(err, fs.ErrNotExist) || v != nil {
			t.Errorf("get: %q, %v", v, err)
		}
		must(t, s.Delete(t.Context(), key))
	}
}

func list(t *testing.T, s Store) {
	for _, k := range []string{"list/b", "list/a", "list/a/x", "list", "lisp/a"} {
		must(t, s.Put(t.Context(), prefix+k, []byte(k)))
	}
	for p, want := range map[string][]string{
		"list":    {"list", "list/a", "list/a/x", "list/b"},
		"list/":   {"list/a", "list/a/x", "list/b"},
		"list/a":  {"list/a", "list/a/x"},
		"list/ab": nil,
	} {
		got, err := s.List(t.Context(), prefix+p)
		must(t, err)
		for i := range want {
			want[i] = prefix + want[i]
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", p, d)
		}
	}
	everything, err := s.List(t.Context(), "")
	must(t, err)
	if !slices.Contains(everything, prefix+"list/a") {
		t.Errorf("everything: %q", everything)
	}
}

// sizes goes over the places where a backend may begin to keep a value in another way.
func sizes(t *testing.T, s Store, large int) {
	key := prefix + "size"
	for _, n := range []int{1, 1600, 1800, 1900, 2499, 2500, 2501, 2560, 1, 5000, 5001, 0, large, 7499, 7500, large, 3} {
		want := bytes.Repeat([]byte{byte(n)}, n)
		must(t, s.Put(t.Context(), key, want))
		got, err := s.Get(t.Context(), key)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: got %d, %v", n, len(got), err)
		}
	}
	must(t, s.Put(t.Context(), key, bytes.Repeat([]byte("x"), large)))
	must(t, s.Delete(t.Context(), key))
	if _, err := s.Get(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after delete: %v", err)
	}
}

func copied(t *testing.T, s Store) {
	value := []byte("before")
	must(t, s.Put(t.Context(), prefix+"copy", value))
	copy(value, "after!")
	got, err := s.Get(t.Context(), prefix+"copy")
	if err != nil || string(got) != "before" {
		t.Fatalf("got %q, %v", got, err)
	}
	copy(got, "after!")
	if got, err = s.Get(t.Context(), prefix+"copy"); err != nil || string(got) != "before" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func newer(t *testing.T, s Store, o *Options) {
	key := prefix + "newer"
	blob := []byte(`{"v":2,"key":"` + key + `","value":"bmV3ZXI=","more":[1]}`)
	must(t, s.Put(t.Context(), key, []byte("older")))
	o.Plant(t, key, blob)
	if v, err := s.Get(t.Context(), key); !o.Newer(err) {
		t.Errorf("get: %q, %v", v, err)
	}
	if err := s.Put(t.Context(), key, []byte("mine")); !o.Newer(err) {
		t.Errorf("put: %v", err)
	}
	if err := s.Delete(t.Context(), key); !o.Newer(err) {
		t.Errorf("delete: %v", err)
	}
	if _, err := s.List(t.Context(), ""); err != nil {
		t.Errorf("list: %v", err)
	}
	if got := o.Raw(t, key); !bytes.Equal(got, blob) {
		t.Errorf("it is now %q", got)
	}
	// Out of the way of what follows.
	o.Plant(t, key, []byte(`{"v":1,"key":"`+key+`","value":""}`))
	must(t, s.Delete(t.Context(), key))
}

func damaged(t *testing.T, s Store, o *Options) {
	key, other := prefix+"damaged", prefix+"damaged other"
	must(t, s.Put(t.Context(), other, []byte("intact")))
	for _, blob := range []string{
		"x", "{}", "[]", `{"v":"1"}`, `{"v":0,"key":"` + key + `","value":""}`, `{"v":1,"key":"` + key + `","value":"%%%"}`,
		`{"v":1,"key":"` + other + `","value":"c3dhcHBlZA=="}`,
		`{"v":1,"key":"` + key + `","parts":{"generation":"../../../../x","count":1,"size":1,"sha256":""}}`,
		`{"v":1,"key":"` + key + `","parts":{"generation":"0123456789abcdef","count":2147483647,"size":1,"sha256":""}}`,
		`{"v":1,"key":"` + key + `","parts":{"generation":"0123456789abcdef","count":1,"size":-1,"sha256":""}}`,
		`{"v":1,"key":"` + key + `","parts":{"generation":"0123456789abcdef","count":1,"size":1,"sha256":""}}`,
	} {
		o.Plant(t, key, []byte(blob))
		v, err := s.Get(t.Context(), key)
		if err == nil || errors.Is(err, fs.ErrNotExist) && !strings.Contains(blob, "parts") || o.Newer(err) {
			t.Errorf("%s: got %q, %v", blob, v, err)
		}
		if err != nil && strings.Contains(err.Error(), "%%%") {
			t.Errorf("%s: the error shows what was in it: %v", blob, err)
		}
		if _, err := s.List(t.Context(), prefix); err != nil {
			t.Errorf("%s: list: %v", blob, err)
		}
		must(t, s.Put(t.Context(), key, []byte("healed")))
		if v, err := s.Get(t.Context(), key); err != nil || string(v) != "healed" {
			t.Errorf("%s: healed: %q, %v", blob, v, err)
		}
	}
	if v, err := s.Get(t.Context(), other); err != nil || string(v) != "intact" {
		t.Errorf("the other entry: %q, %v", v, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
