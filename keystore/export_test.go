package keystore

import (
	"context"
	"testing"
)

// Plant puts a blob where the entry of a key is, as it would be in the backend (sealed, if that is how it is kept).
func Plant(t *testing.T, s *Store, key string, blob []byte) {
	t.Helper()
	b, _ := s.backends()
	if err := b.set(context.Background(), nameOf(key), blob); err != nil {
		t.Fatal(err)
	}
}

func Raw(t *testing.T, s *Store, key string) []byte {
	t.Helper()
	b, _ := s.backends()
	blob, err := b.get(context.Background(), nameOf(key))
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func NameOf(key string) string { return nameOf(key) }
