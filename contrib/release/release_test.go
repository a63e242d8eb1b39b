package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// A version reads alike everywhere, in the order of each package manager.
func TestVersions(t *testing.T) {
	for _, test := range []struct{ number, debian, alpine string }{
		{"1.2.3", "1.2.3", "1.2.3"},
		{"1.2.3-rc.1", "1.2.3~rc.1", "1.2.3_rc1"},
		{"1.2.3-beta2", "1.2.3~beta2", "1.2.3_beta2"},
		{"0.0.0-20261122023517-48cf36482cd1", "0.0.0~20261122023517.48cf36482cd1", "0.0.0_git20261122023517"},
		{"1.2.4-0.20261122023517-48cf36482cd1", "1.2.4~0.20261122023517.48cf36482cd1", "1.2.4_git20261122023517"},
		{"1.2.3-something", "1.2.3~something", "1.2.3_pre"},
		{"1.2.3+meta", "1.2.3", "1.2.3"},
	} {
		if got := debianVersion(test.number); got != test.debian {
			t.Errorf("debian: %s is %s, want %s", test.number, got, test.debian)
		}
		if got := alpineVersion(test.number); got != test.alpine {
			t.Errorf("alpine: %s is %s, want %s", test.number, got, test.alpine)
		}
	}
}

var commitTime = time.Date(2026, 11, 22, 2, 35, 17, 0, time.UTC)

func testRelease(t *testing.T) *release {
	return &release{version: "v1.2.3", time: commitTime, out: t.TempDir(), windows: []string{"access.exe", "git-credential-access.exe"}}
}

// An archive depends on nothing but its files and the commit's time.
func TestArchives(t *testing.T) {
	files := []file{{"bin/access", []byte("program"), 0o755}, {"share/doc/README.md", []byte("read"), 0o644}}
	for _, p := range []platform{{"linux", "amd64"}, {"windows", "arm64"}} {
		var first []byte
		for i := range 2 {
			r := testRelease(t)
			name, err := r.archive(p, files)
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join(r.out, name))
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = b
			} else if !bytes.Equal(first, b) {
				t.Errorf("%s differs the second time", name)
			}
		}
	}

	r := testRelease(t)
	var b bytes.Buffer
	if err := r.tarball(&b, "top", files); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	if !z.ModTime.IsZero() || z.Name != "" {
		t.Errorf("gzip tells %q of %v", z.Name, z.ModTime)
	}
	tarred := tar.NewReader(z)
	for _, want := range files {
		h, err := tarred.Next()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tarred)
		if err != nil || h.Name != "top/"+want.name || h.Mode != int64(want.mode) || !h.ModTime.Equal(commitTime) || h.Uid != 0 || h.Uname != "" || !bytes.Equal(content, want.content) {
			t.Errorf("got %+v, %v", h, err)
		}
	}

	b.Reset()
	if err := r.zip(&b, "top", files); err != nil {
		t.Fatal(err)
	}
	zipped, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range zipped.File {
		if f.Name != "top/"+files[i].name || f.Mode() != files[i].mode || !f.Modified.Equal(commitTime) {
			t.Errorf("got %+v", f.FileHeader)
		}
	}
}

func writeTree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var whole = []string{
	"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "contrib/man/access.1", "contrib/man/main.go",
	"contrib/completion/access.bash", "contrib/completion/_access", "contrib/completion/access.fish", "contrib/completion/access.ps1", "contrib/completion/completion_test.go",
}

// A release lacks nothing: it fails rather.
func TestWithoutManual(t *testing.T) {
	for _, missing := range []string{"contrib/man/access.1", "contrib/completion/", "LICENSE", "SECURITY.md"} {
		var rest []string
		for _, name := range whole {
			if !strings.HasPrefix(name, missing) {
				rest = append(rest, name)
			}
		}
		if _, err := readExtras(writeTree(t, rest...)); err == nil {
			t.Errorf("a release without %s", missing)
		}
	}
	if _, err := readExtras(writeTree(t, append(whole, "contrib/completion/access.ksh")...)); err == nil {
		t.Error("a completion for an unknown shell was left out without a word")
	}
}

func TestLayout(t *testing.T) {
	x, err := readExtras(writeTree(t, whole...))
	if err != nil {
		t.Fatal(err)
	}
	x = x.with(file{"NOTICES", []byte("of others"), 0o644})
	bin := writeTree(t, "access", "git-credential-access")
	r := testRelease(t)
	names := func(files []file) (names []string) {
		for _, f := range files {
			names = append(names, f.name)
		}
		return names
	}
	unix, err := r.layout(platform{"darwin", "arm64"}, bin, x)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		"bin/access", "bin/git-credential-access", "share/bash-completion/completions/access",
		"share/doc/gitaccess/CHANGELOG.md", "share/doc/gitaccess/LICENSE", "share/doc/gitaccess/NOTICES", "share/doc/gitaccess/README.md", "share/doc/gitaccess/SECURITY.md",
		"share/fish/vendor_completions.d/access.fish", "share/man/man1/access.1", "share/zsh/site-functions/_access",
	}, names(unix)); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
	windows, err := r.layout(platform{"windows", "amd64"}, writeTree(t, "access.exe"), x)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"CHANGELOG.md", "LICENSE", "NOTICES", "README.md", "SECURITY.md", "access.exe", "completion/access.ps1"}, names(windows)); diff != "" {
		t.Errorf("archive for Windows (-want +got):\n%s", diff)
	}
	deb, err := r.packageFiles("deb", bin, x)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		"usr/bin/access", "usr/bin/git-credential-access", "usr/share/bash-completion/completions/access",
		"usr/share/doc/gitaccess/NOTICES", "usr/share/doc/gitaccess/README.md", "usr/share/doc/gitaccess/SECURITY.md",
		"usr/share/doc/gitaccess/changelog.Debian.gz", "usr/share/doc/gitaccess/changelog.gz", "usr/share/doc/gitaccess/copyright",
		"usr/share/fish/vendor_completions.d/access.fish", "usr/share/lintian/overrides/gitaccess", "usr/share/man/man1/access.1.gz", "usr/share/zsh/vendor-completions/_access",
	}, names(deb)); diff != "" {
		t.Errorf("deb (-want +got):\n%s", diff)
	}
}

