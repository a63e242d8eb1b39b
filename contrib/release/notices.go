package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([-.].*)?$`)

// notices returns the licences of all modules in the programs, which
// most of them want to be passed on with the programs.
func (r *release) notices(ctx context.Context, programs []program) (file, error) {
	used := map[string]bool{}
	for _, p := range programs {
		for _, m := range p.info.Deps {
			used[m.Path+"@"+m.Version] = true
		}
	}
	modules := slices.Sorted(maps.Keys(used))
	var b bytes.Buffer
	fmt.Fprintf(&b, "The programs of gitaccess %s contain the Go standard library and these modules:\n\n", r.version)
	for _, m := range modules {
		fmt.Fprintf(&b, "  %s\n", m)
	}
	goroot, err := r.output(ctx, r.tree, "go", "env", "GOROOT")
	if err != nil {
		return file{}, err
	}
	folders := map[string]string{"the Go standard library": goroot}
	text, err := r.output(ctx, r.tree, "go", append([]string{"mod", "download", "-json"}, modules...)...)
	if err != nil {
		return file{}, err
	}
	for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
		var m struct{ Path, Version, Dir string }
		if err := d.Decode(&m); err != nil {
			return file{}, err
		}
		folders[m.Path+"@"+m.Version] = m.Dir
	}
	for _, name := range append([]string{"the Go standard library"}, modules...) {
		entries, err := os.ReadDir(folders[name])
		if err != nil {
			return file{}, err
		}
		found := false
		for _, e := range entries {
			if !e.Type().IsRegular() || !licenceFile.MatchString(e.Name()) {
				continue
			}
			licence, err := os.ReadFile(filepath.Join(folders[name], e.Name()))
			if err != nil {
				return file{}, err
			}
			found = true
			fmt.Fprintf(&b, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("-", 80), name, e.Name(), bytes.TrimSpace(licence))
		}
		if !found {
			return file{}, fmt.Errorf("%s has no licence file", name)
		}
	}
	return file{"NOTICES", b.Bytes(), 0o644}, nil
}
