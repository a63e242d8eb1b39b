package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
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

	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/lease"
	"github.com/gitaccess/gitaccess/internal/state"
	"github.com/gitaccess/gitaccess/sshproxy"
)

// configCommand is one run of config.
type configCommand struct {
	env     *cli.Env
	install bool
	remove  bool
	all     bool
	dryRun  bool
	cert    bool
	share   bool
	ssh     string
	files   sshFiles
	hosts   []*sshproxy.HostConfig
}

func runConfig(ctx context.Context, env *cli.Env) error {
	c, err := parseConfig(env)
	switch {
	case err != nil:
	case c.install || c.remove:
		err = c.change(ctx)
	default:
		err = c.print()
	}
	var unsafe *state.UnsafePathError
	if errors.As(err, &unsafe) && strings.Contains(unsafe.Reason, "written") {
		return door.Explain(&cli.Error{Err: err, Hints: []string{"whoever may write there may run programs in your name; ssh refuses some of it, too. chmod go-w " + unsafe.Path}})
	}
	return door.Explain(err)
}

func parseConfig(env *cli.Env) (*configCommand, error) {
	c := &configCommand{env: env}
	own := subcommand(env)
	flags := flag.NewFlagSet(own.Name, flag.ContinueOnError)
	var file string
	var network door.Options
	flags.BoolVar(&c.install, "install", false, "write the lines, and have ~/.ssh/config include them")
	flags.BoolVar(&c.remove, "remove", false, "take them away again")
	flags.BoolVar(&c.all, "all", false, "with --remove: those of all hosts")
	flags.BoolVar(&c.dryRun, "dry-run", false, "show what --install or --remove would change, and change nothing")
	flags.BoolVar(&c.cert, "short-lived-cert", false, "get a short-lived certificate before each connection, see access-ssh-proxy cert --help")
	flags.BoolVar(&c.share, "multiplex", runtime.GOOS != "windows", "let sessions share one connection (=false: one for each)")
	flags.StringVar(&file, "file", "", "ssh's configuration is `FILE` (default ~/.ssh/config)")
	flags.StringVar(&c.ssh, "ssh", "", "check the result with the ssh at `PATH`")
	networkFlags(flags, &network)
	args, err := cli.Parse(own, flags, cli.Page{
		Usage: "configure ssh for hosts behind Access",
		Args:  "[USER@]HOST...",
		Description: `Without --install and --remove, prints the lines for ~/.ssh/config.

  access-ssh-proxy config ssh.example.com                 print the lines
  access-ssh-proxy config --install ada@ssh.example.com   write them; ssh, scp, git and editors then get through
  access-ssh-proxy config --install --short-lived-cert ada@ssh.example.com
  access-ssh-proxy config --remove ssh.example.com        as if nothing had been written

The lines are in a file of their own, ~/.ssh/gitaccess/config, which ~/.ssh/config
includes at its top. What ssh makes of it is checked with ssh -G. The flags for the
network are written into the lines. Changes are shown as a diff.`,
	})
	if err != nil {
		return nil, err
	}
	switch {
	case c.install && c.remove:
		return nil, cli.Usagef("--install and --remove exclude one another")
	case c.all && (!c.remove || len(args) > 0):
		return nil, cli.Usagef("--all goes with --remove, and with no HOST")
	case len(args) == 0 && !c.all:
		return nil, &cli.UsageError{Err: errors.New("one HOST at least is wanted"), Hints: []string{own.Name + " --help shows the usage"}}
	}
	if c.files, err = findFiles(env, file); err != nil {
		return nil, err
	}
	template := sshproxy.HostConfig{
		Folder: c.files.shown, Certificate: c.cert, Windows: runtime.GOOS == "windows",
	}
	if template.Flags, err = networkWords(flags); err != nil {
		return nil, err
	}
	if template.Program, err = ownPath(env.Name, c.cert); err != nil {
		return nil, err
	}
	tooLong := c.share && socketLength(c.files.folder) > maxSocket
	template.Multiplex = c.share && !tooLong
	for _, arg := range args {
		h, err := parseConfigHost(arg, template)
		if err != nil {
			return nil, &cli.UsageError{Err: err}
		}
		c.hosts = append(c.hosts, h)
	}
	if tooLong && !c.remove {
		env.Warn("%s is too long a path for the sockets of shared connections: each session makes its own", c.files.folder)
	}
	return c, nil
}

