package keystore

import (
	"context"
	"testing"

	"github.com/godbus/dbus/v5"
)

// Blobs counts everything that a backend holds of ours, parts included.
func Blobs(t *testing.T, s *Store) int {
	t.Helper()
	b, _ := s.backends()
	if l, ok := b.(limited); ok {
		b = l.backend
	}
	switch b := b.(type) {
	case *ring:
		names, err := b.keys()
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	case *secretService:
		var items []dbus.ObjectPath
		err := b.with(context.Background(), func(l *link) (err error) {
			items, err = b.find(context.Background(), l, "")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return len(items)
	}
	t.Fatalf("%T", b)
	return 0
}
