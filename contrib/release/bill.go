package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
)

// bill writes the bill of materials of an archive, by its folder. What it lists is
// what the linker has put into the programs, as the Go command recorded it there;
// modules that only tests or other systems use are not in it.
func (r *release) bill(folder string, programs []program) error {
	library := func(path, version, number string) cyclonedx.Component {
		url := "pkg:golang/" + path + "@" + number
		return cyclonedx.Component{BOMRef: url, Type: cyclonedx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: url}
	}
	libraries := map[string]cyclonedx.Component{}
	product := library(programs[0].info.Main.Path, r.version, r.version)
	product.BOMRef, product.Type, product.Name = folder, cyclonedx.ComponentTypeApplication, "gitaccess"
	product.Licenses = &cyclonedx.Licenses{{License: &cyclonedx.License{ID: "Apache-2.0"}}}
	product.Components = &[]cyclonedx.Component{}
	parts := cyclonedx.Dependency{Ref: product.BOMRef, Dependencies: &[]string{}}
	var dependencies []cyclonedx.Dependency
	for _, p := range programs {
		ref := folder + "#" + p.name
		*product.Components = append(*product.Components, cyclonedx.Component{
			BOMRef: ref, Type: cyclonedx.ComponentTypeApplication, Name: p.name, Version: r.version,
			Hashes: &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: fmt.Sprintf("%x", sha256.Sum256(p.content))}},
		})
		*parts.Dependencies = append(*parts.Dependencies, ref)

		std := library("std", p.info.GoVersion, strings.TrimPrefix(p.info.GoVersion, "go"))
		libraries[std.BOMRef] = std
		used := []string{std.BOMRef}
		for _, m := range p.info.Deps {
			c := library(m.Path, m.Version, m.Version)
			// Of the module's files, not of its zip: golang.org/x/mod/sumdb/dirhash
			c.Properties = &[]cyclonedx.Property{{Name: "go:sum", Value: m.Sum}}
			libraries[c.BOMRef] = c
			used = append(used, c.BOMRef)
		}
		slices.Sort(used)
		dependencies = append(dependencies, cyclonedx.Dependency{Ref: ref, Dependencies: &used})
	}
	components := slices.SortedFunc(maps.Values(libraries), func(a, b cyclonedx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	document := cyclonedx.NewBOM()
	document.Metadata = &cyclonedx.Metadata{Timestamp: r.time.Format(time.RFC3339), Component: &product}
	document.Components = &components
	dependencies = append(dependencies, parts)
	document.Dependencies = &dependencies

	var b bytes.Buffer
	// 1.6 is what readers know for now; of 1.7 nothing is used.
	if err := cyclonedx.NewBOMEncoder(&b, cyclonedx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(document, cyclonedx.SpecVersion1_6); err != nil {
		return err
	}
	return r.write(folder+".cdx.json", b.Bytes())
}
