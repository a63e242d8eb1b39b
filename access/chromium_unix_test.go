//go:build unix

package access_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// chromium is a real browser without a window. It is driven by the DevTools
// protocol (https://chromedevtools.github.io/devtools-protocol/) over a pipe, which
// nobody but this process can reach.
type chromium struct {
	t       *testing.T
	profile string
	cmd     *exec.Cmd
	in      *os.File
	reading sync.WaitGroup

	mu      sync.Mutex
	last    int
	answers map[int]chan message
	tabs    map[string]*tab // by session
	ended   error           // why nothing more is read
}

// message is a command, its answer or an event.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// newChromium starts a browser that reaches every name through the edge and trusts
// the edge's key.
func newChromium(t *testing.T, srv *accesstest.Server) *chromium {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		scripttest.Missing(t, "chromium", "chromium")
	}
	// Not t.TempDir: the browser may still write while it ends, and long paths of
	// sockets are refused.
	dir, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &chromium{t: t, profile: filepath.Join(dir, "profile"), in: in, answers: map[int]chan message{}, tabs: map[string]*tab{}}
	c.cmd = exec.Command(program, "--headless", "--remote-debugging-pipe", "--user-data-dir="+c.profile,
		"--proxy-server="+srv.ProxyURL(), "--ignore-certificate-errors-spki-list="+srv.SPKI(),
		"--no-sandbox", // root has none; it shows our own pages alone
		"--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--no-default-browser-check",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
		"--disable-breakpad", "--disable-crash-reporter", "--disable-features=Translate,OptimizationHints,MediaRouter",
		"--password-store=basic", "--use-mock-keychain", "--lang=en", "--window-size=900,640", "about:blank")
	c.cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4
	c.cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir, "DBUS_SESSION_BUS_ADDRESS=disabled:")
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stderr = stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stderr.Close()
	theirIn.Close()
	theirOut.Close()
	c.reading.Go(func() { c.read(out) })
	t.Cleanup(c.kill)
	return c
}

// kill ends the browser and its children.
func (c *chromium) kill() {
	c.in.Close()
	if c.cmd.ProcessState == nil { // after quit its number may be somebody else's
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		_ = c.cmd.Wait()
	}
	c.reading.Wait()
}

// quit ends the browser as a person does, so that it writes what it keeps.
func (c *chromium) quit() {
	c.t.Helper()
	_ = c.try("", "Browser.close", nil, nil) // the pipe may close before the answer
	if err := c.cmd.Wait(); err != nil {
		c.t.Error(err)
	}
}

