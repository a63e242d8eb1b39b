package faults

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/access/accesstest/origin"
	"github.com/gitaccess/gitaccess/internal/faultproxy"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "8") // most of the tests wait for time limits
	scripttest.Main(m, nil, "access", "git-credential-access", "access-ssh-proxy")
}

// deadline is how long a program may take to give up. Its own limits are far below: this one is for a machine that is busy.
const deadline = 3 * time.Minute

// bed is a world whose network can be broken.
type bed struct {
	*scripttest.World
	net *faultproxy.Proxy
}

func newBed(t *testing.T) *bed {
	t.Helper()
	w := scripttest.NewWorld(t, scripttest.Git{})
	p, err := faultproxy.Start(w.Server.ProxyURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	w.Set("HTTPS_PROXY="+p.URL(), "https_proxy="+p.URL(), "ACCESS_INTERACTIVE=always")
	return &bed{w, p}
}

// result is how a program ended.
type result struct {
	code           int
	stdout, stderr string
}

func (b *bed) run(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	cmd := b.Command(ctx, args[0], args[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Errorf("%s: %v, %v\n%s", args[0], err, ctx.Err(), &stderr)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// A task is something that a program does with what was stored, without a person.
type task struct {
	name string
	host string // whose connections break, and the team's
	run  func(b *bed, t *testing.T) result
	done string // on standard output, when it worked
}

var tasks = []task{
	// The first use of an application: discovery, the team's keys, the exchange of the team's session.
	{"exchange", "basic.example.com", func(b *bed, t *testing.T) result {
		return b.run(t, "", "access", "token", "basic.example.com")
	}, "."},
	{"stream", "ssh.example.com", (*bed).stream, "SSH-2.0-"},
	// Managed OAuth, with an access token that has ended.
	{"refresh", "oauth.example.com", func(b *bed, t *testing.T) result {
		return b.run(t, "", "access", "token", "oauth.example.com")
	}, "oauth:"},
}

// stream runs access-ssh-proxy until the server has said its name.
func (b *bed) stream(t *testing.T) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	cmd := b.Command(ctx, "access-ssh-proxy", "ssh.example.com")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	banner := make([]byte, len("SSH-2.0-"))
	n, err := io.ReadFull(out, banner)
	if err == nil {
		in.Close()
		out.Close()
		cmd.Process.Kill()
	}
	cmd.Wait()
	if ctx.Err() != nil {
		t.Errorf("it hung\n%s", &stderr)
	}
	if err == nil {
		return result{0, string(banner), stderr.String()}
	}
	in.Close()
	return result{cmd.ProcessState.ExitCode(), string(banner[:n]), stderr.String()}
}

// prepare logs a person in, so that the tasks need nobody.
func (b *bed) prepare(t *testing.T, what task) {
	t.Helper()
	if what.name != "refresh" {
		if r := b.run(t, "", "access", "login", "git.example.com"); r.code != 0 { // another application of the team
			t.Fatalf("login: %+v", r)
		}
	} else {
		b.shortLogin(t, what.host)
	}
	b.Edge.ClearLog()
}

// shortLogin leaves a session of Managed OAuth whose access token has ended. The token is tried at the end of the login, and has to live so long:
// on a busy machine that takes several attempts.
func (b *bed) shortLogin(t *testing.T, host string) {
	t.Helper()
	for life := time.Second; ; life *= 2 {
		b.Apps[host].Set(func(a *accesstest.App) { a.OAuth.AccessLifetime = life })
		r := b.run(t, "", "access", "login", host)
		ends := time.Now().Add(life)
		b.Apps[host].Set(func(a *accesstest.App) { a.OAuth.AccessLifetime = 0 })
		if r.code == 0 {
			time.Sleep(time.Until(ends.Add(time.Second))) // its clock counts whole seconds; no event tells of the end
			return
		}
		if life > time.Minute {
			t.Fatalf("login: %+v", r)
		}
	}
}

var errorLine = regexp.MustCompile(`(?m)^[a-z-]+: error: .+$`)

// failed checks what a program said of a broken network: one line of what, at least one of what to do, and nothing else happened.
func failed(t *testing.T, r result, tabs int, text string) {
	t.Helper()
	if r.code != 1 || strings.TrimSpace(r.stdout) != "" || tabs != 0 {
		t.Errorf("code %d, standard output %q, %d browser tabs", r.code, r.stdout, tabs)
	}
	if lines := errorLine.FindAllString(r.stderr, -1); len(lines) != 1 || !regexp.MustCompile(text).MatchString(lines[0]) || !strings.Contains(r.stderr, ": hint: ") {
		t.Errorf("told, want %q:\n%s", text, r.stderr)
	}
}

// Connections that break for as long as the network is bad.
func TestBrokenConnections(t *testing.T) {
	for _, f := range []struct {
		name  string
		fault faultproxy.Fault
		text  string // of the error line
	}{
		{"refused", faultproxy.Fault{Kind: faultproxy.Refuse}, `reset|EOF`},
		{"reset before TLS", faultproxy.Fault{Kind: faultproxy.Reset}, `reset|EOF|broken pipe`},
		{"reset in the handshake", faultproxy.Fault{Kind: faultproxy.Reset, After: 200}, `reset|EOF|broken pipe`},
		{"closed before TLS", faultproxy.Fault{Kind: faultproxy.Close}, `EOF`},
		{"closed in the handshake", faultproxy.Fault{Kind: faultproxy.Close, After: 200}, `EOF`},
		{"closed in a record", faultproxy.Fault{Kind: faultproxy.Close, After: 1600}, `EOF|reset|closed`},
		{"no TLS", faultproxy.Fault{Kind: faultproxy.NotTLS}, `TLS|tls`},
		{"garbled handshake", faultproxy.Fault{Kind: faultproxy.Garble, After: 100}, `tls|TLS|EOF`},
		{"garbled record", faultproxy.Fault{Kind: faultproxy.Garble, After: 1600}, `tls|MAC|EOF|malformed|record`},
		{"frozen before TLS", faultproxy.Fault{Kind: faultproxy.Freeze}, `timeout|deadline|no answer`},
		{"frozen in a record", faultproxy.Fault{Kind: faultproxy.Freeze, After: 1600}, `timeout|deadline|no answer`},
		{"a byte a second", faultproxy.Fault{Kind: faultproxy.Drip}, `timeout|deadline|no answer`},
	} {
		for _, what := range tasks {
			t.Run(what.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				b := newBed(t)
				b.prepare(t, what)
				tabs := len(b.Tabs())
				b.net.Set(func(host string, n int) faultproxy.Fault { return f.fault })
				r := what.run(b, t)
				failed(t, r, len(b.Tabs())-tabs, f.text)
				for _, host := range []string{what.host, b.Team.Domain()} {
					if n := b.net.Connections(host); n > 6 {
						t.Errorf("%d connections to %s", n, host)
					}
				}
				b.net.Set(nil)
				b.works(t, what)
			})
		}
	}
}

// works checks that all is well without a person: no token was lost.
func (b *bed) works(t *testing.T, what task) {
	t.Helper()
	tabs := len(b.Tabs())
	r := what.run(b, t)
	if r.code != 0 || !strings.Contains(r.stdout, what.done) || len(b.Tabs()) != tabs {
		t.Errorf("afterwards: %d browser tabs, %+v", len(b.Tabs())-tabs, r)
	}
}

// What is repeated because it may be: the first connection breaks, and nobody notices.
func TestOneBrokenConnection(t *testing.T) {
	for name, fault := range map[string]faultproxy.Fault{
		"refused": {Kind: faultproxy.Refuse}, "reset": {Kind: faultproxy.Reset, After: 200}, "closed": {Kind: faultproxy.Close, After: 1600},
	} {
		for _, what := range tasks[:2] {
			for _, at := range []string{"application", "team"} {
				t.Run(what.name+"/"+name+"/"+at, func(t *testing.T) {
					t.Parallel()
					b := newBed(t)
					b.prepare(t, what)
					broken := map[string]string{"application": what.host, "team": b.Team.Domain()}[at]
					b.net.Set(func(host string, n int) faultproxy.Fault {
						if host == broken && n == 0 {
							return fault
						}
						return faultproxy.Fault{}
					})
					b.works(t, what)
					if b.net.Connections(broken) < 2 {
						t.Errorf("%d connections to %s: nothing broke", b.net.Connections(broken), broken)
					}
				})
			}
		}
	}
}

// A slow network is a network.
func TestOneByteAtATime(t *testing.T) {
	for _, what := range tasks {
		t.Run(what.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.prepare(t, what)
			b.net.Set(func(string, int) faultproxy.Fault { return faultproxy.Fault{Kind: faultproxy.Trickle} })
			b.works(t, what)
		})
	}
}

// The team's side is in trouble: the sessions are kept, and nobody is asked.
func TestServerTrouble(t *testing.T) {
	for name, f := range map[string]accesstest.Failure{
		"503": accesstest.Unavailable, "429": accesstest.TooMany, "502": accesstest.BadGateway,
		"503 for an hour": {Status: 503, RetryAfter: 3600}, "broken off": accesstest.Aborted,
	} {
		for _, what := range tasks {
			t.Run(what.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				b := newBed(t)
				b.prepare(t, what)
				tabs := len(b.Tabs())
				b.Edge.Fail(b.Team.Domain(), -1, f, nil)
				failed(t, what.run(b, t), len(b.Tabs())-tabs, `50[23]|429|stream error`)
				n := len(b.Edge.Requests(accesstest.ToHost(b.Team.Domain())))
				if most := 6; n == 0 || n > most || f.RetryAfter > 0 && n > 1 {
					t.Errorf("%d requests to the team domain", n)
				}
				b.Edge.Heal(b.Team.Domain())
				b.works(t, what)
			})
		}
	}
}

