package matrix

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// A mode is how an application behind Access lets git in.
type mode struct {
	id, name string
	app      func(*accesstest.App, []*accesstest.ServiceToken)
	run      bool // with a service token: access run HOST -- git …
	open     bool // nothing to do
}

func (m *mode) host(basic bool) string {
	if basic {
		return m.id + "-basic.git.example.com"
	}
	return m.id + ".git.example.com"
}

var modes = []*mode{
	{id: "login", name: "login (302)", app: func(a *accesstest.App, _ []*accesstest.ServiceToken) { a.Allow = true }},
	{id: "oauth", name: "Managed OAuth (401)", app: func(a *accesstest.App, _ []*accesstest.ServiceToken) {
		a.Allow, a.OAuth = true, &accesstest.OAuth{}
	}},
	{id: "tokens", name: "Managed OAuth, cookie refused", app: func(a *accesstest.App, _ []*accesstest.ServiceToken) {
		a.Allow, a.OAuth = true, &accesstest.OAuth{RefuseJWT: true}
	}},
	{id: "service", name: "service token", run: true, app: func(a *accesstest.App, s []*accesstest.ServiceToken) { a.Allow, a.Services = true, s }},
	{id: "strict", name: "strict service token (401)", run: true, app: func(a *accesstest.App, s []*accesstest.ServiceToken) { a.Strict, a.Services = true, s }},
	{id: "only", name: "service tokens only (403)", run: true, app: func(a *accesstest.App, s []*accesstest.ServiceToken) { a.Services = s }},
	{id: "bypass", name: "Bypass", open: true, app: func(a *accesstest.App, _ []*accesstest.ServiceToken) { a.Bypass = true }},
}

// modesPlainFirst begins with what needs no Access, for comparison.
func modesPlainFirst() []*mode {
	m := slices.Clone(modes)
	slices.Reverse(m)
	return m
}

// A limit is why cells do not work, what makes them, and what the person is told.
type limit struct {
	reason, cure string
	says         string // regular expression
	asks         bool   // they do work, after one more login
	of           func(c *cell) bool
}

var limits = []limit{
	{
		reason: "git below 2.46 cannot send the tokens of Managed OAuth",
		cure:   "git 2.46 can; so can every git once the application accepts a session cookie, which is its administrator's to say",
		says:   `cannot send its tokens; the application refuses a session cookie`,
		of:     func(c *cell) bool { return c.mode.id == "tokens" && !c.Git.AtLeast(2, 46) },
	},
	{
		reason: "A request has one place for both the token of Managed OAuth and the login of the server behind it",
		cure:   "A session cookie needs it not, nor does a service token",
		says:   `wants a login of its own, and the token of Managed OAuth takes its place`,
		of:     func(c *cell) bool { return c.mode.id == "tokens" && c.basic },
	},
	{
		reason: "The same, and there is no cookie to be had",
		cure:   "Use the URL that the redirect leads to, without a name",
		says:   `git forgets it after a redirect`,
		of: func(c *cell) bool {
			return c.mode.id == "tokens" && (c.op.name == sameHost || c.op.name == withName && c.Git.AtLeast(2, 55))
		},
	},
	{
		reason: "git from 2.54 has a token, and forgets it after a redirect; git 2.55 takes a user name in the URL for one",
		cure:   "The helper asks for one more login, and git has the session cookie from then on",
		asks:   true,
		of: func(c *cell) bool {
			return c.mode.id == "oauth" && !c.basic && c.Git.AtLeast(2, 54) && (c.op.name == sameHost || c.op.name == withName)
		},
	},
	{
		reason: "git would take a service token along to wherever a redirect leads, so that it is told to follow none",
		cure:   "Use the URL that it leads to, or `access proxy --git HOST -- git …`",
		says:   `The requested URL returned error: 302`,
		of:     func(c *cell) bool { return c.mode.run && (c.op.name == sameHost || c.op.name == anotherHost) },
	},
}

func limitOf(c *cell) *limit {
	for i := range limits {
		if limits[i].of(c) {
			return &limits[i]
		}
	}
	return nil
}