func (c *chromium) read(out *os.File) {
	defer out.Close()
	r := bufio.NewReader(out)
	for {
		raw, err := r.ReadBytes(0)
		var m message
		if err == nil {
			err = json.Unmarshal(raw[:len(raw)-1], &m)
		}
		c.mu.Lock()
		switch {
		case err != nil:
			c.ended = err
			for id, answer := range c.answers {
				close(answer)
				delete(c.answers, id)
			}
		case m.ID != 0:
			if answer := c.answers[m.ID]; answer != nil {
				answer <- m
				delete(c.answers, m.ID)
			}
		case c.tabs[m.Session] != nil:
			select {
			case c.tabs[m.Session].changed <- struct{}{}:
			default: // one is enough
			}
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// try sends one command and decodes what it returns into result.
func (c *chromium) try(session, method string, params, result any) error {
	m := message{Session: session, Method: method}
	if params != nil {
		raw, err := json.Marshal(params)
		if err != nil {
			return err
		}
		m.Params = raw
	}
	answer := make(chan message, 1)
	c.mu.Lock()
	c.last++
	m.ID = c.last
	err := c.ended
	if err == nil {
		c.answers[m.ID] = answer
		var raw []byte
		if raw, err = json.Marshal(m); err == nil {
			_, err = c.in.Write(append(raw, 0))
		}
	}
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	got, ok := <-answer
	switch {
	case !ok:
		return fmt.Errorf("%s: %w", method, io.ErrUnexpectedEOF)
	case got.Error != nil:
		return fmt.Errorf("%s: %s", method, got.Error.Message)
	case result == nil:
		return nil
	}
	return json.Unmarshal(got.Result, result)
}

func (c *chromium) do(session, method string, params, result any) {
	c.t.Helper()
	if err := c.try(session, method, params, result); err != nil {
		stderr, _ := os.ReadFile(filepath.Join(filepath.Dir(c.profile), "stderr"))
		c.t.Fatalf("chromium: %v\n%s", err, stderr)
	}
}

// tab is one page, in a window with cookies of its own unless it is of the profile.
type tab struct {
	*chromium
	t       *testing.T
	target  string
	session string
	changed chan struct{}
}

type object map[string]any

// person opens an empty tab of somebody who has no cookies yet.
func (c *chromium) person(t *testing.T) *tab {
	t.Helper()
	var window struct {
		ID string `json:"browserContextId"`
	}
	c.do("", "Target.createBrowserContext", object{"disposeOnDetach": true}, &window)
	return c.tab(t, window.ID)
}

// tab opens an empty tab in a window; "" is the profile's.
func (c *chromium) tab(t *testing.T, window string) *tab {
	t.Helper()
	var target struct {
		ID string `json:"targetId"`
	}
	params := object{"url": "about:blank"}
	if window != "" {
		params["browserContextId"] = window
	}
	c.do("", "Target.createTarget", params, &target)
	var session struct {
		ID string `json:"sessionId"`
	}
	c.do("", "Target.attachToTarget", object{"targetId": target.ID, "flatten": true}, &session)
	p := &tab{chromium: c, t: t, target: target.ID, session: session.ID, changed: make(chan struct{}, 1)}
	c.mu.Lock()
	c.tabs[p.session] = p
	c.mu.Unlock()
	p.tell("Page.enable", nil, nil)
	p.tell("Page.setLifecycleEventsEnabled", object{"enabled": true}, nil)
	t.Cleanup(func() { _ = c.try("", "Target.closeTarget", object{"targetId": p.target}, nil) })
	return p
}

func (p *tab) tell(method string, params, result any) {
	p.t.Helper()
	if err := p.try(p.session, method, params, result); err != nil {
		p.t.Fatalf("chromium: %v", err)
	}
}

// open goes to a URL. A page that cannot be reached is a page, too.
func (p *tab) open(link string) {
	p.t.Helper()
	p.tell("Page.navigate", object{"url": link}, nil)
}

// eval returns the value of an expression in the page.
func (p *tab) eval(expression string, value any) error {
	var got struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	if err := p.try(p.session, "Runtime.evaluate", object{"expression": expression, "returnByValue": true}, &got); err != nil {
		return err
	}
	if got.Exception != nil {
		return errors.New(got.Exception.Text)
	}
	return json.Unmarshal(got.Result.Value, value)
}

// sight is what a person sees.
type sight struct {
	URL, Title, Text string
	Ready            string
}

// see waits until the page shows all of the texts.
func (p *tab) see(ctx context.Context, texts ...string) sight {
	p.t.Helper()
	for {
		var s sight
		// While one page gives way to the next there is nothing to evaluate in.
		err := p.eval(`({URL: location.href, Title: document.title, Text: document.body ? document.body.innerText : "", Ready: document.readyState})`, &s)
		missing := ""
		for _, text := range texts {
			if !strings.Contains(s.Title+"\n"+s.Text, text) {
				missing = text
			}
		}
		if err == nil && missing == "" && s.Ready == "complete" {
			return s
		}
		select {
		case <-p.changed:
		case <-ctx.Done():
			p.screenshot("lost")
			p.t.Fatalf("%q is not to be seen; %v; the page %s says\n%s\n%s", missing, err, s.URL, s.Title, s.Text)
		}
	}
}

// click presses the middle of an element with the mouse.
func (p *tab) click(selector string) {
	p.t.Helper()
	var at struct{ X, Y float64 }
	quoted, _ := json.Marshal(selector)
	if err := p.eval(`(() => { const r = document.querySelector(`+string(quoted)+`).getBoundingClientRect(); return {X: r.x + r.width/2, Y: r.y + r.height/2} })()`, &at); err != nil {
		p.t.Fatalf("click on %s: %v", selector, err)
	}
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		p.tell("Input.dispatchMouseEvent", object{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
	}
}

// write selects all of a field and types over it.
func (p *tab) write(selector, text string) {
	p.t.Helper()
	quoted, _ := json.Marshal(selector)
	var ok bool
	if err := p.eval(`(() => { const e = document.querySelector(`+string(quoted)+`); e.focus(); e.select(); return true })()`, &ok); err != nil {
		p.t.Fatalf("write into %s: %v", selector, err)
	}
	p.tell("Input.insertText", object{"text": text}, nil)
}

// close closes the tab.
func (p *tab) close() {
	p.t.Helper()
	p.do("", "Target.closeTarget", object{"targetId": p.target}, nil)
}

// screenshot keeps a picture of the page: go test -artifacts -outputdir DIR.
func (p *tab) screenshot(name string) {
	p.t.Helper()
	var picture struct{ Data string }
	if err := p.try(p.session, "Page.captureScreenshot", nil, &picture); err != nil {
		p.t.Errorf("screenshot: %v", err)
		return
	}
	raw, err := base64.StdEncoding.DecodeString(picture.Data)
	if err == nil {
		err = os.WriteFile(filepath.Join(p.t.ArtifactDir(), name+".png"), raw, 0o600)
	}
	if err != nil {
		p.t.Error(err)
	}
}

// history returns the addresses that the back button leads to, and the present one.
func (p *tab) history() []string {
	p.t.Helper()
	var got struct{ Entries []struct{ URL string } }
	p.tell("Page.getNavigationHistory", nil, &got)
	var all []string
	for _, e := range got.Entries {
		all = append(all, e.URL)
	}
	return all
}
