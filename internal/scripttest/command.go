package scripttest

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gitaccess/gitaccess/access/accesstest"
)

// command is the command edge of scripts.
//
// What was asked, one per line on standard output for `stdout`, or counted:
//
//	edge requests [-count=N] HOST [PATH]    requests of programs: method, path, status, credentials
//	edge connections [-count=N] HOST        connections to the host
//	edge tabs [-count=N]                    URLs opened in the browser
//	edge clear                              forgets requests and connections
//	! edge leaked SECRET HOST...            the secret was seen by no other host; file:PATH takes it from a file
//
// Changes:
//
//	edge person approve|refuse|nothing|ADDRESS   what the person does from now on, or who it is
//	edge revoke HOST                  ends every token of the application
//	edge revoke-user ADDRESS          ends every session of the person
//	edge move HOST DOMAIN             gives the application to another team
//	edge session HOST DURATION        lifetime of the application's new tokens
//	edge allow|strict|binding-cookie|bypass HOST on|off
//	edge refuse-jwt HOST on|off       Managed OAuth accepts no application token beside its own
//	edge expire-access                lets every access token of Managed OAuth expire; refresh tokens hold
//	edge auto-approve on|off          no click where a session exists
//	edge fail HOST N ANSWER           answers N times (-1: always) waf, down, 502, 503, 504, 429 or abort
//	edge heal HOST
//	edge delay HOST DURATION
//	edge skew DURATION                moves the edge's clock
//	edge rotate-keys                  signs with new keys, and refuses what the old ones signed
//	edge service disable|enable|expire|rotate
//	edge cut                          resets every relay
//	edge token HOST                   prints an application token, as of a login
func (w *World) command(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: edge COMMAND ...")
	}
	verb, args := args[0], args[1:]
	if neg && verb != "leaked" {
		ts.Fatalf("unsupported: ! edge %s", verb)
	}
	err := w.ask(ts.Stdout(), verb, args)
	if verb == "leaked" {
		err = w.leaked(ts, neg, args)
	} else if err == errNotAsked {
		err = w.change(verb, args)
	}
	if err != nil {
		ts.Fatalf("edge %s: %v", verb, err)
	}
}

var errNotAsked = fmt.Errorf("unknown command")

// ask is for the commands that print.
func (w *World) ask(out io.Writer, verb string, args []string) error {
	count := -1
	if len(args) > 0 && strings.HasPrefix(args[0], "-count=") {
		n, err := strconv.Atoi(strings.TrimPrefix(args[0], "-count="))
		if err != nil {
			return err
		}
		count, args = n, args[1:]
	}
	var lines []string
	switch verb {
	case "requests":
		if len(args) == 0 || len(args) > 2 {
			return fmt.Errorf("want HOST [PATH]")
		}
		match := []func(accesstest.Request) bool{accesstest.ToHost(args[0]), accesstest.ByProgram}
		if len(args) == 2 {
			match = append(match, accesstest.ToPath(args[1]))
		}
		for _, r := range w.Edge.Requests(match...) {
			lines = append(lines, requestLine(r))
		}
	case "connections":
		if len(args) != 1 {
			return fmt.Errorf("want HOST")
		}
		for _, c := range w.Edge.Connections(args[0]) {
			lines = append(lines, fmt.Sprintf("%d %s %s", c.ID, c.Target, c.SNI))
		}
	case "tabs":
		lines = w.Tabs()
	case "token":
		if len(args) != 1 {
			return fmt.Errorf("want HOST")
		}
		a, err := w.app(args[0])
		if err != nil {
			return err
		}
		lines = []string{a.Token(Person)}
	default:
		return errNotAsked
	}
	for _, l := range lines {
		fmt.Fprintln(out, l)
	}
	if count >= 0 && len(lines) != count {
		return fmt.Errorf("there are %d, want %d:\n%s", len(lines), count, strings.Join(lines, "\n"))
	}
	return nil
}

