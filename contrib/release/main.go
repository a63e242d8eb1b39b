// Command release makes what is published of one commit, into dist/: archives and
// packages for each system, checksums, bills of materials, and the files of package
// managers. It builds from a clone of the commit, so that nothing of the work tree
// can slip in, and then builds all of it again, with an empty build cache in another
// folder, and compares.
//
//	go run ./contrib/release                     into dist/
//	go run ./contrib/release -only linux/amd64   for one system
//
// The time of everything is that of the commit; SOURCE_DATE_EPOCH overrides it
// (https://reproducible-builds.org/specs/source-date-epoch/). The version is the
// commit's tag, else the pseudo-version that the Go command gives it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	out := flags.String("o", "dist", "write to the `FOLDER`, which is emptied first")
	only := flags.String("only", "", "only for these `SYSTEMS`, such as linux/amd64,windows/arm64")
	if err := flags.Parse(args); err != nil {
		return err
	}
	r := &release{platforms: platforms}
	// Once: people commit while the first build runs.
	var err error
	if r.commit, err = r.output(ctx, "", "git", "rev-parse", "HEAD"); err != nil {
		return err
	}
	if *only != "" {
		list := strings.Split(*only, ",")
		r.platforms = slices.DeleteFunc(slices.Clone(platforms), func(p platform) bool { return !slices.Contains(list, p.String()) })
	}
	if len(r.platforms) == 0 {
		return fmt.Errorf("none of %q is a system that is released", *only)
	}
	// dist must not be lost before there is another one.
	made, err := os.MkdirTemp(filepath.Dir(filepath.Clean(*out)), ".release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(made)
	if err := r.make(ctx, made, ""); err != nil {
		return err
	}
	if err := r.repeat(ctx, made); err != nil {
		return err
	}
	if err := os.RemoveAll(*out); err != nil {
		return err
	}
	if err := os.Rename(made, *out); err != nil {
		return err
	}
	return os.Chmod(*out, 0o755)
}

// repeat makes all of it again and compares.
func (r *release) repeat(ctx context.Context, made string) error {
	work, err := os.MkdirTemp("", "release-again-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	again := filepath.Join(work, "dist")
	if err := os.Mkdir(again, 0o755); err != nil {
		return err
	}
	if err := r.make(ctx, again, filepath.Join(work, "go-build")); err != nil {
		return fmt.Errorf("second build: %w", err)
	}
	return compare(made, again)
}

type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

// label is the platform as people and package managers call it.
func (p platform) label() string {
	if p.os == "darwin" {
		return "macos_" + p.arch
	}
	return p.os + "_" + p.arch
}

var platforms = []platform{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"},
}

// A release is made of one commit.
type release struct {
	commit    string // its hash
	platforms []platform

	tree    string // a clone at the commit
	cache   string // of the Go command; "": its own
	time    time.Time
	version string // "v1.2.3"
	out     string
}

// make writes all files of the release to out.
func (r *release) make(ctx context.Context, out, cache string) error {
	work, err := os.MkdirTemp("", "release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	r.out, r.cache, r.tree = out, cache, filepath.Join(work, "gitaccess")
	if err := r.checkout(ctx); err != nil {
		return err
	}
	extras, err := readExtras(r.tree)
	if err != nil {
		return err
	}
	archives := map[platform]archive{}
	for _, p := range r.platforms {
		bin := filepath.Join(work, "bin-"+p.label())
		programs, err := r.build(ctx, p, bin)
		if err != nil {
			return err
		}
		notices, err := r.notices(ctx, programs)
		if err != nil {
			return err
		}
		extras := extras.with(notices)
		a, err := r.archive(p, programs, layout(p, programs, extras))
		if err != nil {
			return err
		}
		archives[p] = a
		if err := r.bill(a.folder, programs); err != nil {
			return err
		}
		if p.os == "linux" {
			if err := r.packages(ctx, p, programs, extras, filepath.Join(work, "package-"+p.arch)); err != nil {
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "release: %s for %s\n", r.version, p)
	}
	if err := r.managers(archives); err != nil {
		return err
	}
	return r.checksums()
}

// checkout clones the repository at the commit and reads its time and version.
func (r *release) checkout(ctx context.Context) error {
	source, err := r.output(ctx, "", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	if _, err := r.output(ctx, "", "git", "clone", "-q", "--shared", "--no-checkout", source, r.tree); err != nil {
		return err
	}
	if _, err := r.output(ctx, r.tree, "git", "-c", "advice.detachedHead=false", "checkout", "-q", r.commit); err != nil {
		return err
	}
	stamp := os.Getenv("SOURCE_DATE_EPOCH")
	if stamp == "" {
		if stamp, err = r.output(ctx, r.tree, "git", "show", "-s", "--format=%ct", "HEAD"); err != nil {
			return err
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	r.time = time.Unix(seconds, 0).UTC()
	return nil
}

// build builds the programs for p into bin, and learns the version that the Go
// command gives them.
func (r *release) build(ctx context.Context, p platform, bin string) ([]program, error) {
	cmd := r.command(ctx, r.tree, "go", "build", "-trimpath", "-buildvcs=true", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w", "-o", bin+string(filepath.Separator), "./cmd/...")
	cmd.Env = append(cmd.Env, "GOOS="+p.os, "GOARCH="+p.arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building for %s: %w\n%s", p, err, out)
	}
	programs, err := readPrograms(bin)
	if err != nil {
		return nil, err
	}
	version := programs[0].info.Main.Version
	if strings.Contains(version, "+dirty") || r.version != "" && r.version != version {
		return nil, fmt.Errorf("the programs for %s are of version %q, the others of %q", p, version, r.version)
	}
	r.version = version
	return programs, nil
}

// settings are those of the Go command that change what it builds, at their
// defaults: an empty variable would leave them to the user's `go env -w`.
var settings = []string{"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off"}

// command is one with an environment that does not change what is built.
func (r *release) command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"GOOS", "GOARCH", "GOEXPERIMENT", "GIT_DIR", "GIT_WORK_TREE"}, name)
	})
	cmd.Env = append(append(cmd.Env, settings...), "TZ=UTC", "LC_ALL=C")
	if r.cache != "" {
		cmd.Env = append(cmd.Env, "GOCACHE="+r.cache)
	}
	return cmd
}

func (r *release) output(ctx context.Context, dir, name string, args ...string) (string, error) {
	out, err := r.command(ctx, dir, name, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// number is the version as package managers write it.
func (r *release) number() string { return strings.TrimPrefix(r.version, "v") }
