package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/plaintext"
	"github.com/gitaccess/gitaccess/sshproxy"
)

// The scripts hand the words of a command line to `access __complete`, so that they
// know every command and flag there will be. They are in contrib/completion, too; a
// test keeps them the same.
var (
	//go:embed completion/access.bash
	bashCompletion string
	//go:embed completion/access.zsh
	zshCompletion string
	//go:embed completion/access.fish
	fishCompletion string
	//go:embed completion/access.ps1
	powershellCompletion string
)

var completions = map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion, "powershell": powershellCompletion}

var shells = []string{"bash", "zsh", "fish", "powershell"}

func completionCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "completion",
		Usage:     "print what a shell needs to complete commands and hosts",
		ArgsUsage: "bash|zsh|fish|powershell",
		Description: `Prints a script for the shell. It completes commands, flags, and the hosts that were
set up or logged in to.

  source <(access completion bash)
  access completion zsh > "${fpath[1]}/_access"
  access completion fish > ~/.config/fish/completions/access.fish
  access completion powershell >> $PROFILE`,
		Action: func(c *urfave.Context) error {
			script, ok := completions[c.Args().First()]
			if !ok || c.NArg() != 1 {
				return cli.Usagef("one shell is wanted: %s", strings.Join(shells, ", "))
			}
			_, err := io.WriteString(env.Stdout, script)
			return err
		},
	}
}

// completeCommand answers the scripts: one candidate a line, with a description behind
// a tab.
func completeCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:            "__complete",
		Hidden:          true,
		SkipFlagParsing: true,
		Action: func(c *urfave.Context) error {
			words := c.Args().Slice()
			if n := len(words); n > 0 && words[n-1] == `""` { // of PowerShell
				words[n-1] = ""
			}
			// c.App's own commands have been changed for parsing; these say which take their words verbatim.
			app := application(env)
			var b strings.Builder
			for _, found := range cli.Complete(app, words, func(usage string) []cli.Candidate { return completeArgument(env, c, usage) }) {
				fmt.Fprintf(&b, "%s\t%s\n", plaintext.Line(found.Word), plaintext.Line(found.Description))
			}
			_, err := io.WriteString(env.Stdout, b.String())
			return err
		},
	}
}

func completeArgument(env *cli.Env, c *urfave.Context, usage string) (all []cli.Candidate) {
	switch {
	case strings.Contains(usage, "HOST"):
		for _, h := range knownHosts(env, c) {
			all = append(all, cli.Candidate{Word: h, Description: "host"})
		}
	case strings.Contains(usage, "powershell"):
		for _, s := range shells {
			all = append(all, cli.Candidate{Word: s, Description: "shell"})
		}
	}
	return all
}

// knownHosts are those that a person set up or logged in to. No keyring is opened for
// them: somebody waits at the Tab key.
func knownHosts(env *cli.Env, c *urfave.Context) (hosts []string) {
	if d, err := open(env, c, nil); err == nil {
		for _, o := range d.SetUpHosts() {
			hosts = append(hosts, o.Host())
		}
	}
	if home, err := env.Home(); err == nil {
		if b, err := os.ReadFile(filepath.Join(home, ".ssh", sshFolder, "config")); err == nil {
			hosts = append(hosts, sshproxy.ConfiguredHosts(b)...)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
