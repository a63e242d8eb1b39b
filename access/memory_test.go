package access

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"
	"testing/synctest"
)

// What a Client without Store, Locker and Cache keeps to.
func TestMemory(t *testing.T) {
	ctx := t.Context()
	var s memory
	if _, err := s.Get(ctx, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	value := []byte("one")
	for _, key := range []string{"b", "a/1", "a/2"} {
		if err := s.Put(ctx, key, value); err != nil {
			t.Fatal(err)
		}
	}
	value[0] = 'X'
	got, err := s.Get(ctx, "b")
	if err != nil || string(got) != "one" {
		t.Errorf("got %q, %v", got, err)
	}
	if keys, err := s.List(ctx, "a/"); err != nil || !slices.Equal(keys, []string{"a/1", "a/2"}) {
		t.Errorf("listed %q, %v", keys, err)
	}
	for range 2 {
		if err := s.Delete(ctx, "b"); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Get(ctx, "b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("deleted: %v", err)
	}
}

func TestOwnLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l within
		first, err := l.Lock(t.Context(), "git", nil)
		if err != nil {
			t.Fatal(err)
		}
		if other, err := l.Lock(t.Context(), "ssh", nil); err != nil {
			t.Fatal(err)
		} else if err := other.Release(); err != nil {
			t.Fatal(err)
		}

		var notes []string
		second := make(chan Lease)
		go func() {
			lease, err := l.Lock(t.Context(), "git", func(_ int, note string) { notes = append(notes, note) })
			if err != nil {
				t.Error(err)
			}
			second <- lease
		}()
		synctest.Wait()
		if err := first.Note("https://login"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !slices.Equal(notes, []string{"", "https://login"}) {
			t.Errorf("the waiter saw %q", notes)
		}

		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(enough)
		if _, err := l.Lock(ctx, "git", nil); !errors.Is(err, enough) {
			t.Errorf("a wait that was given up: %v", err)
		}

		if err := first.Release(); err != nil {
			t.Fatal(err)
		}
		lease := <-second
		if err := first.Release(); err != nil { // must not free what another holds
			t.Fatal(err)
		}
		if _, err := l.Lock(ctx, "git", nil); !errors.Is(err, enough) {
			t.Errorf("the second holder lost its lock: %v", err)
		}
		if err := lease.Release(); err != nil {
			t.Fatal(err)
		}
	})
}
