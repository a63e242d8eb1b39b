package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/term"
	"github.com/gitaccess/gitaccess/keystore"
)

func exportCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "export",
		Usage:     "write service tokens and kept passwords into a sealed file",
		ArgsUsage: "FILE",
		Description: `Writes the service tokens of this machine, and the passwords that are kept for git,
into a new FILE for "access import" on another machine (- is standard output). The file
is sealed with a passphrase, which is asked for on the terminal. Sessions stay here:
log in there.

  access export backup.txt
  access import backup.txt`,
		Flags:  []urfave.Flag{passphraseFlag()},
		Action: func(c *urfave.Context) error { return export(env, c) },
	}
}

func passphraseFlag() urfave.Flag {
	return &urfave.StringFlag{Name: "passphrase-file", Usage: "take the passphrase from the first line of `FILE`"}
}

// moved is what leaves the machine, before it is sealed.
type moved struct {
	V             int             `json:"v"`
	ServiceTokens []movedToken    `json:"service_tokens"`
	Logins        json.RawMessage `json:"logins"`
}

type movedToken struct {
	Origin   access.Origin `json:"origin"`
	ClientID string        `json:"client_id"`
	Secret   string        `json:"client_secret"`
	Expiry   time.Time     `json:"expiry,omitzero"`
}

const movedVersion = 1

func export(env *cli.Env, c *urfave.Context) error {
	if c.NArg() != 1 {
		return cli.Usagef("one FILE is wanted, or - for standard output")
	}
	path := c.Args().First()
	if path != "-" { // before the passphrase is asked for
		if _, err := os.Lstat(path); err == nil {
			return fileExists(path)
		}
	}
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	tokens, err := d.Client.StoredServiceTokens(c.Context)
	if err != nil {
		return incomplete(err)
	}
	logins, err := d.Logins().All(c.Context)
	if err != nil {
		return incomplete(err)
	}
	if len(tokens)+len(logins) == 0 {
		return &cli.Error{Err: errors.New("no service token and no password is kept here"), Hints: []string{"sessions cannot be exported: log in on the other machine"}}
	}
	m := moved{V: movedVersion, ServiceTokens: []movedToken{}}
	for _, t := range tokens {
		m.ServiceTokens = append(m.ServiceTokens, movedToken{t.Origin, t.ClientID, t.Secret.Reveal(), t.Expiry})
	}
	if m.Logins, err = githelper.EncodeLogins(logins); err != nil {
		return err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	passphrase, err := newPassphrase(c.Context, c.String("passphrase-file"))
	if err != nil {
		return err
	}
	sealed, err := keystore.SealExport(b, passphrase)
	if err != nil {
		return err
	}
	if path == "-" {
		_, err := env.Stdout.Write(sealed)
		return err
	}
	if err := writeNew(path, sealed); err != nil {
		return err
	}
	env.Note("%s and %s are in %s; it can be opened with the passphrase alone", count(len(tokens), "service token"), count(len(logins), "password"), path)
	return nil
}

// incomplete: an export that lacks something would be found out when the machine is gone.
func incomplete(err error) error {
	return &cli.Error{Err: err, Hints: []string{"nothing was exported, since something would be missing"}}
}

func fileExists(path string) error {
	return &cli.Error{Err: fmt.Errorf("%s is there already", path), Hints: []string{"name another file, or remove that one first"}}
}

// writeNew makes a file that this user alone can read, all of it or nothing.
func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fileExists(path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// minPassphrase is the least that a passphrase must have: whoever finds the file can try as many as they like.
const minPassphrase = 8

func newPassphrase(ctx context.Context, file string) ([]byte, error) {
	passphrase, asked, err := readPassphrase(ctx, file, "passphrase for the file: ")
	if err != nil {
		return nil, err
	}
	if len(passphrase) < minPassphrase {
		return nil, &cli.UsageError{Err: fmt.Errorf("the passphrase has fewer than %d characters", minPassphrase)}
	}
	if asked {
		again, err := term.ReadSecret(ctx, "the same again: ")
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(again, passphrase) {
			return nil, errors.New("the two passphrases differ")
		}
	}
	return passphrase, nil
}

func readPassphrase(ctx context.Context, file, prompt string) (passphrase []byte, asked bool, err error) {
	if file != "" {
		b, err := readBounded(file)
		if err != nil {
			return nil, false, err
		}
		line, _, _ := bytes.Cut(b, []byte("\n"))
		return bytes.TrimSuffix(line, []byte("\r")), false, nil
	}
	passphrase, err = term.ReadSecret(ctx, prompt)
	if errors.Is(err, term.ErrNoTerminal) {
		return nil, false, &cli.UsageError{Err: err, Hints: []string{"give the passphrase in a file: --passphrase-file=FILE"}}
	}
	return passphrase, true, err
}

// maxImport is more than any file with logins has.
const maxImport = 64 << 20

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxImport+1))
	if err == nil && len(b) > maxImport {
		err = fmt.Errorf("%s is larger than %d MB", path, maxImport>>20)
	}
	return b, err
}
