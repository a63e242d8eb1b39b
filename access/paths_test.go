package access_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

// One host may have several applications by path: the longest prefix decides, and
// the token of one is never sent to another.
func TestApplicationsByPath(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	b.app(accesstest.App{Path: "/team", Allow: true})
	root, team := "https://git.example.com/repo.git", "https://git.example.com/team/repo.git"
	for _, raw := range []string{root, team, root, team} {
		if body, err := b.get(b.client(nil), ask, raw); err != nil || body != "hello GET " {
			t.Fatalf("%s: %q, %v", raw, body, err)
		}
	}
	if n := b.logins(); n != 1 {
		t.Errorf("%d logins; the team's session opens the second application", n)
	}
	b.edge.ClearLog()
	tokens := map[string]access.Credential{}
	for _, raw := range []string{root, team, "https://git.example.com/team/other.git"} {
		cr, err := b.client(nil).Credential(t.Context(), b.url(raw), access.Policy{})
		if err != nil {
			t.Fatal(err)
		}
		tokens[raw] = cr
	}
	if tokens[root].Token().Equal(tokens[team].Token()) {
		t.Error("both applications have one token")
	}
	if n := len(b.edge.Requests()); n > 4 {
		t.Errorf("%d requests for applications that are known", n)
	}
	var known []string
	for _, app := range b.client(nil).Applications("https://git.example.com") {
		known = append(known, app.Path)
	}
	if !slices.Equal(known, []string{"", "/team"}) {
		t.Errorf("known are the applications at %q", known)
	}
	if tokens[team].Covers(b.url(root)) {
		t.Error("the token of /team covers the rest of the host")
	}
}

// An application limited to a path leaves the rest of the host open.
func TestPathBesideOpenHost(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, Bypass: true})
	b.app(accesstest.App{Path: "/private", Allow: true})
	for _, raw := range []string{"https://git.example.com/open.git", "https://git.example.com/private/x.git", "https://git.example.com/open.git"} {
		if body, err := b.get(b.client(nil), ask, raw); err != nil || body != "hello GET " {
			t.Errorf("%s: %q, %v", raw, body, err)
		}
	}
	if n := b.logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
}

// git's helper asks before git does, so nobody tells it of a refusal: a path that is
// new is tried once, and the application that guards it is found before git fails.
func TestNewPathIsTriedOnce(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true})
	b.app(accesstest.App{Path: "/team", Allow: true})
	p := ask
	p.CheckEvery = 5 * time.Minute
	root, err := b.client(nil).Credential(t.Context(), b.url("https://git.example.com/"), p)
	if err != nil {
		t.Fatal(err)
	}
	team, err := b.client(nil).Credential(t.Context(), b.url("https://git.example.com/team/repo.git"), p)
	if err != nil || team.App.Audience == root.App.Audience || team.Token().Equal(root.Token()) {
		t.Fatalf("the team's repository got %q (%v)", team.App.Path, err)
	}
	other, err := b.client(nil).Credential(t.Context(), b.url("https://git.example.com/other.git"), p)
	if err != nil || !other.Token().Equal(root.Token()) {
		t.Fatalf("another repository got %q (%v)", other.App.Path, err)
	}
	b.edge.ClearLog()
	for _, raw := range []string{"https://git.example.com/", "https://git.example.com/team/repo.git", "https://git.example.com/other.git"} {
		if _, err := b.client(nil).Credential(t.Context(), b.url(raw), p); err != nil {
			t.Error(err)
		}
	}
	if n := len(b.edge.Requests()); n != 0 {
		t.Errorf("%d requests for paths that are known", n)
	}
	if n := b.logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
}
