package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/cmd/internal/sshfile"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/lease"
	"github.com/gitaccess/gitaccess/internal/state"
)

func setupSSHCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "ssh",
		Usage:     "configure ssh for hosts",
		ArgsUsage: "[USER@]HOST...",
		Description: `Makes ssh, and everything that uses it, reach HOST through access-ssh-proxy: writes lines
for it into ~/.ssh/gitaccess/config, and a line at the top of ~/.ssh/config that includes
them (access-ssh-proxy config). Lines of ~/.ssh/config that call "cloudflared access" for
HOST become comments, also those for short-lived certificates, which are then fetched by
access-ssh-proxy. Changes are shown as a diff.

  access setup ssh ada@ssh.example.com
  access setup ssh --dry-run ssh.example.com      show the change and write nothing
  access setup ssh --short-lived-cert ada@ssh.example.com
  access setup ssh --migrate                      all hosts that have cloudflared's lines

"access unsetup ssh HOST" takes it all back, to the byte.`,
		Flags: append(sshFlags(),
			&urfave.BoolFlag{Name: "short-lived-cert", Usage: "get a short-lived certificate before each connection"},
			&urfave.BoolFlag{Name: "migrate", Usage: "replace every call of cloudflared access in ssh's configuration"},
		),
		Action: func(c *urfave.Context) error { return setupSSH(env, c) },
	}
}

func unsetupSSHCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "ssh",
		Usage:     "take the lines for hosts out of ssh's configuration",
		ArgsUsage: "HOST...",
		Description: `Takes back what "access setup ssh HOST" did: our lines go, lines of cloudflared's that
became comments are lines again. Without changes of yours in between, the files are the
same bytes as before.

  access unsetup ssh ssh.example.com
  access unsetup ssh --all
  access unsetup ssh --dry-run ssh.example.com    show the change and write nothing`,
		Flags:  append(sshFlags(), &urfave.BoolFlag{Name: "all", Usage: "of all hosts"}),
		Action: func(c *urfave.Context) error { return unsetupSSH(env, c) },
	}
}

// sshFlags are common to setup ssh and unsetup ssh.
func sshFlags() []urfave.Flag {
	return []urfave.Flag{
		&urfave.BoolFlag{Name: "dry-run", Usage: "show the change as a diff and write nothing"},
		&urfave.StringFlag{Name: "file", Usage: "ssh's configuration is `FILE` (default ~/.ssh/config)"},
	}
}

// sshSetup is one run of setup ssh or unsetup ssh.
type sshSetup struct {
	env    *cli.Env
	c      *urfave.Context
	proxy  string // path of access-ssh-proxy
	file   string // ssh's configuration
	dryRun bool
	hosts  []string // without the user
}

func newSSHSetup(env *cli.Env, c *urfave.Context) (*sshSetup, error) {
	s := &sshSetup{env: env, c: c, dryRun: c.Bool("dry-run"), file: c.String("file")}
	var err error
	if s.proxy, err = neighbour("access-ssh-proxy"); err != nil {
		return nil, err
	}
	if s.file == "" {
		home, err := env.Home()
		if err != nil {
			return nil, err
		}
		s.file = filepath.Join(home, ".ssh", "config")
	}
	if s.file, err = filepath.Abs(s.file); err != nil {
		return nil, err
	}
	for _, arg := range c.Args().Slice() {
		host := arg
		if _, after, ok := strings.Cut(arg, "@"); ok && !strings.Contains(arg, "://") {
			host = after
		}
		o, _, err := door.ParseHost(host)
		if err != nil {
			return nil, err
		}
		s.hosts = append(s.hosts, o.Hostname())
	}
	return s, nil
}

func setupSSH(env *cli.Env, c *urfave.Context) error {
	if c.NArg() == 0 && !c.Bool("migrate") {
		return cli.Usagef("one HOST at least is wanted, or --migrate")
	}
	s, err := newSSHSetup(env, c)
	if err != nil {
		return err
	}
	m := s.migration()
	file, err := s.read()
	if err != nil {
		return err
	}
	m.Apply(file)
	args := c.Args().Slice()
	for _, name := range m.Names {
		if !slices.Contains(s.hosts, name) {
			args = append(args, name)
		}
	}
	if len(args) == 0 && string(m.Apply(file)) == string(file) {
		env.Note("nothing in %s calls cloudflared", s.file)
		return nil
	}
	// Ours come first: ssh takes what it finds first, so that it is never without a way.
	if err := s.install(args, m.Certificates); err != nil {
		return err
	}
	if err := s.edit(s.migration().Apply); err != nil {
		return err
	}
	for _, n := range m.Left {
		env.Warn("%s line %d calls cloudflared by a shell, for a pattern of hosts; it is left, name the hosts: access setup ssh HOST", s.file, n)
	}
	for _, n := range m.Secrets {
		env.Warn("%s line %d holds a service token, which stays in the comment and is not taken over; store it and take it out: access service-token add %s", s.file, n, s.anyHost())
	}
	if m.Others > 0 {
		env.Note("%s calls cloudflared for other hosts, too: access setup ssh --migrate", s.file)
	}
	return nil
}

func (s *sshSetup) anyHost() string {
	if len(s.hosts) > 0 {
		return s.hosts[0]
	}
	return "HOST"
}

