// Defences takes the defences behind the threat model's promises away, one after the other, and runs the tests that the model
// names for them: each must fail.
//
//	make defences
//	go run ./contrib/defences --only 'redirect|TestTeamIsPinned'
//
// It works on a copy of the tree, in which it first sees all of these tests pass. It prints a table in Markdown: the promise, what was
// taken away, the tests that failed; and ends with an error if a test passed all the same.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/gitaccess/gitaccess/internal/cli"
)

func main() { os.Exit(cli.Main("defences", run)) }

func run(ctx context.Context, env *cli.Env) (err error) {
	flags := flag.NewFlagSet(env.Name, flag.ContinueOnError)
	only := flags.String("only", "", "take away only those whose promise, file or tests match `REGEXP`")
	args, err := cli.Parse(env, flags, cli.Page{Usage: "take the defences of the threat model away, and see its tests fail"})
	switch {
	case err != nil:
		return err
	case len(args) > 0:
		return cli.Usagef("unexpected argument %q", args[0])
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	promises, err := readPromises(".")
	if err != nil {
		return err
	}
	var chosen []defence
	for _, d := range defences {
		if match.MatchString(strings.Join(append([]string{d.promise, d.file}, d.tests...), "\n")) {
			chosen = append(chosen, d)
		}
	}
	taken := len(chosen)
	chosen = append(untouched(chosen), chosen...)
	ctx, cancel := context.WithCancel(ctx)
	tries, wait, err := tryAll(ctx, chosen)
	if err != nil {
		cancel()
		return err
	}
	defer func() {
		cancel()
		err = errors.Join(err, wait())
	}()

	fmt.Fprint(env.Stdout, "| promise | taken away | failed |\n|---|---|---|\n")
	unnoticed := 0
	for i, d := range chosen {
		var o outcome
		select {
		case o = <-tries[i]:
		case <-ctx.Done():
			return ctx.Err()
		}
		if d.isNone() {
			if o.err != nil || len(o.failed) > 0 {
				io.WriteString(env.Stderr, o.output)
				return errors.Join(o.err, fmt.Errorf("with nothing taken away these fail: %v", o.failed))
			}
			continue
		}
		switch {
		case o.err != nil:
			env.Warn("%s: %q: %v", d.file, d.code, o.err)
		case len(o.failed) < len(d.tests):
			env.Warn("%s: without %q, of %v only %v fail", d.file, d.code, d.tests, o.failed)
		}
		if o.err != nil || len(o.failed) < len(d.tests) {
			unnoticed++
			io.WriteString(env.Stderr, o.output)
		}
		fmt.Fprintf(env.Stdout, "| %s | %s: `%s` | %s |\n", promises.full(d.promise), d.file, firstLine(d.code), strings.Join(o.failed, ", "))
	}
	if unnoticed > 0 {
		return fmt.Errorf("%d of %d defences could be taken away", unnoticed, taken)
	}
	env.Note("%d defences were taken away, and each was missed by its tests, which pass with all of them in place", taken)
	return nil
}

// firstLine is for a cell of a table.
func firstLine(code string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(code), "\n")
	return strings.ReplaceAll(line, "|", `\|`)
}
