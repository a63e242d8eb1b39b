// Demo shows the main job: real git and real ssh pass an Access edge, with a person's login and with a service token.
//
//	make demo                  a scripted person clicks in the browser; works without a display
//	DEMO_BROWSER=1 make demo   you click through the login pages in your own browser
//
// The edge, the git servers behind it and the home folder are the demo's own and gone when it ends; git, ssh and the programs in
// bin/ are the real ones. Each line is a step that was timed and checked. The exit code is 0 if all checks hold.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/term"
)

func main() { os.Exit(cli.Main("demo", run)) }

// programs must be in the folder that --bin names.
var programs = []string{"access", "access-ssh-proxy", "git-credential-access"}

func run(ctx context.Context, env *cli.Env) error {
	set := flag.NewFlagSet(env.Name, flag.ContinueOnError)
	bin := set.String("bin", "bin", "the programs are in `DIR`")
	tab := set.Bool("tab", false, "play $BROWSER for a demo that runs: hand the page over")
	verbose := set.Bool("v", false, "show what each command prints")
	args, err := cli.Parse(env, set, cli.Page{Usage: "git and ssh through Cloudflare Access, step by step, on an edge of its own"})
	if err != nil {
		return err
	}
	if *tab {
		return openTab(ctx, env.Getenv(tabVar), strings.Join(args, " "))
	}
	if len(args) > 0 {
		return cli.Usagef("unexpected argument %q", args[0])
	}
	if err := checkParts(*bin); err != nil {
		return err
	}
	w, err := newWorld(ctx, env, *bin)
	if err != nil {
		return err
	}
	out := &printer{env: env, colour: term.IsTerminal(env.Stdout) && env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb", verbose: *verbose}
	return play(ctx, w, out)
}

// checkParts says what is missing before anything else fails for it.
func checkParts(bin string) error {
	for _, need := range []struct{ program, pkg string }{{"git", "git"}, {"ssh", "openssh-client"}} {
		if _, err := exec.LookPath(need.program); err != nil {
			return &cli.Error{Err: err, Hints: []string{"install " + need.pkg}}
		}
	}
	for _, p := range programs {
		if runtime.GOOS == "windows" {
			p += ".exe"
		}
		if _, err := os.Stat(filepath.Join(bin, p)); err != nil {
			return &cli.Error{Err: err, Hints: []string{"make build puts the programs there"}}
		}
	}
	return nil
}

// play runs the steps in order. One that fails does not keep the others from being tried.
func play(ctx context.Context, w *world, out *printer) (err error) {
	out.title(w)
	started := time.Now()
	failed := 0
	for _, s := range steps {
		if ctx.Err() != nil {
			break
		}
		w.begin()
		began := time.Now()
		note, err := w.do(ctx, s)
		out.step(s.name, time.Since(began), note, err, w.transcript.String())
		if err != nil {
			failed++
		}
	}
	took := time.Since(started)
	began := time.Now()
	closeErr := w.Close()
	out.step("leave nothing behind", time.Since(began), "home, edge and servers are gone", closeErr, "")
	if closeErr != nil {
		failed++
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	out.end(len(steps)+1, failed, took)
	if failed > 0 {
		return &cli.Error{Code: 1}
	}
	return nil
}

// printer writes aligned lines for people.
type printer struct {
	env     *cli.Env
	colour  bool
	verbose bool
}

func (p *printer) paint(code, s string) string {
	if !p.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p *printer) title(w *world) {
	fmt.Fprintf(p.env.Stdout, "%s\n\n", p.paint("1", fmt.Sprintf("An Access edge on this machine; %s, %s", w.gitVersion, w.sshVersion)))
	if w.hand != nil {
		fmt.Fprintf(p.env.Stdout, "The login pages are yours to click: any e-mail address is right. Links work in every browser on this machine.\n\n")
	}
}

func (p *printer) step(name string, took time.Duration, note string, err error, transcript string) {
	mark := p.paint("32", "✓")
	if err != nil {
		mark = p.paint("31", "✗")
	}
	fmt.Fprintf(p.env.Stdout, "%s %-46s %6.2f s  %s\n", mark, name, took.Seconds(), p.paint("2", note))
	if err != nil {
		p.indented(p.paint("31", err.Error()))
	}
	if err != nil || p.verbose {
		p.indented(transcript)
	}
}

func (p *printer) indented(text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if line != "" {
			fmt.Fprintf(p.env.Stdout, "    %s\n", line)
		}
	}
}

func (p *printer) end(all, failed int, took time.Duration) {
	verdict := p.paint("32", fmt.Sprintf("all %d steps hold", all))
	if failed > 0 {
		verdict = p.paint("31", fmt.Sprintf("%d of %d steps failed", failed, all))
	}
	fmt.Fprintf(p.env.Stdout, "\n%s, in %.1f s\n", verdict, took.Seconds())
}
