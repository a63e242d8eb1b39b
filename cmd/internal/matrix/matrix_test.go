// Package matrix has the tests of git over HTTPS: every mode of an Access application, with and without a login of the server's own,
// times everything that git and git-lfs do over HTTPS, times gits from 2.30 to the newest. The table of README comes out of it.
//
// ACCESS_TEST_FULL=1 runs all cells, else a fixed selection in which each pair of git, mode, login and operation meets.
package matrix

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

func TestMain(m *testing.M) {
	scripttest.Main(m, nil, "access", "git-credential-access", "git-remote-access")
}

func full() bool { return os.Getenv("ACCESS_TEST_FULL") != "" }

// A cell is one operation at one host with one git.
type cell struct {
	*bed
	mode  *mode
	basic bool
	op    *operation
	host  string
	dir   string   // its own
	env   []string // of its commands, beside the bed's
	out   string   // all that its commands printed
}

func (c *cell) url(repository string) string { return "https://" + c.host + "/" + repository }

// git runs git as people do: by its own name where setup has configured it, and by access run with a service token.
func (c *cell) git(args ...string) (string, error) { return c.gitIn(c.dir, args...) }

func (c *cell) gitIn(dir string, args ...string) (string, error) {
	name, all := "git", args
	env := c.env
	if c.mode.run {
		name, all = "access", append([]string{"run", c.host, "--", "git"}, args...)
		env = append([]string{"CF_ACCESS_CLIENT_ID=" + c.Service.ID, "CF_ACCESS_CLIENT_SECRET=" + c.Service.Secret()}, env...)
	}
	if len(env) > 0 {
		name, all = "env", append(append(slices.Clone(env), name), all...)
	}
	out, err := c.command(dir, name, all...)
	c.out += out
	if err != nil {
		if len(env) > 0 { // without the secret
			err = fmt.Errorf("git %s: %w", strings.Join(args, " "), err.(interface{ Unwrap() error }).Unwrap())
		}
		return out, err
	}
	return out, nil
}

// local runs git where no network is needed.
func (c *cell) local(dir string, args ...string) error {
	out, err := c.command(dir, "git", args...)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// setUp does what a person does once for the host.
func (c *cell) setUp() error {
	if c.mode.run || c.mode.open || c.ready[c.host] {
		return c.refuse[c.host]
	}
	c.ready[c.host] = true
	args := []string{"setup", "git"}
	if c.basic {
		args = append(args, "--username", person) // git below 2.46 wants to know
	}
	out, err := c.command("", "access", append(args, c.host)...)
	if err != nil {
		c.refuse[c.host] = fmt.Errorf("%w\n%s", err, out)
	}
	return c.refuse[c.host]
}

// TestMatrix runs the cells.
func TestMatrix(t *testing.T) {
	gits := scripttest.Gits(t)
	var mu sync.Mutex
	ran := map[string]int{}
	t.Run("gits", func(t *testing.T) {
		for i, g := range gits {
			t.Run(g.Name, func(t *testing.T) {
				t.Parallel()
				b := newBed(t, g, full())
				plain := map[string]int{}
				for _, m := range modesPlainFirst() {
					for _, basic := range []bool{false, true} {
						for _, op := range operations {
							if !full() && !selected(i, len(gits), m, basic, op) {
								continue
							}
							t.Run(strings.Join([]string{m.id, login(basic), op.name}, "/"), func(t *testing.T) {
								b.t = t
								requests := b.run(t, m, basic, op)
								mu.Lock()
								defer mu.Unlock()
								ran[op.name+"/"+m.id]++
								key := op.name + login(basic)
								if m.open {
									plain[key] = requests
								} else if n, known := plain[key]; known && op.plain && m.id == "login" && requests > n {
									t.Errorf("%d requests, and %d without Access", requests, n)
								}
							})
							b.t = t
						}
					}
				}
			})
		}
	})
	if full() && !t.Failed() {
		path := filepath.Join(root(t), ".testbed", "matrix.md")
		if err := os.WriteFile(path, []byte(table()), 0o644); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d cells\n%s", sum(ran), table())
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

func login(basic bool) string {
	if basic {
		return "login"
	}
	return "open"
}

// run runs one cell and returns how many requests git made at its host.
func (b *bed) run(t *testing.T, m *mode, basic bool, op *operation) int {
	c := &cell{bed: b, mode: m, basic: basic, op: op, host: m.host(basic), dir: filepath.Join(b.Dir, "cells", m.id+login(basic)+op.id())}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(c.dir)
	l := limitOf(c)
	pages := 0
	if l != nil && l.asks {
		c.env, pages, l = []string{"ACCESS_INTERACTIVE=always"}, 1, nil
	}
	err := c.setUp()
	// Without its cookie file: in each cell git asks the helper before its first request, or fails.
	if err := os.RemoveAll(filepath.Join(b.Dir, "state", "jar")); err != nil {
		t.Fatal(err)
	}
	tabs := len(b.Tabs())
	b.Edge.ClearLog()
	if err == nil {
		err = op.do(c)
	}
	requests := b.Edge.Requests(accesstest.ByProgram)
	switch {
	case l == nil && err != nil:
		t.Errorf("%v\n%s%s", err, c.out, list(requests))
	case l != nil && err == nil && b.Git.AtLeast(2, 56):
		t.Logf("a git that was not known when the table was made is past this limit: %s", l.reason)
	case l != nil && err == nil:
		t.Errorf("works, though %s", l.reason)
	case l != nil && !regexp.MustCompile(l.says).MatchString(err.Error()+c.out):
		t.Errorf("%v\n%s\nwant %q", err, c.out, l.says)
	}
	if n := len(b.Tabs()) - tabs; n > pages && op.name != editor {
		t.Errorf("%d pages were opened", n)
	}
	return c.check(t, requests, l != nil)
}

// check looks at the edge's log: each request of git was let through by Access, and no other host was given anything.
func (c *cell) check(t *testing.T, requests []accesstest.Request, impossible bool) int {
	n := 0
	for _, r := range requests {
		switch {
		case r.Host == c.host && strings.HasPrefix(r.Header().Get("User-Agent"), "git"):
			if !strings.HasPrefix(r.Header().Get("User-Agent"), "git-credential-access") && !strings.HasPrefix(r.Header().Get("User-Agent"), "git-remote-access") {
				n++
			}
			for _, cr := range r.Credentials {
				if !cr.Accepted && !impossible && c.op.name != editor && c.env == nil {
					t.Errorf("refused: %v", r)
				}
			}
		case r.Host == c.host, r.Host == c.Team.Domain():
		default:
			for name := range r.Header() {
				if name == "Cookie" || name == "Authorization" || strings.HasPrefix(name, "Cf-") {
					t.Errorf("%s got %s: %v", r.Host, name, r)
				}
			}
		}
	}
	if leaks := c.Edge.Leaks(c.Service.Secret(), c.host); c.mode.run && len(leaks) > 0 {
		t.Errorf("leaks: %v", leaks)
	}
	return n
}

func list(requests []accesstest.Request) string {
	var b strings.Builder
	for _, r := range requests {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