func requestLine(r accesstest.Request) string {
	s := fmt.Sprintf("%s %s %d", r.Method, r.Path, r.Status)
	if r.WebSocket {
		s += " websocket"
	}
	for _, c := range r.Credentials {
		s += " " + string(c.Kind)
		if !c.Accepted {
			s += " refused: " + c.Why
		}
	}
	return s
}

func (w *World) leaked(ts *testscript.TestScript, neg bool, args []string) error {
	if len(args) == 0 || !neg {
		return fmt.Errorf("want ! edge leaked SECRET and the hosts that may see it")
	}
	secret := args[0]
	if path, ok := strings.CutPrefix(secret, "file:"); ok {
		secret = strings.TrimSpace(ts.ReadFile(path))
	}
	if leaks := w.Edge.Leaks(secret, args[1:]...); len(leaks) > 0 {
		return fmt.Errorf("the secret was seen: %v", leaks)
	}
	return nil
}

var failures = map[string]accesstest.Failure{
	"waf": accesstest.WAF1010, "down": accesstest.TunnelDown, "502": accesstest.BadGateway, "503": accesstest.Unavailable,
	"504": accesstest.GatewayTimeout, "429": accesstest.TooMany, "abort": accesstest.Aborted,
}

// appSwitches are fields of an application that a script switches on and off.
var appSwitches = map[string]func(*accesstest.App, bool){
	"allow":          func(a *accesstest.App, on bool) { a.Allow = on },
	"strict":         func(a *accesstest.App, on bool) { a.Strict = on },
	"binding-cookie": func(a *accesstest.App, on bool) { a.BindingCookie = on },
	"bypass":         func(a *accesstest.App, on bool) { a.Bypass = on },
	"refuse-jwt": func(a *accesstest.App, on bool) {
		o := *a.OAuth
		o.RefuseJWT = on
		a.OAuth = &o
	},
}

// change is for the commands that change something.
func (w *World) change(verb string, args []string) error {
	if set := appSwitches[verb]; set != nil {
		a, on, err := w.switchArgs(args)
		if err != nil {
			return err
		}
		a.Set(func(a *accesstest.App) { set(a, on) })
		return nil
	}
	change := changes[verb]
	if change.do == nil {
		return fmt.Errorf("unknown command")
	}
	if len(args) != change.args {
		return fmt.Errorf("want %d arguments, got %q", change.args, args)
	}
	return change.do(w, args)
}

func (w *World) switchArgs(args []string) (*accesstest.Application, bool, error) {
	if len(args) != 2 || args[1] != "on" && args[1] != "off" {
		return nil, false, fmt.Errorf("want HOST on|off")
	}
	a, err := w.app(args[0])
	return a, args[1] == "on", err
}

