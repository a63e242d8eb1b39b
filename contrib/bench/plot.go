package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
)

// plot draws the ratios to which a limit was set: a bar for each, and a line where the limit is. The axis is logarithmic, with
// equal speed in the middle.
func (t *table) plot() []byte {
	const (
		width, left, right = 980, 500, 90
		line, top          = 26, 60
		low, high          = 0.05, 20.0
	)
	x := func(v float64) float64 {
		at := (math.Log(math.Min(math.Max(v, low), high)) - math.Log(low)) / (math.Log(high) - math.Log(low))
		return left + at*(width-left-right)
	}
	var body bytes.Buffer
	y := top
	for _, s := range t.sections {
		for _, r := range s.rows {
			for _, g := range r.goals {
				v, ok := r.value(g, s.columns[0])
				if !ok || g.to == "" {
					continue
				}
				colour := "#2b7a3d"
				if !g.reached(v) {
					colour = "#b3261e"
				}
				from, to := min(x(1), x(v)), max(x(1), x(v))
				fmt.Fprintf(&body, `<text x="%d" y="%d" text-anchor="end">%s</text>`, left-8, y+5, escape(s.title+": "+r.name+", to "+g.to))
				fmt.Fprintf(&body, `<rect x="%.1f" y="%d" width="%.1f" height="14" fill="%s"/>`, from, y-7, to-from, colour)
				fmt.Fprintf(&body, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#000" stroke-dasharray="2 2"/>`, x(g.limit), x(g.limit), y-11, y+11)
				fmt.Fprintf(&body, `<text x="%d" y="%d">%.2fx</text>`, width-right+8, y+5, v)
				body.WriteByte('\n')
				y += line
			}
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", width, y)
	fmt.Fprintf(&out, `<rect width="100%%" height="100%%" fill="#fff"/>`+"\n"+`<text x="10" y="22" font-size="14">%s</text>`+"\n", escape("ours to others, and where the limit is (dotted): "+t.notes[0]))
	for _, v := range []float64{0.1, 0.4, 1, 2, 10} {
		fmt.Fprintf(&out, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle" fill="#666">%gx</text>`+"\n", x(v), x(v), top-14, y-10, x(v), top-18, v)
	}
	out.Write(body.Bytes())
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// markdown is the rows in which cloudflared took part, for a document.
func (t *table) markdown() []byte {
	var b bytes.Buffer
	b.WriteString("| | gitaccess | cloudflared | ratio |\n|---|---|---|---|\n")
	for _, s := range t.sections {
		for _, r := range s.rows {
			peer := r.cells[peerName]
			if len(peer) == 0 {
				continue
			}
			ours := r.cells[oursName].median()
			fmt.Fprintf(&b, "| %s: %s | %s | %s | %.2f |\n", s.title, r.name, figure(ours), figure(peer.median()), ours/peer.median())
		}
	}
	fmt.Fprintf(&b, "\n%s. Medians, run in turn.\n", t.notes[0])
	return b.Bytes()
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
