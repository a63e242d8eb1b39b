//go:build unix

package keystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// pass keeps entries with https://www.passwordstore.org, below "gitaccess/".
//
// It runs the program itself where the library would do so too, because of what the library's way (pass.go, v1.2.2) does not give:
// a passphrase prompt that nobody sees is not waited for and is ended with its deadline, messages of gpg become part of the error
// rather than of our stderr, and an entry is replaced by a rename. `pass insert` has gpg write into the file in place, so that whoever
// reads meanwhile gets a part or nothing.
type pass struct {
	program string
	dir     string
	env     []string
	ask     bool
}

const passPrefix = "gitaccess"

// tempSuffix is for entries on their way in; one that is old was left by a killed writer.
const (
	passTempSuffix = ".new-"
	passTempAge    = 10 * time.Minute
)

func passDir(c *config) string {
	if dir := c.getenv("PASSWORD_STORE_DIR"); dir != "" {
		return dir
	}
	return filepath.Join(c.getenv("HOME"), ".password-store")
}

func openPass(_ context.Context, c *config) (backend, error) {
	program, err := exec.LookPath("pass")
	if err != nil {
		return nil, absent("%w", err)
	}
	p := &pass{program: program, dir: passDir(c), env: os.Environ(), ask: c.interactive}
	if _, err := os.Stat(filepath.Join(p.dir, ".gpg-id")); err != nil {
		return nil, fmt.Errorf("the password store is not set up, run `pass init`: %w", err)
	}
	p.env = append(p.env, "PASSWORD_STORE_DIR="+p.dir)
	if !p.ask {
		// Fail rather than ask. The agent still answers if it knows the passphrase.
		opts := strings.TrimSpace(c.getenv("PASSWORD_STORE_GPG_OPTS") + " --batch --pinentry-mode=error")
		p.env = append(p.env, "PASSWORD_STORE_GPG_OPTS="+opts)
	}
	return p, nil
}

func (p *pass) run(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.program, args...)
	cmd.Env = p.env
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if !p.ask { // pass is a script: what it runs must end with it
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	}
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	text := errOut.String()
	err = lastLine(errOut.Bytes(), err)
	// gpg says the same of a key whose passphrase it may not ask for and of one that it does not have.
	if !p.ask && strings.Contains(text, "No secret key") {
		return nil, &LockedError{"pass", fmt.Errorf("the passphrase of its key is not known to the agent, or the key is not here: %w", err)}
	}
	return nil, err
}

func (p *pass) path(name string) string { return filepath.Join(p.dir, passPrefix, name+".gpg") }

func (p *pass) get(ctx context.Context, name string) ([]byte, error) {
	if _, err := os.Lstat(p.path(name)); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	out, err := p.run(ctx, nil, "show", passPrefix+"/"+name)
	if err != nil {
		if _, gone := os.Lstat(p.path(name)); errors.Is(gone, fs.ErrNotExist) {
			return nil, ErrNotFound
		}
	}
	return out, err
}

func (p *pass) set(ctx context.Context, name string, blob []byte) error {
	temp := name + passTempSuffix + randomHex(4)
	// Removing the last entry takes the folder away with it, perhaps right now in another process.
	var err error
	for range 3 {
		if _, err = p.run(ctx, blob, "insert", "-m", "-f", passPrefix+"/"+temp); err == nil {
			break
		}
	}
	if err == nil {
		_, err = p.run(ctx, nil, "mv", "-f", passPrefix+"/"+temp, passPrefix+"/"+name)
	}
	if err != nil {
		os.Remove(p.path(temp))
		return err
	}
	p.sweep(ctx, name)
	return nil
}

// sweep removes what killed writers of an entry left.
func (p *pass) sweep(ctx context.Context, name string) {
	old, _ := filepath.Glob(p.path(name + passTempSuffix + "*"))
	for _, path := range old {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > passTempAge {
			p.run(ctx, nil, "rm", "-f", passPrefix+"/"+strings.TrimSuffix(filepath.Base(path), ".gpg"))
		}
	}
}

func (p *pass) remove(ctx context.Context, name string) error {
	if _, err := os.Lstat(p.path(name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, err := p.run(ctx, nil, "rm", "-f", passPrefix+"/"+name)
	if _, gone := os.Lstat(p.path(name)); errors.Is(gone, fs.ErrNotExist) {
		return nil
	}
	return err
}

// names lists what is there, entries on their way in too.
func (p *pass) names() (names []string, err error) {
	files, err := os.ReadDir(filepath.Join(p.dir, passPrefix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".gpg"); ok {
			names = append(names, name)
		}
	}
	return names, err
}

func (p *pass) clear(ctx context.Context) error {
	names, err := p.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := p.remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) each(ctx context.Context, visit func(string, []byte)) error {
	names, err := p.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !plainName(name) {
			continue
		}
		blob, err := p.get(ctx, name)
		var locked *LockedError
		switch {
		case err == nil:
			visit(name, blob)
		case errors.As(err, &locked), ctx.Err() != nil:
			return err // it would be the same for all that follow
		}
	}
	return nil
}

func (p *pass) limit() int       { return 0 }
func (p *pass) location() string { return "pass, " + filepath.Join(p.dir, passPrefix) }
func (p *pass) sealed() bool     { return true }
func (p *pass) close()           {}
