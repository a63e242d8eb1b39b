package keystore

import (
	"context"
	"fmt"
	"os"
	"strconv"
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

// With KEYSTORE_TEST_LIMIT the Secret Service has a limit, as others have: what comes in parts can then be tested on a real one, and
// in other processes.
func init() {
	n, err := strconv.Atoi(os.Getenv("KEYSTORE_TEST_LIMIT"))
	if err != nil {
		return
	}
	k := kinds["secret-service"]
	open := k.open
	k.open = func(ctx context.Context, c *config) (backend, error) {
		b, err := open(ctx, c)
		return limited{b, n}, err
	}
	kinds["secret-service"] = k
}

type limited struct {
	backend
	max int
}

func (l limited) limit() int { return l.max }

func (l limited) set(ctx context.Context, name string, blob []byte) error {
	if len(blob) > l.max {
		return fmt.Errorf("%d bytes are over the limit", len(blob))
	}
	return l.backend.set(ctx, name, blob)
}

// CheapExports makes sealing cost next to nothing.
func CheapExports(t *testing.T) {
	before := exportCost
	t.Cleanup(func() { exportCost = before })
	exportCost = argonCost{1, 64, 2}
}
