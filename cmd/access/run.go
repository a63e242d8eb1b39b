package main

import (
	"os/exec"
	"strings"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/internal/cli"
)

func runCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "run",
		Usage:     "run a program whose git has the credential of a host",
		ArgsUsage: "HOST... -- COMMAND [ARGUMENT...]",
		Description: `Runs COMMAND with git and git-lfs configured, through its environment alone, to
send the credential of each HOST to that HOST: the service token in
CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET, a stored one, or the session of a
person. No secret is written to a configuration file or stands on a command line.

The credential is tried first: a service token that HOST refuses ends the run with
exit code 4 and the reason. GIT_TRACE_CURL, GIT_CURL_VERBOSE and GIT_TRACE2* would
print a service token; they are not passed on, and a warning says so.

  access run git.example.com -- git clone https://git.example.com/code.git

git does not follow a redirect to another host then. git-lfs does, and takes the
headers of a service token along: where the LFS server sends its clients to another
host for the files, use "access proxy --git HOST -- COMMAND", which keeps the token
to itself. Use it also where others can read the work tree: when git-lfs fails, it writes
its GIT_ variables into .git/lfs/logs, and the token is in one of them.`,
		Action: func(c *urfave.Context) error { return runProgram(env, c) },
	}
}

func runProgram(env *cli.Env, c *urfave.Context) error {
	hosts, command, dashed := cli.AfterDash(c)
	if !dashed && len(hosts) > 1 {
		hosts, command = hosts[:1], hosts[1:]
	}
	if len(hosts) == 0 || len(command) == 0 {
		return cli.Usagef("run wants HOST... -- COMMAND")
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return &cli.Error{Err: err, Code: 127}
	}
	vars, dropped, err := gitVariables(env, c, hosts)
	if err != nil {
		return err
	}
	environ := env.Environ()
	for _, v := range vars {
		environ = v.apply(environ)
	}
	if len(dropped) > 0 {
		env.Warn("%s would print the credential and is not passed on", strings.Join(dropped, ", "))
	}
	return execute(c.Context, env, path, command, environ)
}