// parseConfigHost reads [USER@]HOST[:PORT][/PATH].
func parseConfigHost(arg string, h sshproxy.HostConfig) (*sshproxy.HostConfig, error) {
	if user, host, ok := strings.Cut(arg, "@"); ok && !strings.Contains(arg, "://") {
		h.User, arg = user, host
		if user == "" {
			return nil, fmt.Errorf("no user name before the @ of %q", "@"+host)
		}
	}
	o, u, err := door.ParseHost(arg)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not https", arg)
	}
	h.Host = o.Hostname()
	h.Application = strings.TrimPrefix(o.Host(), h.Host) + strings.TrimSuffix(u.EscapedPath(), "/")
	_, err = h.Block()
	return &h, err
}

// networkWords are the flags for the network that were given.
func networkWords(set *flag.FlagSet) (words []string, err error) {
	network := flag.NewFlagSet("", flag.ContinueOnError)
	networkFlags(network, &door.Options{})
	set.Visit(func(f *flag.Flag) {
		value := f.Value.String()
		if network.Lookup(f.Name) == nil || value == "" {
			return
		}
		if f.Name == "ca-file" || f.Name == "client-cert" {
			abs, aerr := filepath.Abs(value)
			err = errors.Join(err, aerr)
			value = filepath.ToSlash(abs)
		}
		words = append(words, "--"+f.Name+"="+value)
	})
	return words, err
}

// maxSocket is what the system with the shortest one takes, macOS. ssh ends where a
// ControlPath is longer.
const maxSocket = 103

// socketLength counts what ssh puts below the folder: a hash, and while it makes the
// socket a dot and 16 letters (mux.c, muxserver_listen).
func socketLength(folder string) int { return len(folder) + len("/") + 40 + 17 }

// ownFolder is where our files are, beside ssh's configuration.
const ownFolder = "gitaccess"

// sshFiles are ssh's configuration and ours.
type sshFiles struct {
	main    string // ~/.ssh/config
	folder  string // ~/.ssh/gitaccess
	own     string // ~/.ssh/gitaccess/config
	shown   string // folder as ssh's configuration has it
	include string // own as ssh's configuration has it
	custom  bool   // main was named
}

// findFiles says where the files are. ssh's home folder is the one of the account
// and not $HOME; where the two differ, the check says so.
func findFiles(env *cli.Env, file string) (f sshFiles, err error) {
	home, homeErr := env.Home()
	f.main = filepath.Join(home, ".ssh", "config")
	f.shown, f.include = "~/.ssh/"+ownFolder, ownFolder+"/config"
	if file != "" {
		if file, err = filepath.Abs(file); err != nil {
			return f, err
		}
		if f.custom = homeErr != nil || file != f.main; f.custom {
			f.main = file
			f.shown = filepath.ToSlash(filepath.Join(filepath.Dir(file), ownFolder))
			f.include = f.shown + "/config"
		}
	} else if homeErr != nil {
		return f, homeErr
	}
	f.folder = filepath.Join(filepath.Dir(f.main), ownFolder)
	f.own = filepath.Join(f.folder, "config")
	return f, nil
}

// ownPath is the absolute path of this program: the one in PATH if that is this
// program, since package managers keep it the same over upgrades.
func ownPath(name string, inMatch bool) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if found, err := exec.LookPath(name); err == nil {
		if found, err = filepath.Abs(found); err == nil {
			a, aerr := os.Stat(self)
			b, berr := os.Stat(found)
			if aerr == nil && berr == nil && os.SameFile(a, b) {
				self = found
			}
		}
	}
	if inMatch {
		self = withoutBlanks(self)
	}
	return self, nil
}

func (c *configCommand) print() error {
	for i, h := range c.hosts {
		block, err := h.Block()
		if err != nil {
			return err
		}
		if i > 0 {
			block = "\n" + block
		}
		if _, err := io.WriteString(c.env.Stdout, block); err != nil {
			return err
		}
	}
	return nil
}

// edit is a file before and after; nil is a missing file.
type edit struct {
	path     string // where the file is, links followed
	old, new []byte
	mode     fs.FileMode
}

