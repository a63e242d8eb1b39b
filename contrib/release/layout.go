package main

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// A file of an archive or a package.
type file struct {
	name    string // path inside, by slashes
	content []byte
	mode    fs.FileMode
}

// A program has what the Go command recorded in it.
type program struct {
	file
	info *debug.BuildInfo
}

func readPrograms(bin string) ([]program, error) {
	entries, err := os.ReadDir(bin)
	if err != nil {
		return nil, err
	}
	var programs []program
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(bin, e.Name()))
		if err != nil {
			return nil, err
		}
		info, err := buildinfo.Read(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		programs = append(programs, program{file{e.Name(), b, 0o755}, info})
	}
	if len(programs) == 0 {
		return nil, fmt.Errorf("no programs in %s", bin)
	}
	return programs, nil
}

// extras are what goes beside the programs.
type extras struct {
	manual     []file // man1/access.1
	completion []file // by the folder of its shell below share/
	powershell []file
	documents  []file // README.md
}

// readExtras reads what stands beside the programs. A release that lacks any of it
// is none.
func readExtras(tree string) (*extras, error) {
	x := &extras{}
	type source struct {
		to         *[]file
		name, from string
	}
	sources := []source{
		{&x.completion, "bash-completion/completions/access", "contrib/completion/access.bash"},
		{&x.completion, "fish/vendor_completions.d/access.fish", "contrib/completion/access.fish"},
		{&x.completion, "zsh/site-functions/_access", "contrib/completion/_access"},
		{&x.powershell, "completion/access.ps1", "contrib/completion/access.ps1"},
		{&x.documents, "CHANGELOG.md", "CHANGELOG.md"},
		{&x.documents, "LICENSE", "LICENSE"},
		{&x.documents, "README.md", "README.md"},
		{&x.documents, "SECURITY.md", "SECURITY.md"},
	}
	pages, err := fs.Glob(os.DirFS(tree), "contrib/man/*.[1-8]")
	if err != nil {
		return nil, err
	}
	if len(pages) == 0 {
		return nil, errors.New("contrib/man has no manual pages")
	}
	for _, page := range pages {
		sources = append(sources, source{&x.manual, "man" + page[len(page)-1:] + "/" + filepath.Base(page), page})
	}
	for _, s := range sources {
		b, err := os.ReadFile(filepath.Join(tree, filepath.FromSlash(s.from)))
		if err != nil {
			return nil, err
		}
		*s.to = append(*s.to, file{s.name, b, 0o644})
	}
	return x, nil
}

// with returns x and one document more.
func (x *extras) with(document file) *extras {
	y := *x
	y.documents = append(slices.Clone(x.documents), document)
	return &y
}

// layout returns the files of an archive for p, sorted.
func layout(p platform, programs []program, x *extras) []file {
	if p.os == "windows" {
		return sorted(filesOf(programs), x.powershell, x.documents)
	}
	return sorted(under("bin/", filesOf(programs)), under("share/man/", x.manual), under("share/", x.completion), under("share/doc/gitaccess/", x.documents))
}

func filesOf(programs []program) []file {
	var files []file
	for _, p := range programs {
		files = append(files, p.file)
	}
	return files
}

func under(folder string, files []file) []file {
	files = slices.Clone(files)
	for i := range files {
		files[i].name = folder + files[i].name
	}
	return files
}

func sorted(lists ...[]file) []file {
	return slices.SortedFunc(slices.Values(slices.Concat(lists...)), func(a, b file) int { return strings.Compare(a.name, b.name) })
}
