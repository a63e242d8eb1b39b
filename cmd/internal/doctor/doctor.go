// Package doctor looks for what keeps git and ssh from getting through Access on
// this machine, and names it. Checks are in files by subject; each finding tells
// what was looked at, what is wrong and why, and what to type next.
//
// A check changes nothing but what a use of the host would change: a team is pinned
// at first sight, a session that the server refuses is dropped and renewed.
package doctor

import (
	"context"
	"net/url"
	"slices"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/githelper"
	"github.com/gitaccess/gitaccess/internal/cli"
)

// A Status is what a check came to.
type Status string

const (
	OK      Status = "ok"
	Warning Status = "warning" // works now, and will not always
	Fault   Status = "fault"
	Note    Status = "note" // neither good nor bad
)

// A Finding is the outcome of one check.
type Finding struct {
	Check  string   `json:"check"` // what was looked at: "git", "dns"
	Status Status   `json:"status"`
	Name   string   `json:"name,omitempty"` // of the fault or warning: "clock"; the same in every version
	Text   string   `json:"text"`
	Next   []string `json:"next,omitempty"` // what to do, commands as they are typed
}

// An Exam is one run.
type Exam struct {
	Env  *cli.Env
	Door *door.Door
	Home string // with .ssh/config; "" if there is none

	// Host is empty for the machine alone.
	Host   string
	Origin access.Origin
	URL    *url.URL

	Team     string // --team
	Findings []Finding

	git     *githelper.Git
	mode    access.Mode
	reached bool // Host answers over TLS, and lets Access speak
	unsafe  bool // nothing can be kept, and nothing learnt
	half    bool // the environment has half of a service token
}

// Run makes all checks.
func (x *Exam) Run(ctx context.Context) {
	x.programs(ctx)
	x.environment()
	x.folders()
	if !x.unsafe {
		x.keystore(ctx)
	}
	if x.Host != "" {
		x.network(ctx)
		if x.reached && !x.unsafe {
			x.application(ctx)
		}
		if x.mode != "" && x.mode != access.ModeOpen && !x.half {
			x.credential(ctx)
		}
	}
	x.gitConfig(ctx)
	x.sshConfig(ctx)
}

// Faults are the names of all faults and warnings, once each.
func (x *Exam) Faults() (names []string) {
	for _, f := range x.Findings {
		if f.Name != "" && !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}

// Failed reports whether there is a fault.
func (x *Exam) Failed() bool {
	return slices.ContainsFunc(x.Findings, func(f Finding) bool { return f.Status == Fault })
}

func (x *Exam) add(f Finding) {
	f.Text = redact(f.Text)
	for i := range f.Next {
		f.Next[i] = redact(f.Next[i])
	}
	x.Findings = append(x.Findings, f)
}

func (x *Exam) ok(check, text string)   { x.add(Finding{Check: check, Status: OK, Text: text}) }
func (x *Exam) note(check, text string) { x.add(Finding{Check: check, Status: Note, Text: text}) }

func (x *Exam) fault(check, name, text string, next ...string) {
	x.add(Finding{Check: check, Status: Fault, Name: name, Text: text, Next: next})
}

func (x *Exam) warn(check, name, text string, next ...string) {
	x.add(Finding{Check: check, Status: Warning, Name: name, Text: text, Next: next})
}

// explained takes an error apart as the programs show it.
func explained(err error) (text string, hints []string) {
	e := door.Explain(err)
	text = e.Error()
	if c, ok := e.(*cli.Error); ok {
		hints = c.Hints
	}
	return text, hints
}
