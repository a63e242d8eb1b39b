package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/gitaccess/gitaccess/contrib/internal/programs"
)

// date of the pages: that of the last change to what they say would need a history, which a source archive lacks.
const date = "November 22, 2026"

// manual returns the page of a program whose help is in pages.
func manual(pages []*programs.Page, all []string) []byte {
	m := &mdoc{}
	main := pages[0]
	name := main.Name()
	m.line(`.\" Made by "go generate ./contrib/man" from the program's --help and contrib/man/prose.go.`)
	m.line(".Dd %s", date)
	m.line(".Dt %s 1", strings.ToUpper(name))
	m.line(".Os gitaccess")
	m.section("NAME")
	m.line(".Nm %s", name)
	m.line(".Nd %s", text(main.Title))
	m.section("SYNOPSIS")
	for _, p := range pages {
		if len(p.Words) > 1 && len(main.Usage) > 1 { // the program's own usage names its commands
			continue
		}
		if len(p.Commands) > 0 && len(main.Usage) == 1 { // a group
			continue
		}
		for _, u := range p.Usage {
			m.synopsis(name, u)
		}
	}
	m.section("DESCRIPTION")
	m.paragraphs(main.Text)
	if p, ok := more[name]; ok {
		m.line(".Pp")
		m.paragraphs(p)
	}
	m.line(".Pp")
	if len(main.Commands) > 0 {
		m.line("Flags of")
		m.line(".Nm %s ,", name)
		m.line("which may stand before and after arguments:")
	} else {
		m.line("Flags, which may stand before and after arguments:")
	}
	m.flags(main.Flags)
	if len(pages) > 1 {
		m.section("COMMANDS")
		for _, p := range pages[1:] {
			if len(p.Commands) > 0 { // a group: what is in it follows
				continue
			}
			m.line(".Ss %s", text(p.Name()))
			m.line("%s.", upperFirst(text(p.Title)))
			for _, u := range p.Usage {
				m.line(".Pp")
				m.line(".Dl %s", literal(u))
			}
			if len(p.Text) > 0 {
				m.line(".Pp")
				m.paragraphs(p.Text)
			}
			if own := slices.DeleteFunc(slices.Clone(p.Flags), everywhere); len(own) > 0 {
				m.line(".Pp")
				m.line("Flags:")
				m.flags(own)
			}
		}
	}
	m.entries("ENVIRONMENT", ".Ev", variables(pages, name))
	m.entries("FILES", ".Pa", pick(files, name))
	m.section("EXIT STATUS")
	m.list(".It", exitStatus)
	if ex := examples[name]; len(ex) > 0 {
		m.section("EXAMPLES")
		for _, e := range ex {
			m.sentences(e.what)
			m.line(".Pp")
			m.display(e.lines)
			m.line(".Pp")
		}
		m.dropPp()
	}
	m.section("SEE ALSO")
	var also []string
	for _, n := range all {
		if n != name {
			also = append(also, n+" 1")
		}
	}
	also = append(also, seeAlso[name]...)
	slices.SortFunc(also, func(a, b string) int {
		as, bs := a[strings.LastIndexByte(a, ' '):], b[strings.LastIndexByte(b, ' '):]
		if as != bs {
			return strings.Compare(as, bs)
		}
		return strings.Compare(a, b)
	})
	for i, a := range also {
		end := " ,"
		if i == len(also)-1 {
			end = ""
		}
		m.line(".Xr %s%s", a, end)
	}
	return []byte(strings.Join(m.lines, "\n") + "\n")
}

// variables are those that the program's help tells of, and those of prose.go.
func variables(pages []*programs.Page, name string) []entry {
	all := pick(environment, name)
	for _, p := range pages {
		for _, v := range p.Environment {
			bare, _, _ := strings.Cut(v.Name, "=")
			if !slices.ContainsFunc(all, func(e entry) bool { return slices.Contains(e.names, bare) }) {
				all = append(all, entry{names: []string{bare}, text: upperFirst(v.Text) + "."})
			}
		}
	}
	return all
}

// everywhere are the flags that a page has once.
func everywhere(f programs.Flag) bool {
	return slices.Contains(f.Names, "--help") || slices.Contains(f.Names, "--version")
}

type mdoc struct{ lines []string }

func (m *mdoc) line(format string, a ...any) { m.lines = append(m.lines, fmt.Sprintf(format, a...)) }

func (m *mdoc) section(title string) {
	m.dropPp()
	m.line(".Sh %s", title)
}

// dropPp takes back a paragraph that nothing follows.
func (m *mdoc) dropPp() {
	for len(m.lines) > 0 && m.lines[len(m.lines)-1] == ".Pp" {
		m.lines = m.lines[:len(m.lines)-1]
	}
}

