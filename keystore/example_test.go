package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/gitaccess/gitaccess/keystore"
)

func Example() {
	dir, _ := os.MkdirTemp("", "example-")
	defer os.RemoveAll(dir)
	ctx := context.Background()

	s, err := keystore.Open(ctx, &keystore.Options{Backend: "file", Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	s.Put(ctx, "session/git.example.com", []byte("a token"))
	v, _ := s.Get(ctx, "session/git.example.com")
	keys, _ := s.List(ctx, "session/")
	_, err = s.Get(ctx, "session/other.example.com")
	fmt.Printf("%s %q %t %t\n", v, keys, errors.Is(err, keystore.ErrNotFound), s.Info().Sealed)
	// Output: a token ["session/git.example.com"] true false
}
