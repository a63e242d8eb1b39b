// Command mirror copies all branches and tags of a repository to another one, either
// or both of them behind Cloudflare Access. It is an example of package gogit, and
// small enough to be copied.
//
//	ACCESS_HOSTS="git.example.com" CF_ACCESS_CLIENT_ID=… CF_ACCESS_CLIENT_SECRET=… \
//	mirror https://git.example.com/demo.git https://mirror.example.org/demo.git
//
// Without a service token, what "access login" has stored for the hosts serves.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/githelper/gogit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	var login *access.LoginRequiredError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case errors.Is(err, errUsage):
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "mirror: error:", err)
	if errors.As(err, &login) {
		fmt.Fprintln(os.Stderr, "mirror: hint: run access login", login.App.Origin.Host())
		os.Exit(3)
	}
	os.Exit(1)
}

var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("mirror", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: mirror [-i KEY] SOURCE DESTINATION")
		flags.PrintDefaults()
	}
	identity := flags.String("i", "", "private `KEY` for ssh; without it the agent's keys are used")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return errUsage
	}
	if flags.NArg() != 2 {
		flags.Usage()
		return errUsage
	}
	options, err := gogit.FromEnvironment(nil)
	if err != nil {
		return err
	}
	transports, err := gogit.New(options)
	if err != nil {
		return err
	}
	defer transports.Install()()
	return mirror(ctx, flags.Arg(0), flags.Arg(1), *identity)
}

// mirror goes by a folder on disk, so that a repository need not fit into memory.
func mirror(ctx context.Context, source, destination, identity string) error {
	dir, err := os.MkdirTemp("", "mirror-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	auth, err := login(source, identity)
	if err != nil {
		return err
	}
	repo, err := git.PlainCloneContext(ctx, dir, true, &git.CloneOptions{URL: source, Auth: auth, Mirror: true})
	if err != nil {
		return fmt.Errorf("reading %s: %w", source, err)
	}
	remote, err := repo.CreateRemote(&config.RemoteConfig{Name: "destination", URLs: []string{destination}})
	if err != nil {
		return err
	}
	if auth, err = login(destination, identity); err != nil {
		return err
	}
	changes, err := differences(ctx, repo, remote, auth)
	if err != nil {
		return fmt.Errorf("reading %s: %w", destination, err)
	}
	if len(changes) == 0 {
		return nil
	}
	err = remote.PushContext(ctx, &git.PushOptions{RemoteName: "destination", Auth: auth, RefSpecs: changes})
	if err != nil && !errors.Is(err, git.NoErrAlreadyUpToDate) {
		return fmt.Errorf("writing %s: %w", destination, err)
	}
	return nil
}

// differences returns what makes the branches and tags of remote those of repo.
func differences(ctx context.Context, repo *git.Repository, remote *git.Remote, auth transport.AuthMethod) ([]config.RefSpec, error) {
	theirs := map[plumbing.ReferenceName]plumbing.Hash{}
	refs, err := remote.ListContext(ctx, &git.ListOptions{Auth: auth})
	if err != nil && !errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return nil, err
	}
	for _, r := range refs {
		if r.Name().IsBranch() || r.Name().IsTag() {
			theirs[r.Name()] = r.Hash()
		}
	}
	ours, err := repo.References()
	if err != nil {
		return nil, err
	}
	var changes []config.RefSpec
	err = ours.ForEach(func(r *plumbing.Reference) error {
		if !r.Name().IsBranch() && !r.Name().IsTag() {
			return nil
		}
		if hash, ok := theirs[r.Name()]; !ok || hash != r.Hash() {
			changes = append(changes, config.RefSpec("+"+r.Name()+":"+r.Name()))
		}
		delete(theirs, r.Name())
		return nil
	})
	for name := range theirs {
		changes = append(changes, config.RefSpec(":"+name))
	}
	return changes, err
}

// login is how to log in to the server behind Access: nil is what the URL says, or
// ssh's agent.
func login(url, identity string) (transport.AuthMethod, error) {
	ep, err := transport.NewEndpoint(url)
	if err != nil {
		return nil, err
	}
	if ep.Protocol != "ssh" || identity == "" {
		return nil, nil
	}
	user := ep.User
	if user == "" {
		user = gitssh.DefaultUsername
	}
	return gitssh.NewPublicKeysFromFile(user, identity, "")
}