// synopsis writes a line of usage; words in capitals stand for something.
func (m *mdoc) synopsis(name, usage string) {
	parts := []string{".Nm " + name}
	for _, word := range strings.Fields(strings.TrimPrefix(usage, name)) {
		inner, optional := strings.CutPrefix(word, "[")
		if optional && strings.HasSuffix(inner, "]") && !strings.ContainsAny(inner[:len(inner)-1], "[]") {
			parts = append(parts, "Oo Ar "+literal(inner[:len(inner)-1])+" Oc")
			continue
		}
		switch {
		case word == "--":
			parts = append(parts, `Fl \-`)
		case strings.ToUpper(word) == word || strings.ContainsAny(word, "|@["):
			parts = append(parts, "Ar "+literal(word))
		default:
			parts = append(parts, "Cm "+literal(word))
		}
	}
	m.line("%s", strings.Join(parts, " "))
}

// paragraphs writes texts as help has them: those of indented lines literally.
func (m *mdoc) paragraphs(texts []string) {
	for i, t := range texts {
		if i > 0 && m.lines[len(m.lines)-1] != ".Pp" {
			m.line(".Pp")
		}
		if !strings.HasPrefix(t, "  ") {
			m.sentences(t)
			continue
		}
		var lines []string
		for line := range strings.Lines(t) {
			lines = append(lines, strings.TrimPrefix(strings.TrimRight(line, "\n"), "  "))
		}
		m.display(lines)
	}
}

func (m *mdoc) display(lines []string) {
	m.dropPp()
	m.line(".Bd -literal -offset indent")
	for _, l := range lines {
		m.line("%s", literal(l))
	}
	m.line(".Ed")
}

// sentences writes each sentence on a line of its own, as mdoc(7) asks for.
func (m *mdoc) sentences(s string) {
	words := strings.Fields(s)
	var line []string
	flush := func() {
		if len(line) > 0 {
			m.line("%s", text(strings.Join(line, " ")))
			line = nil
		}
	}
	length := 0
	for i, w := range words {
		if length+len(w) > 75 {
			flush()
			length = 0
		}
		line = append(line, w)
		length += len(w) + 1
		if strings.HasSuffix(w, ".") && i+1 < len(words) && unicode.IsUpper([]rune(words[i+1])[0]) {
			flush()
			length = 0
		}
	}
	flush()
}

func (m *mdoc) flags(flags []programs.Flag) {
	m.line(".Bl -tag -width Ds")
	for _, f := range flags {
		var names []string
		for _, n := range f.Names {
			if long, ok := strings.CutPrefix(n, "--"); ok {
				names = append(names, `Fl \-`+literal(long))
			} else {
				names = append(names, "Fl "+literal(n[1:]))
			}
		}
		it := ".It " + strings.Join(names, " , ")
		if f.Value != "" {
			it += " Ns = Ns Ar " + literal(f.Value)
		}
		m.line("%s", it)
		m.sentences(upperFirst(f.Text))
		m.lines[len(m.lines)-1] += "."
	}
	m.line(".El")
}

// entries writes a list of things that have a macro, such as .Ev.
func (m *mdoc) entries(title, macro string, entries []entry) {
	if len(entries) == 0 {
		return
	}
	m.section(title)
	slices.SortStableFunc(entries, func(a, b entry) int { return strings.Compare(a.names[0], b.names[0]) })
	m.list(".It "+strings.TrimPrefix(macro, "."), entries)
}

func (m *mdoc) list(it string, entries []entry) {
	m.line(".Bl -tag -width Ds")
	for _, e := range entries {
		m.line("%s %s", it, strings.Join(escaped(e.names), " , "))
		m.sentences(e.text)
	}
	m.line(".El")
}

func escaped(names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, literal(n))
	}
	return out
}

// upperFirst begins a sentence, unless with the name of a program.
func upperFirst(s string) string {
	first, _, _ := strings.Cut(s, " ")
	switch strings.TrimSuffix(first, "'s") {
	case "", "git", "ssh":
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// text escapes for running text, literal for what is typed: there a hyphen, a quote and a tilde are those of ASCII.
func text(s string) string {
	s = programName.ReplaceAllStringFunc(escape(s), func(name string) string { return strings.ReplaceAll(name, "-", `\-`) })
	return strings.ReplaceAll(s, "--", `\-\-`)
}

// programName is not to be broken at its hyphens.
var programName = regexp.MustCompile(`\b(access|git)-[a-z-]+`)

func literal(s string) string {
	s = escape(s)
	return strings.NewReplacer("-", `\-`, "~", `\(ti`, "^", `\(ha`, "'", `\(aq`, "`", `\(ga`).Replace(s)
}

func escape(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	var b strings.Builder
	for _, r := range s {
		if r > unicode.MaxASCII {
			fmt.Fprintf(&b, `\[u%04X]`, r)
			continue
		}
		b.WriteRune(r)
	}
	s = b.String()
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
