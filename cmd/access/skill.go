package main

import (
	_ "embed"
	"io"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/internal/cli"
)

// skillText is contrib/agents/AGENTS.md; a test keeps the two the same.
//
//go:embed skill.md
var skillText string

func skillCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:  "skill",
		Usage: "print what a coding agent has to know, for AGENTS.md",
		Description: `Prints instructions for coding agents: how they find out what a host wants, when they
ask their user, and how they make requests without seeing a token.

  access skill >> AGENTS.md
  mkdir -p .claude/skills/access && access skill > .claude/skills/access/SKILL.md`,
		Action: func(c *urfave.Context) error {
			if c.NArg() > 0 {
				return cli.Usagef("skill takes no arguments")
			}
			_, err := io.WriteString(env.Stdout, skillText)
			return err
		},
	}
}
