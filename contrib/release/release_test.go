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
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"

	"github.com/gitaccess/gitaccess/internal/scripttest"
)

// A version reads alike everywhere, in the order of each package manager.
func TestVersions(t *testing.T) {
	for _, test := range []struct{ number, debian, alpine string }{
		{"1.2.3", "1.2.3", "1.2.3"},
		{"1.2.3-rc.1", "1.2.3~rc.1", "1.2.3_rc1"},
		{"1.2.3-beta2", "1.2.3~beta2", "1.2.3_beta2"},
		{"0.0.0-20261122023517-48cf36482cd1", "0.0.0~20261122023517.48cf36482cd1", "0.0.0_pre20261122023517"},
		{"1.2.4-0.20261122023517-48cf36482cd1", "1.2.4~0.20261122023517.48cf36482cd1", "1.2.4_pre20261122023517"},
		{"1.2.4-rc.1.0.20261122023517-48cf36482cd1", "1.2.4~rc.1.0.20261122023517.48cf36482cd1", "1.2.4_rc1_git20261122023517"},
		{"1.2.4-rc.1.2", "1.2.4~rc.1.2", "1.2.4_pre"},
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
	return &release{version: "v1.2.3", time: commitTime, out: t.TempDir()}
}

// An archive depends on nothing but its files and the commit's time.
func TestArchives(t *testing.T) {
	files := []file{{"bin/access", []byte("program"), 0o755}, {"share/doc/README.md", []byte("read"), 0o644}}
	for _, p := range []platform{{"linux", "amd64"}, {"windows", "arm64"}} {
		var first []byte
		for i := range 2 {
			r := testRelease(t)
			a, err := r.archive(p, nil, files)
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join(r.out, a.Name))
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = b
			} else if !bytes.Equal(first, b) {
				t.Errorf("%s differs the second time", a.Name)
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
	for _, missing := range []string{"contrib/man/access.1", "contrib/completion/access.fish", "LICENSE", "SECURITY.md"} {
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
}

// What contrib/man and contrib/completion have gets into a release, also the
// completion for another shell.
func TestNothingLeftOut(t *testing.T) {
	x, err := readExtras("../..")
	if err != nil {
		t.Fatal(err)
	}
	released := map[string]bool{}
	for _, f := range slices.Concat(x.manual, x.completion, x.powershell) {
		released[string(f.content)] = true
	}
	for _, dir := range []string{"../man", "../completion"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if b, err := os.ReadFile(name); err != nil || !released[string(b)] && filepath.Ext(name) != ".go" {
				t.Errorf("%s is in no archive (%v)", name, err)
			}
		}
	}
}

func TestLayout(t *testing.T) {
	x, err := readExtras(writeTree(t, whole...))
	if err != nil {
		t.Fatal(err)
	}
	x = x.with(file{"NOTICES", []byte("of others"), 0o644})
	programs := []program{{file: file{"access", nil, 0o755}}, {file: file{"git-credential-access", nil, 0o755}}}
	r := testRelease(t)
	names := func(files []file) (names []string) {
		for _, f := range files {
			names = append(names, f.name)
		}
		return names
	}
	if diff := cmp.Diff([]string{
		"bin/access", "bin/git-credential-access", "share/bash-completion/completions/access",
		"share/doc/gitaccess/CHANGELOG.md", "share/doc/gitaccess/LICENSE", "share/doc/gitaccess/NOTICES", "share/doc/gitaccess/README.md", "share/doc/gitaccess/SECURITY.md",
		"share/fish/vendor_completions.d/access.fish", "share/man/man1/access.1", "share/zsh/site-functions/_access",
	}, names(layout(platform{"darwin", "arm64"}, programs, x))); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"CHANGELOG.md", "LICENSE", "NOTICES", "README.md", "SECURITY.md", "access", "completion/access.ps1", "git-credential-access",
	}, names(layout(platform{"windows", "amd64"}, programs, x))); diff != "" {
		t.Errorf("archive for Windows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"usr/bin/access", "usr/bin/git-credential-access", "usr/share/bash-completion/completions/access",
		"usr/share/doc/gitaccess/NOTICES", "usr/share/doc/gitaccess/README.md", "usr/share/doc/gitaccess/SECURITY.md",
		"usr/share/doc/gitaccess/changelog.Debian.gz", "usr/share/doc/gitaccess/changelog.gz", "usr/share/doc/gitaccess/copyright",
		"usr/share/fish/vendor_completions.d/access.fish", "usr/share/lintian/overrides/gitaccess", "usr/share/man/man1/access.1.gz", "usr/share/zsh/vendor-completions/_access",
	}, names(r.packageFiles("deb", programs, x))); diff != "" {
		t.Errorf("deb (-want +got):\n%s", diff)
	}
}

