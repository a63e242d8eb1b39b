package keystore

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

const keychainLocation = "macOS Keychain, service gitaccess"

// text keeps blobs as base64 in a backend that takes text best. Both ways to the Keychain use it, so that what one build wrote the
// other can read.
type text struct{ backend }

func (t text) get(ctx context.Context, name string) ([]byte, error) {
	b, err := t.backend.get(ctx, name)
	if err != nil {
		return nil, err
	}
	return unbase64(b)
}

func (t text) set(ctx context.Context, name string, blob []byte) error {
	return t.backend.set(ctx, name, base64.StdEncoding.AppendEncode(nil, blob))
}

func (t text) each(ctx context.Context, visit func(string, []byte)) error {
	return t.backend.each(ctx, func(name string, b []byte) {
		if blob, err := unbase64(b); err == nil {
			visit(name, blob)
		}
	})
}

func unbase64(b []byte) ([]byte, error) {
	blob, err := base64.StdEncoding.AppendDecode(nil, bytes.TrimSpace(b))
	if err != nil {
		return nil, &CorruptError{Err: errors.New("it is not what was written")}
	}
	return blob, nil
}

// securityTool reaches the Keychain through /usr/bin/security, for builds without cgo. Secrets go through its stdin and stdout, never
// through arguments, which every process of the machine can see. Entries trust the tool, and so every program of the user that runs
// it: this is what gh and others do too, and it is less than a cgo build gives.
//
// It has no build tag so that its tests run everywhere.
type securityTool struct{ path string }

// Exit codes of security(1): the low byte of the OSStatus.
const (
	exitNotFound   = 44 // errSecItemNotFound, -25300
	exitNoInteract = 36 // errSecInteractionNotAllowed, -25308
	exitAuthFailed = 51 // errSecAuthFailed, -25293
	exitCanceled   = 128
)

// maxCommand is the longest line that `security -i` reads.
const maxCommand = 4096

func (s securityTool) run(ctx context.Context, stdin string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		switch exit.ExitCode() {
		case exitNotFound:
			return nil, ErrNotFound
		case exitNoInteract, exitAuthFailed, exitCanceled:
			return nil, &LockedError{"keychain", lastLine(errOut.Bytes(), err)}
		}
		return nil, lastLine(errOut.Bytes(), err)
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, absent("%w", err)
	}
	return out.Bytes(), err
}

// lastLine is what a program said at last, for people.
func lastLine(stderr []byte, err error) error {
	lines := strings.Split(strings.TrimSpace(string(stderr)), "\n")
	line := lines[len(lines)-1]
	if len(line) > 200 {
		line = line[:200]
	}
	if line == "" {
		return err
	}
	return fmt.Errorf("%w: %q", err, line)
}

func (s securityTool) get(ctx context.Context, name string) ([]byte, error) {
	return s.run(ctx, "", "find-generic-password", "-s", "gitaccess", "-a", name, "-w")
}

// set reads back what it wrote: the interactive mode, the only one that takes a secret from stdin, does not tell of failures.
func (s securityTool) set(ctx context.Context, name string, blob []byte) error {
	line := fmt.Sprintf("add-generic-password -U -s gitaccess -a %s -l gitaccess -w %s\n", name, blob)
	if len(line) > maxCommand {
		return fmt.Errorf("%d bytes are too many for the Keychain", len(blob))
	}
	if _, err := s.run(ctx, line, "-i"); err != nil {
		return err
	}
	got, err := s.get(ctx, name)
	if err == nil && !bytes.Equal(bytes.TrimSpace(got), blob) {
		err = errors.New("the Keychain did not take the entry")
	}
	if errors.Is(err, ErrNotFound) {
		return errors.New("the Keychain did not take the entry")
	}
	return err
}

func (s securityTool) remove(ctx context.Context, name string) error {
	_, err := s.run(ctx, "", "delete-generic-password", "-s", "gitaccess", "-a", name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// each finds the names in a dump of the attributes: there is no query that lists. A dump shows no secrets and asks for nothing.
func (s securityTool) each(ctx context.Context, visit func(string, []byte)) error {
	dump, err := s.run(ctx, "", "dump-keychain")
	if err != nil {
		return err
	}
	for _, name := range dumped(string(dump)) {
		if !plainName(name) {
			continue
		}
		if blob, err := s.get(ctx, name); err == nil {
			visit(name, blob)
		} else if ctx.Err() != nil {
			return err
		}
	}
	return nil
}

func (s securityTool) clear(ctx context.Context) error {
	dump, err := s.run(ctx, "", "dump-keychain")
	if err != nil {
		return err
	}
	for _, name := range dumped(string(dump)) {
		if err := s.remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// dumped lists the accounts of our service in the output of dump-keychain: items begin with "keychain:", attributes are lines such as
//
//	"acct"<blob>="3fa9…"
func dumped(dump string) (names []string) {
	var account, svc string
	flush := func() {
		if stem, _, _ := strings.Cut(account, "."); svc == "gitaccess" && plainName(stem) {
			names = append(names, account)
		}
		account, svc = "", ""
	}
	for line := range strings.Lines(dump) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "keychain:") {
			flush()
		}
		if v, ok := strings.CutPrefix(line, `"acct"<blob>=`); ok {
			account = strings.Trim(v, `"`)
		}
		if v, ok := strings.CutPrefix(line, `"svce"<blob>=`); ok {
			svc = strings.Trim(v, `"`)
		}
	}
	flush()
	return names
}

func (securityTool) limit() int       { return partSize }
func (securityTool) location() string { return keychainLocation + " (through /usr/bin/security)" }
func (securityTool) sealed() bool     { return true }
func (securityTool) close()           {}
