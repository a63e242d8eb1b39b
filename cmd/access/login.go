package main

import (
	"bytes"
	"errors"
	"io/fs"
	"sync"
	"time"

	urfave "github.com/urfave/cli/v2"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
)

func loginCommand(env *cli.Env) *urfave.Command {
	return &urfave.Command{
		Name:      "login",
		Usage:     "log in to a host in the browser",
		ArgsUsage: "HOST",
		Description: `Opens the login page of HOST in a browser, says what it waits for, and tells whose
session it is and how long it holds.

The address is printed as well and works in a browser on any machine: from an SSH
session, a container or WSL, open it where you sit. For hosts with Managed OAuth the
browser ends at an address on this machine. Where it cannot reach it, it shows an
error page; copy that page's address and paste it here (--paste).

A session that is still good is not replaced; --fresh replaces it. Exit code 3 means
that nobody logged in, 4 that Access refused.

  access login git.example.com
  access login --no-browser git.example.com      print the address only
  access login --qr git.example.com              show it to the camera of a phone
  access login --paste git.example.com           paste the last page's address
  access login --json git.example.com            one JSON object a line, for programs

--json prints the events "url" (open it), "waiting" (until when), and at the end
"done" or "error".`,
		Flags: []urfave.Flag{
			&urfave.BoolFlag{Name: "fresh", Usage: "log in anew though there is a session"},
			&urfave.BoolFlag{Name: "no-browser", Usage: "print the address and open nothing"},
			&urfave.BoolFlag{Name: "qr", Usage: "print the address as a QR code, and open nothing"},
			&urfave.BoolFlag{Name: "paste", Usage: "ask for the address that the browser ended at (Managed OAuth)"},
			&urfave.BoolFlag{Name: "auto-close", Usage: "ask the login page to close its window"},
			&urfave.DurationFlag{Name: "timeout", Usage: "wait for the person for `TIME`, such as 2m", Value: 10 * time.Minute},
			&urfave.StringFlag{Name: "accept-team", Usage: "accept that the host has moved to the team at `DOMAIN`"},
			&urfave.StringFlag{Name: "client-id", Usage: "use the OAuth client `ID` that was registered by hand"},
			&urfave.StringFlag{Name: "redirect-url", Usage: "the redirect `URL` of that client"},
			&urfave.BoolFlag{Name: "json", Usage: "print events as JSON, one a line"},
		},
		Action: func(c *urfave.Context) error { return login(env, c) },
	}
}

func login(env *cli.Env, c *urfave.Context) error {
	o, u, err := hostArgument(c)
	if err != nil {
		return err
	}
	events := &eventWriter{env: env}
	wait := &loginWait{env: env, qr: c.Bool("qr"), paste: c.Bool("paste"), place: findPlace(env), stdin: env.Stdin}
	defer wait.stop()
	d, err := open(env, c, func(opt *door.Options) {
		opt.NoBrowser = c.Bool("no-browser") || c.Bool("qr")
		opt.AutoClose = c.Bool("auto-close")
		opt.LoginTimeout = c.Duration("timeout")
		opt.ClientID = c.String("client-id")
		opt.RedirectURL = c.String("redirect-url")
		opt.Notify = wait.event
		if c.Bool("json") {
			opt.Notify = events.event
		}
		if wait.asks(c.Bool("json")) {
			opt.Paste = wait.readAddress
		}
	})
	if err != nil {
		return err
	}
	p := d.Policy(door.Caller{Origin: o, Named: true, Explicit: true})
	// The environment's service token is not what a person means by "log in".
	p.Named = ""
	p.Fresh = c.Bool("fresh")
	p.AcceptTeam = c.String("accept-team")
	p.CheckEvery = time.Nanosecond // a person who types this wants to know
	cr, err := d.Client.Credential(c.Context, u, p)
	wait.stop()
	if err != nil {
		if c.Bool("json") {
			return errors.Join(err, events.failed(o, err))
		}
		return err
	}
	if _, err := d.SetUpNote(o); errors.Is(err, fs.ErrNotExist) {
		// From now on git and ssh may ask for a login to this host by themselves.
		if err := d.MarkSetUp(o, []byte("{}\n")); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return events.write(loginEvent{Event: "done", Host: o.Host(), Mode: string(cr.App.Mode), Account: cr.Account, Expiry: cr.Expiry, Fresh: cr.Fresh()})
	}
	switch {
	case cr.Kind == access.None:
		env.Note("%s asks for no login", o.Host())
	case cr.Kind == access.ServiceToken:
		env.Note("%s is used with the service token %s; no login is needed", o.Host(), cr.ClientID())
	case !cr.Fresh():
		env.Note("already logged in to %s%s until %s (%s)", o.Host(), as(cr.Account), cr.Expiry.Local().Format("Mon 15:04"),
			door.SessionLength(cr.App, time.Until(cr.Expiry)))
	}
	return nil
}

func as(account string) string {
	if account == "" {
		return ""
	}
	return " as " + account
}

// loginEvent is one line of `access login --json`.
type loginEvent struct {
	Event    string    `json:"event"` // "url", "waiting", "browser-failed", "done", "error"
	Host     string    `json:"host"`
	URL      string    `json:"url,omitempty"`
	Callback string    `json:"callback,omitempty"` // where the browser must get to in the end; without it, any browser will do
	PID      int       `json:"pid,omitempty"`
	Deadline time.Time `json:"deadline,omitzero"`
	Mode     string    `json:"mode,omitempty"`
	Account  string    `json:"account,omitempty"`
	Expiry   time.Time `json:"expires,omitzero"`
	Fresh    bool      `json:"fresh,omitempty"` // the person has logged in just now
	Error    string    `json:"error,omitempty"`
	Hints    []string  `json:"hints,omitempty"`
	Code     int       `json:"code,omitempty"` // the exit code
}

type eventWriter struct {
	env *cli.Env
	mu  sync.Mutex
}

func (w *eventWriter) event(e access.Event) {
	l := loginEvent{Host: e.App.Origin.Host(), URL: e.URL, PID: e.PID, Deadline: e.Deadline}
	switch e.Kind {
	case access.LoginURL:
		l.Event, l.Callback = "url", callbackOf(e.URL)
		_ = w.write(l) // a reader who is gone ends the run at the last line
		l = loginEvent{Event: "waiting", Host: l.Host, Deadline: l.Deadline}
	case access.WaitingForProcess:
		l.Event = "waiting"
	case access.BrowserFailed:
		l.Event = "browser-failed"
		l.Error = e.Err.Error()
	default:
		return // "done" is written once, at the end
	}
	_ = w.write(l)
}

func (w *eventWriter) failed(o access.Origin, err error) error {
	l := loginEvent{Event: "error", Host: o.Host(), Error: err.Error(), Code: cli.ExitFailed}
	var explained *cli.Error
	if errors.As(door.Explain(err), &explained) {
		l.Error, l.Hints, l.Code = explained.Error(), explained.Hints, max(explained.ExitCode(), cli.ExitFailed)
	}
	return w.write(l)
}

func (w *eventWriter) write(e loginEvent) error {
	var line bytes.Buffer
	if err := writeJSON(&line, e); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.env.Stdout.Write(line.Bytes())
	return err
}
