package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/internal/cli"
)

func versionCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "version",
		Usage:     "print the version, and of what it is built",
		ArgsUsage: " ",
		Description: `Prints what --version prints. With --json, one object with what the Go command has
recorded in the program: the commit and its time, the Go release, the system that
it is for and every module in it with its checksum.

  access version
  access version --json

Without this program, "go version -m" prints the same of any of them.`,
		Flags:  []urfave.Flag{&urfave.BoolFlag{Name: "json", Usage: "print one JSON object"}},
		Action: func(c *urfave.Context) error { return printVersion(env, c) },
	}
}

// build is what "access version --json" prints. Fields are added, never renamed.
type build struct {
	Name     string        `json:"name"`
	Version  string        `json:"version"`
	Module   string        `json:"module"`
	Revision string        `json:"revision,omitempty"` // of git, where it was built in a clone
	Time     string        `json:"time,omitempty"`     // of that commit
	Modified bool          `json:"modified"`           // the clone had changes
	Go       string        `json:"go"`
	OS       string        `json:"os"`
	Arch     string        `json:"arch"`
	CGO      bool          `json:"cgo"`
	Tags     string        `json:"tags,omitempty"`
	Modules  []buildModule `json:"modules"`
}

type buildModule struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Sum     string `json:"sum,omitempty"` // as in go.sum
}

func printVersion(env *cli.Env, c *urfave.Context) error {
	if c.Args().Present() {
		return cli.Usagef("version takes no arguments")
	}
	if !c.Bool("json") {
		_, err := fmt.Fprintln(env.Stdout, cli.VersionLine(env.Name))
		return err
	}
	b := build{Name: env.Name, Version: cli.Version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Modules: []buildModule{}}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Module = info.Main.Path
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = s.Value
			case "vcs.time":
				b.Time = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			case "CGO_ENABLED":
				b.CGO = s.Value == "1"
			case "-tags":
				b.Tags = s.Value
			}
		}
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			b.Modules = append(b.Modules, buildModule{m.Path, m.Version, m.Sum})
		}
	}
	return writeIndentedJSON(env.Stdout, b)
}
