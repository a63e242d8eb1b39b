// Package browser asks a web browser to show a page.
//
// The order is that of other programs on the same system: the commands in $BROWSER; on Windows, and in a Linux that runs under
// Windows (WSL), the browser of Windows; on macOS the one that open(1) chooses; elsewhere the desktop's.
//
// # Rules
//
// Only http and https URLs are opened, and never through a shell. The opener gets no terminal and none of our standard streams:
// its output must not reach the protocol that our standard output speaks, and a browser that outlives us must not keep the pipes
// open that git and ssh wait on. Where there is no browser the error says so; nothing is pretended.
package browser

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gitaccess/gitaccess/internal/environ"
)

// grace is how long Open watches an opener: one that fails does so within moments, one that has become the browser stays.
const grace = time.Second

// Options are the surroundings. Nil means those of the process.
type Options = environ.Vars

// NoBrowserError says that there is nothing to open a page with.
type NoBrowserError struct{ Why string }

func (e *NoBrowserError) Error() string { return "no browser can be opened here: " + e.Why }

// Open shows the page in a browser. It returns once the opener has ended well or has been running for a moment; it does not wait
// for the browser. A *NoBrowserError says that there is none. When ctx ends the opener is left alone.
func Open(ctx context.Context, page string, o *Options) error {
	u, err := checkURL(page)
	if err != nil {
		return err
	}
	opts := o.WithDefaults()
	openers, err := find(&opts)
	if err != nil {
		return err
	}
	var errs []error
	for _, op := range openers {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := op.open(ctx, u, &opts)
		if err == nil || ctx.Err() != nil {
			return err
		}
		errs = append(errs, fmt.Errorf("%s: %w", op.name, err))
	}
	return errors.Join(errs...)
}

// checkURL returns the URL as an opener may have it. Openers are scripts as often as not, so that what a shell would expand
// is percent-encoded, too, and all that is not ASCII: PowerShell takes ’ for a quotation mark and U+0085 for white space.
func checkURL(page string) (string, error) {
	u, err := url.Parse(page)
	if err != nil {
		return "", fmt.Errorf("not a URL for a browser: %q", page)
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil {
		return "", fmt.Errorf("not a URL for a browser: %q", u.Redacted())
	}
	var b strings.Builder
	for _, c := range []byte(escapeForScripts.Replace(u.String())) {
		if c < 0x80 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c) // url.URL leaves the query as it is
		}
	}
	return b.String(), nil
}

var escapeForScripts = strings.NewReplacer(
	"'", "%27", `"`, "%22", "`", "%60", "$", "%24", `\`, "%5C", " ", "%20", "(", "%28", ")", "%29",
	";", "%3B", "|", "%7C", "<", "%3C", ">", "%3E", "!", "%21", "^", "%5E", "{", "%7B", "}", "%7D", "*", "%2A")

// An opener is one way to open a page.
type opener struct {
	name string
	open func(ctx context.Context, page string, o *Options) error
}

// command returns an opener that runs a program with the page as its last argument or in place of each %s.
func command(path string, args ...string) opener {
	return opener{filepath.Base(path), func(ctx context.Context, page string, o *Options) error {
		return start(ctx, path, withPage(args, page), o)
	}}
}

func withPage(args []string, page string) []string {
	var out []string
	placed := false
	for _, a := range args {
		if strings.Contains(a, "%s") {
			a, placed = strings.ReplaceAll(a, "%s", page), true
		}
		out = append(out, a)
	}
	if !placed {
		out = append(out, page)
	}
	return out
}

// start runs the opener in a session of its own, so that Ctrl-C for us is not Ctrl-C for the browser.
func start(ctx context.Context, path string, args []string, o *Options) error {
	cmd := exec.Command(path, args...) // all three streams: the null device
	cmd.Env = o.Environ()
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // no zombie while we live; after us it is init's
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case err := <-ended:
		return err
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// find returns the openers to try, in order.
func find(o *Options) ([]opener, error) {
	if list := o.Getenv("BROWSER"); list != "" {
		if openers := fromList(list); len(openers) > 0 {
			return openers, nil
		}
		return nil, &NoBrowserError{Why: fmt.Sprintf("no program named in BROWSER exists (%q)", list)}
	}
	return platform(o)
}

// fromList reads $BROWSER: commands separated like the folders of $PATH, each with %s for the page or with the page appended.
func fromList(list string) []opener {
	var openers []opener
	for _, entry := range filepath.SplitList(list) {
		if path, err := exec.LookPath(entry); err == nil { // a path may have spaces
			openers = append(openers, command(path))
			continue
		}
		words, err := split(entry)
		if err != nil || len(words) == 0 {
			continue
		}
		if path, err := exec.LookPath(words[0]); err == nil {
			openers = append(openers, command(path, words[1:]...))
		}
	}
	return openers
}

// split cuts a command into words at spaces outside of quotes. It expands nothing.
func split(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	open, quote := false, rune(0)
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, open = r, true
		case r == ' ' || r == '\t':
			if open {
				words = append(words, word.String())
				word.Reset()
				open = false
			}
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("quote not closed in %q", s)
	}
	if open {
		words = append(words, word.String())
	}
	return words, nil
}
