package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/plaintext"
	"github.com/gitaccess/gitaccess/keystore"
)

// The kinds of files that can be imported.
const (
	fromExport          = "export"
	fromCredentialStore = "git-credential-store"
	fromNetrc           = "netrc"
)

func importCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "import",
		Usage:     "take over passwords from other places, or what access export wrote",
		ArgsUsage: "[FILE]",
		Description: `Takes passwords into the keystore, for git-credential-access --store to give to git:
those of git-credential-store, those of a netrc file, or, with the service tokens,
what "access export" wrote on another machine. The kind of file is recognised by
its name or content, or given by --from. The files stay as they are, unless --remove takes
out of git-credential-store's what the keystore has then.

  access import ~/.git-credentials
  access import --from=git-credential-store          its usual files
  access import ~/.netrc
  access import backup.txt                           asks for the passphrase

Where another password or token is kept already, it stays, unless --replace is given.
Each line says what became of an entry: taken, there, kept (another one), replaced, or
left (and why).`,
		Flags: []urfave.Flag{
			&urfave.StringFlag{Name: "from", Usage: "the `KIND` of file: git-credential-store, netrc or export"},
			&urfave.BoolFlag{Name: "replace", Usage: "where another one is kept already, take the file's"},
			&urfave.BoolFlag{Name: "remove", Usage: "with git-credential-store: remove from its file what is in the keystore then"},
			passphraseFlag(),
		},
		Action: func(c *urfave.Context) error { return importFiles(env, c) },
	}
}

// importing is one run of the command.
type importing struct {
	env     *cli.Env
	door    *door.Door
	replace bool
	taken   map[string]bool // logins that the keystore has now as the file has them
	logins  int             // of them, those that it had not had
	kept    int
}

func importFiles(env *cli.Env, c *urfave.Context) error {
	if c.NArg() > 1 {
		return cli.Usagef("one FILE is wanted")
	}
	from, path := c.String("from"), c.Args().First()
	if from != "" && !slices.Contains([]string{fromExport, fromCredentialStore, fromNetrc}, from) {
		return cli.Usagef("--from=%s is none of git-credential-store, netrc and export", from)
	}
	paths := []string{path}
	if path == "" {
		var err error
		if paths, err = usualFiles(env, from); err != nil {
			return err
		}
	}
	d, err := open(env, c, nil)
	if err != nil {
		return err
	}
	im := &importing{env: env, door: d, replace: c.Bool("replace"), taken: map[string]bool{}}
	for _, path := range paths {
		b, err := readBounded(path)
		if err != nil {
			return err
		}
		kind := from
		if kind == "" {
			if kind = kindOf(path, b); kind == "" {
				return &cli.UsageError{Err: fmt.Errorf("%s does not say what kind of file it is", path), Hints: []string{"say it: --from=git-credential-store, --from=netrc or --from=export"}}
			}
		}
		if c.Bool("remove") && kind != fromCredentialStore {
			return cli.Usagef("--remove is for the files of git-credential-store alone: others are read by other programs, too")
		}
		if err := im.file(c.Context, kind, path, b, c.String("passphrase-file")); err != nil {
			return err
		}
		if c.Bool("remove") {
			if err := im.remove(path); err != nil {
				return err
			}
		}
	}
	if im.kept > 0 {
		env.Note("%s stayed as they are in the keystore; to have the file's: --replace", count(im.kept, "other one"))
	}
	if im.logins > 0 {
		im.tellGit(c.Context)
	}
	return nil
}

// usualFiles are those that the programs themselves read, as far as they are there.
func usualFiles(env *cli.Env, from string) ([]string, error) {
	home := env.Getenv("HOME")
	if home == "" {
		home = env.Getenv("USERPROFILE")
	}
	var all []string
	switch from {
	case fromCredentialStore: // git-credential-store(1), FILES
		config := env.Getenv("XDG_CONFIG_HOME")
		if config == "" {
			config = filepath.Join(home, ".config")
		}
		all = []string{filepath.Join(home, ".git-credentials"), filepath.Join(config, "git", "credentials")}
	case fromNetrc:
		if file := env.Getenv("NETRC"); file != "" {
			return []string{file}, nil
		}
		all = []string{filepath.Join(home, ".netrc"), filepath.Join(home, "_netrc")}
	default:
		return nil, cli.Usagef("a FILE is wanted, or --from with the kind of file")
	}
	there := slices.DeleteFunc(slices.Clone(all), func(path string) bool {
		_, err := os.Stat(path)
		return errors.Is(err, fs.ErrNotExist)
	})
	if len(there) == 0 {
		return nil, fmt.Errorf("there is no %s", strings.Join(all, " and no "))
	}
	return there, nil
}

func kindOf(path string, b []byte) string {
	base := filepath.Base(path)
	switch {
	case bytes.HasPrefix(b, []byte("gitaccess-export ")):
		return fromExport
	case strings.HasSuffix(base, "netrc"):
		return fromNetrc
	case strings.HasSuffix(base, "git-credentials"), base == "credentials" && filepath.Base(filepath.Dir(path)) == "git":
		return fromCredentialStore
	}
	return ""
}

func (im *importing) file(ctx context.Context, kind, path string, b []byte, passphraseFile string) error {
	if kind == fromExport {
		return im.export(ctx, path, b, passphraseFile)
	}
	read := githelper.ReadCredentialStore
	if kind == fromNetrc {
		read = githelper.ReadNetrc
	}
	logins, skipped := read(b)
	// The last one that is added is the first to be given; the file has it the other way round.
	for _, s := range slices.Backward(logins) {
		if err := im.login(ctx, s); err != nil {
			return err
		}
	}
	for _, s := range skipped {
		if err := im.tell("left", fmt.Sprintf("%s, line %d", path, s.Line), s.Problem); err != nil {
			return err
		}
	}
	return nil
}

