package access_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

// memory is a Store and a Cache in memory.
type memory struct {
	mu   sync.Mutex
	m    map[string][]byte
	gets int
}

func newMemory() *memory { return &memory{m: map[string][]byte{}} }

func (s *memory) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	return s.Load(key)
}

func (s *memory) Put(_ context.Context, key string, v []byte) error { return s.Save(key, v) }
func (s *memory) Delete(_ context.Context, key string) error        { return s.Remove(key) }

func (s *memory) List(_ context.Context, prefix string) (keys []string, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.m {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

func (s *memory) Load(key string) ([]byte, error) {
	v, ok := s.m[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return append([]byte(nil), v...), nil
}

func (s *memory) Save(key string, v []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[key] = append([]byte(nil), v...)
	return nil
}

func (s *memory) Remove(key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, key)
	return nil
}

// cacheMemory locks Load, which memory.Get calls with the lock held.
type cacheMemory struct{ *memory }

func (c cacheMemory) Load(key string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.memory.Load(key)
}

// locks is a Locker within one process.
type locks struct {
	mu   sync.Mutex
	held map[string]*held
}

type held struct {
	l     *locks
	name  string
	note  string
	freed chan struct{}
	noted chan struct{}
}

func (l *locks) Lock(ctx context.Context, name string, waiting func(int, string)) (access.Lease, error) {
	for {
		l.mu.Lock()
		if l.held == nil {
			l.held = map[string]*held{}
		}
		h := l.held[name]
		if h == nil {
			h = &held{l: l, name: name, freed: make(chan struct{}), noted: make(chan struct{})}
			l.held[name] = h
			l.mu.Unlock()
			return h, nil
		}
		note, noted := h.note, h.noted
		l.mu.Unlock()
		if waiting != nil {
			waiting(4711, note)
		}
		select {
		case <-h.freed:
		case <-noted:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (h *held) Note(s string) error {
	h.l.mu.Lock()
	defer h.l.mu.Unlock()
	h.note = s
	close(h.noted)
	h.noted = make(chan struct{})
	return nil
}

func (h *held) Release() error {
	h.l.mu.Lock()
	defer h.l.mu.Unlock()
	delete(h.l.held, h.name)
	close(h.freed)
	return nil
}

// bed is an edge with a client before it.
type bed struct {
	*testing.T
	edge   *accesstest.Edge
	srv    *accesstest.Server
	team   *accesstest.Team
	store  *memory
	cache  *memory
	locks  *locks
	person *accesstest.Person
	rt     *http.Transport

	mu     sync.Mutex
	events []access.Event
	opened int
}

func newBed(t *testing.T) *bed {
	b := &bed{T: t, edge: accesstest.New(&accesstest.Options{PollTimeout: 5 * time.Second}), store: newMemory(), cache: newMemory(), locks: &locks{}}
	t.Cleanup(func() { b.edge.Close() })
	srv, err := b.edge.Start()
	if err != nil {
		t.Fatal(err)
	}
	b.srv, b.team, b.rt = srv, b.edge.Team(), srv.Transport()
	t.Cleanup(b.rt.CloseIdleConnections)
	b.person = b.edge.Person("ada@example.com")
	return b
}

// app adds an application whose origin says hello.
func (b *bed) app(a accesstest.App) *accesstest.Application {
	if a.Host == "" {
		a.Host = "git.example.com"
	}
	if a.Origin == nil {
		a.Origin = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, io.MultiReader(strings.NewReader("hello "+r.Method+" "), r.Body))
		})
	}
	return b.edge.AddApp(a)
}

// client returns a new client, as a new process would be, on the same store.
func (b *bed) client(change func(*access.Config)) *access.Client {
	b.Helper()
	cfg := &access.Config{
		Store: b.store, Cache: cacheMemory{b.cache}, Locker: b.locks, Transport: b.rt,
		LoginTimeout: 20 * time.Second,
		Open: func(ctx context.Context, u string) error {
			b.mu.Lock()
			b.opened++
			b.mu.Unlock()
			go b.person.Approve(ctx, u)
			return nil
		},
		Notify: func(e access.Event) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, e)
		},
	}
	if change != nil {
		change(cfg)
	}
	c, err := access.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func (b *bed) logins() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opened
}

// ask lets a person be asked.
var ask = access.Policy{Login: func(context.Context) error { return nil }}

func (b *bed) url(raw string) *url.URL {
	b.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		b.Fatal(err)
	}
	return u
}

func (b *bed) get(c *access.Client, p access.Policy, raw string) (string, error) {
	resp, err := (&http.Client{Transport: c.Transport(nil, p)}).Get(raw)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return string(body), err
}

// noLeaks fails if a secret in the store arrived anywhere but at the hosts named.
func (b *bed) noLeaks(secret string, allowed ...string) {
	b.Helper()
	for _, l := range b.edge.Leaks(secret, allowed...) {
		b.Errorf("leaked: %v", l)
	}
}

// stored returns one member of the JSON stored under the first key with prefix.
func (b *bed) stored(prefix, member string) string {
	b.Helper()
	keys, _ := b.store.List(b.Context(), prefix)
	if len(keys) == 0 {
		return ""
	}
	raw, err := b.store.Get(b.Context(), keys[0])
	if err != nil {
		b.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		b.Fatal(err)
	}
	s, _ := m[member].(string)
	return s
}