var changes = map[string]struct {
	args int
	do   func(w *World, args []string) error
}{
	"clear":         {0, func(w *World, _ []string) error { w.Edge.ClearLog(); return nil }},
	"cut":           {0, func(w *World, _ []string) error { w.Edge.CutRelays(); return nil }},
	"expire-access": {0, func(w *World, _ []string) error { w.Team.ExpireAccessTokens(); return nil }},
	"rotate-keys": {0, func(w *World, _ []string) error {
		w.Team.RotateKeys()
		w.Team.DropOldKeys()
		return nil
	}},
	"revoke-user": {1, func(w *World, args []string) error { w.Team.RevokeUser(args[0]); return nil }},
	"heal":        {1, func(w *World, args []string) error { w.Edge.Heal(args[0]); return nil }},
	"person": {1, func(w *World, args []string) error {
		switch who := args[0]; {
		case who == "approve" || who == "refuse" || who == "nothing":
			w.browser.behave(who)
		case strings.Contains(who, "@"):
			w.browser.become(w.Edge.Person(who))
		default:
			return fmt.Errorf("neither approve, refuse, nothing nor an address: %q", who)
		}
		return nil
	}},
	"revoke": {1, func(w *World, args []string) error {
		a, err := w.app(args[0])
		if err == nil {
			a.Revoke()
		}
		return err
	}},
	"move": {2, func(w *World, args []string) error {
		a, err := w.app(args[0])
		if err == nil {
			a.Move(w.Edge.AddTeam(args[1]))
		}
		return err
	}},
	"session": {2, func(w *World, args []string) error {
		return w.setDuration(args, func(a *accesstest.App, d time.Duration) { a.Session = d })
	}},
	"delay": {2, func(w *World, args []string) error {
		return w.setDuration(args, func(a *accesstest.App, d time.Duration) { a.Delay = d })
	}},
	"skew": {1, func(w *World, args []string) error {
		d, err := time.ParseDuration(args[0])
		w.Edge.Set(func(s *accesstest.Switches) { s.Skew = d })
		return err
	}},
	"auto-approve": {1, func(w *World, args []string) error {
		if args[0] != "on" && args[0] != "off" {
			return fmt.Errorf("want on or off")
		}
		w.Team.Set(func(s *accesstest.TeamSettings) { s.AutoApprove = args[0] == "on" })
		return nil
	}},
	"fail": {3, func(w *World, args []string) error {
		n, err := strconv.Atoi(args[1])
		f, ok := failures[args[2]]
		if err != nil || !ok {
			return fmt.Errorf("want HOST N ANSWER, got %q", args)
		}
		w.Edge.Fail(args[0], n, f, nil)
		return nil
	}},
	"service": {1, func(w *World, args []string) error {
		switch args[0] {
		case "disable", "enable":
			w.Service.Disable(args[0] == "disable")
		case "expire":
			w.Service.Expire(time.Now().Add(-time.Hour))
		case "rotate":
			w.Service.Rotate(0)
		default:
			return fmt.Errorf("neither disable, enable, expire nor rotate: %q", args[0])
		}
		return nil
	}},
}

func (w *World) setDuration(args []string, set func(*accesstest.App, time.Duration)) error {
	a, err := w.app(args[0])
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	a.Set(func(a *accesstest.App) { set(a, d) })
	return nil
}

// waitfor waits for what another process does.
func waitfor(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: waitfor file|request|tabs|listen|gone ...")
	}
	w := world(ts)
	var ok func() bool
	switch what, arg := args[0], args[1]; what {
	case "file":
		path := ts.MkAbs(arg)
		ok = func() bool { _, err := os.Stat(path); return err == nil }
	case "request":
		match := []func(accesstest.Request) bool{accesstest.ToHost(arg), accesstest.ByProgram}
		if len(args) == 3 {
			match = append(match, accesstest.ToPath(args[2]))
		}
		ok = func() bool { return len(w.Edge.Requests(match...)) > 0 }
	case "tabs":
		n, err := strconv.Atoi(arg)
		ts.Check(err)
		ok = func() bool { return len(w.Tabs()) >= n }
	case "listen":
		ok = func() bool {
			c, err := net.Dial("tcp", arg)
			if err != nil {
				return false
			}
			c.Close()
			return true
		}
	case "gone":
		pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(arg)))
		ts.Check(err)
		ok = func() bool {
			p, err := os.FindProcess(pid)
			return err != nil || p.Signal(syscall.Signal(0)) != nil
		}
	default:
		ts.Fatalf("waitfor %s: unknown", what)
	}
	if !poll(ok) {
		ts.Fatalf("waitfor %s: not within %v", strings.Join(args, " "), patience)
	}
}

// condition is for [git>=2.46] and [git<2.46].
func (g Git) condition(cond string) (bool, error) {
	rest, ok := strings.CutPrefix(cond, "git")
	op := strings.TrimRight(rest, "0123456789.")
	var major, minor int
	if _, err := fmt.Sscanf(rest[len(op):], "%d.%d", &major, &minor); !ok || err != nil || op != ">=" && op != "<" {
		return false, fmt.Errorf("unknown condition %q; there are git>=2.46 and git<2.46", cond)
	}
	if g.Path == "" {
		own, err := gitAt("git")
		if err != nil {
			return false, err
		}
		g = own
	}
	return g.AtLeast(major, minor) == (op == ">="), nil
}
