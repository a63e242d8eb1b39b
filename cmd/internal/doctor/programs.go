package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// ours are the programs that git and ssh start.
var ours = []struct{ program, fault, use string }{
	{"git-credential-access", "helper-missing", "git cannot get through Access by itself"},
	{"access-ssh-proxy", "ssh-proxy-missing", "ssh cannot get through Access"},
}

func (x *Exam) programs(ctx context.Context) {
	x.ok("access", cli.VersionLine("access"))
	for _, o := range ours {
		path := x.find(o.program)
		if path == "" {
			x.fault(o.program, o.fault, fmt.Sprintf("%s is neither beside access nor in PATH: %s", o.program, o.use),
				"install it into the same folder as access")
			continue
		}
		version, err := versionOf(ctx, path, x.Env.Environ())
		switch {
		case err != nil:
			x.fault(o.program, o.fault, fmt.Sprintf("%s does not run: %v", path, err), "install it anew, from the release that access is from")
		case version != cli.Version():
			x.warn(o.program, "versions-differ", fmt.Sprintf("%s is of version %s and access of %s", path, version, cli.Version()),
				"install both from one release; see which are there: type -a access "+o.program)
		default:
			x.ok(o.program, path)
		}
	}
	x.gitProgram(ctx)
	x.sshProgram(ctx)
}

// find returns the program beside this one, else the one in the run's PATH.
func (x *Exam) find(name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		if path := filepath.Join(filepath.Dir(self), name); isFile(path) {
			return path
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

func versionOf(ctx context.Context, path string, environ []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = environ
	out, err := cmd.CombinedOutput()
	words := strings.Fields(string(out))
	if err == nil && len(words) < 2 {
		err = errors.New("--version prints nothing")
	}
	if err != nil {
		return "", err
	}
	return words[1], nil
}

func (x *Exam) gitProgram(ctx context.Context) {
	git, err := githelper.FindGit(ctx, "", x.Env.Environ())
	if err != nil {
		x.fault("git", "git-missing", err.Error(), "install git, or put it on PATH")
		return
	}
	x.git = git
	v := git.Version
	can := "sends sessions and tokens of Managed OAuth"
	switch {
	case !v.AtLeast(2, 31):
		can = "sends sessions as cookies; no tokens of Managed OAuth"
	case !v.Bearer():
		can = "sends sessions as cookies; tokens of Managed OAuth need git 2.46"
	case !v.BearerOnProbe():
		can = "sends sessions, and tokens of Managed OAuth but ahead of large pushes, which needs git 2.54"
	}
	x.ok("git", fmt.Sprintf("git %s (%s): %s", v, git.Path, can))
}

func (x *Exam) sshProgram(ctx context.Context) {
	path, err := exec.LookPath("ssh")
	if err != nil {
		x.note("ssh", "there is no ssh on PATH")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, path, "-V").CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	share := "sessions can share one connection"
	if runtime.GOOS == "windows" {
		share = "each session has a connection of its own"
	}
	x.ok("ssh", fmt.Sprintf("%s (%s): %s", line, path, share))
}
