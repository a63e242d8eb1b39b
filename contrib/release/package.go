package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// nfpm makes the packages. Later versions need modules that the Go proxy does not
// give to everybody.
const nfpm = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.44.2"

const (
	maintainer = "gitaccess authors <gitaccess@users.noreply.github.com>"
	homepage   = "https://github.com/gitaccess/gitaccess"
	synopsis   = "git and ssh through Cloudflare Access"
	about      = `Small programs that git and ssh call to reach servers behind Cloudflare
Access, with plain URLs: a credential helper and a remote helper for git, a
ProxyCommand for ssh, and a command to log in, to keep service tokens and to
run other programs with them.`
)

// nfpmConfig is what we use of https://nfpm.goreleaser.com/docs/configuration/.
type nfpmConfig struct {
	Name          string         `json:"name"`
	Arch          string         `json:"arch"`
	Platform      string         `json:"platform"`
	Version       string         `json:"version"`
	VersionSchema string         `json:"version_schema"`
	Release       string         `json:"release,omitempty"`
	Section       string         `json:"section,omitempty"`
	Priority      string         `json:"priority,omitempty"`
	Maintainer    string         `json:"maintainer"`
	Vendor        string         `json:"vendor"`
	Homepage      string         `json:"homepage"`
	License       string         `json:"license,omitempty"`
	Description   string         `json:"description"`
	MTime         string         `json:"mtime"`
	Recommends    []string       `json:"recommends,omitempty"`
	Suggests      []string       `json:"suggests,omitempty"`
	Contents      []nfpmContent  `json:"contents"`
	Deb           map[string]any `json:"deb,omitempty"`
	RPM           map[string]any `json:"rpm,omitempty"`
}

type nfpmContent struct {
	Src      string   `json:"src,omitempty"`
	Dst      string   `json:"dst"`
	Type     string   `json:"type,omitempty"` // what rpm knows of it: "doc", "license", "dir"
	FileInfo fileInfo `json:"file_info"`
}

type fileInfo struct {
	Mode  uint32 `json:"mode"`
	MTime string `json:"mtime"`
}

// packages makes the packages for p with nfpm.
func (r *release) packages(ctx context.Context, p platform, programs []program, x *extras, work string) error {
	for _, format := range []string{"deb", "rpm", "apk"} {
		dir := filepath.Join(work, format)
		config, target := r.describe(format, p)
		for _, f := range r.packageFiles(format, programs, x) {
			src := filepath.Join(dir, "files", filepath.FromSlash(f.name))
			if err := os.MkdirAll(filepath.Dir(src), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(src, f.content, f.mode); err != nil {
				return err
			}
			config.Contents = append(config.Contents, nfpmContent{src, "/" + f.name, contentType(format, f.name), fileInfo{uint32(f.mode), config.MTime}})
		}
		if format == "rpm" { // the others remove what they leave empty
			for _, folder := range []string{"/usr/share/doc/gitaccess", "/usr/share/licenses/gitaccess"} {
				config.Contents = append(config.Contents, nfpmContent{"", folder, "dir", fileInfo{0o755, config.MTime}})
			}
		}
		b, err := json.MarshalIndent(config, "", "  ") // JSON is YAML
		if err != nil {
			return err
		}
		name := filepath.Join(dir, "nfpm.json")
		if err := os.WriteFile(name, b, 0o644); err != nil {
			return err
		}
		out, err := filepath.Abs(filepath.Join(r.out, target))
		if err != nil {
			return err
		}
		// nfpm is a tool of this machine: its own build need not be repeated.
		tool := &release{}
		cmd := tool.command(ctx, dir, "go", "run", nfpm, "package", "--config", name, "--packager", format, "--target", out)
		cmd.Env = append(cmd.Env, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.time.Unix()))
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s for %s: %w\n%s", format, p, err, text)
		}
	}
	return nil
}

// describe returns what nfpm is told of a package, less its files, and the
// package's usual name.
func (r *release) describe(format string, p platform) (config nfpmConfig, name string) {
	config = nfpmConfig{
		Name: "gitaccess", Arch: p.arch, Platform: "linux", VersionSchema: "none", Release: "1",
		Maintainer: maintainer, Vendor: "gitaccess", Homepage: homepage, License: "Apache-2.0",
		Description: synopsis + "\n" + about, MTime: r.time.Format(time.RFC3339),
	}
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[p.arch]
	switch format {
	case "deb":
		config.Version, config.Section, config.Priority = debianVersion(r.number()), "vcs", "optional"
		config.Recommends = []string{"ca-certificates", "git", "openssh-client"}
		config.Suggests = []string{"git-lfs", "gnome-keyring"}
		config.License = "" // copyright has it, and dpkg no such field
		config.Deb = map[string]any{"compression": "xz"}
		name = fmt.Sprintf("gitaccess_%s-1_%s.deb", config.Version, p.arch)
	case "rpm":
		config.Version = debianVersion(r.number())
		config.Recommends = []string{"ca-certificates", "git-core", "openssh-clients"}
		config.Description = about // the synopsis has a field of its own
		config.RPM = map[string]any{"group": "Development/Tools", "summary": "G" + synopsis[1:], "compression": "zstd:19", "buildhost": "localhost"}
		name = fmt.Sprintf("gitaccess-%s-1.%s.rpm", config.Version, machine)
	case "apk":
		config.Version, config.Release = alpineVersion(r.number()), "0"
		config.Description = synopsis // .PKGINFO has lines
		name = fmt.Sprintf("gitaccess-%s-r0.%s.apk", config.Version, machine)
	}
	return config, assetName(name)
}