// words for what became of an entry.
var words = map[githelper.Addition]string{githelper.Added: "taken", githelper.Present: "there", githelper.Replaced: "replaced", githelper.Differs: "kept"}

func (im *importing) login(ctx context.Context, s githelper.StoredLogin) error {
	done, err := im.door.Logins().Add(ctx, s, im.replace)
	if err != nil {
		return err
	}
	switch done {
	case githelper.Differs:
		im.kept++
	case githelper.Added, githelper.Replaced:
		im.logins++
		fallthrough
	default:
		im.taken[loginName(s)] = true
	}
	return im.tell(words[done], loginHost(s), loginUser(s))
}

func loginName(s githelper.StoredLogin) string {
	secret := ""
	if s.Password != nil {
		secret = s.Password.Reveal()
	}
	return strings.Join([]string{s.Protocol, s.Host, s.Path, loginUser(s), secret}, "\x00")
}

func (im *importing) tell(word, what, more string) error {
	_, err := fmt.Fprintf(im.env.Stdout, "%-8s  %s  %s\n", word, plaintext.Line(what), plaintext.Line(more))
	return err
}

// export takes what access export wrote. All of it is looked at before anything is kept.
func (im *importing) export(ctx context.Context, path string, b []byte, passphraseFile string) error {
	// What is wrong with the file whatever the passphrase should not cost one.
	var problem *keystore.ExportError
	if err := keystore.CheckExport(b); errors.As(err, &problem) {
		return explainExport(path, problem)
	}
	passphrase, _, err := readPassphrase(ctx, passphraseFile, "passphrase of "+filepath.Base(path)+": ")
	if err != nil {
		return err
	}
	sealed, err := keystore.OpenExport(b, passphrase)
	if errors.As(err, &problem) {
		return explainExport(path, problem)
	}
	if err != nil {
		return err
	}
	var m moved
	var v struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(sealed, &v); err != nil || v.V < 1 {
		return explainExport(path, &keystore.ExportError{Cause: keystore.DamagedExport})
	}
	if v.V > movedVersion {
		return explainExport(path, &keystore.ExportError{Cause: keystore.NewerExport, Version: v.V})
	}
	if json.Unmarshal(sealed, &m) != nil {
		return explainExport(path, &keystore.ExportError{Cause: keystore.DamagedExport})
	}
	logins, err := githelper.DecodeLogins(m.Logins)
	if err != nil {
		return err
	}
	for _, t := range m.ServiceTokens {
		if o, _, err := access.ParseHost(string(t.Origin)); err != nil || o != t.Origin {
			return fmt.Errorf("%s: a service token is for %q, which is no host", path, t.Origin)
		}
		if err := access.CheckServiceToken(t.ClientID, access.NewSecret(t.Secret)); err != nil {
			return err
		}
	}
	there, err := im.door.Client.StoredServiceTokens(ctx)
	if err != nil {
		return err
	}
	for _, t := range m.ServiceTokens {
		if err := im.token(ctx, t, there); err != nil {
			return err
		}
	}
	for _, s := range slices.Backward(logins) {
		if err := im.login(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (im *importing) token(ctx context.Context, t movedToken, there []access.StoredServiceToken) error {
	word := "taken"
	if i := slices.IndexFunc(there, func(old access.StoredServiceToken) bool { return old.Origin == t.Origin }); i >= 0 {
		same := there[i].ClientID == t.ClientID && there[i].Secret.Reveal() == t.Secret
		switch {
		case same:
			return im.tell("there", t.Origin.Host(), t.ClientID)
		case !im.replace:
			im.kept++
			return im.tell("kept", t.Origin.Host(), there[i].ClientID)
		}
		word = "replaced"
	}
	if err := im.door.Client.AddServiceToken(ctx, t.Origin, t.ClientID, access.NewSecret(t.Secret), t.Expiry); err != nil {
		return err
	}
	return im.tell(word, t.Origin.Host(), t.ClientID)
}

func explainExport(path string, e *keystore.ExportError) error {
	hint := map[keystore.ExportCause]string{
		keystore.NewerExport:   "import it with that version, or a later one",
		keystore.CutExport:     "copy the whole file, to its last line \"end\"",
		keystore.DamagedExport: "copy the file again",
		keystore.NotAnExport:   "say what kind of file it is: --from=git-credential-store or --from=netrc",
	}[e.Cause]
	err := &cli.Error{Err: fmt.Errorf("%s: %s", path, strings.TrimPrefix(e.Error(), "keystore: ")), Hints: []string{"nothing was imported"}}
	if hint != "" {
		err.Hints = append(err.Hints, hint)
	}
	return err
}

// remove takes out of the file of git-credential-store what the keystore has by now, under the lock that git takes.
func (im *importing) remove(path string) error {
	return editConfig(path, func(b []byte) ([]byte, error) {
		kept := githelper.DropCredentialLines(b, func(s githelper.StoredLogin) bool { return im.taken[loginName(s)] })
		if kept == nil {
			kept = []byte{}
		}
		return kept, nil
	})
}

// tellGit says how git comes to ask for what was imported, unless it does.
func (im *importing) tellGit(ctx context.Context) {
	g, err := githelper.FindGit(ctx, "git", im.env.Environ())
	if err != nil {
		return
	}
	out, _ := g.Output(ctx, "config", "--get-all", "credential.helper")
	if slices.ContainsFunc(strings.Split(string(out), "\n"), storesLogins) {
		return
	}
	if path, err := helperPath(); err == nil {
		im.env.Note("git does not ask for passwords here yet; to have it: git config --global credential.helper %q", path+" --store")
	}
}
