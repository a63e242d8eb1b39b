package keystore_test

import (
	"context"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/keystore"
)

// BenchmarkSecretService shows a warm Get of a program that has just started (Open, connect, Get) and of one that goes on.
func BenchmarkSecretService(b *testing.B) {
	unlockedKeyring(b)
	o := &keystore.Options{Dir: b.TempDir(), Timeout: time.Minute}
	must(b, openAs(b, "", o).Put(context.Background(), "k", []byte("v")))
	b.Run("OpenGet", func(b *testing.B) {
		for b.Loop() {
			s, err := keystore.Open(context.Background(), o)
			must(b, err)
			_, err = s.Get(context.Background(), "k")
			must(b, err)
			s.Close()
		}
	})
	b.Run("Get", func(b *testing.B) {
		s, err := keystore.Open(context.Background(), o)
		must(b, err)
		defer s.Close()
		for b.Loop() {
			_, err = s.Get(context.Background(), "k")
			must(b, err)
		}
	})
}