// writeManagers writes an archive for each system, and what installs them.
func writeManagers(t *testing.T, r *release) map[platform]archive {
	t.Helper()
	archives := map[platform]archive{}
	for _, p := range platforms {
		a, err := r.archive(p, []program{{file: file{"access", nil, 0o755}}}, []file{{"bin/access", []byte(p.String()), 0o755}})
		if err != nil {
			t.Fatal(err)
		}
		archives[p] = a
	}
	if err := r.managers(archives); err != nil {
		t.Fatal(err)
	}
	return archives
}

// The package managers are given the archives that are there, by their checksums.
func TestManagers(t *testing.T) {
	r := testRelease(t)
	writeManagers(t, r)
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
	if len(scoop.Bin) != 1 || scoop.Architecture["64bit"].ExtractDir != "gitaccess_1.2.3_windows_amd64" || scoop.Architecture["arm64"].Hash == "" {
		t.Errorf("scoop: %+v", scoop)
	}
}

// The bill of materials names everything that it says something depends on, once,
// and all of that is below the product. It is the same whenever it is written.
func TestBill(t *testing.T) {
	info, ok := debug.ReadBuildInfo()
	if !ok || len(info.Deps) == 0 {
		t.Fatalf("the test has the build info %v", info)
	}
	write := func() (*release, []byte) {
		r := testRelease(t)
		if err := r.bill("gitaccess_1.2.3_linux_amd64", []program{{file{"access", []byte("one"), 0o755}, info}, {file{"git-credential-access", []byte("two"), 0o755}, info}}); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(r.out, "gitaccess_1.2.3_linux_amd64.cdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		return r, b
	}
	r, b := write()
	if _, again := write(); !bytes.Equal(b, again) {
		t.Error("it is another one the second time")
	}
	var bill cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(b), cyclonedx.BOMFileFormatJSON).Decode(&bill); err != nil {
		t.Fatal(err)
	}
	if bill.SpecVersion != cyclonedx.SpecVersion1_6 || bill.Metadata.Timestamp != "2026-11-22T02:35:17Z" {
		t.Errorf("CycloneDX %s of %s", bill.SpecVersion, bill.Metadata.Timestamp)
	}
	product := bill.Metadata.Component
	above := map[string]bool{product.BOMRef: false} // part → whether something depends on it
	for _, c := range slices.Concat(*product.Components, *bill.Components) {
		if _, twice := above[c.BOMRef]; twice {
			t.Errorf("%s stands in it twice", c.BOMRef)
		}
		above[c.BOMRef] = false
	}
	if len(above) != 1+2+1+len(info.Deps) { // the product, the programs, the standard library
		t.Errorf("it has %d parts", len(above))
	}
	for _, d := range *bill.Dependencies {
		for _, ref := range append(*d.Dependencies, d.Ref) {
			if _, ok := above[ref]; !ok {
				t.Errorf("nothing is said of %s", ref)
			}
			above[ref] = above[ref] || ref != d.Ref
		}
	}
	for ref, ok := range above {
		if !ok && ref != product.BOMRef {
			t.Errorf("nothing depends on %s", ref)
		}
	}
	if full() {
		validate(t, filepath.Join(r.out, "gitaccess_1.2.3_linux_amd64.cdx.json"))
	}
}

