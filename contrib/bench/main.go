// Bench measures the programs in bin/ on an edge of its own and prints one table: start-up, relay, keystrokes, git clone, size.
// Each is run beside others in turn, so that all meet the same machine, and what is promised is a ratio: to the least that could
// do the same, and to cloudflared, if CLOUDFLARED names one.
//
//	make bench
//	CLOUDFLARED=/usr/bin/cloudflared make bench
//
// What is measured is wall time at this process, CPU time and peak memory of the program. The edge is a process of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func main() { os.Exit(cli.Main("bench", run)) }

// The columns.
const (
	oursName   = "ours"
	peerName   = "cloudflared"
	bareName   = "bare TLS"
	directName = "direct"
	emptyName  = "empty program"
)

func run(ctx context.Context, env *cli.Env) error {
	if len(env.Args) == 2 && env.Args[0] == "click" { // $BROWSER, and the xdg-open of cloudflared
		rt := http.DefaultTransport.(*http.Transport).Clone()
		defer rt.CloseIdleConnections()
		return accesstest.NewPerson("ada@example.com", rt).Approve(ctx, env.Args[1])
	}
	b := &bench{env: env, peer: env.Getenv("CLOUDFLARED")}
	set := flag.NewFlagSet(env.Name, flag.ContinueOnError)
	set.StringVar(&b.bin, "bin", "bin", "the programs are in `DIR`")
	set.StringVar(&b.tools, "tools", ".testbed/bench", "build what they are compared with into `DIR`")
	set.StringVar(&b.svg, "svg", "", "draw the ratios into `FILE`")
	set.StringVar(&b.doc, "markdown", "", "write what cloudflared took part in into `FILE`, as a table for a document")
	set.StringVar(&b.only, "only", "", "measure these alone, by commas: start, delay, relay, key, clone, programs")
	set.BoolVar(&b.quick, "quick", false, "few rounds and little data: to see that it works")
	serve := set.String("serve", "", "be the edge, with its files in `DIR`")
	ssh := set.String("ssh", "", "with --serve: sshd listens at `ADDR`")
	size := set.Int64("size", 0, "with --serve: bytes of a relay")
	args, err := cli.Parse(env, set, cli.Page{Usage: "measure the programs on an edge of their own, beside others"})
	switch {
	case err != nil:
		return err
	case len(args) > 0:
		return cli.Usagef("unexpected argument %q", args[0])
	case *serve != "":
		return serveEdge(ctx, env, *serve, *ssh, *size)
	}
	return b.run(ctx)
}

// bench is one run of it.
type bench struct {
	env   *cli.Env
	bin   string
	tools string
	peer  string
	svg   string
	doc   string
	only  string
	quick bool

	world *world
	table table
}

// rounds is n, or few.
func (b *bench) rounds(n int) int {
	if b.quick {
		return 2
	}
	return n
}

// bytes of a relay.
func (b *bench) bytes() int64 {
	if b.quick {
		return 64 << 20
	}
	return 1 << 30
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return err
	}
	if b.tools, err = filepath.Abs(b.tools); err != nil {
		return err
	}
	if b.peer != "" {
		if _, err := os.Stat(b.peer); err != nil {
			return fmt.Errorf("CLOUDFLARED: %w", err)
		}
	}
	b.header()
	if b.world, err = newWorld(ctx, b); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.world.close()) }()
	for _, part := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"start", b.starts}, {"delay", b.delayed}, {"relay", b.relays}, {"key", b.keystrokes}, {"clone", b.clones}, {"programs", b.programs},
	} {
		if b.only != "" && !strings.Contains(","+b.only+",", ","+part.name+",") {
			continue
		}
		b.env.Note("measuring: %s", part.name)
		if err := part.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	b.note("load average at the end: %s", load())
	if b.peer == "" {
		b.note("CLOUDFLARED is not set: cloudflared was not measured, and its column is left out")
	}
	missed := b.table.print(b.env.Stdout)
	if b.svg != "" {
		if err := os.WriteFile(b.svg, b.table.plot(), 0o644); err != nil {
			return err
		}
	}
	if b.doc != "" {
		if err := os.WriteFile(b.doc, b.table.markdown(), 0o644); err != nil {
			return err
		}
	}
	if missed > 0 {
		return &cli.Error{Err: fmt.Errorf("%d of the figures to reach were missed", missed), Hints: []string{"ratios move on a machine that is busy otherwise: see the load, and run it again"}}
	}
	return nil
}

func (b *bench) note(format string, args ...any) {
	b.table.notes = append(b.table.notes, fmt.Sprintf(format, args...))
}

func (b *bench) header() {
	b.note("gitaccess bench, %s, %s, %s/%s, %d CPUs, %s", time.Now().UTC().Format("2006-01-02 15:04 UTC"), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cpuModel())
	b.note("median [least–most] of interleaved runs; ratios are of medians, ours to the other's")
	b.note("load average at the start: %s", load())
}

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	f := strings.Fields(string(b))
	return strings.Join(f[:min(3, len(f))], " ")
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, " \t:"))
		}
	}
	return "unknown CPU"
}
