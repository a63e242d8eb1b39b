// Package pinentry asks a person through a pinentry program, as gpg-agent does: a window or a terminal of its own, in which what is
// typed stays out of reach of other programs as far as the system can do that.
//
// The programs speak Assuan, a protocol of lines: https://www.gnupg.org/documentation/manuals/assuan/ and, for the commands,
// doc/pinentry.texi of pinentry 1.2.
package pinentry

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/internal/child"
	"github.com/gitaccess/gitaccess/internal/environ"
	"github.com/gitaccess/gitaccess/internal/plaintext"
)

// ErrCanceled says that the person closed the window or chose not to answer.
var ErrCanceled = errors.New("no answer in the pinentry")

// Error is what the program says went wrong, such as that it has no terminal and no display.
type Error struct {
	Code int // of libgpg-error, with the part that failed in the upper bits
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("pinentry: %s (%d)", e.Text, e.Code) }

// Options are the surroundings. Nil means those of the process.
type Options = environ.Vars

// Find returns the program to use, if there is one and it has a place to ask in: a display, or the terminal that GPG_TTY names. It is
// the one in ACCESS_PINENTRY, of which "none" is none, else pinentry-mac or pinentry on PATH. Nothing is started.
func Find(o *Options) (path string, ok bool) {
	opts := o.WithDefaults()
	names := []string{"pinentry"}
	if runtime.GOOS == "darwin" {
		names = []string{"pinentry-mac", "pinentry"}
	}
	switch v := opts.Getenv("ACCESS_PINENTRY"); v {
	case "":
	case "none":
		return "", false
	default:
		names = []string{v}
	}
	if !hasPlace(&opts) {
		return "", false
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

func hasPlace(o *Options) bool {
	if tty := o.Getenv("GPG_TTY"); tty != "" {
		if info, err := os.Stat(tty); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return true
		}
	}
	switch runtime.GOOS {
	case "darwin", "windows":
		return o.Getenv("SSH_CONNECTION") == ""
	}
	return o.Getenv("DISPLAY") != "" || o.Getenv("WAYLAND_DISPLAY") != ""
}

// A Client talks to one run of the program. It is not safe for concurrent use.
type Client struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	stop func() bool // watching ctx
}

// Start runs the program. The end of ctx ends it, and what waits for it.
func Start(ctx context.Context, path string, o *Options) (*Client, error) {
	opts := o.WithDefaults()
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = opts.Environ()
	child.AskToEnd(cmd) // it puts the terminal right
	cmd.WaitDelay = 2 * time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("pinentry: %w", err)
	}
	c := &Client{cmd: cmd, in: in, out: bufio.NewReader(out)}
	// A script that runs the program proper leaves it behind when it is ended, with our pipes still open.
	c.stop = context.AfterFunc(ctx, func() {
		in.Close()
		out.Close()
	})
	if _, err := c.reply(); err != nil {
		c.Close()
		return nil, err
	}
	settings := []string{}
	if tty := opts.Getenv("GPG_TTY"); tty != "" {
		settings = append(settings, "ttyname="+tty)
		if t := opts.Getenv("TERM"); t != "" {
			settings = append(settings, "ttytype="+t)
		}
	}
	for _, v := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if l := opts.Getenv(v); l != "" {
			settings = append(settings, "lc-ctype="+l)
			break
		}
	}
	for _, s := range settings {
		if err := c.do("OPTION " + escape(s)); err != nil {
			var refused *Error // an option that this one does not know
			if !errors.As(err, &refused) {
				c.Close()
				return nil, err
			}
		}
	}
	return c, nil
}

// A Question is what the person is shown.
type Question struct {
	Title  string
	Text   string // of any length and from anywhere
	Prompt string // before the field
	Yes    string // button; "": the program's own
	No     string
}

// Ask has the person type something that is not shown.
func (c *Client) Ask(q Question) ([]byte, error) {
	if err := c.describe(q); err != nil {
		return nil, err
	}
	return c.command("GETPIN")
}

// Confirm has the person say yes. A no is ErrCanceled.
func (c *Client) Confirm(q Question) error {
	if err := c.describe(q); err != nil {
		return err
	}
	_, err := c.command("CONFIRM")
	return err
}

// Message shows the text until the person has read it, or ctx ends.
func (c *Client) Message(q Question) error {
	if err := c.describe(q); err != nil {
		return err
	}
	_, err := c.command("MESSAGE")
	return err
}

// Close ends the program.
func (c *Client) Close() error {
	io.WriteString(c.in, "BYE\n")
	c.in.Close()
	defer c.stop()
	return c.cmd.Wait()
}

func (c *Client) describe(q Question) error {
	for _, s := range [][2]string{{"SETTITLE", q.Title}, {"SETDESC", q.Text}, {"SETPROMPT", q.Prompt}, {"SETOK", q.Yes}, {"SETCANCEL", q.No}} {
		if s[1] == "" {
			continue
		}
		if err := c.do(s[0] + " " + escape(plaintext.Lines(s[1]))); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) do(line string) error {
	_, err := c.command(line)
	return err
}

func (c *Client) command(line string) ([]byte, error) {
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		return nil, fmt.Errorf("pinentry: %w", err)
	}
	return c.reply()
}

// reply reads lines up to OK or ERR and returns the data among them.
func (c *Client) reply() ([]byte, error) {
	var data []byte
	for {
		line, err := c.out.ReadSlice('\n') // a line has at most 1000 bytes, the buffer 4096
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("pinentry: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		word, rest, _ := bytes.Cut(line, []byte(" "))
		switch string(word) {
		case "OK":
			return data, nil
		case "D":
			data = append(data, unescape(rest)...)
		case "ERR":
			return nil, failure(string(rest))
		case "INQUIRE":
			if _, err := io.WriteString(c.in, "END\n"); err != nil {
				return nil, fmt.Errorf("pinentry: %w", err)
			}
		} // else a status or a comment
	}
}

// Codes of libgpg-error; the lower 16 bits count (gpg-error.h).
const (
	codeMask          = 1<<16 - 1
	codeTimeout       = 62
	codeCanceled      = 99
	codeNotConfirmed  = 114
	codeFullyCanceled = 198
)

func failure(rest string) error {
	number, text, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return &Error{Text: rest}
	}
	switch n & codeMask {
	case codeCanceled, codeFullyCanceled, codeNotConfirmed, codeTimeout:
		return ErrCanceled
	}
	return &Error{n, text}
}

// maxText keeps a line within what Assuan takes, 1000 bytes with its end; the command before it has at most 10.
const maxText = 980

// escape makes a text part of a line: %XX for what ends lines or begins an escape. What is too long ends in "…".
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		piece := string(r)
		switch {
		case r == '%', r < ' ' && r != '\t':
			piece = fmt.Sprintf("%%%02X", r)
		}
		if b.Len()+len(piece)+len("…") > maxText {
			b.WriteString("…")
			break
		}
		b.WriteString(piece)
	}
	return b.String()
}

func unescape(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(string(s[i+1:i+3]), 16, 8); err == nil {
				out = append(out, byte(n))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return out
}
