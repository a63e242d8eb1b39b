package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/internal/state"
)

// memory is a backend that can be cut off after a number of changes, as by a kill.
type memory struct {
	mu    sync.Mutex
	blobs map[string][]byte
	max   int
	left  int    // changes until it is cut off; negative: never
	after func() // each change
}

var errCut = errors.New("cut off")

func newMemory(max int) *memory { return &memory{blobs: map[string][]byte{}, max: max, left: -1} }

func (m *memory) get(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.blobs[name]
	if !ok {
		return nil, ErrNotFound
	}
	return bytes.Clone(b), nil
}

func (m *memory) change(f func()) error {
	m.mu.Lock()
	if m.left == 0 {
		m.mu.Unlock()
		return errCut
	}
	m.left--
	f()
	after := m.after
	m.mu.Unlock()
	if after != nil {
		after()
	}
	return nil
}

func (m *memory) set(_ context.Context, name string, blob []byte) error {
	if m.max > 0 && len(blob) > m.max {
		return fmt.Errorf("%d bytes", len(blob))
	}
	return m.change(func() { m.blobs[name] = bytes.Clone(blob) })
}

func (m *memory) remove(_ context.Context, name string) error {
	return m.change(func() { delete(m.blobs, name) })
}

func (m *memory) each(ctx context.Context, visit func(string, []byte)) error {
	for _, name := range slices.Sorted(maps.Keys(m.blobs)) {
		if plainName(name) {
			visit(name, m.blobs[name])
		}
	}
	return nil
}

func (m *memory) clear(context.Context) error { return m.change(func() { clear(m.blobs) }) }

func (m *memory) limit() int     { return m.max }
func (*memory) location() string { return "memory" }
func (*memory) sealed() bool     { return false }
func (*memory) close()           {}

// Whatever is cut off when: the value is the old one or the new one at each moment, and what was left over goes with the next write.
func TestPartsSurviveACutAnywhere(t *testing.T) {
	ctx := t.Context()
	sizes := []int{-1, 0, 10, 1500, 1800, 2600, 6000, 20000} // -1: absent
	value := func(size int, fill byte) []byte { return bytes.Repeat([]byte{fill}, max(size, 0)) }
	write := func(m *memory, size int, fill byte) error {
		if size < 0 {
			return erase(ctx, m, "k")
		}
		return store(ctx, m, "k", value(size, fill))
	}
	is := func(m *memory, size int, fill byte) bool {
		v, err := load(ctx, m, "k")
		if size < 0 {
			return errors.Is(err, ErrNotFound)
		}
		return err == nil && bytes.Equal(v, value(size, fill))
	}
	for _, before := range sizes {
		for _, after := range sizes {
			for cut := 0; ; cut++ {
				m := newMemory(2500)
				if err := write(m, before, 'o'); err != nil {
					t.Fatal(err)
				}
				m.left = cut
				m.after = func() {
					if !is(m, before, 'o') && !is(m, after, 'n') {
						v, err := load(ctx, m, "k")
						t.Errorf("%d → %d, cut %d: in between a reader gets %d bytes, %v", before, after, cut, len(v), err)
					}
				}
				err := write(m, after, 'n')
				m.after, m.left = nil, -1
				if err != nil && !is(m, before, 'o') && !is(m, after, 'n') || err == nil && !is(m, after, 'n') {
					t.Errorf("%d → %d, cut %d (%v): neither the old value nor the new one", before, after, cut, err)
				}
				for _, next := range []int{3000, 5, -1} {
					if err := write(m, next, 'x'); err != nil || !is(m, next, 'x') {
						t.Errorf("%d → %d, cut %d: then %d: %v", before, after, cut, next, err)
					}
					if n := len(m.blobs); next < 3000 && n > 1 || next < 0 && n > 0 {
						t.Errorf("%d → %d, cut %d: then %d: %d blobs are left", before, after, cut, next, n)
					}
				}
				if err == nil {
					break
				}
			}
		}
	}
}

func TestPartsThatDoNotFit(t *testing.T) {
	ctx := t.Context()
	for name, spoil := range map[string]func(m *memory, part string){
		"missing": func(m *memory, part string) { delete(m.blobs, part) },
		"changed": func(m *memory, part string) { m.blobs[part][7]++ },
		"shorter": func(m *memory, part string) { m.blobs[part] = m.blobs[part][1:] },
		"longer":  func(m *memory, part string) { m.blobs[part] = append(m.blobs[part], 'x') },
	} {
		m := newMemory(2500)
		if err := store(ctx, m, "k", bytes.Repeat([]byte("x"), 6000)); err != nil {
			t.Fatal(err)
		}
		for part := range m.blobs {
			if !plainName(part) {
				spoil(m, part)
				break
			}
		}
		var corrupt *CorruptError
		if v, err := load(ctx, m, "k"); !errors.As(err, &corrupt) {
			t.Errorf("%s: %d bytes, %v", name, len(v), err)
		}
	}
}

// The name of an entry is part of its seal.
func TestSealKnowsItsName(t *testing.T) {
	f := newFile(&config{getenv: func(name string) string {
		return map[string]string{envPassphrase: "correct horse battery staple"}[name]
	}})
	f.dir, _ = state.Open(func(string) string { return t.TempDir() })
	s, err := f.sealer()
	if err != nil {
		t.Fatal(err)
	}
	blob := s.seal("one", []byte("secret"))
	if b, err := s.open("one", blob); err != nil || string(b) != "secret" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := s.open("two", blob); err == nil {
		t.Errorf("opened under another name: %q", b)
	}
	if bytes.Equal(blob, s.seal("one", []byte("secret"))) {
		t.Error("sealed twice it is the same")
	}
}

