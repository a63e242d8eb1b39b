package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/cmd/internal/gitnote"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func unsetupCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:  "unsetup",
		Usage: "take back what setup did",
		Description: `Takes the lines of setup out of the configuration of git or ssh again.

  access unsetup git git.example.com
  access unsetup ssh ssh.example.com`,
		Subcommands: []*urfave.Command{{
			Name:      "git",
			Usage:     "take the lines for a host out of git's configuration",
			ArgsUsage: "HOST",
			Description: `Takes the lines that "access setup git HOST" wrote out of git's configuration, and
deletes the cookie file. Lines of yours in the same sections stay. The session
stays, too: access logout HOST.

  access unsetup git git.example.com
  access unsetup git --all
  access unsetup git --dry-run git.example.com   show the change and write nothing`,
			Flags:  append(gitScopeFlags(), &urfave.BoolFlag{Name: "all", Usage: "for all hosts"}),
			Action: func(c *urfave.Context) error { return unsetupGit(env, c) },
		}, unsetupSSHCommand(env)},
	}
}

// unsetupNote stands in git's configuration above the lines of a host.
const unsetupNote = `"access unsetup git %s" takes the marked lines away`

var unsetupNotes = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^\s*# gitaccess: ` + fmt.Sprintf(unsetupNote, `(\S+)`))
})

func unsetupGit(env *cli.Env, c *urfave.Context) error {
	if !c.Bool("all") {
		if c.NArg() == 0 {
			return cli.Usagef("one HOST is wanted, or --all")
		}
		s, err := newGitSetup(env, c)
		if err != nil {
			return err
		}
		return s.unset(c.Context)
	}
	if c.NArg() > 0 {
		return cli.Usagef("--all takes no HOST")
	}
	s, err := newGitScope(env, c)
	if err != nil {
		return err
	}
	file, err := githelper.ReadConfig(s.file)
	if err != nil {
		return err
	}
	for _, m := range unsetupNotes().FindAllSubmatch(file, -1) {
		one := *s
		if one.origin, one.url, err = door.ParseHost(string(m[1])); err != nil {
			return err
		}
		if err := one.unset(c.Context); err != nil {
			return err
		}
	}
	return nil
}

// unset takes back what setup did for one host.
func (s *gitSetup) unset(ctx context.Context) error {
	env, changed := s.env, false
	edit := func(old []byte) ([]byte, error) {
		b := githelper.Unset(old, string(s.origin))
		diff := githelper.Diff(s.file, old, b)
		changed = diff != "" || b == nil && old != nil
		_, err := io.WriteString(env.Stdout, diff)
		return b, err
	}
	if s.dryRun {
		old, err := githelper.ReadConfig(s.file)
		if err == nil {
			_, err = edit(old)
		}
		return err
	}
	if err := editConfig(s.file, edit); err != nil {
		return err
	}
	if !changed {
		env.Note("there are no lines of setup for %s in %s", s.origin.Host(), s.file)
	}
	if err := gitnote.RemoveFile(s.door, s.origin, s.file); err != nil {
		return err
	}
	left, err := s.left(ctx)
	if err != nil {
		return err
	}
	for _, where := range left {
		env.Warn("git still calls the helper for this host, by a line in %s", where)
	}
	if len(left) > 0 {
		return nil
	}
	return s.door.RemoveJars(s.origin)
}

// left returns the places in git's configuration that still name our helper for the host: another scope, or lines written by hand.
func (s *gitSetup) left(ctx context.Context) ([]string, error) {
	out, err := s.git.Output(ctx, "config", "-z", "--show-origin", "--get-all", "credential."+string(s.origin)+".helper")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 { // none
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []string
	f := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	for i := 0; i+1 < len(f); i += 2 {
		if where := strings.TrimPrefix(f[i], "file:"); strings.Contains(f[i+1], helperName) {
			all = append(all, where)
		}
	}
	return all, nil
}
