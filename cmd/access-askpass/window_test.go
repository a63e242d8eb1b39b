//go:build unix

package main

import (
	"bufio"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// display is an X server in memory.
type display struct {
	t    *testing.T
	w    *scripttest.World
	name string
	dir  string
}

func startDisplay(t *testing.T, w *scripttest.World) *display {
	t.Helper()
	xvfb := scripttest.Need(t, "Xvfb", "xvfb")
	scripttest.Need(t, "xdotool", "xdotool")
	scripttest.Need(t, "zenity", "zenity")
	r, number, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := &display{t: t, w: w, dir: t.TempDir()}
	cmd := exec.Command(xvfb, "-displayfd", "3", "-screen", "0", "800x500x24", "-fbdir", d.dir, "-nolisten", "tcp", "-noreset")
	cmd.ExtraFiles = []*os.File{number} // it chooses a free number and tells it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	number.Close()
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb tells no display: %v", err)
	}
	d.name = ":" + strings.TrimSpace(line)
	w.Set("DISPLAY="+d.name, "ACCESS_PINENTRY=none", "NO_AT_BRIDGE=1", "GTK_THEME=Adwaita", "LC_ALL=C.UTF-8", "GSETTINGS_BACKEND=memory")
	return d
}

// xdo runs xdotool.
func (d *display) xdo(args ...string) string {
	d.t.Helper()
	cmd := d.w.Command(d.t.Context(), "xdotool", args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("xdotool %q: %v %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// A window is told by its process, too: X uses numbers of windows again.
type window struct{ id, pid string }

func (d *display) there(win window) bool {
	out, err := d.w.Command(d.t.Context(), "xdotool", "getwindowpid", win.id).Output()
	return err == nil && strings.TrimSpace(string(out)) == win.pid
}

// window waits for a window that is not the one given, and gives it the keyboard: there is no window manager who would.
func (d *display) window(title string, not window) window {
	d.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		out, _ := d.w.Command(d.t.Context(), "xdotool", "search", "--onlyvisible", "--name", title).Output() // exit code 1: none
		for id := range strings.FieldsSeq(string(out)) {
			pid, err := d.w.Command(d.t.Context(), "xdotool", "getwindowpid", id).Output()
			win := window{id, strings.TrimSpace(string(pid))}
			if err == nil && win != not && d.w.Command(d.t.Context(), "xdotool", "windowfocus", "--sync", id).Run() == nil {
				return win
			}
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("there is no window %q", title)
		}
	}
}

// press sends a key until the window has gone: a button may take a moment to listen.
func (d *display) press(win window, key string) {
	d.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		d.w.Command(d.t.Context(), "xdotool", "windowfocus", "--sync", win.id, "key", key).Run()
		for wait := time.Now().Add(5 * time.Second); time.Now().Before(wait); time.Sleep(20 * time.Millisecond) {
			if !d.there(win) {
				return
			}
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("the window does not mind %s", key)
		}
	}
}

// screenshot writes the screen as PNG where ASKPASS_SCREENSHOTS names a folder, and returns how many colours it has.
func (d *display) screenshot(name string) int {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.dir, "Xvfb_screen0"))
	if err != nil {
		d.t.Fatal(err)
	}
	// XWDFile.h: 32-bit big-endian fields; the header with its name, 12 bytes for each colour, then the pixels.
	field := func(i int) int { return int(binary.BigEndian.Uint32(b[4*i:])) }
	header, width, height, bits, line, colours := field(0), field(4), field(5), field(11), field(12), field(19)
	if bits != 32 || len(b) < header+12*colours+line*height {
		d.t.Fatalf("a screen of %d bits, %d bytes", bits, len(b))
	}
	pixels := b[header+12*colours:]
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	seen := map[color.NRGBA]bool{}
	for y := range height {
		for x := range width {
			p := pixels[y*line+4*x:]
			c := color.NRGBA{p[2], p[1], p[0], 255}
			if field(7) == 1 { // most significant byte first
				c = color.NRGBA{p[1], p[2], p[3], 255}
			}
			seen[c] = true
			img.SetNRGBA(x, y, c)
		}
	}
	if dir := os.Getenv("ASKPASS_SCREENSHOTS"); dir != "" {
		f, err := os.Create(filepath.Join(dir, name+".png"))
		if err != nil {
			d.t.Fatal(err)
		}
		defer f.Close()
		if err := png.Encode(f, img); err != nil {
			d.t.Fatal(err)
		}
	}
	return len(seen)
}

