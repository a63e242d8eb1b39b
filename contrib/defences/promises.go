package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A promise of the threat model and the tests that show it, each as "package Test".
type promise struct {
	text  string
	tests []string
}

type promises []promise

var testPackage = regexp.MustCompile("^`([a-z0-9/-]+)` ")

// readPromises reads the tables of the threat model.
func readPromises(root string) (promises, error) {
	b, err := os.ReadFile(filepath.Join(root, "contrib/doc/threat-model.md"))
	if err != nil {
		return nil, err
	}
	var all promises
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 2 || strings.HasPrefix(line, "|---") || strings.Contains(cells[1], "shown by") {
			continue
		}
		p := promise{text: strings.TrimSpace(cells[0])}
		for _, group := range strings.Split(strings.TrimSpace(cells[1]), "; ") {
			m := testPackage.FindStringSubmatch(group)
			if m == nil {
				return nil, fmt.Errorf("%q names no package: %s", p.text, group)
			}
			for _, name := range strings.Split(group[len(m[0]):], ", ") {
				p.tests = append(p.tests, m[1]+" "+strings.TrimSpace(name))
			}
		}
		all = append(all, p)
	}
	return all, nil
}

// full returns the text of the promise that begins with the words, or the words.
func (all promises) full(words string) string {
	for _, p := range all {
		if strings.HasPrefix(p.text, words) {
			return p.text
		}
	}
	return words
}