// A server that says when to come back is not asked before.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.prepare(t, tasks[0])
	b.Edge.Fail(b.Team.Domain(), 1, accesstest.Failure{Status: 429, RetryAfter: 2}, nil)
	b.works(t, tasks[0])
	asked := b.Edge.Requests(accesstest.ToHost(b.Team.Domain()))
	if len(asked) < 2 || asked[1].Time.Sub(asked[0].Time) < 2*time.Second {
		t.Errorf("asked %d times, the second time too early", len(asked))
	}
}

// A clock that is ten minutes wrong, either way, is said or harmless: never a loop of logins.
func TestClockSkew(t *testing.T) {
	for _, skew := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		for _, what := range tasks {
			t.Run(fmt.Sprintf("%s/%s", what.name, skew), func(t *testing.T) {
				t.Parallel()
				b := newBed(t)
				b.prepare(t, what)
				b.Edge.Set(func(s *accesstest.Switches) { s.Skew = skew })
				tabs := len(b.Tabs())
				r := what.run(b, t)
				if n := len(b.Tabs()) - tabs; n != 0 {
					t.Errorf("%d browser tabs", n)
				}
				if r.code != 0 && !strings.Contains(r.stderr, "clock") {
					t.Errorf("code %d, not a word of the clock:\n%s", r.code, r.stderr)
				}
				b.Edge.Set(func(s *accesstest.Switches) { s.Skew = 0 })
				b.works(t, what)
			})
		}
	}
}