// Where there is no terminal, a window of the desktop asks: git, and ssh-add for a key.
func TestWindow(t *testing.T) {
	w := newWorld(t)
	d := startDisplay(t, w)
	cmd := w.Command(t.Context(), "git", "ls-remote", "-q", "https://login.example.com/demo.git")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	win := d.window("git-remote-http.* asks", window{})
	d.xdo("type", "ada")
	d.screenshot("username")
	d.press(win, "Return")
	win = d.window("git-remote-http.* asks", win)
	d.xdo("type", "origin-password")
	if n := d.screenshot("password"); n < 10 {
		t.Errorf("the screen has %d colours: nothing is on it", n)
	}
	d.press(win, "Return")
	win = d.window("git-remote-http.* asks", win)
	d.screenshot("remember")
	d.press(win, "alt+y")
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Fatalf("%v %s", err, &stderr)
	}
	if out, err := w.Command(t.Context(), "git", "clone", "-q", "https://login.example.com/demo.git").CombinedOutput(); err != nil {
		t.Errorf("it was not remembered: %v %s", err, out)
	}

	// What is shown is plain, whoever wrote it; and who closes the window has given no answer.
	const nasty = "Password for 'x_y <b>bold</b> & \\n \\x41 \u202eevil' %s &lt; __ <a href=\"http://evil\">link</a>: "
	ask := w.Command(t.Context(), "access-askpass", nasty)
	var out strings.Builder
	ask.Stdout, ask.Stderr = &out, &out
	if err := ask.Start(); err != nil {
		t.Fatal(err)
	}
	win = d.window("asks", win)
	d.screenshot("plain")
	d.press(win, "Escape")
	if err := ask.Wait(); err == nil || out.Len() > 0 {
		t.Errorf("%v %q", err, &out)
	}

	// Consent: Return is no.
	agree := w.Command(t.Context(), "access-askpass", "Allow use of key <i>ada_x</i>?\nKey fingerprint SHA256:abc.")
	agree.Env = append(agree.Env, "SSH_ASKPASS_PROMPT=confirm")
	agree.Stdout, agree.Stderr = &out, &out
	if err := agree.Start(); err != nil {
		t.Fatal(err)
	}
	win = d.window("asks", win)
	d.screenshot("consent")
	d.press(win, "Return")
	if err := agree.Wait(); err == nil || out.Len() > 0 {
		t.Errorf("Return is a yes: %v %q", err, &out)
	}

	// The notice goes with SIGTERM, its window too.
	notice := w.Command(t.Context(), "access-askpass", "Confirm user presence for key ED25519-SK SHA256:abc")
	notice.Env = append(notice.Env, "SSH_ASKPASS_PROMPT=none")
	if err := notice.Start(); err != nil {
		t.Fatal(err)
	}
	win = d.window("asks", win)
	d.screenshot("touch")
	notice.Process.Signal(os.Interrupt)
	if err := notice.Wait(); err == nil || err.Error() != "exit status 130" {
		t.Errorf("%v", err)
	}
	for deadline := time.Now().Add(patience); d.there(win); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the notice stays")
		}
	}

	// A display that is gone is nobody.
	gone := w.Command(t.Context(), "access-askpass", "What? ")
	gone.Env = append(gone.Env, "DISPLAY=:987")
	b, err := gone.CombinedOutput()
	if err == nil || !strings.Contains(string(b), "nobody can be asked") {
		t.Errorf("%v %s", err, b)
	}
}