// migration is made anew for each use, since it collects what it finds.
func (s *sshSetup) migration() *sshfile.Migration {
	program := sshWord(s.proxy)
	m := &sshfile.Migration{Hosts: slices.Clone(s.hosts), All: s.c.Bool("migrate"), Folder: "~/.ssh/gitaccess"}
	words := append([]string{program}, s.network()...)
	for i := range words[1:] {
		words[i+1] = sshWord(words[i+1])
	}
	m.Proxy = strings.Join(words, " ")
	m.Certificate = strings.Join(append([]string{program, "cert"}, words[1:]...), " ")
	return m
}

// sshWord writes a word for a command in ssh's configuration. Paths with characters
// that cannot stand there the same for all shells are for access-ssh-proxy config to
// refuse, which has the same path.
func sshWord(s string) string {
	s = strings.ReplaceAll(s, "%", "%%")
	if strings.ContainsAny(s, " '()&;") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

// network are the flags for the network that were given to us.
func (s *sshSetup) network() (flags []string) {
	for _, name := range []string{"ca-file", "client-cert", "team"} {
		v := s.c.String(name)
		if v == "" {
			continue
		}
		if name != "team" {
			if abs, err := filepath.Abs(v); err == nil {
				v = filepath.ToSlash(abs)
			}
		}
		flags = append(flags, "--"+name+"="+v)
	}
	return flags
}

// install has access-ssh-proxy write its lines: with certificates for the hosts that
// had some.
func (s *sshSetup) install(args, certificates []string) error {
	var plain, certified []string
	for _, arg := range args {
		host := arg
		if _, after, ok := strings.Cut(arg, "@"); ok {
			host = after
		}
		if s.c.Bool("short-lived-cert") || slices.Contains(certificates, host) {
			certified = append(certified, arg)
		} else {
			plain = append(plain, arg)
		}
	}
	flags := append([]string{"--install"}, s.network()...)
	if len(plain) > 0 {
		if err := s.config(append(flags[:len(flags):len(flags)], plain...)...); err != nil {
			return err
		}
	}
	if len(certified) > 0 {
		return s.config(append(append(flags[:len(flags):len(flags)], "--short-lived-cert"), certified...)...)
	}
	return nil
}

// config runs access-ssh-proxy config, which speaks for itself.
func (s *sshSetup) config(args ...string) error {
	args = append([]string{"config"}, args...)
	if s.dryRun {
		args = append(args, "--dry-run")
	}
	if s.c.String("file") != "" {
		args = append(args, "--file="+s.file)
	}
	cmd := exec.CommandContext(s.c.Context, s.proxy, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = s.env.Stdout, s.env.Stderr, s.env.Environ()
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return &cli.Error{Code: exit.ExitCode()}
	}
	return err
}

func (s *sshSetup) read() ([]byte, error) {
	path, err := filepath.EvalSymlinks(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return state.ReadFile(path)
}

// edit changes ssh's configuration and shows the change.
func (s *sshSetup) edit(change func([]byte) []byte) error {
	path, err := filepath.EvalSymlinks(s.file) // dotfiles are links as often as not
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !s.dryRun {
		dir, err := state.Open(s.env.Getenv)
		if err != nil {
			return err
		}
		short, cancel := context.WithTimeout(s.c.Context, time.Minute)
		defer cancel()
		hold, err := lease.Acquire(short, dir.Path("lease", "ssh-config"), nil) // the one of access-ssh-proxy config
		if err != nil {
			return err
		}
		defer hold.Release()
	}
	old, err := state.ReadFile(path)
	if err != nil {
		return err
	}
	changed := change(old)
	if string(changed) == string(old) {
		return nil
	}
	if _, err := io.WriteString(s.env.Stdout, sshfile.Redact(githelper.Diff(path, old, changed))); err != nil || s.dryRun {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return state.WriteFile(path, changed, info.Mode().Perm())
}

func unsetupSSH(env *cli.Env, c *urfave.Context) error {
	switch all := c.Bool("all"); {
	case all && c.NArg() > 0:
		return cli.Usagef("--all takes no HOST")
	case !all && c.NArg() == 0:
		return cli.Usagef("one HOST at least is wanted, or --all")
	}
	s, err := newSSHSetup(env, c)
	if err != nil {
		return err
	}
	// The lines of cloudflared's come first, for the same reason as in setup.
	err = s.edit(func(b []byte) []byte {
		for _, h := range s.hosts {
			b = sshfile.Undo(b, h, false)
		}
		if c.Bool("all") {
			b = sshfile.Undo(b, "", true)
		}
		return b
	})
	if err != nil {
		return err
	}
	if c.Bool("all") {
		return s.config("--remove", "--all")
	}
	return s.config(append([]string{"--remove"}, s.hosts...)...)
}

// neighbour returns the absolute path of another program of ours: the one in PATH if
// that is this program's neighbour, since package managers keep the path there the
// same over upgrades.
func neighbour(name string) (string, error) {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	var beside string
	if self, err := os.Executable(); err == nil {
		beside = filepath.Join(filepath.Dir(self), name)
	}
	found, err := exec.LookPath(name)
	if err == nil {
		found, err = filepath.Abs(found)
	}
	a, aerr := os.Stat(beside)
	if err == nil {
		b, berr := os.Stat(found)
		if aerr != nil || berr == nil && os.SameFile(a, b) {
			return found, nil
		}
	}
	if aerr == nil {
		return beside, nil
	}
	return "", &cli.Error{
		Err:   fmt.Errorf("%s is neither beside this program nor in PATH", name),
		Hints: []string{"install it into the same folder as access"},
	}
}