// assetName is a file's name as a release of GitHub keeps it, whose names have no "~";
// SHA256SUMS would name others: https://docs.github.com/en/rest/releases/assets#upload-a-release-asset
func assetName(name string) string { return strings.ReplaceAll(name, "~", ".") }

// contentType is how rpm marks a file; rpmbuild would do it by its folder.
func contentType(format, name string) string {
	switch {
	case format != "rpm":
	case strings.HasPrefix(name, "usr/share/licenses/"):
		return "license"
	case strings.HasPrefix(name, "usr/share/doc/") || strings.HasPrefix(name, "usr/share/man/"):
		return "doc"
	}
	return ""
}

// packageFiles returns the files of a package, by their path on the system.
func (r *release) packageFiles(format string, programs []program, x *extras) []file {
	var files []file
	add := func(name string, content []byte, mode fs.FileMode) { files = append(files, file{name, content, mode}) }
	for _, f := range x.manual {
		add("usr/share/man/"+f.name+".gz", r.gzip(f.content), f.mode)
	}
	for _, f := range x.completion {
		if format == "deb" { // Debian's zsh looks there
			f.name = strings.Replace(f.name, "zsh/site-functions/", "zsh/vendor-completions/", 1)
		}
		add("usr/share/"+f.name, f.content, f.mode)
	}
	for _, f := range x.documents {
		switch {
		case format == "deb" && f.name == "LICENSE": // every Debian has it, and copyright names it
		case format == "deb" && f.name == "CHANGELOG.md":
			add("usr/share/doc/gitaccess/changelog.gz", r.gzip(f.content), f.mode)
		case format == "rpm" && (f.name == "LICENSE" || f.name == "NOTICES"):
			add("usr/share/licenses/gitaccess/"+f.name, f.content, f.mode)
		default:
			add("usr/share/doc/gitaccess/"+f.name, f.content, f.mode)
		}
	}
	if format == "deb" {
		add("usr/share/doc/gitaccess/copyright", []byte(debianCopyright), 0o644)
		add("usr/share/doc/gitaccess/changelog.Debian.gz", r.gzip(r.debianChangelog()), 0o644)
		add("usr/share/lintian/overrides/gitaccess", []byte(lintianOverrides), 0o644)
	}
	return sorted(under("usr/bin/", filesOf(programs)), files)
}

// gzip compresses without a name and a time, as Debian's policy wants it (12.7).
func (r *release) gzip(content []byte) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // a level that gzip knows
	}
	z.Write(content)
	z.Close()
	return b.Bytes()
}

// debianVersion is the version in the order of dpkg and rpm: "1.2.3", "1.2.3~rc.1".
func debianVersion(number string) string {
	number, _, _ = strings.Cut(number, "+")
	release, pre, found := strings.Cut(number, "-")
	if !found {
		return release
	}
	return release + "~" + strings.ReplaceAll(pre, "-", ".")
}

// A version before a release: of its kind, or of a commit, or of one after one of a kind.
var alpineBefore = regexp.MustCompile(`^(?:(alpha|beta|pre|rc)\.?([0-9]*))?(?:(?:^|\.)(?:0\.)?([0-9]{14})-[0-9a-f]{12})?$`)

// alpineVersion is the version in the form and the order of apk, for which _alpha,
// _beta, _pre and _rc are before the release and _git is after what it stands
// behind: "1.2.3", "1.2.3_rc1", "1.2.3_pre20261122020000" for a commit.
// https://gitlab.alpinelinux.org/alpine/apk-tools/-/blob/master/doc/apk-package.5.scd
func alpineVersion(number string) string {
	number, _, _ = strings.Cut(number, "+")
	release, pre, found := strings.Cut(number, "-")
	if !found {
		return release
	}
	switch m := alpineBefore.FindStringSubmatch(pre); {
	case m == nil || m[0] == "":
		return release + "_pre"
	case m[1] == "":
		return release + "_pre" + m[3]
	case m[3] == "":
		return release + "_" + m[1] + m[2]
	default:
		return release + "_" + m[1] + m[2] + "_git" + m[3]
	}
}

// debianChangelog is the one entry of the package: what changed in the programs is
// in changelog.gz.
func (r *release) debianChangelog() []byte {
	return fmt.Appendf(nil, "gitaccess (%s-1) unstable; urgency=medium\n\n  * %s, see changelog.gz.\n\n -- %s  %s\n",
		debianVersion(r.number()), r.version, maintainer, r.time.Format(time.RFC1123Z))
}

const debianCopyright = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: gitaccess
Source: https://github.com/gitaccess/gitaccess
Comment: The programs contain Go modules of others. Each of them with its licence
 is in /usr/share/doc/gitaccess/NOTICES.

Files: *
Copyright: 2026 The gitaccess authors
License: Apache-2.0

License: Apache-2.0
 Licensed under the Apache License, Version 2.0 (the "License"); you may not use
 this file except in compliance with the License. You may obtain a copy of the
 License at
 .
 https://www.apache.org/licenses/LICENSE-2.0
 .
 Unless required by applicable law or agreed to in writing, software distributed
 under the License is distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR
 CONDITIONS OF ANY KIND, either express or implied. See the License for the
 specific language governing permissions and limitations under the License.
 .
 On Debian systems, the full text of the Apache License, Version 2.0 can be found
 in the file /usr/share/common-licenses/Apache-2.0.
`

const lintianOverrides = `# Go links its programs statically: they start sooner, and run on every release.
gitaccess: statically-linked-binary
# No package of Debian's archive, where an "intent to package" is a bug to close.
gitaccess: initial-upload-closes-no-bugs *
`
