// Picture makes an SVG of a terminal from what was printed in it, for README: each line appears when it appeared in the run, by the
// seconds that stand in it.
//
//	make demo | go run ./contrib/demo/picture 'make demo' >contrib/doc/demo.svg
//
// Programs that show no animation show the end.
package main

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

func main() {
	if err := draw(os.Stdin, os.Stdout, strings.Join(os.Args[1:], " ")); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

// Sizes in pixels: of a letter of the font, which the viewer has under one of several names, and of the frame.
const (
	letter = 7.8
	line   = 18.0
	size   = 13
	margin = 16.0
	bar    = 28.0
)

var step = regexp.MustCompile(`^([✓✗]) (.*?)(\s+)([0-9.]+) s(  )(.*)$`)

func draw(in io.Reader, out io.Writer, command string) error {
	lines := []string{"$ " + command}
	for s := bufio.NewScanner(in); s.Scan(); {
		lines = append(lines, s.Text())
	}
	if len(lines) < 2 {
		return fmt.Errorf("nothing was printed")
	}
	wide := 0
	for _, l := range lines {
		wide = max(wide, utf8.RuneCountInString(l))
	}
	width, height := float64(wide)*letter+2*margin, float64(len(lines))*line+2*margin+bar
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s in a terminal">
<style>
text { font: %dpx ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #d6deeb; white-space: pre }
.yes { fill: #7ec699 } .no { fill: #f08d8d } .dim { fill: #8ea1b5 } .typed { fill: #ffffff; font-weight: 600 }
@keyframes show { from { opacity: 0 } to { opacity: 1 } }
@media (prefers-reduced-motion: no-preference) { .at { animation: show 1ms both } }
</style>
<rect width="100%%" height="100%%" rx="8" fill="#0f1b2a"/>
<circle cx="18" cy="16" r="5" fill="#f08d8d"/><circle cx="36" cy="16" r="5" fill="#f2c879"/><circle cx="54" cy="16" r="5" fill="#7ec699"/>
`, width, height, width, height, html.EscapeString(command), size)
	at := 0.4
	for i, l := range lines {
		y := bar + margin + float64(i)*line + line/2
		m := step.FindStringSubmatch(l)
		if m != nil {
			took, err := strconv.ParseFloat(m[4], 64)
			if err != nil {
				return err
			}
			at += took
		}
		if l == "" {
			continue
		}
		begin := at
		if i == 0 {
			begin = 0
		}
		fmt.Fprintf(&b, `<text class="at" style="animation-delay:%.2fs" x="%.0f" y="%.0f" textLength="%.1f" lengthAdjust="spacingAndGlyphs" xml:space="preserve">%s</text>`+"\n",
			begin, margin, y, float64(utf8.RuneCountInString(l))*letter, painted(l, m, i == 0))
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(out, b.String())
	return err
}

func painted(l string, m []string, typed bool) string {
	span := func(class, s string) string {
		return `<tspan class="` + class + `">` + html.EscapeString(s) + `</tspan>`
	}
	switch {
	case typed:
		return span("dim", "$ ") + span("typed", strings.TrimPrefix(l, "$ "))
	case m != nil:
		class := "yes"
		if m[1] == "✗" {
			class = "no"
		}
		return span(class, m[1]) + " " + html.EscapeString(m[2]) + span("dim", m[3]+m[4]+" s"+m[5]+m[6])
	case strings.HasPrefix(l, "all "):
		return span("yes", l)
	}
	return html.EscapeString(l)
}