// fuzzEntry has an entry of whatever bytes read, replaced and erased: what a newer program wrote stays as it is, and all else goes, with
// nothing left over and what belongs to others untouched.
func fuzzEntry(t *testing.T, blob []byte, newer bool) {
	m := newMemory(400)
	other := nameOf("other") + ".0123456789abcdef.0"
	m.blobs[nameOf("k")], m.blobs[other] = blob, []byte("x")
	if e, err := decode("k", blob); err == nil {
		for _, p := range []*parts{e.Parts, e.Next, e.Old} {
			for i := 0; p != nil && i < p.Count; i++ {
				m.blobs[p.name(nameOf("k"), i)] = []byte("x")
			}
		}
	}
	before := maps.Clone(m.blobs)
	ctx := t.Context()
	value := bytes.Repeat([]byte("secret "), 100)
	_, errLoad := load(ctx, m, "k")
	errStore := store(ctx, m, "k", value)
	var refused *NewerError
	if newer {
		if errErase := erase(ctx, m, "k"); !errors.As(errLoad, &refused) || !errors.As(errStore, &refused) || !errors.As(errErase, &refused) || !maps.EqualFunc(m.blobs, before, bytes.Equal) {
			t.Fatalf("%q of a newer program: %v, %v, %v", blob, errLoad, errStore, errErase)
		}
		return
	}
	if got, err := load(ctx, m, "k"); errStore != nil || err != nil || !bytes.Equal(got, value) {
		t.Fatalf("%q was not replaced: %v, %q, %v", blob, errStore, got, err)
	}
	if err := erase(ctx, m, "k"); err != nil || len(m.blobs) != 1 || string(m.blobs[other]) != "x" {
		t.Fatalf("%q left %d entries, %v", blob, len(m.blobs), err)
	}
}

// Whatever lies in a backend is read as an envelope of its key, or is told to be none.
func FuzzEnvelope(f *testing.F) {
	for _, s := range []string{
		`{"v":1,"key":"k","value":"eA=="}`, `{"v":1,"key":"k"}`, `{"v":2}`, `{"v":1e3}`, `{"v":1,"key":"k","value":null}`, `{"V":1,"v":2}`,
		`{"v":1,"key":"k","parts":{"generation":"0123456789abcdef","count":1,"size":1,"sha256":"00"},"old":null}`, `null`,
		`{"v":1,"key":"other","value":"eA=="}`, `{"v":1,"key":"k","value":"eA==","parts":{"generation":"0123456789abcdef","count":1,"size":1,"sha256":"00"}}`,
		`{"v":1,"key":"k","next":{"generation":"../../x","count":1,"size":1,"sha256":""},"old":{"generation":"0123456789abcdef","count":-1,"size":-1,"sha256":""}}`,
		`{"v":1,"key":"k","parts":{"generation":"00112233445566aa","count":2,"size":300,"sha256":"00"}}`,
		`{"v":1,"key":"k","value":"eA==","next":{"generation":"0123456789abcdef","count":3,"size":7000,"sha256":"00"},"old":{"generation":"fedcba9876543210","count":2,"size":4000,"sha256":"00"}}`, "\xff", "{",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		e, err := decode("k", blob)
		var newer *NewerError
		var corrupt *CorruptError
		small := func(p *parts) bool { return p == nil || p.Count < 1000 }
		if err != nil || small(e.Parts) && small(e.Next) && small(e.Old) {
			fuzzEntry(t, blob, errors.As(err, &newer))
		}
		if err != nil {
			if !errors.As(err, &newer) && !errors.As(err, &corrupt) {
				t.Fatalf("untyped: %v", err)
			}
			return
		}
		// What we read we write so that it is read as the same.
		out, err := e.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode("k", out)
		if err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if twice, _ := again.encode(); !bytes.Equal(out, twice) {
			t.Fatalf("%q, %q", out, twice)
		}
	})
}

// stuck hangs in set until it is told to go on, whatever the context says.
type stuck struct {
	*memory
	entered, leave chan struct{}
}

func (s *stuck) set(ctx context.Context, name string, blob []byte) error {
	if s.entered != nil {
		s.entered <- struct{}{}
		<-s.leave
	}
	return s.memory.set(ctx, name, blob)
}

// A call that hung and was given up on ends at last. What was written after it must stay.
func TestAbandonedCallDoesNotComeBack(t *testing.T) {
	b := &stuck{memory: newMemory(0), entered: make(chan struct{}), leave: make(chan struct{})}
	s := &Store{timeout: 50 * time.Millisecond, b: b, writes: map[string]chan struct{}{}}
	result := make(chan error)
	go func() { result <- s.Put(context.Background(), "k", []byte("abandoned")) }()
	<-b.entered
	var timeout *TimeoutError
	if err := <-result; !errors.As(err, &timeout) {
		t.Fatalf("got %v", err)
	}
	// While it hangs, the key is busy, and others are not.
	if err := s.Put(context.Background(), "k", []byte("too early")); !errors.As(err, &timeout) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Get(context.Background(), "k"); !errors.Is(err, ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	b.leave <- struct{}{} // the first goes on
	s.timeout = time.Minute
	done := make(chan error)
	go func() { done <- s.Put(context.Background(), "k", []byte("last")) }()
	<-b.entered
	b.leave <- struct{}{}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if v, err := s.Get(context.Background(), "k"); err != nil || string(v) != "last" {
		t.Errorf("%q, %v", v, err)
	}
}

func TestCancelledCallsSaySo(t *testing.T) {
	b := &stuck{memory: newMemory(0), entered: make(chan struct{}), leave: make(chan struct{})}
	s := &Store{timeout: time.Minute, b: b, writes: map[string]chan struct{}{}}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-b.entered; cancel() }()
	if err := s.Put(ctx, "k", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	b.leave <- struct{}{}
}
