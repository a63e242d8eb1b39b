//go:build unix

package access_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/gitaccess/gitaccess/access"
	"github.com/gitaccess/gitaccess/access/accesstest"
)

func TestExperiment(t *testing.T) {
	b := newBed(t)
	b.app(accesstest.App{Allow: true, OAuth: &accesstest.OAuth{}})
	ch := newChromium(t, b.srv)
	p := ch.tab(t, "")
	ctx := t.Context()
	c := b.client(func(cfg *access.Config) {
		cfg.Open = func(_ context.Context, u string) error {
			p.open(u)
			t.Log(p.see(ctx, "Log in to"))
			p.screenshot("login")
			p.click("button[value=login]")
			t.Log(p.see(ctx, "Allow this"))
			p.screenshot("allow")
			p.click("button[value=allow]")
			return nil
		}
	})
	if _, err := c.Credential(ctx, b.url(page), ask); err != nil {
		t.Fatal(err)
	}
	t.Log(p.see(ctx, "Logged in"))
	p.screenshot("done")
	t.Log(p.history())
	ch.quit()
	filepath.WalkDir(filepath.Dir(ch.profile), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			raw, _ := os.ReadFile(path)
			if bytes.Contains(raw, []byte("code=")) {
				t.Log(path, bytes.Count(raw, []byte("code=")))
			}
		}
		return nil
	})
}