// The package managers are given the archives that are there, by their checksums.
func TestManagers(t *testing.T) {
	r := testRelease(t)
	archives := map[platform]string{}
	for _, p := range platforms {
		name, err := r.archive(p, []file{{"bin/access", []byte(p.String()), 0o755}})
		if err != nil {
			t.Fatal(err)
		}
		archives[p] = name
	}
	if err := r.managers(archives); err != nil {
		t.Fatal(err)
	}
	if err := r.checksums(); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(r.out, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	published := map[string]string{} // name → sum
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		published[name] = sum
	}
	if len(published) != len(platforms)+3 {
		t.Errorf("checksums of %v", published)
	}
	for manager, count := range map[string]int{"gitaccess.rb": 4, "gitaccess.nix": 4, "gitaccess.json": 2} {
		b, err := os.ReadFile(filepath.Join(r.out, manager))
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for name, sum := range published {
			if !strings.HasSuffix(name, ".zip") && !strings.HasSuffix(name, ".tar.gz") {
				continue
			}
			if strings.Contains(string(b), name) != strings.Contains(string(b), sum) {
				t.Errorf("%s has one of name and checksum of %s", manager, name)
			} else if strings.Contains(string(b), sum) {
				found++
			}
		}
		if found != count {
			t.Errorf("%s installs %d archives, want %d", manager, found, count)
		}
		for _, url := range regexp.MustCompile(`https://[^"\s]*download/v[^"\s$]*`).FindAllString(string(b), -1) {
			if !strings.HasPrefix(url, homepage+"/releases/download/v1.2.3/") {
				t.Errorf("%s fetches %s", manager, url)
			}
		}
	}
	var scoop struct {
		Bin          []string
		Architecture map[string]struct {
			Hash       string
			ExtractDir string `json:"extract_dir"`
		}
	}
	b, err := os.ReadFile(filepath.Join(r.out, "gitaccess.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &scoop); err != nil {
		t.Fatal(err)
	}
	if len(scoop.Bin) != 2 || scoop.Architecture["64bit"].ExtractDir != "gitaccess_1.2.3_windows_amd64" || scoop.Architecture["arm64"].Hash == "" {
		t.Errorf("scoop: %+v", scoop)
	}
}

func TestCompare(t *testing.T) {
	a, b := writeTree(t, "one", "two"), writeTree(t, "one", "two")
	if err := compare(a, b); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(b, "two"), []byte("twp"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := compare(a, b); err == nil || !strings.Contains(err.Error(), "two") {
		t.Errorf("other bytes: %v", err)
	}
	if err := compare(a, writeTree(t, "one")); err == nil {
		t.Error("a file less")
	}
}

// What Ruby and Nix say to the files that are for them.
func TestManagersAreRead(t *testing.T) {
	if !full() {
		t.Log("only with ACCESS_TEST_FULL=1")
		return
	}
	ruby := scripttest.Need(t, "ruby", "ruby")
	nix := scripttest.Need(t, "nix-instantiate", "nix-bin")
	r := testRelease(t)
	archives := map[platform]string{}
	for _, p := range platforms {
		name, err := r.archive(p, []file{{"bin/access", []byte(p.String()), 0o755}})
		if err != nil {
			t.Fatal(err)
		}
		archives[p] = name
	}
	if err := r.managers(archives); err != nil {
		t.Fatal(err)
	}
	runTool(t, r.out, ruby, "-c", "gitaccess.rb")
	for system, p := range map[string]platform{"x86_64-linux": {"linux", "amd64"}, "aarch64-darwin": {"darwin", "arm64"}} {
		sum, err := r.sum(archives[p])
		if err != nil {
			t.Fatal(err)
		}
		got := runTool(t, r.out, nix, "--eval", "--strict", "--expr", `
			let d = import ./gitaccess.nix {
				lib = { licenses.asl20 = "Apache-2.0"; sourceTypes.binaryNativeCode = "binary"; };
				stdenvNoCC = { hostPlatform.system = "`+system+`"; mkDerivation = a: a; };
				fetchurl = a: a;
			}; in "${d.version} ${d.src.url} ${d.src.sha256} ${d.meta.mainProgram}"`)
		want := `"1.2.3 ` + homepage + "/releases/download/v1.2.3/" + archives[p] + " " + sum + ` access"` + "\n"
		if got != want {
			t.Errorf("nix: %s, want %s", got, want)
		}
	}
}
