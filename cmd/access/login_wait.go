package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/internal/cli"
	"github.com/gitaccess/gitaccess/internal/term"
)

// loginWait tells a person what a login waits for: lines, a QR code, what to do
// where the browser is on another machine, and a clock on a terminal.
type loginWait struct {
	env   *cli.Env
	qr    bool
	paste bool
	place place
	stdin io.Reader

	clock *clock
	lines *bufio.Reader
}

// asks says whether there is somebody, or a program, to paste an address.
func (w *loginWait) asks(json bool) bool {
	return w.paste || !json && term.IsTerminal(w.stdin) && (w.qr || w.place.far)
}

// event implements access.Config.Notify.
func (w *loginWait) event(e access.Event) {
	w.stop()
	door.Tell(w.env)(e)
	host := e.App.Origin.Host()
	switch {
	case e.Kind == access.LoginURL:
		if w.qr {
			w.show(e.URL)
		}
		w.advise(e)
		w.start("waiting for the login to "+host, e.Deadline)
	case e.Kind == access.BrowserFailed:
		w.resume()
	case e.Kind == access.WaitingForProcess:
		w.start(fmt.Sprintf("waiting for process %d", e.PID), time.Time{})
	}
}

// show prints the address as a QR code.
func (w *loginWait) show(address string) {
	code, err := qrCode(address, w.env.Getenv("NO_COLOR") == "")
	if err != nil {
		w.env.Warn("the address cannot be shown as a QR code: %v", err)
		return
	}
	_, _ = io.WriteString(w.env.Stderr, code)
}

// advise tells what to do where the browser that a person has does not reach the
// callback of Managed OAuth. The other logins work in every browser.
func (w *loginWait) advise(e access.Event) {
	callback := callbackOf(e.URL)
	if callback == "" {
		if w.place.name != "" {
			w.env.Note("this is %s: open the address in a browser on any machine", w.place.name)
		}
		return
	}
	if !w.place.far && !w.qr {
		return
	}
	name := w.place.name
	if name == "" {
		name = "not the phone"
	}
	w.env.Note("this is %s: at the end the browser goes to %s, which it reaches on this machine alone", name, callback)
	switch port := portOf(callback); {
	case w.place.ssh && !w.asks(false):
		w.env.Note("let it through with ssh -L %s:localhost:%s from where your browser is, or run: access login --paste %s", port, port, e.App.Origin.Host())
	case !w.asks(false):
		w.env.Note("let port %s through to here, or run: access login --paste %s", port, e.App.Origin.Host())
	}
}

// start begins the clock; where there is no terminal to draw on, one line says it.
func (w *loginWait) start(what string, deadline time.Time) {
	w.clock = &clock{out: w.env.Stderr, what: what, deadline: deadline}
	if !term.IsTerminal(w.env.Stderr) || w.env.Getenv("TERM") == "dumb" || w.asks(false) {
		if !deadline.IsZero() {
			w.env.Note("%s, for %s at most", what, shortly(time.Until(deadline)))
		}
		return
	}
	w.clock.start()
}

// resume draws the clock again below a line that came in between.
func (w *loginWait) resume() {
	if c := w.clock; c != nil && c.drawn {
		w.clock = &clock{out: c.out, what: c.what, deadline: c.deadline}
		w.clock.start()
	}
}

func (w *loginWait) stop() {
	if w.clock != nil {
		w.clock.end()
	}
}

// readAddress implements access.Config.Paste: a question on the terminal, or the
// next line of standard input.
func (w *loginWait) readAddress(ctx context.Context, problem error) (string, error) {
	if problem != nil {
		w.env.Warn("%v", problem)
	}
	if term.IsTerminal(w.stdin) {
		if problem == nil {
			w.env.Note("if the browser ends at an error page, paste the address of that page here; else there is nothing to do")
		}
		return term.ReadLine(ctx, "address: ")
	}
	if w.lines == nil {
		w.lines = bufio.NewReader(io.LimitReader(w.stdin, 1<<20))
	}
	return readLine(ctx, w.lines)
}

// readLine reads a line, the last of which may have no end. When ctx ends first, the read is left behind: it cannot be taken back, and the
// program ends soon.
func readLine(ctx context.Context, r *bufio.Reader) (string, error) {
	type result struct {
		line string
		err  error
	}
	got := make(chan result, 1)
	go func() {
		line, err := r.ReadString('\n')
		if strings.TrimSpace(line) != "" {
			err = nil
		}
		got <- result{line, err}
	}()
	select {
	case r := <-got:
		return r.line, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// callbackOf returns where a login page of Managed OAuth sends the browser in the
// end, without the answer; "" for other logins.
func callbackOf(login string) string {
	u, err := url.Parse(login)
	if err != nil {
		return ""
	}
	return u.Query().Get("redirect_uri")
}

func portOf(callback string) string {
	u, err := url.Parse(callback)
	if err != nil {
		return ""
	}
	return u.Port()
}

// A place is where this program runs, as seen from the person's browser.
type place struct {
	name string // "an SSH session"; "" for a machine with a screen
	far  bool   // a browser is elsewhere, and does not reach our loopback addresses
	ssh  bool
}

// findPlace goes by what these places set. WSL's loopback is that of its Windows,
// so that a browser there is near.
func findPlace(env *cli.Env) place {
	get := env.Getenv
	exists := func(path string) bool { _, err := os.Stat(path); return err == nil }
	switch {
	case get("SSH_CONNECTION") != "" || get("SSH_TTY") != "":
		return place{name: "an SSH session", far: true, ssh: true}
	case get("WSL_DISTRO_NAME") != "" || get("WSL_INTEROP") != "":
		return place{}
	case get("BROWSER") != "":
		return place{} // whoever set it has a way; dev containers and Codespaces forward ports by it
	case get("container") != "" || get("KUBERNETES_SERVICE_HOST") != "" || runtime.GOOS == "linux" && (exists("/.dockerenv") || exists("/run/.containerenv")):
		return place{name: "a container", far: true}
	case runtime.GOOS == "linux" && get("DISPLAY") == "" && get("WAYLAND_DISPLAY") == "":
		return place{name: "a machine without a screen", far: true}
	}
	return place{}
}

// A clock is a line on a terminal that shows how much time is left.
type clock struct {
	out      io.Writer
	what     string
	deadline time.Time
	drawn    bool

	once sync.Once
	quit chan struct{}
	done chan struct{}
}

var clockFaces = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

func (c *clock) start() {
	c.drawn, c.quit, c.done = true, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(c.done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			line := fmt.Sprintf("%c %s", clockFaces[i%len(clockFaces)], c.what)
			if !c.deadline.IsZero() {
				line += ", " + shortly(time.Until(c.deadline)) + " left"
			}
			_, _ = fmt.Fprintf(c.out, "\r\x1b[K%s", line)
			select {
			case <-tick.C:
			case <-c.quit:
				_, _ = io.WriteString(c.out, "\r\x1b[K")
				return
			}
		}
	}()
}

// end takes the line away.
func (c *clock) end() {
	if !c.drawn {
		return
	}
	c.once.Do(func() { close(c.quit) })
	<-c.done
}

// shortly is a time to wait, to the second.
func shortly(d time.Duration) string {
	d = max(d.Round(time.Second), 0)
	if d < time.Minute {
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}

var errQRTooLong = errors.New("it is too long")
