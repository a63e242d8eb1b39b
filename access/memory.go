package access

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// memory is the Store and the Cache of a Config that names none.
type memory struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (s *memory) Load(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.m[name]
	if !ok {
		return nil, fmt.Errorf("access: %q in memory: %w", name, fs.ErrNotExist)
	}
	return slices.Clone(b), nil
}

func (s *memory) Save(name string, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[string][]byte{}
	}
	s.m[name] = slices.Clone(b)
	return nil
}

func (s *memory) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, name)
	return nil
}

func (s *memory) Get(_ context.Context, key string) ([]byte, error)     { return s.Load(key) }
func (s *memory) Put(_ context.Context, key string, value []byte) error { return s.Save(key, value) }
func (s *memory) Delete(_ context.Context, key string) error            { return s.Remove(key) }

func (s *memory) List(_ context.Context, prefix string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := slices.Sorted(maps.Keys(s.m))
	return slices.DeleteFunc(keys, func(k string) bool { return !strings.HasPrefix(k, prefix) }), nil
}

// within is the Locker of a Config that names none: what it holds is held against
// the other calls of this Client.
type within struct {
	mu   sync.Mutex
	held map[string]*ownLease
}

type ownLease struct {
	l     *within
	name  string
	note  string        // guarded by l.mu
	noted chan struct{} // closed when note changes
	freed chan struct{}
	once  sync.Once
}

func (l *within) Lock(ctx context.Context, name string, waiting func(pid int, note string)) (Lease, error) {
	for {
		l.mu.Lock()
		t := l.held[name]
		if t == nil {
			if l.held == nil {
				l.held = map[string]*ownLease{}
			}
			t = &ownLease{l: l, name: name, noted: make(chan struct{}), freed: make(chan struct{})}
			l.held[name] = t
			l.mu.Unlock()
			return t, nil
		}
		note, noted := t.note, t.noted
		l.mu.Unlock()
		if waiting != nil {
			waiting(os.Getpid(), note)
		}
		select {
		case <-t.freed:
		case <-noted:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (t *ownLease) Note(text string) error {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	t.note = text
	close(t.noted)
	t.noted = make(chan struct{})
	return nil
}

func (t *ownLease) Release() error {
	t.once.Do(func() {
		t.l.mu.Lock()
		delete(t.l.held, t.name)
		t.l.mu.Unlock()
		close(t.freed)
	})
	return nil
}
