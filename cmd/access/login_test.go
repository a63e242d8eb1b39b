package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"rsc.io/qr"

	"github.com/gitaccess/gitaccess/access/accesstest"
	"github.com/gitaccess/gitaccess/internal/scripttest"
	"github.com/gitaccess/gitaccess/internal/scripttest/ptytest"
)

// farBrowser is a browser on another machine: the address of a page on this one
// stays in its address bar.
type farBrowser struct {
	edge http.RoundTripper
	bar  chan string
}

func (f *farBrowser) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() == "localhost" || r.URL.Hostname() == "127.0.0.1" {
		f.bar <- r.URL.String()
		return nil, errors.New("connection refused")
	}
	return f.edge.RoundTrip(r)
}

// lastPage plays a person with such a browser and returns the address at its end.
func lastPage(t *testing.T, w *scripttest.World, login string) string {
	t.Helper()
	rt := w.Server.Transport()
	defer rt.CloseIdleConnections()
	far := &farBrowser{rt, make(chan string, 1)}
	err := accesstest.NewPerson(scripttest.Person, far).Approve(t.Context(), login)
	select {
	case address := <-far.bar:
		return address
	default:
		t.Fatalf("the browser did not get to the end: %v", err)
		return ""
	}
}

func TestLoginPaste(t *testing.T) {
	w := scripttest.NewWorld(t, scripttest.Git{})
	cmd := w.Command(patient(t), "access", "login", "--no-browser", "--paste", "--json", "oauth.example.com")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e loginEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		got = append(got, e.Event)
		if e.Event == "url" {
			address := lastPage(t, w, e.URL)
			if !strings.HasPrefix(address, e.Callback+"?") {
				t.Errorf("the browser ended at %q, told was %q", address, e.Callback)
			}
			if _, err := io.WriteString(in, "http://localhost/else\n"+address+"\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	if want := "url waiting done"; strings.Join(got, " ") != want {
		t.Errorf("events %q, want %q", got, want)
	}
	if !strings.Contains(stderr.String(), "that is not the address of the last page") {
		t.Errorf("the wrong address was taken: %s", stderr.String())
	}
}

// patient returns a context that ends only if something hangs.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// screen is a terminal and all that was written to it.
type screen struct {
	*testing.T
	*ptytest.Screen
}

func onTerminal(t *testing.T, cmd *exec.Cmd) *screen {
	t.Helper()
	return &screen{t, ptytest.Start(t, cmd, 50, 200)}
}

// escapes are what shells draw their lines with.
var (
	escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
	erased  = regexp.MustCompile(`[^\n]\x08`)
)

// wait returns the first match of pattern on the screen, with and without what only
// steers it.
func (s *screen) wait(pattern string) (match []string) {
	s.Helper()
	re := regexp.MustCompile(pattern)
	s.Until(pattern, func(text string) bool {
		match = re.FindStringSubmatch(text)
		if match == nil {
			match = re.FindStringSubmatch(erased.ReplaceAllString(escapes.ReplaceAllString(text, ""), ""))
		}
		return match != nil
	})
	return match
}

// On a terminal a clock runs while the person is at it.
func TestLoginClock(t *testing.T) {
	w := scripttest.NewWorld(t, scripttest.Git{})
	w.Set("TERM=xterm")
	cmd := w.Command(patient(t), "access", "login", "--no-browser", "git.example.com")
	s := onTerminal(t, cmd)
	login := s.wait(`access: (https://git\.example\.com/cdn-cgi/access/cli\S+)\r\n`)[1]
	s.wait(`⠙ waiting for the login to git\.example\.com, (10m00|9m\d\d)s left`)
	if err := w.Edge.Person(scripttest.Person).Approve(t.Context(), login); err != nil {
		t.Fatal(err)
	}
	s.wait(`\r\x1b\[Kaccess: logged in to git\.example\.com as ada@example\.com until `)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// Over ssh the address is asked for on the terminal, while a browser that can may
// still bring it.
func TestLoginOverSSH(t *testing.T) {
	for _, pasted := range []bool{true, false} {
		w := scripttest.NewWorld(t, scripttest.Git{})
		w.Set("TERM=xterm", "SSH_CONNECTION=192.0.2.1 50000 192.0.2.2 22")
		cmd := w.Command(patient(t), "access", "login", "--no-browser", "oauth.example.com")
		s := onTerminal(t, cmd)
		login := s.wait(`access: (https://\S+/cdn-cgi/access/oauth/authorization\S+)\r\n`)[1]
		s.wait(`access: this is an SSH session: `)
		s.wait(`address: `)
		if pasted {
			s.Type(lastPage(t, w, login) + "\r")
		} else if err := w.Edge.Person(scripttest.Person).Approve(t.Context(), login); err != nil {
			t.Fatal(err)
		}
		s.wait(`access: logged in to oauth\.example\.com until .* renewed without you`)
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

// The modules on the screen are those of the code, with a border of four.
func TestQRCode(t *testing.T) {
	const text = "https://git.example.com/cdn-cgi/access/cli?token=x"
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	for _, colour := range []bool{false, true} {
		drawn, err := qrCode(text, colour)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(drawn, "\x1b") != colour {
			t.Errorf("colour %t: %q", colour, drawn[:20])
		}
		drawn = strings.NewReplacer("\x1b[97;40m", "", "\x1b[0m", "").Replace(drawn)
		var rows [][]bool // white
		for line := range strings.Lines(drawn) {
			var upper, lower []bool
			for _, r := range strings.TrimSuffix(line, "\n") {
				upper = append(upper, r == '█' || r == '▀')
				lower = append(lower, r == '█' || r == '▄')
			}
			rows = append(rows, upper, lower)
		}
		for y := range code.Size + 8 {
			for x := range code.Size + 8 {
				if black := code.Black(x-4, y-4); rows[y][x] == black {
					t.Fatalf("module %d,%d: white %t", x, y, rows[y][x])
				}
			}
		}
	}
}
