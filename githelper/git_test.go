package githelper

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]Version{
		"git version 2.39.5\n":               {2, 39, 5},
		"git version 2.39.5 (Apple Git-154)": {2, 39, 5},
		"git version 2.47.1.windows.2":       {2, 47, 1},
		"git version 2.56.0-rc0":             {2, 56, 0},
		"git version 2.55.0.618.g1a3e64c6c4": {2, 55, 0},
		"git version 2.50.GIT":               {2, 50, 0},
		"git version 3.0":                    {3, 0, 0},
		"git version 2":                      {2, 0, 0},
		"git version ":                       {},
		"git version GIT":                    {},
		"git version 2.x":                    {},
		"hub version 2.14.2":                 {},
		"":                                   {},
		"git version 99999999999999999999.1": {},
	} {
		got, err := ParseVersion(in)
		if got != want || (err == nil) != (want != Version{}) {
			t.Errorf("%q: got %v, %v; want %v", in, got, err, want)
		}
	}
	for _, tt := range []struct {
		v    Version
		want bool
	}{{Version{2, 45, 9}, false}, {Version{2, 46, 0}, true}, {Version{2, 100, 0}, true}, {Version{3, 0, 0}, true}, {Version{1, 99, 0}, false}} {
		if got := tt.v.AtLeast(2, 46); got != tt.want {
			t.Errorf("%v at least 2.46: %v", tt.v, got)
		}
	}
}

func TestFindGitFails(t *testing.T) {
	if g, err := FindGit(t.Context(), filepath.Join(t.TempDir(), "git"), nil); err == nil {
		t.Errorf("got %+v", g)
	}
	t.Setenv("PATH", t.TempDir())
	if g, err := FindGit(t.Context(), "", nil); err == nil {
		t.Errorf("got %+v", g)
	}
}

// ConfigFile names the file that git config writes to: shown by a write.
func TestConfigFile(t *testing.T) {
	eachGit(t, func(t *testing.T, g *Git) {
		home := g.Dir
		xdg := filepath.Join(home, ".config", "git", "config")
		write := func(path, s string) {
			t.Helper()
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		check := func(name string, scope Scope) {
			t.Helper()
			path, err := g.ConfigFile(t.Context(), scope)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			before, _ := os.ReadFile(path)
			g.must(t, "config", "--"+string(scope), "test.name", name)
			after, err := os.ReadFile(path)
			if err != nil || string(before) == string(after) || !strings.Contains(string(after), name) {
				t.Errorf("%s: git config wrote somewhere else than %q: %v", name, path, err)
			}
		}
		check("nothing there", Global)
		if err := os.Remove(filepath.Join(home, ".gitconfig")); err != nil {
			t.Fatal(err)
		}
		write(xdg, "")
		check("the XDG file alone", Global)
		g.Env = append(g.Env, "XDG_CONFIG_HOME="+filepath.Join(home, "xdg"))
		write(filepath.Join(home, "xdg", "git", "config"), "")
		check("XDG_CONFIG_HOME", Global)
		write(filepath.Join(home, ".gitconfig"), "")
		check("both", Global)
		g.Env = append(g.Env, "GIT_CONFIG_GLOBAL="+filepath.Join(home, "elsewhere"))
		check("GIT_CONFIG_GLOBAL, of 2.32 and later", Global)

		repo := filepath.Join(home, "repo")
		g.must(t, "init", "-q", repo)
		g.Dir = repo
		check("repository", Local)
		g.must(t, "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q", "--allow-empty", "-m", "x")
		g.must(t, "worktree", "add", "-q", filepath.Join(home, "tree"))
		g.Dir = filepath.Join(home, "tree")
		check("worktree", Local)
		g.Dir = home
		if path, err := g.ConfigFile(t.Context(), Local); err == nil {
			t.Errorf("outside of a repository: %q", path)
		}

		path, err := g.ConfigFile(t.Context(), System)
		if err != nil || !filepath.IsAbs(path) {
			t.Errorf("the machine's: %q, %v", path, err)
		}
		if g.Version.AtLeast(2, 32) {
			g.Env = append(g.Env, "GIT_CONFIG_SYSTEM="+filepath.Join(home, "system"))
			check("GIT_CONFIG_SYSTEM", System)
		}
	})
}

func TestHelpers(t *testing.T) {
	eachGit(t, func(t *testing.T, g *Git) {
		file := filepath.Join(g.Dir, ".gitconfig")
		const before = `[credential]
	helper = general
[credential "https://git.example.com/"]
	helper = "!f() { echo \"a b\"; }; f"
[credential "https://other.example.com"]
	helper = other
[credential "https://*.example.com"]
	helper = wild
[credential "git.example.com"]
	helper = bare
[credential "https://git.example.com/path"]
	helper = deeper
[include]
	path = more
`
		h := &HostConfig{Origin: "https://git.example.com", Helper: "/opt/x/git-credential-x", Jar: "/jar", OwnLogin: true, Username: "me"}
		want := []string{"general", `!f() { echo "a b"; }; f`, "wild", "bare", "included"}
		h.Others = want
		own, err := h.Set([]byte(before), g.Version)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(g.Dir, "more"), []byte("[credential]\nhelper=included\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"before setup": before, "after setup": string(own)} {
			if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := g.Helpers(t.Context(), Global, h.Origin, file)
			if d := cmp.Diff(want, got); err != nil || d != "" {
				t.Errorf("%s: %v; -want +got\n%s", name, err, d)
			}
		}
		// The person's own reset is followed, and a helper added to our section is theirs.
		g.must(t, "config", "--file", file, "--add", "credential.https://git.example.com.helper", "")
		g.must(t, "config", "--file", file, "--add", "credential.https://git.example.com.helper", "added")
		got, err := g.Helpers(t.Context(), Global, h.Origin, file)
		if d := cmp.Diff([]string{"added"}, got); err != nil || d != "" {
			t.Errorf("%v; -want +got\n%s", err, d)
		}

		repo := filepath.Join(g.Dir, "repo")
		g.must(t, "init", "-q", repo)
		g.must(t, "-C", repo, "config", "credential.helper", "local")
		g.Dir = repo
		for scope, want := range map[Scope][]string{Global: {"added"}, Local: {"added", "local"}} {
			got, err := g.Helpers(t.Context(), scope, h.Origin, file)
			if d := cmp.Diff(want, got); err != nil || d != "" {
				t.Errorf("%s: %v; -want +got\n%s", scope, err, d)
			}
		}
	})
}

func TestHelpersOfNobody(t *testing.T) {
	eachGit(t, func(t *testing.T, g *Git) {
		got, err := g.Helpers(t.Context(), Global, "https://git.example.com", filepath.Join(g.Dir, ".gitconfig"))
		if err != nil || got != nil {
			t.Errorf("got %v, %v", got, err)
		}
	})
}