func (c *configCommand) change(ctx context.Context) error {
	if !c.dryRun {
		dir, err := state.Open(c.env.Getenv)
		if err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		hold, err := lease.Acquire(short, dir.Path("lease", "ssh-config"), nil)
		if err != nil {
			return err
		}
		defer hold.Release()
	}
	own, err := readEdit(c.files.own)
	if err != nil {
		return err
	}
	main, err := readEdit(c.files.main)
	if err != nil {
		return err
	}
	// Those who read in between find lines without the program's, not an Include
	// of nothing.
	edits := []*edit{own, main}
	if c.install {
		err = c.setHosts(own, main)
	} else {
		err = c.unsetHosts(own, main)
		slices.Reverse(edits)
	}
	if err != nil {
		return err
	}
	for _, e := range edits {
		if _, err := io.WriteString(c.env.Stdout, githelper.Diff(e.path, e.old, e.new)); err != nil {
			return err
		}
		if !c.dryRun {
			if err := e.write(); err != nil {
				return err
			}
		}
	}
	switch {
	case c.dryRun:
		return nil
	case c.install:
		c.check(ctx)
		return nil
	}
	c.stopSharing(ctx)
	if err := c.removeKeys(ctx); err != nil {
		return err
	}
	if main.old != nil && main.new == nil && !c.files.custom {
		_ = os.Remove(filepath.Dir(c.files.main)) // ~/.ssh, if nothing else has come into it
	}
	return nil
}

func (c *configCommand) setHosts(own, main *edit) (err error) {
	own.new = own.old
	for _, h := range c.hosts {
		if own.new, err = h.Set(own.new); err != nil {
			return inFile(own.path, err)
		}
	}
	if main.new, err = sshproxy.SetInclude(main.old, c.files.include); err != nil {
		return inFile(main.path, err)
	}
	return nil
}

func (c *configCommand) unsetHosts(own, main *edit) (err error) {
	if c.all {
		for _, host := range sshproxy.ConfiguredHosts(own.old) {
			c.hosts = append(c.hosts, &sshproxy.HostConfig{Host: host})
		}
	}
	own.new = own.old
	for _, h := range c.hosts {
		before := own.new
		if own.new, err = sshproxy.UnsetHost(before, h.Host); err != nil {
			return inFile(own.path, err)
		}
		if bytes.Equal(before, own.new) {
			c.env.Note("there are no lines for %s in %s", h.Host, own.path)
		}
	}
	main.new = main.old
	if own.new == nil {
		main.new, err = sshproxy.UnsetInclude(main.old, c.files.include)
	}
	return err
}

// inFile names the file in an error about its content.
func inFile(path string, err error) error {
	return fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "sshproxy: "))
}

func (c *configCommand) removeKeys(ctx context.Context) error {
	var errs []error
	for _, h := range c.hosts {
		errs = append(errs, identity(c.env, filepath.Join(c.files.folder, h.Host), h.Host).Remove(ctx))
	}
	_ = os.Remove(c.files.folder) // if nothing is in it
	return errors.Join(errs...)
}

// readEdit reads a file, which may be a symbolic link, as dotfiles often are.
func readEdit(path string) (*edit, error) {
	path, err := followLinks(path)
	if err != nil {
		return nil, err
	}
	e := &edit{path: path, mode: 0o600}
	e.old, err = state.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return nil, err
	}
	if e.old == nil {
		e.old = []byte{}
	}
	info, err := os.Stat(path)
	if err == nil {
		e.mode = info.Mode().Perm()
	}
	return e, err
}

func (e *edit) write() error {
	switch {
	case e.new == nil && e.old == nil, e.new != nil && e.old != nil && string(e.new) == string(e.old):
		return nil
	case e.new == nil:
		return os.Remove(e.path)
	}
	if err := state.MkdirAll(filepath.Dir(e.path)); err != nil {
		return err
	}
	return state.WriteFile(e.path, e.new, e.mode)
}

// followLinks returns the file that path names, whether or not it exists. Each
// folder with a link in it must be one that nobody else may change, or the link
// could be made to lead to any file of this user.
func followLinks(path string) (string, error) {
	for range 8 {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
		if err == nil {
			err = state.CheckDir(dir)
		}
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, filepath.Base(path))
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link; what else is wrong shows when the file is read
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		path = to
	}
	return "", fmt.Errorf("%s: too many symbolic links", path)
}