// selected chooses the cells of a run that is not full: each mode meets each operation once, and the git and the login go round so that
// each of them meets each of the others.
func selected(git, gits int, m *mode, basic bool, op *operation) bool {
	i, j := slices.Index(modes, m), slices.Index(operations, op)
	return (i+j)%gits == git && (i/2+j)%2 == 1 == basic
}

func TestSelectionIsPairwise(t *testing.T) {
	const gits = 4
	seen := map[string]bool{}
	cells := 0
	for g := range gits {
		for _, m := range modes {
			for _, basic := range []bool{false, true} {
				for _, op := range operations {
					if !selected(g, gits, m, basic, op) {
						continue
					}
					cells++
					words := []string{fmt.Sprint("git ", g), "mode " + m.id, "server " + login(basic), op.name}
					for i, a := range words {
						for _, b := range words[i+1:] {
							seen[a+"+"+b] = true
						}
					}
				}
			}
		}
	}
	want := gits*len(modes) + gits*2 + gits*len(operations) + len(modes)*2 + len(modes)*len(operations) + 2*len(operations)
	if len(seen) != want {
		t.Errorf("%d pairs of %d", len(seen), want)
	}
	t.Logf("%d cells", cells)
}

// table is README's.
func table() string {
	var b strings.Builder
	var notes []*limit
	b.WriteString("| |")
	for _, m := range modes {
		b.WriteString(" " + m.name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(modes)) + "\n| by |")
	for _, m := range modes {
		switch {
		case m.open:
			b.WriteString(" – |")
		case m.run:
			b.WriteString(" `access run HOST -- git …` |")
		default:
			b.WriteString(" `access setup git HOST` |")
		}
	}
	b.WriteString("\n")
	for _, op := range operations {
		b.WriteString("| " + op.name + " |")
		for _, m := range modes {
			b.WriteString(" " + mark(m, op, &notes) + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n✓ holds for git 2.30, 2.39, 2.47 and 2.55 with git-lfs 3.3, 3.6 and 3.8, for a server that is open behind Access and for one " +
		"that wants a login\nof its own (Basic). No other host gets anything of a session, but that git-lfs up to 3.6 takes the cookie along where the LFS server sends it to " +
		"a host\nthat you have a login for. The numbers:\n\n")
	for i, l := range notes {
		fmt.Fprintf(&b, "%d. %s. %s.\n", i+1, l.reason, l.cure)
	}
	return b.String()
}

// mark is one cell of the table: whether it works with any git and server, and the numbers of what limits it.
func mark(m *mode, op *operation, notes *[]*limit) string {
	works := false
	var numbers []string
	for _, version := range versions {
		for _, basic := range []bool{false, true} {
			c := &cell{bed: &bed{World: worldOf(version)}, mode: m, basic: basic, op: op}
			l := limitOf(c)
			works = works || l == nil || l.asks
			if l == nil {
				continue
			}
			i := slices.Index(*notes, l)
			if i < 0 {
				i = len(*notes)
				*notes = append(*notes, l)
			}
			if n := fmt.Sprint(i + 1); !slices.Contains(numbers, n) {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	switch why := strings.Join(numbers, ", "); {
	case !works:
		return "no: " + why
	case why != "":
		return "✓ but " + why
	}
	return "✓"
}

// versions are those that limits tell apart.
var versions = []string{"2.30.0", "2.46.0", "2.55.0"}

func worldOf(version string) *scripttest.World {
	return &scripttest.World{Git: scripttest.GitOf(version)}
}

const (
	begin = "<!-- matrix -->\n\n"
	end   = "\n<!-- /matrix -->\n"
)

// README tells what the tests show: go test ./cmd/internal/matrix -run TestReadme -update.
func TestReadme(t *testing.T) {
	path := filepath.Join(root(t), "README.md")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	got, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Fatal("README has no place for the table")
	case got == table():
	case flag.Lookup("update").Value.String() == "true":
		if err := os.WriteFile(path, []byte(before+begin+table()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("README has another table than the code; -update writes it:\n%s", table())
	}
}