// The team changes its signing keys, and its certificate, while a person logs in.
func TestKeysChangeInMidLogin(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	if r := b.run(t, "", "access", "login", "git.example.com"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if r := b.run(t, "", "access", "logout", "--all"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	// The login is opened with the old keys known.
	b.Behave("nothing")
	tabs := len(b.Tabs())
	var r result
	var login sync.WaitGroup
	login.Go(func() { r = b.run(t, "", "access", "login", "basic.example.com") })
	for len(b.Tabs()) == tabs {
		time.Sleep(10 * time.Millisecond)
		if t.Context().Err() != nil {
			break
		}
	}
	b.Team.RotateKeys()
	b.Team.DropOldKeys()
	if err := b.Edge.Person(scripttest.Person).Approve(t.Context(), b.Tabs()[tabs]); err != nil {
		t.Error(err)
	}
	login.Wait()
	if r.code != 0 {
		t.Errorf("%+v", r)
	}
	b.Behave("approve")
	if r := b.run(t, "", "access", "token", "basic.example.com"); r.code != 0 {
		t.Errorf("%+v", r)
	}
}

// A certificate that has ended is said as that, nothing is sent to whoever shows it, and when it was renewed all goes on.
func TestCertificateIsRenewed(t *testing.T) {
	for _, what := range tasks {
		t.Run(what.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.prepare(t, what)
			tabs := len(b.Tabs())
			for _, host := range []string{what.host, b.Team.Domain()} {
				b.Edge.SetTLS(host, accesstest.TLSExpired)
			}
			failed(t, what.run(b, t), len(b.Tabs())-tabs, `certificate has expired`)
			if n := len(b.Edge.Requests(accesstest.ByProgram)); n != 0 {
				t.Errorf("%d requests", n)
			}
			for _, host := range []string{what.host, b.Team.Domain()} {
				b.Edge.SetTLS(host, accesstest.TLSGenuine)
			}
			b.works(t, what)
		})
	}
}

// The edge goes away in the middle of a clone and comes back: git fails, and the next clone needs nobody.
func TestEdgeRestartsInMidClone(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	large := make([]byte, 1<<20)
	rand.Read(large)
	if _, err := origin.Init(t.Context(), filepath.Join(b.Dir, "origin"), "large.git", map[string][]byte{"large": large}); err != nil {
		t.Fatal(err)
	}
	if r := b.run(t, "", "access", "setup", "git", "git.example.com"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	tabs := len(b.Tabs())
	b.net.Set(func(host string, n int) faultproxy.Fault {
		if host == "git.example.com" {
			return faultproxy.Fault{Kind: faultproxy.Reset, After: 256 << 10} // in the pack
		}
		return faultproxy.Fault{}
	})
	if r := b.run(t, "", "git", "clone", "-q", "https://git.example.com/large.git", "c"); r.code == 0 {
		t.Error("the clone did not notice")
	}
	b.net.Set(nil)
	if r := b.run(t, "", "git", "clone", "-q", "https://git.example.com/large.git", "c"); r.code != 0 || len(b.Tabs()) != tabs {
		t.Errorf("afterwards: %d tabs, %+v", len(b.Tabs())-tabs, r)
	}
}
