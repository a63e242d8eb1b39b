package githelper

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

var (
	oldGit = Version{2, 39, 5}
	newGit = Version{2, 46, 0}
)

func hostConfig() *HostConfig {
	return &HostConfig{
		Origin: "https://git.example.com", Helper: "/opt/x/git-credential-x", Jar: "/state/jar",
		Note: `"x unsetup git.example.com" takes the marked lines away`,
	}
}

func mustSet(t *testing.T, h *HostConfig, file []byte, v Version) []byte {
	t.Helper()
	out, err := h.Set(file, v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSet(t *testing.T) {
	own := hostConfig()
	own.OwnLogin, own.Username, own.Others = true, "me@example.com", []string{"store", `!f() { echo "#"; }; f`}
	port := hostConfig()
	port.Origin = "https://git.example.com:8443"
	bearer := hostConfig()
	bearer.Bearer = true
	paths := hostConfig()
	paths.Paths = []PathJar{{"/team", "/state/jar:team"}, {"/a b/ü", "~/jar"}}
	odd := hostConfig()
	odd.HelperArgs = []string{"--ca-file=/a b", ""}
	odd.Helper, odd.Jar, odd.Note = `/opt/my tools/$(x)/it's "\git-credential-x`, `/home/a b/#1;"\jar`, ""
	for _, tt := range []struct {
		name string
		h    *HostConfig
		v    Version
		want string
	}{
		{"git from 2.46", hostConfig(), newGit, `[credential "https://git.example.com"]
	# gitaccess: "x unsetup git.example.com" takes the marked lines away
	helper = # gitaccess
	helper = /opt/x/git-credential-x # gitaccess
[http "https://git.example.com/"]
	cookieFile = /state/jar # gitaccess
	saveCookies = false # gitaccess
	proactiveAuth = auto # gitaccess
[lfs "https://git.example.com"]
	access = basic # gitaccess
`},
		{"git below 2.46", hostConfig(), oldGit, `[credential "https://git.example.com"]
	# gitaccess: "x unsetup git.example.com" takes the marked lines away
	helper = # gitaccess
	helper = /opt/x/git-credential-x # gitaccess
[http "https://git.example.com/"]
	cookieFile = /state/jar # gitaccess
	saveCookies = false # gitaccess
	version = HTTP/1.1 # gitaccess
	emptyAuth = true # gitaccess
[url "https://access@git.example.com/"]
	insteadOf = https://git.example.com/ # gitaccess
	insteadOf = https://git.example.com:443/ # gitaccess
[lfs "https://git.example.com"]
	access = basic # gitaccess
`},
		{"git that knows what libcurl prints", port, Version{2, 45, 0}, `[credential "https://git.example.com:8443"]
	# gitaccess: "x unsetup git.example.com" takes the marked lines away
	helper = # gitaccess
	helper = /opt/x/git-credential-x # gitaccess
[http "https://git.example.com:8443/"]
	cookieFile = /state/jar # gitaccess
	saveCookies = false # gitaccess
	emptyAuth = true # gitaccess
[url "https://access@git.example.com:8443/"]
	insteadOf = https://git.example.com:8443/ # gitaccess
[lfs "https://git.example.com:8443"]
	access = basic # gitaccess
`},
		{"own login, git from 2.46", own, newGit, `[credential "https://git.example.com"]
	# gitaccess: "x unsetup git.example.com" takes the marked lines away
	helper = # gitaccess
	helper = /opt/x/git-credential-x # gitaccess
	helper = store # gitaccess
	helper = "!f() { echo \"#\"; }; f" # gitaccess
[http "https://git.example.com/"]
	cookieFile = /state/jar # gitaccess
	saveCookies = false # gitaccess
	proactiveAuth = auto # gitaccess
[lfs "https://git.example.com"]
	access = basic # gitaccess
`},
		{"own login, git below 2.46", own, oldGit, `[credential "https://git.example.com"]
	# gitaccess: "x unsetup git.example.com" takes the marked lines away
	helper = # gitaccess
	helper = /opt/x/git-credential-x # gitaccess
	helper = store # gitaccess
	helper = "!f() { echo \"#\"; }; f" # gitaccess
[http "https://git.example.com/"]
	cookieFile = /state/jar # gitaccess
	saveCookies = false # gitaccess
	version = HTTP/1.1 # gitaccess
	emptyAuth = true # gitaccess
[url "https://me%40example.com@git.example.com/"]
	insteadOf = https://git.example.com/ # gitaccess
	insteadOf = https://git.example.com:443/ # gitaccess
[lfs "https://git.example.com"]
	access = basic # gitaccess
`},
		{"port, git below 2.46", port, oldGit, `[credential "https://git.example.com:8443"]
	# gitaccess: "x unsetup git.example.com" takes the marked lines away
	helper = # gitaccess
	helper = /opt/x/git-credential-x # gitaccess
[http "https://git.example.com:8443/"]
	cookieFile = /state/jar # gitaccess
	saveCookies = false # gitaccess
	version = HTTP/1.1 # gitaccess
	emptyAuth = true # gitaccess
[url "https://access@git.example.com:8443/"]
	insteadOf = https://git.example.com:8443/ # gitaccess
[lfs "https://git.example.com:8443"]
	access = basic # gitaccess
`},
		{"Bearer token, git below 2.54", bearer, Version{2, 53, 0}, `[credential "https://git.example.com"]
	# gitaccess: "x unsetup git.example.com" takes the marked lines away
	helper = # gitaccess
	helper = /opt/x/git-credential-x # gitaccess
[http "https://git.example.com/"]
	cookieFile = /state/jar # gitaccess
	saveCookies = false # gitaccess
	postBuffer = 268435456 # gitaccess
	proactiveAuth = auto # gitaccess
[lfs "https://git.example.com"]
	access = basic # gitaccess
`},
		{"Bearer token, git from 2.54", bearer, Version{2, 54, 0}, `[credential "https://git.example.com"]
	# gitaccess: "x unsetup git.example.com" takes the marked lines away
	helper = # gitaccess
	helper = /opt/x/git-credential-x # gitaccess
[http "https://git.example.com/"]
	cookieFile = /state/jar # gitaccess
	saveCookies = false # gitaccess
	proactiveAuth = auto # gitaccess
[lfs "https://git.example.com"]
	access = basic # gitaccess
`},
		{"paths", paths, newGit, `[credential "https://git.example.com"]
	# gitaccess: "x unsetup git.example.com" takes the marked lines away
	helper = # gitaccess
	helper = /opt/x/git-credential-x # gitaccess
	useHttpPath = true # gitaccess
[http "https://git.example.com/"]
	cookieFile = /state/jar # gitaccess
	saveCookies = false # gitaccess
	proactiveAuth = auto # gitaccess
[http "https://git.example.com/team/"]
	cookieFile = /state/jar:team # gitaccess
[http "https://git.example.com/a%20b/%C3%BC/"]
	cookieFile = ~/jar # gitaccess
[lfs "https://git.example.com"]
	access = basic # gitaccess
`},
		{"odd paths", odd, newGit, `[credential "https://git.example.com"]
	helper = # gitaccess
	helper = "/opt/my\\ tools/\\$\\(x\\)/it\\'s\\ \\\"\\\\git-credential-x --ca-file=/a\\ b ''" # gitaccess
[http "https://git.example.com/"]
	cookieFile = "/home/a b/#1;\"\\jar" # gitaccess
	saveCookies = false # gitaccess
	proactiveAuth = auto # gitaccess
[lfs "https://git.example.com"]
	access = basic # gitaccess
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if filepath.Separator == '\\' && tt.h == odd {
				t.Skip("no such path on Windows")
			}
			got := mustSet(t, tt.h, []byte{}, tt.v)
			if d := cmp.Diff(tt.want, string(got)); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestSetRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*HostConfig){
		"origin with a path":         func(h *HostConfig) { h.Origin = "https://git.example.com/" },
		"origin with a user":         func(h *HostConfig) { h.Origin = "https://me@git.example.com" },
		"origin without a scheme":    func(h *HostConfig) { h.Origin = "git.example.com" },
		"origin of another kind":     func(h *HostConfig) { h.Origin = "ssh://git.example.com" },
		"origin that ends a section": func(h *HostConfig) { h.Origin = "https://git.example.com\"]\nx" },
		"relative helper":            func(h *HostConfig) { h.Helper = "git-credential-x" },
		"helper with a line feed":    func(h *HostConfig) { h.Helper = "/opt/\nx" },
		"relative jar":               func(h *HostConfig) { h.Jar = "jar" },
		"jar with a line feed":       func(h *HostConfig) { h.Jar = "/x\n[core]" },
		"other with a line feed":     func(h *HostConfig) { h.Others = []string{"a\nb"} },
		"note with a line feed":      func(h *HostConfig) { h.Note = "a\n[core]" },
		"old git without a name":     func(h *HostConfig) { h.OwnLogin = true },
		"old git and a token":        func(h *HostConfig) { h.Bearer = true },
		"path that is none":          func(h *HostConfig) { h.Paths = []PathJar{{"team", "/jar"}} },
		"path of the whole host":     func(h *HostConfig) { h.Paths = []PathJar{{"", "/jar"}} },
		"path that leads out":        func(h *HostConfig) { h.Paths = []PathJar{{"/a/../b", "/jar"}} },
		"relative jar of a path":     func(h *HostConfig) { h.Paths = []PathJar{{"/team", "jar"}} },
		"path jar with a line feed":  func(h *HostConfig) { h.Paths = []PathJar{{"/team", "/x\n[core]"}} },
	} {
		h := hostConfig()
		spoil(h)
		if got, err := h.Set(nil, oldGit); err == nil {
			t.Errorf("%s: got %q", name, got)
		}
	}
	if got, err := hostConfig().Set([]byte("[user]\n\tname = a\\\n"), oldGit); err == nil {
		t.Errorf("a file that ends inside a value: %q", got)
	}
}

var files = map[string]string{
	"missing":              "",
	"empty":                "",
	"plain":                "[user]\n\tname = me\n",
	"no line feed":         "[user]\n\tname = me",
	"carriage returns":     "[user]\r\n\tname = me\r\n",
	"blank lines":          "\n\n[user]\n\tname = me\n\n\n",
	"blanks only":          " \n\t\n",
	"comment at the end":   "[user]\n\tname = me\n# the end \\\n",
	"same sections":        "[http \"https://git.example.com/\"]\n\tsslVerify = true\n[credential \"https://git.example.com\"]\n[lfs \"https://git.example.com\"]\n\taccess = basic\n",
	"same line, unmarked":  "[credential \"https://git.example.com\"]\n\thelper = /opt/x/git-credential-x\n",
	"marks of another key": "[core]\n\tpager = less # gitaccess\n",
	"another host of ours": "[credential \"https://other.example.com\"]\n\thelper = # gitaccess\n",
	"continued value":      "[core]\n\tpager = a \\\n[http \"https://git.example.com/\"] # gitaccess\n",
	"byte order mark":      "\ufeff[user]\n\tname = me\n",
}

// Whatever the file was, Unset makes it again; and Set twice is Set once.
func TestUnsetRestores(t *testing.T) {
	for name, content := range files {
		before := []byte(content)
		if name == "missing" {
			before = nil
		}
		for _, v := range []Version{oldGit, newGit} {
			h := hostConfig()
			h.Paths = []PathJar{{"/team", "/state/jar:team"}, {"/a b", "/state/jar:a b"}}
			set := mustSet(t, h, slices.Clone(before), v)
			if !strings.HasPrefix(string(set), content) {
				t.Errorf("%s: something was changed: %q", name, set)
			}
			if again := mustSet(t, h, set, v); string(again) != string(set) {
				t.Errorf("%s: the second time gives %q", name, again)
			}
			if got := Unset(set, h.Origin); string(got) != content || (got == nil) != (before == nil) {
				t.Errorf("%s: got %q, want %q", name, got, content)
			}
		}
	}
}

func TestSetReplaces(t *testing.T) {
	for name, content := range files {
		before := []byte(content)
		if name == "missing" {
			before = nil
		}
		h := hostConfig()
		old := mustSet(t, h, before, oldGit)
		want := mustSet(t, h, before, newGit)
		if got := mustSet(t, h, old, newGit); string(got) != string(want) {
			t.Errorf("%s: after an upgrade of git: got %q, want %q", name, got, want)
		}
		other := hostConfig()
		other.Origin = "https://git.example.com:8443"
		both := mustSet(t, other, old, newGit)
		if name == "no line feed" {
			continue // the missing line feed is behind the block that came last
		}
		if got := Unset(Unset(both, h.Origin), other.Origin); string(got) != content || (got == nil) != (before == nil) {
			t.Errorf("%s: two hosts, first one first: %q", name, got)
		}
		if got := Unset(Unset(both, other.Origin), h.Origin); string(got) != content || (got == nil) != (before == nil) {
			t.Errorf("%s: two hosts, last one first: %q", name, got)
		}
	}
}

// What a person, or git config, adds to our sections stays there.
func TestUnsetLeavesTheLinesOfOthers(t *testing.T) {
	eachGit(t, func(t *testing.T, g *Git) {
		h := hostConfig()
		path := filepath.Join(g.Dir, ".gitconfig")
		if err := os.WriteFile(path, mustSet(t, h, []byte("[user]\n\tname = me\n"), g.Version), 0o644); err != nil {
			t.Fatal(err)
		}
		g.must(t, "config", "--global", "user.email", "me@example.com")
		g.must(t, "config", "--global", "credential.https://git.example.com.username", "me")
		g.must(t, "config", "--global", "http.https://git.example.com/.sslVerify", "true")
		g.must(t, "config", "--global", "core.pager", "less")
		g.must(t, "config", "--global", "--unset", "http.https://git.example.com/.saveCookies")
		g.must(t, "config", "--global", "http.https://git.example.com/.cookieFile", "/mine")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := `[user]
	name = me
	email = me@example.com
[credential "https://git.example.com"]
	username = me
[http "https://git.example.com/"]
	cookieFile = /mine
	sslVerify = true
[core]
	pager = less
`
		if d := cmp.Diff(want, string(Unset(b, h.Origin))); d != "" {
			t.Errorf("-want +got\n%s\nof\n%s", d, b)
		}
	})
}

func TestUnsetOfAFileThatIsUsedByNow(t *testing.T) {
	h := hostConfig()
	set := append(mustSet(t, h, nil, newGit), "[user]\n\tname = me\n"...)
	if got := Unset(set, h.Origin); string(got) != "[user]\n\tname = me\n" {
		t.Errorf("got %q", got)
	}
}

// git reads what Set wrote as it was meant.
func TestGitReadsWhatSetWrote(t *testing.T) {
	eachGit(t, func(t *testing.T, g *Git) {
		h := hostConfig()
		h.Origin = "https://git.example.com:8443"
		h.Helper, h.Jar = `/opt/my tools/$(x)/it's "\git-credential-x`, `/home/a b/#1;"\jar`
		h.OwnLogin, h.Username, h.Others = true, "a b@c", []string{"store --file='a b'", "!f() { echo \"\\\t#;\"; }; f"}
		path := filepath.Join(g.Dir, ".gitconfig")
		if err := os.WriteFile(path, mustSet(t, h, []byte("[user]\n\tname = me"), g.Version), 0o644); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"user.name\nme",
			"credential.https://git.example.com:8443.helper\n",
			"credential.https://git.example.com:8443.helper\n" + `/opt/my\ tools/\$\(x\)/it\'s\ \"\\git-credential-x`,
			"credential.https://git.example.com:8443.helper\nstore --file='a b'",
			"credential.https://git.example.com:8443.helper\n!f() { echo \"\\\t#;\"; }; f",
			"http.https://git.example.com:8443/.cookiefile\n" + h.Jar,
			"http.https://git.example.com:8443/.savecookies\nfalse",
		}
		if !g.Version.AtLeast(2, 43) { // whose traces print cookies of HTTP/2
			want = append(want, "http.https://git.example.com:8443/.version\nHTTP/1.1")
		}
		if g.Version.AtLeast(2, 46) {
			want = append(want, "http.https://git.example.com:8443/.proactiveauth\nauto")
		} else {
			want = append(want, "http.https://git.example.com:8443/.emptyauth\ntrue",
				"url.https://a%20b%40c@git.example.com:8443/.insteadof\nhttps://git.example.com:8443/")
		}
		want = append(want, "lfs.https://git.example.com:8443.access\nbasic")
		got := strings.Split(strings.TrimSuffix(g.must(t, "config", "--global", "-z", "--list"), "\x00"), "\x00")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("-want +got\n%s", d)
		}
	})
}

