// access-askpass answers what git, git-lfs, ssh, ssh-add and sudo ask a person: from the account of a CI job or the keystore where it
// is certain for whom the answer is, else by asking on the terminal, through a pinentry program or in a window.
package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"

	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/caller"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func main() { os.Exit(cli.Main("access-askpass", run)) }

const description = `Name this program where others look for one that asks:

  GIT_ASKPASS=access-askpass           git and git-lfs; or core.askPass
  SSH_ASKPASS=access-askpass           ssh, ssh-add; SSH_ASKPASS_REQUIRE=force without a display
  SUDO_ASKPASS=/path/access-askpass    sudo -A

It asks on the terminal, else through pinentry, else in a window. A password of a server
and a passphrase of a key may be remembered, which it offers; the next time they are the
answer. What a server asks through ssh is always asked. So is whether a host is the right
one.

  access-askpass --forget https://ada@git.example.com
  access-askpass --forget ~/.ssh/id_ed25519

Environment:
  ACCESS_ORIGIN_HOST           the host that the account of a CI job is for, such as
                               git.example.com or https://git.example.com:8443
  ACCESS_ORIGIN_USERNAME       its user name
  ACCESS_ORIGIN_PASSWORD       its password or token
  ACCESS_ORIGIN_PASSWORD_FILE  a file with it
  ACCESS_ORIGIN_ACCOUNTS_FILE  a file with accounts of several hosts, a line each:
                               https://user:password@host, as of git-credential-store
  ACCESS_PINENTRY              the pinentry program; "none" for none
  ACCESS_INTERACTIVE=never     asks nobody; so do CI and GIT_TERMINAL_PROMPT=0`

func run(ctx context.Context, env *cli.Env) error {
	env.HelpToStderr = true
	hint := env.Getenv("SSH_ASKPASS_PROMPT")
	// Who calls us for a prompt gives one argument, and a server may have written it: it is no flag.
	if len(env.Args) == 1 && (hint != "" || !isFlag(env.Args[0])) {
		return answer(ctx, env, githelper.ParsePrompt(env.Args[0], hint))
	}
	flags := flag.NewFlagSet(env.Name, flag.ContinueOnError)
	forget := flags.Bool("forget", false, "forget what is remembered for a server or the key in a file")
	args, err := cli.Parse(env, flags, cli.Page{Usage: "answer what git, ssh and sudo ask", Args: "PROMPT", Description: description})
	switch {
	case err != nil:
		return err
	case len(args) != 1:
		return cli.Usagef("want one prompt, or --forget and one server or key")
	case *forget:
		d, err := door.Open(offline(env), nil)
		if err == nil {
			err = forgetKept(ctx, d, args[0])
		}
		return door.Explain(err)
	}
	return answer(ctx, env, githelper.ParsePrompt(args[0], hint))
}

func isFlag(arg string) bool {
	switch arg {
	case "-h", "-help", "--help", "-version", "--version":
		return true
	}
	return false
}

// answer ends with exit code 1 and without output wherever there is no answer: for ssh an empty answer to a question for consent is a
// yes.
func answer(ctx context.Context, env *cli.Env, p *githelper.Prompt) error {
	d, err := door.Open(offline(env), nil)
	if err != nil {
		return err
	}
	a := &asked{env: env, door: d, prompt: p}
	err = a.answer(ctx)
	if p.Kind == githelper.PromptNotice && err != nil && ctx.Err() == nil {
		return &cli.Error{Code: cli.ExitFailed} // ssh goes on without
	}
	if errors.Is(err, caller.ErrGone) {
		return &cli.Error{Code: cli.ExitFailed}
	}
	return err
}

// offline hides what the environment says of the network, which this program does not use: sudo runs it as another user, who may not
// read the same files.
func offline(env *cli.Env) *cli.Env {
	e := *env
	e.Getenv = func(name string) string {
		switch strings.ToUpper(name) {
		case "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY":
			return ""
		}
		return env.Getenv(name)
	}
	return &e
}

// asked is one prompt to be answered.
type asked struct {
	env    *cli.Env
	door   *door.Door
	prompt *githelper.Prompt
	caller *caller.Process // see who
}

func (a *asked) answer(ctx context.Context) error {
	switch a.prompt.Kind {
	case githelper.PromptNotice:
		return a.notice(ctx)
	case githelper.PromptConfirm:
		return a.consent(ctx)
	case githelper.PromptUsername, githelper.PromptPassword:
		if a.prompt.Account.Host != "" {
			return a.login(ctx)
		}
	case githelper.PromptPassphrase:
		return a.passphrase(ctx)
	}
	text, _, err := a.ask(ctx, question{})
	if err != nil {
		return err
	}
	return a.say(text)
}

// say writes the answer. git and ssh read up to a line break, so that one within would be half of an answer.
func (a *asked) say(text githelper.Secret) error {
	s := text.Reveal()
	if strings.ContainsAny(s, "\r\n\x00") {
		return errors.New("the answer has a line break or a null byte, which its reader would cut it at")
	}
	_, err := a.env.Stdout.Write(append([]byte(s), '\n'))
	return err
}
