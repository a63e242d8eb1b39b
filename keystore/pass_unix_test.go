//go:build unix

package keystore_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/internal/keyringtest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
	"github.com/gitaccess/gitaccess/keystore"
	"github.com/gitaccess/gitaccess/keystore/keystoretest"
)

var passStore = keyringtest.Pass

func TestPassSuite(t *testing.T) {
	dir := passStore(t, "")
	s := suite(t, "pass", &keystoretest.Options{Processes: 8, Operations: 20, Kills: 10})
	must(t, s.Put(t.Context(), "a", nil))
	must(t, s.Clear(t.Context()))
	if left, _ := filepath.Glob(dir + "/gitaccess/*"); len(left) > 0 {
		t.Errorf("left after Clear: %q", left)
	}
}

// A passphrase that would have to be asked for is not: nobody may be there to see the question.
func TestPassDoesNotAsk(t *testing.T) {
	dir := passStore(t, "secret passphrase")
	forget := exec.Command("gpgconf", "--kill", "gpg-agent") // it knows the passphrase from making the key
	must(t, forget.Run())
	var locked *keystore.LockedError
	if _, err := tryOpen(t, "pass", nil); !errors.As(err, &locked) || locked.Backend != "pass" {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(dir + "/gitaccess/*"); len(left) > 1 { // the probe could not even be read
		t.Errorf("left behind: %q", left)
	}
}

func TestPassIsEndedWithItsDeadline(t *testing.T) {
	dir := passStore(t, "")
	state := t.TempDir()
	must(t, openAs(t, "pass", &keystore.Options{Dir: state, Timeout: time.Minute}).Put(t.Context(), "k", []byte("v")))
	// A pass that hangs, and what it runs with it: all of them hold a pipe open.
	bin := t.TempDir()
	fifo := bin + "/alive"
	must(t, syscall.Mkfifo(fifo, 0o600))
	must(t, os.WriteFile(bin+"/pass", []byte("#!/bin/sh\nexec 9<>"+fifo+"\nsleep 600 & wait\n"), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("PASSWORD_STORE_DIR", dir)
	s := openAs(t, "pass", &keystore.Options{Dir: state, Timeout: 300 * time.Millisecond})
	var timeout *keystore.TimeoutError
	if _, err := s.Get(t.Context(), "k"); !errors.As(err, &timeout) {
		t.Errorf("got %v", err)
	}
	f, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	must(t, err)
	defer f.Close()
	must(t, f.SetReadDeadline(time.Now().Add(time.Minute)))
	if _, err := f.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("something is still running: %v", err)
	}
}

func TestPassNeedsASetUp(t *testing.T) {
	scripttest.Need(t, "pass", "pass")
	t.Setenv("PASSWORD_STORE_DIR", t.TempDir())
	var unusable *keystore.UnusableError
	if _, err := tryOpen(t, "pass", nil); !errors.As(err, &unusable) || !strings.Contains(err.Error(), "pass init") {
		t.Errorf("got %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := tryOpen(t, "pass", nil); !errors.As(err, &unusable) || !strings.Contains(err.Error(), "not found") {
		t.Errorf("got %v", err)
	}
}
