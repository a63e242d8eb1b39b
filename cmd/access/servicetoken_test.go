package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/internal/cli"
)

// One line is read, so that a job whose standard input stays open does not wait for its end.
func TestServiceTokenOfOpenInput(t *testing.T) {
	in, w := io.Pipe()
	defer w.Close()
	go io.WriteString(w, "secret\r\nmore")
	id, secret, err := readServiceToken(t.Context(), &cli.Env{Stdin: in}, "ID.access", "")
	if err != nil || id != "ID.access" || secret.Reveal() != "secret" {
		t.Errorf("%q, %q, %v", id, secret.Reveal(), err)
	}
	_, secret, err = readServiceToken(t.Context(), &cli.Env{Stdin: strings.NewReader("no end")}, "ID.access", "")
	if err != nil || secret.Reveal() != "no end" {
		t.Errorf("%q, %v", secret.Reveal(), err)
	}
}

// Ctrl-C is no wrong use of the command, neither at the questions nor while the secret is waited for.
func TestServiceTokenInterrupted(t *testing.T) {
	in, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, id := range []string{"", "ID.access"} {
		if _, _, err := readServiceToken(ctx, &cli.Env{Stdin: in}, id, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("client id %q: %v", id, err)
		}
	}
}
