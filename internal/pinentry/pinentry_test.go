//go:build unix

package pinentry

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fake is a pinentry that answers as a script says and keeps what it was told.
func fake(t *testing.T, getpin string) (path, log string) {
	t.Helper()
	dir := t.TempDir()
	path, log = filepath.Join(dir, "pinentry"), filepath.Join(dir, "log")
	script := `#!/bin/sh
echo "OK Pleased to meet you"
while read -r line; do
	printf '%s\n' "$line" >>'` + log + `'
	case $line in
	GETPIN|CONFIRM|MESSAGE) ` + getpin + ` ;;
	"OPTION lc-ctype"*) echo "ERR 83886254 Unknown option" ;;
	BYE) echo OK; exit 0 ;;
	*) echo OK ;;
	esac
done
`
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path, log
}

func options(vars map[string]string) *Options {
	return &Options{Getenv: func(n string) string { return vars[n] }}
}

func TestAsk(t *testing.T) {
	path, log := fake(t, `echo "S PASSWORD_FROM_CACHE"; echo "D pa%25ss%0A"; echo "INQUIRE QUALITY x"; read -r end; echo "D  more"; echo OK`)
	c, err := Start(t.Context(), path, options(map[string]string{"GPG_TTY": "/dev/pts/7", "TERM": "xterm", "LANG": "C.UTF-8"}))
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Ask(Question{Title: "git asks", Text: "100%\nPassword:\r\nSETDESC evil", Prompt: "Answer:"})
	if err != nil || string(b) != "pa%ss\n more" {
		t.Errorf("%q, %v", b, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	told, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	want := "OPTION ttyname=/dev/pts/7\nOPTION ttytype=xterm\nOPTION lc-ctype=C.UTF-8\nSETTITLE git asks\nSETDESC 100%25%0APassword:\ufffd%0ASETDESC evil\nSETPROMPT Answer:\nGETPIN\nBYE\n"
	if string(told) != want {
		t.Errorf("it was told\n%swant\n%s", told, want)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for answer, canceled := range map[string]bool{
		`echo "ERR 83886179 Operation cancelled <Pinentry>"`: true,
		`echo "ERR 83886194 Not confirmed <Pinentry>"`:       true,
		`echo "ERR 83886142 Timeout <Pinentry>"`:             true,
		`echo "ERR 83918950 Inappropriate ioctl for device"`: false,
		`echo "ERR nonsense"`:                                false,
		`exit 1`:                                             false,
	} {
		path, _ := fake(t, answer)
		c, err := Start(t.Context(), path, options(nil))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := c.Ask(Question{Text: "?"}); err == nil || b != nil || errors.Is(err, ErrCanceled) != canceled {
			t.Errorf("%s: %q, %v", answer, b, err)
		}
		c.Close()
	}
}

// The end of the context ends the program, and what waits for it: also where the program is a script that has left the question to another
// one, which the signal does not reach.
func TestContext(t *testing.T) {
	t.Run("program", func(t *testing.T) { endOfContext(t, `exec sleep 600`) })
	t.Run("script", func(t *testing.T) { endOfContext(t, `cat`) }) // until its input ends, with the script's output as its own
}

func endOfContext(t *testing.T, question string) {
	path, log := fake(t, question)
	ctx, cancel := context.WithCancel(t.Context())
	c, err := Start(ctx, path, options(nil))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for ctx.Err() == nil {
			if b, _ := os.ReadFile(log); strings.Contains(string(b), "CONFIRM") {
				cancel()
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	if err := c.Confirm(Question{Text: "?"}); err == nil {
		t.Error("a yes that nobody gave")
	}
	c.Close()
}

func TestFind(t *testing.T) {
	path, _ := fake(t, "")
	for _, tt := range []struct {
		vars map[string]string
		want string
	}{
		{map[string]string{"ACCESS_PINENTRY": path, "DISPLAY": ":0"}, path},
		{map[string]string{"ACCESS_PINENTRY": path, "GPG_TTY": "/dev/null"}, path}, // a device
		{map[string]string{"ACCESS_PINENTRY": path, "GPG_TTY": path, "SSH_CONNECTION": "x"}, ""},
		{map[string]string{"ACCESS_PINENTRY": path, "SSH_CONNECTION": "x"}, ""},
		{map[string]string{"ACCESS_PINENTRY": "none", "DISPLAY": ":0"}, ""},
		{map[string]string{"ACCESS_PINENTRY": path + "-not", "DISPLAY": ":0"}, ""},
	} {
		if got, ok := Find(options(tt.vars)); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%v: %q, %t", tt.vars, got, ok)
		}
	}
}

func TestEscapeIsBounded(t *testing.T) {
	for _, s := range []string{strings.Repeat("x", 5000), strings.Repeat("ü\n", 3000)} {
		if e := escape(s); len(e) > maxText || !strings.HasSuffix(e, "…") {
			t.Errorf("%d bytes, ends in %q", len(e), e[len(e)-5:])
		}
	}
}

// What goes in comes out, and stays one line.
func FuzzEscape(f *testing.F) {
	f.Add("a%b\r\n\x00ü")
	f.Fuzz(func(t *testing.T, s string) {
		e := escape(s)
		if strings.ContainsAny(e, "\r\n\x00") || len(e) > maxText {
			t.Fatalf("%q", e)
		}
		s = strings.ToValidUTF8(s, "\ufffd")
		if len(s) < maxText/3-3 && len([]rune(s)) == len([]rune(string(unescape([]byte(e))))) && string(unescape([]byte(e))) != s && !strings.Contains(s, "\ufffd") {
			t.Fatalf("%q comes back as %q", s, unescape([]byte(e)))
		}
	})
}

// A server's words reach pinentry-tty's terminal as they are.
func TestTextsSteerNoTerminal(t *testing.T) {
	path, log := fake(t, `echo OK`)
	c, err := Start(t.Context(), path, options(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Confirm(Question{Title: "ssh", Text: "a\x1b]0;x\ab\u009b2J\u202ec\nd"}); err != nil {
		t.Error(err)
	}
	c.Close()
	b, err := os.ReadFile(log)
	if want := "SETDESC a\ufffd]0;x\ufffdb\ufffd2J\ufffdc%0Ad\n"; err != nil || !strings.Contains(string(b), want) {
		t.Errorf("%q, %v", b, err)
	}
}
