package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A file of an archive or a package.
type file struct {
	name    string // path inside, by slashes
	content []byte
	mode    fs.FileMode
}

// extras are what goes beside the programs.
type extras struct {
	manual     []file // man1/access.1
	completion []file // by the folder of its shell below share/
	powershell []file
	documents  []file // README.md
}

// readExtras reads what stands beside the programs. A release without manual pages
// or completions is none.
func readExtras(tree string) (*extras, error) {
	x := &extras{}
	pages, err := filepath.Glob(filepath.Join(tree, "contrib", "man", "*.[1-8]"))
	if err != nil {
		return nil, err
	}
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(page)
		x.manual = append(x.manual, file{"man" + name[len(name)-1:] + "/" + name, b, 0o644})
	}
	completions := filepath.Join(tree, "contrib", "completion")
	err = filepath.WalkDir(completions, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		name := d.Name()
		switch ext := path.Ext(name); {
		case ext == ".go" || ext == ".md":
		case ext == ".bash":
			x.completion = append(x.completion, file{"bash-completion/completions/" + strings.TrimSuffix(name, ext), b, 0o644})
		case ext == ".zsh":
			x.completion = append(x.completion, file{"zsh/site-functions/_" + strings.TrimPrefix(strings.TrimSuffix(name, ext), "_"), b, 0o644})
		case ext == "" && strings.HasPrefix(name, "_"):
			x.completion = append(x.completion, file{"zsh/site-functions/" + name, b, 0o644})
		case ext == ".fish":
			x.completion = append(x.completion, file{"fish/vendor_completions.d/" + name, b, 0o644})
		case ext == ".ps1":
			x.powershell = append(x.powershell, file{"completion/" + name, b, 0o644})
		default:
			return fmt.Errorf("no shell is known for %s", p)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(x.manual) == 0 {
		return nil, errors.New("contrib/man has no manual pages")
	}
	if len(x.completion) == 0 {
		return nil, errors.New("contrib/completion has no completions")
	}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md"} {
		b, err := os.ReadFile(filepath.Join(tree, name))
		if err != nil {
			return nil, err
		}
		x.documents = append(x.documents, file{name, b, 0o644})
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
func (r *release) layout(p platform, bin string, x *extras) ([]file, error) {
	programs, err := readPrograms(bin)
	if err != nil {
		return nil, err
	}
	if p.os == "windows" {
		files := slices.Concat(programs, x.powershell, x.documents)
		return sorted(files), nil
	}
	var files []file
	for _, f := range programs {
		files = append(files, file{"bin/" + f.name, f.content, f.mode})
	}
	for _, f := range x.manual {
		files = append(files, file{"share/man/" + f.name, f.content, f.mode})
	}
	for _, f := range x.completion {
		files = append(files, file{"share/" + f.name, f.content, f.mode})
	}
	for _, f := range x.documents {
		files = append(files, file{"share/doc/gitaccess/" + f.name, f.content, f.mode})
	}
	return sorted(files), nil
}

func sorted(files []file) []file {
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files
}

func readPrograms(bin string) ([]file, error) {
	entries, err := os.ReadDir(bin)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(bin, e.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, file{e.Name(), b, 0o755})
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no programs in %s", bin)
	}
	return files, nil
}
