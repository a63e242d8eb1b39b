package githelper

import (
	"fmt"
	"strings"
)

// Diff returns what changes from one content of a file to another, in the unified format without context: lines of a configuration
// that do not change may hold secrets. It is empty if nothing changes. A nil content is a missing file.
func Diff(name string, from, to []byte) string {
	a, b := splitLines(from), splitLines(to)
	var out strings.Builder
	head := func(sign, name string, missing bool) {
		if missing {
			name = "/dev/null"
		}
		fmt.Fprintf(&out, "%s %s\n", sign, name)
	}
	i, j := 0, 0
	for _, same := range append(common(a, b), [3]int{len(a), len(b), 0}) {
		if same[0] > i || same[1] > j {
			if out.Len() == 0 {
				head("---", name, from == nil)
				head("+++", name, to == nil)
			}
			fmt.Fprintf(&out, "@@ -%s +%s @@\n", extent(i, same[0]), extent(j, same[1]))
			writeLines(&out, "-", a[i:same[0]])
			writeLines(&out, "+", b[j:same[1]])
		}
		i, j = same[0]+same[2], same[1]+same[2]
	}
	return out.String()
}

func extent(from, to int) string {
	if from == to { // an empty extent names the line before it
		return fmt.Sprintf("%d,0", from)
	}
	return fmt.Sprintf("%d,%d", from+1, to-from)
}

func writeLines(out *strings.Builder, sign string, lines [][]byte) {
	for _, l := range lines {
		text, ended := strings.CutSuffix(string(l), "\n")
		out.WriteString(sign + text + "\n")
		if !ended {
			out.WriteString("\\ No newline at end of file\n")
		}
	}
}

// common returns runs of equal lines as (index in a, index in b, length), longest common subsequence first found. Configuration
// files are short, so the quadratic table is of what lies between the equal head and the equal tail only.
func common(a, b [][]byte) [][3]int {
	head := 0
	for head < len(a) && head < len(b) && string(a[head]) == string(b[head]) {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && string(a[len(a)-1-tail]) == string(b[len(b)-1-tail]) {
		tail++
	}
	runs := [][3]int{{0, 0, head}}
	x, y := a[head:len(a)-tail], b[head:len(b)-tail]
	length := make([][]int, len(x)+1)
	for i := range length {
		length[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if string(x[i]) == string(y[j]) {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	for i, j := 0, 0; i < len(x) && j < len(y); {
		switch {
		case string(x[i]) == string(y[j]):
			runs = append(runs, [3]int{head + i, head + j, 1})
			i, j = i+1, j+1
		case length[i+1][j] >= length[i][j+1]:
			i++
		default:
			j++
		}
	}
	return append(runs, [3]int{len(a) - tail, len(b) - tail, tail})
}
