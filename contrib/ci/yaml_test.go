package ci

import (
	"fmt"
	"strings"
)

// parse reads the YAML that the templates are written in: maps, lists, plain scalars and blocks ("|"), by indentation. What it does not
// know is an error, so that a template stays in the part of YAML that all systems read alike. Values are string, []any and
// map[string]any.
func parse(text string) (any, error) {
	p := &parser{}
	for _, l := range strings.Split(text, "\n") {
		p.lines = append(p.lines, strings.TrimRight(l, " "))
	}
	v, err := p.value(0)
	if err == nil && p.skip() {
		err = p.errorf("indented by chance")
	}
	return v, err
}

type parser struct {
	lines []string
	at    int
}

func (p *parser) errorf(why string) error {
	return fmt.Errorf("line %d: %s: %q", p.at+1, why, p.lines[p.at])
}

func indent(l string) int { return len(l) - len(strings.TrimLeft(l, " ")) }

// skip goes to the next line that says something and reports whether there is one.
func (p *parser) skip() bool {
	for ; p.at < len(p.lines); p.at++ {
		if l := strings.TrimSpace(p.lines[p.at]); l != "" && l[0] != '#' {
			return true
		}
	}
	return false
}

// value reads the map or list whose lines begin at column in.
func (p *parser) value(in int) (any, error) {
	if !p.skip() || indent(p.lines[p.at]) != in {
		return nil, nil
	}
	if strings.HasPrefix(p.lines[p.at][in:], "- ") {
		return p.list(in)
	}
	return p.mapping(in)
}

func (p *parser) list(in int) (any, error) {
	var list []any
	for p.skip() && indent(p.lines[p.at]) == in && strings.HasPrefix(p.lines[p.at][in:], "- ") {
		item := p.lines[p.at][in+2:]
		if key, _, ok := strings.Cut(item, ":"); ok && !strings.ContainsAny(key, " \"'$") && (strings.HasSuffix(item, ":") || strings.Contains(item, ": ")) {
			p.lines[p.at] = strings.Repeat(" ", in+2) + item // a map that begins beside the dash
			m, err := p.mapping(in + 2)
			if err != nil {
				return nil, err
			}
			list = append(list, m)
			continue
		}
		if err := p.plain(item); err != nil {
			return nil, err
		}
		list = append(list, item)
		p.at++
	}
	return list, nil
}

func (p *parser) mapping(in int) (any, error) {
	m := map[string]any{}
	for p.skip() && indent(p.lines[p.at]) == in {
		key, rest, ok := strings.Cut(p.lines[p.at][in:], ":")
		if !ok || strings.ContainsAny(key, " \t\"'{}[]&*!|>%@`#") || rest != "" && rest[0] != ' ' {
			return nil, p.errorf("no key")
		}
		if _, twice := m[key]; twice {
			return nil, p.errorf("twice")
		}
		rest = strings.TrimSpace(rest)
		var err error
		switch {
		case rest == "|":
			p.at++
			m[key] = p.block(in)
		case rest == "":
			p.at++
			deeper := in
			if p.skip() {
				deeper = indent(p.lines[p.at])
			}
			if deeper <= in {
				return nil, p.errorf("no value before")
			}
			m[key], err = p.value(deeper)
		default:
			err = p.plain(rest)
			m[key] = rest
			p.at++
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// plain refuses scalars that YAML reads otherwise than as the text that stands there.
func (p *parser) plain(s string) error {
	if strings.ContainsAny(s[:1], "\"'{}[]&*!|>%@`#,?") || strings.Contains(s, ": ") || strings.Contains(s, " #") || strings.HasSuffix(s, ":") {
		return p.errorf("no plain scalar")
	}
	return nil
}

func (p *parser) block(in int) string {
	var lines []string
	for ; p.at < len(p.lines) && (p.lines[p.at] == "" || indent(p.lines[p.at]) > in); p.at++ {
		lines = append(lines, p.lines[p.at])
	}
	first := indent(lines[0])
	for i, l := range lines {
		lines[i] = l[min(len(l), first):]
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"
}