// The lines come and go without a trace in whatever file, as long as it is none that ends inside a value.
func FuzzSetUnset(f *testing.F) {
	for _, content := range files {
		f.Add([]byte(content), true)
	}
	f.Add(mustSetFuzz(hostConfig(), nil, oldGit), false)
	f.Fuzz(func(t *testing.T, file []byte, modern bool) {
		h, v := hostConfig(), oldGit
		if modern {
			v = newGit
		}
		clean := Unset(file, h.Origin)
		if again := Unset(clean, h.Origin); string(again) != string(clean) {
			t.Fatalf("Unset twice: %q, then %q", clean, again)
		}
		set, err := h.Set(clean, v)
		if err != nil {
			return
		}
		if again, err := h.Set(set, v); err != nil || string(again) != string(set) {
			t.Fatalf("Set twice: %q, then %q, %v", set, again, err)
		}
		if got := Unset(set, h.Origin); string(got) != string(clean) {
			t.Fatalf("got %q, want %q", got, clean)
		}
	})
}

// What git reads in a file, it reads in the same order when our lines are set, and these after it; taking away what is marked as ours takes
// no line of others.
func FuzzSetAsGitReads(f *testing.F) {
	git := scripttest.Need(f, "git", "git")
	for _, content := range files {
		f.Add([]byte(content), true)
	}
	f.Add([]byte("[a]\nb=\"x # gitaccess\n[http \"https://git.example.com/\"] cookieFile = y # gitaccess\n\tz"), false)
	f.Add([]byte("[a \"\\\"]\"]\n\tb = c \\\n # gitaccess\n[credential \"https://git.example.com\"]\n\thelper = # gitaccess\n\thelper = mine\n"), true)
	f.Fuzz(func(t *testing.T, file []byte, modern bool) {
		dir := t.TempDir()
		list := func(content []byte) ([]string, bool) {
			path := filepath.Join(dir, "config")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(git, "config", "--file", path, "--list", "-z")
			cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "PATH=" + os.Getenv("PATH")}
			out, err := cmd.Output()
			return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"), err == nil
		}
		h, v := hostConfig(), oldGit
		if modern {
			v = newGit
		}
		all, ok := list(file)
		if !ok {
			return // git ends at such a file
		}
		clean := Unset(file, h.Origin)
		rest, ok := list(clean)
		if !ok {
			t.Fatalf("git reads %q, and not %q without our lines", file, clean)
		}
		for _, entry := range rest {
			i := slices.Index(all, entry)
			if i < 0 && entry != "" {
				t.Fatalf("without our lines, %q has %q", file, entry)
			}
			all = all[i+1:]
		}
		set, err := h.Set(clean, v)
		if err != nil {
			return
		}
		ours, _ := list(mustSetFuzz(h, nil, v))
		got, ok := list(set)
		if want := slices.DeleteFunc(append(rest, ours...), func(s string) bool { return s == "" }); !ok || !slices.Equal(got, want) {
			t.Fatalf("%q became %q, in which git reads %q, want %q", clean, set, got, want)
		}
	})
}

func mustSetFuzz(h *HostConfig, file []byte, v Version) []byte {
	b, err := h.Set(file, v)
	if err != nil {
		panic(err)
	}
	return b
}

func ExampleHostConfig_Set() {
	h := &HostConfig{
		Origin: "https://git.example.com",
		Helper: "/usr/local/bin/git-credential-example",
		Jar:    "/home/me/.local/state/example/jar",
	}
	file, err := h.Set([]byte("[user]\n\tname = Me\n"), Version{2, 47, 3})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%s", file)
	// Output:
	// [user]
	// 	name = Me
	// [credential "https://git.example.com"]
	// 	helper = # gitaccess
	// 	helper = /usr/local/bin/git-credential-example # gitaccess
	// [http "https://git.example.com/"]
	// 	cookieFile = /home/me/.local/state/example/jar # gitaccess
	// 	saveCookies = false # gitaccess
	// 	proactiveAuth = auto # gitaccess
	// [lfs "https://git.example.com"]
	// 	access = basic # gitaccess
}