// validate holds a bill of materials to the schemas of CycloneDX, which are in the
// module of its types.
func validate(t *testing.T, bill string) {
	t.Helper()
	scripttest.Need(t, "/usr/bin/jsonschema", "python3-jsonschema")
	module := strings.TrimSpace(runTool(t, "", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"))
	runTool(t, "", "/usr/bin/python3", "-c", `
import glob, json, os, sys
import jsonschema
schemas = {os.path.basename(name): json.load(open(name)) for name in glob.glob(sys.argv[1] + "/*.json")}
schema = schemas["bom-1.6.schema.json"]
store = {"http://cyclonedx.org/schema/" + name: s for name, s in schemas.items()} | {s["$id"]: s for s in schemas.values()}
resolver = jsonschema.RefResolver(schema["$id"], schema, store)
jsonschema.Draft7Validator(schema, resolver=resolver).validate(json.load(open(sys.argv[2])))
`, filepath.Join(module, "schema"), bill)
}

// A package has the version in the order of its manager, and a name that GitHub
// does not change.
func TestPackageNames(t *testing.T) {
	r := testRelease(t)
	r.version = "v1.2.3-rc.1"
	for format, want := range map[string][2]string{
		"deb": {"1.2.3~rc.1", "gitaccess_1.2.3.rc.1-1_arm64.deb"},
		"rpm": {"1.2.3~rc.1", "gitaccess-1.2.3.rc.1-1.aarch64.rpm"},
		"apk": {"1.2.3_rc1", "gitaccess-1.2.3_rc1-r0.aarch64.apk"},
	} {
		config, name := r.describe(format, platform{"linux", "arm64"})
		if config.Version != want[0] || name != want[1] {
			t.Errorf("%s is of %s, want %s", name, config.Version, want)
		}
	}
}

// What a user has set for all builds changes nothing in a release.
func TestSettings(t *testing.T) {
	env := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(env, []byte("GOAMD64=v3\nGOARM64=v9.0\nGOFLAGS=-tags=keyring_nokeyctl\nCGO_ENABLED=1\nGOFIPS140=latest\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOENV", env)
	t.Setenv("GOOS", "windows")
	t.Setenv("GIT_DIR", "/nonexistent")
	for _, name := range []string{"GOAMD64", "GOARM64", "GOFLAGS", "CGO_ENABLED", "GOFIPS140"} {
		t.Setenv(name, "")
	}
	r := testRelease(t)
	got, err := r.output(t.Context(), "", "go", "env", "GOAMD64", "GOARM64", "GOFLAGS", "CGO_ENABLED", "GOFIPS140", "GOOS")
	if want := "v1\nv8.0\n-mod=readonly\n0\noff\n" + runtime.GOOS; err != nil || got != want {
		t.Errorf("it is built with %q, want %q (%v)", got, want, err)
	}
	if _, err := r.output(t.Context(), "", "git", "rev-parse", "HEAD"); err != nil {
		t.Error(err)
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
		t.Skip("left to make test-full")
	}
	ruby := scripttest.Need(t, "ruby", "ruby")
	nix := scripttest.Need(t, "nix-instantiate", "nix-bin")
	r := testRelease(t)
	archives := writeManagers(t, r)
	got := runTool(t, r.out, ruby, "-W0", "-e", `
		class Formula
			class << self
				def on_macos; @os = "darwin"; yield; end
				def on_linux; @os = "linux"; yield; end
				def on_intel; @arch = "amd64"; yield; end
				def on_arm; @arch = "arm64"; yield; end
				def url(url); @url = url; end
				def sha256(sum); puts "#{@os}/#{@arch} #{@url} #{sum}"; end
				def desc(*); end
				def homepage(*); end
				def license(*); end
				def version(version); puts version; end
				def test(*); end
			end
		end
		load "./gitaccess.rb"`)
	want := "1.2.3\n"
	for _, p := range []platform{{"darwin", "amd64"}, {"darwin", "arm64"}, {"linux", "amd64"}, {"linux", "arm64"}} {
		want += p.String() + " " + homepage + "/releases/download/v1.2.3/" + archives[p].Name + " " + archives[p].Sum + "\n"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ruby (-want +got):\n%s", diff)
	}
	for system, p := range map[string]platform{
		"x86_64-linux": {"linux", "amd64"}, "aarch64-linux": {"linux", "arm64"}, "x86_64-darwin": {"darwin", "amd64"}, "aarch64-darwin": {"darwin", "arm64"},
	} {
		got := runTool(t, r.out, nix, "--eval", "--strict", "--expr", `
			let d = import ./gitaccess.nix {
				lib = { licenses.asl20 = "Apache-2.0"; sourceTypes.binaryNativeCode = "binary"; };
				stdenvNoCC = { hostPlatform.system = "`+system+`"; mkDerivation = a: a; };
				fetchurl = a: a;
			}; in "${d.version} ${d.src.url} ${d.src.sha256} ${d.meta.mainProgram}"`)
		want := `"1.2.3 ` + homepage + "/releases/download/v1.2.3/" + archives[p].Name + " " + archives[p].Sum + ` access"` + "\n"
		if got != want {
			t.Errorf("nix: %s, want %s", got, want)
		}
	}
}
