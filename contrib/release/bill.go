package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// versionOf returns the version of the main module in the programs of a folder.
func versionOf(bin string) (string, error) {
	infos, err := buildInfos(bin)
	if err != nil {
		return "", err
	}
	for _, info := range infos {
		return info.Main.Version, nil
	}
	return "", fmt.Errorf("no programs in %s", bin)
}

func buildInfos(bin string) (map[string]*debug.BuildInfo, error) {
	entries, err := os.ReadDir(bin)
	if err != nil {
		return nil, err
	}
	infos := map[string]*debug.BuildInfo{}
	for _, e := range entries {
		info, err := buildinfo.ReadFile(filepath.Join(bin, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		infos[e.Name()] = info
	}
	return infos, nil
}

// component is one of CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/.
type component struct {
	Ref        string      `json:"bom-ref"`
	Type       string      `json:"type"`
	Name       string      `json:"name"`
	Version    string      `json:"version,omitempty"`
	PURL       string      `json:"purl,omitempty"`
	Hashes     []hash      `json:"hashes,omitempty"`
	Properties []property  `json:"properties,omitempty"`
	Components []component `json:"components,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

// bill writes the bill of materials of an archive. What it lists is what the linker
// has put into the programs, as the Go command recorded it there; modules that only
// tests or other systems use are not in it.
func (r *release) bill(archive, bin string) error {
	infos, err := buildInfos(bin)
	if err != nil {
		return err
	}
	product := component{Ref: archive, Type: "application", Name: "gitaccess", Version: r.version, PURL: "pkg:golang/github.com/gitaccess/gitaccess@" + r.version}
	modules := map[string]component{}
	var dependencies []dependency
	for name, info := range infos {
		b, err := os.ReadFile(filepath.Join(bin, name))
		if err != nil {
			return err
		}
		ref := archive + "#" + name
		product.Components = append(product.Components, component{
			Ref: ref, Type: "application", Name: name, Version: r.version, Hashes: []hash{{"SHA-256", fmt.Sprintf("%x", sha256.Sum256(b))}},
		})
		used := dependency{Ref: ref}
		std := component{Type: "library", Name: "std", Version: info.GoVersion, PURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")}
		std.Ref = std.PURL
		modules[std.Ref] = std
		used.DependsOn = append(used.DependsOn, std.Ref)
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			c := component{Type: "library", Name: m.Path, Version: m.Version, PURL: "pkg:golang/" + m.Path + "@" + m.Version}
			c.Ref = c.PURL
			if m.Sum != "" { // of the module's files, not of its zip: golang.org/x/mod/sumdb/dirhash
				c.Properties = []property{{"go:sum", m.Sum}}
			}
			modules[c.Ref] = c
			used.DependsOn = append(used.DependsOn, c.Ref)
		}
		slices.Sort(used.DependsOn)
		dependencies = append(dependencies, used)
	}
	byRef := func(a, b component) int { return strings.Compare(a.Ref, b.Ref) }
	slices.SortFunc(product.Components, byRef)
	slices.SortFunc(dependencies, func(a, b dependency) int { return strings.Compare(a.Ref, b.Ref) })
	libraries := []component{}
	for _, c := range modules {
		libraries = append(libraries, c)
	}
	slices.SortFunc(libraries, byRef)
	document := map[string]any{
		"$schema":      "http://cyclonedx.org/schema/bom-1.6.schema.json",
		"bomFormat":    "CycloneDX",
		"specVersion":  "1.6",
		"version":      1,
		"metadata":     map[string]any{"timestamp": r.time.Format("2006-01-02T15:04:05Z"), "component": product},
		"components":   libraries,
		"dependencies": dependencies,
	}
	b, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	return r.write(strings.TrimSuffix(strings.TrimSuffix(archive, ".tar.gz"), ".zip")+".cdx.json", append(b, '\n'))
}
