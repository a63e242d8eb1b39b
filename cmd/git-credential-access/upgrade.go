package main

import (
	"bytes"
	"context"

	"github.com/gitaccess/gitaccess/cmd/internal/gitnote"
	"github.com/gitaccess/gitaccess/githelper"
)

// upgrade changes the lines of setup when the git that they were written for is a newer one now. They work with it as they are, but for
// the drawbacks that githelper.HostConfig names. What cannot be done now, such as under git's own lock, is done another time.
func (h *helper) upgrade(ctx context.Context, t *host) {
	if !t.req.Can(githelper.CapabilityAuthType) { // git below 2.46, whatever else was upgraded
		return
	}
	g := t.note.Git.Upgraded(ctx, h.env.Environ())
	if g == nil {
		return
	}
	for _, file := range t.note.Files {
		changed := false
		err := githelper.EditConfig(file, func(old []byte) ([]byte, error) {
			adapted := githelper.Adapt(old, string(t.origin), g.Version)
			changed = !bytes.Equal(adapted, old)
			return adapted, nil
		})
		if err != nil {
			return
		}
		if changed {
			h.env.Note("git is %s now: changed the lines for %s in %s", g.Version, t.origin.Host(), file)
		}
	}
	h.learn(t, func(n *gitnote.Note) { n.Git = gitnote.GitOf(g) })
}
