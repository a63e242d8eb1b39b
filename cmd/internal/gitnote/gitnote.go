// Package gitnote keeps what is known of a host as a git server, in the mark that says that a person set the host up: "access setup
// git" writes it, the credential helper reads it and adds what git lets it know.
package gitnote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/cmd/internal/door"
	"github.com/gitaccess/gitaccess/githelper"
)

// A Note is about one host.
type Note struct {
	// OwnLogin: the server behind Access wants a login of its own.
	OwnLogin bool `json:"own_login,omitempty"`
	// Cookie: whether an application with Managed OAuth takes the session as a cookie, too. Once it is known to do so, git gets the
	// cookie: every git can send one with every request.
	Cookie Cookie `json:"cookie,omitempty"`
	// Paths are those of the host's applications that have a cookie file of their own in git's configuration.
	Paths []string `json:"paths,omitempty"`
	// Files are the configuration files of git with our lines for the host.
	Files []string `json:"files,omitempty"`
	// Git is the git that the lines were written for.
	Git Git `json:"git,omitzero"`
	// Marked: the host was not set up in any way before "access setup git".
	Marked bool `json:"marked,omitempty"`
}

// A Git is a git on this machine as it was when somebody looked.
type Git struct {
	Path    string    `json:"path"`
	Version string    `json:"version"`
	Changed time.Time `json:"changed"` // when its file was
}

// GitOf looks at a git.
func GitOf(g *githelper.Git) Git {
	n := Git{Path: g.Path, Version: g.Version.String()}
	if info, err := os.Stat(g.Path); err == nil {
		n.Changed = info.ModTime().UTC()
	}
	return n
}

// Upgraded returns the git at the same path if it is a newer one now, and nil if it is the same or an older one. It runs it only if its
// file has changed. Another git on the machine, newer or older, is none of its business: the lines are for the one that was named.
func (n Git) Upgraded(ctx context.Context, env []string) *githelper.Git {
	was, err := githelper.ParseVersion("git version " + n.Version)
	if err != nil { // setup did not say
		return nil
	}
	info, err := os.Stat(n.Path)
	if err != nil || info.ModTime().Equal(n.Changed) {
		return nil
	}
	g, err := githelper.FindGit(ctx, n.Path, env)
	if err != nil || g.Version == was || !g.Version.AtLeast(was.Major, was.Minor) {
		return nil
	}
	return g
}

// A Cookie is what came of sending a session as a cookie to an application with Managed OAuth.
type Cookie string

const (
	CookieUntried  Cookie = ""
	CookieAccepted Cookie = "accepted"
	CookieRefused  Cookie = "refused"
)

// key is the Note's place in the mark, which may hold the notes of other commands.
const key = "git"

// Load returns the note of a host. Without one, found is false; the host may be set up all the same, see [door.Door.IsSetUp].
func Load(d *door.Door, o access.Origin) (n Note, found bool, err error) {
	all, err := load(d, o)
	if err != nil || all[key] == nil {
		return Note{}, false, err
	}
	if err := json.Unmarshal(all[key], &n); err != nil {
		return Note{}, false, fmt.Errorf("note about %s: %w", o.Host(), err)
	}
	return n, true, nil
}

// Save replaces the note and marks the host as set up.
func Save(d *door.Door, o access.Origin, n Note) error {
	all, err := load(d, o)
	if err != nil {
		return err
	}
	if all == nil {
		n.Marked, all = true, map[string]json.RawMessage{}
	}
	if all[key], err = json.Marshal(n); err != nil {
		return err
	}
	return save(d, o, all)
}

// RemoveFile takes one configuration file off the note. With the last one the note goes, and the mark as well if the note began it.
func RemoveFile(d *door.Door, o access.Origin, file string) error {
	n, found, err := Load(d, o)
	if err != nil || !found {
		return err
	}
	n.Files = slices.DeleteFunc(n.Files, func(f string) bool { return f == file })
	if len(n.Files) > 0 {
		return Save(d, o, n)
	}
	all, err := load(d, o)
	if err != nil {
		return err
	}
	delete(all, key)
	if n.Marked && len(all) == 0 {
		return d.ForgetSetUp(o)
	}
	return save(d, o, all)
}

func load(d *door.Door, o access.Origin) (map[string]json.RawMessage, error) {
	b, err := d.SetUpNote(o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("note about %s: %w", o.Host(), err)
	}
	return all, nil
}

func save(d *door.Door, o access.Origin, all map[string]json.RawMessage) error {
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return d.MarkSetUp(o, append(b, '\n'))
}
