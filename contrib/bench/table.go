package main

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// table is what is printed. A row has a cell for each column that took part.
type table struct {
	notes    []string
	sections []*section
}

type section struct {
	title   string
	columns []string // ours first
	rows    []*row
	notes   []string
}

type row struct {
	name  string
	cells map[string]series
	goals []goal
	exact bool // a count: no spread
}

// goal is a figure to reach: the first column's median, or its ratio to another's.
type goal struct {
	to    string // column; "" is the figure itself
	more  bool   // at least, not at most
	limit float64
}

func (t *table) section(title string, columns ...string) *section {
	s := &section{title: title, columns: columns}
	t.sections = append(t.sections, s)
	return s
}

func (s *section) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// add takes a row from what contenders measured; each is the column of its name.
func (s *section) add(name string, all []*contender, of func(sample) float64, goals ...goal) *row {
	r := &row{name: name, cells: map[string]series{}, goals: goals}
	for _, c := range all {
		r.cells[c.name] = c.series(of)
	}
	s.rows = append(s.rows, r)
	return r
}

func atMost(limit float64, to string) goal  { return goal{to, false, limit} }
func atLeast(limit float64, to string) goal { return goal{to, true, limit} }

// value is what a goal is about; ok is false if the column did not take part.
func (r *row) value(g goal, ours string) (v float64, ok bool) {
	v = r.cells[ours].median()
	if g.to == "" {
		return v, true
	}
	other := r.cells[g.to]
	if len(other) == 0 {
		return 0, false
	}
	return v / other.median(), true
}

func (g goal) reached(v float64) bool {
	if g.more {
		return v >= g.limit
	}
	return v <= g.limit
}

// figure has three digits that say something.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func (r *row) cell(column string) string {
	v := r.cells[column]
	if len(v) == 0 {
		return "–"
	}
	if r.exact || len(v) == 1 {
		return figure(v.median())
	}
	least, most := v.spread()
	return fmt.Sprintf("%s [%s–%s]", figure(v.median()), figure(least), figure(most))
}

func (r *row) verdicts(ours string) (words []string, missed int) {
	for _, g := range r.goals {
		v, ok := r.value(g, ours)
		if !ok {
			continue
		}
		sign, verdict := "≤", "ok"
		if g.more {
			sign = "≥"
		}
		if !g.reached(v) {
			verdict = "MISSED"
			missed++
		}
		if g.to == "" {
			words = append(words, fmt.Sprintf("%s %s %s", sign, figure(g.limit), verdict))
		} else {
			words = append(words, fmt.Sprintf("%.2fx %s, %s %.2f %s", v, g.to, sign, g.limit, verdict))
		}
	}
	// A ratio to those that nothing is promised about.
	for _, other := range []string{peerName, bareName, directName} {
		if len(r.cells[other]) == 0 || r.exact || hasGoal(r.goals, other) {
			continue
		}
		words = append(words, fmt.Sprintf("%.2fx %s", r.cells[ours].median()/r.cells[other].median(), other))
	}
	return words, missed
}

func hasGoal(goals []goal, to string) bool {
	for _, g := range goals {
		if g.to == to {
			return true
		}
	}
	return false
}

// print writes the table and returns how many goals were missed.
func (t *table) print(w io.Writer) (missed int) {
	for _, n := range t.notes {
		fmt.Fprintln(w, n)
	}
	for _, s := range t.sections {
		fmt.Fprintln(w)
		grid := [][]string{append([]string{s.title}, s.columns...)}
		for _, r := range s.rows {
			cells := []string{"  " + r.name}
			for _, c := range s.columns {
				cells = append(cells, r.cell(c))
			}
			words, m := r.verdicts(s.columns[0])
			missed += m
			grid = append(grid, append(cells, strings.Join(words, "; ")))
		}
		align(w, grid)
		for _, n := range s.notes {
			fmt.Fprintln(w, "  "+n)
		}
	}
	return missed
}

// align pads the columns, each as wide as it needs to be but the first, which is the same in all sections.
func align(w io.Writer, grid [][]string) {
	const first, least = 44, 20
	width := map[int]int{0: first}
	for _, line := range grid {
		for i, cell := range line {
			width[i] = max(width[i], len([]rune(cell)), least)
		}
	}
	for _, line := range grid {
		var b strings.Builder
		for i, cell := range line {
			b.WriteString(cell)
			if i < len(line)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-len([]rune(cell))+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
