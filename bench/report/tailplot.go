// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"math"
	"strings"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"wqfan/bench/result"
)

// tailFigure shows the histogram of the latencies with a logarithmic count, so
// that a single late error is seen as well as thousands in time, as cyclictest
// plots do; the maximum is marked.
func tailFigure(d *data, m result.Mode, gs []*group) *figure {
	var values, counts []float64
	for _, g := range gs {
		line, worst := outline(g.hist(readTime))
		values = append(values, line[0].X, worst.X)
		for _, xy := range line {
			counts = append(counts, xy.Y)
		}
	}
	points := distinct(gs, func(g *group) string { return g.point }, strings.Compare)
	var rows [][]*plot.Plot
	for _, point := range points {
		var row []*plot.Plot
		for _, w := range places(gs) {
			p := panel(fmt.Sprintf("%v, %s", w, strings.ReplaceAll(point, "=", " ")))
			p.X.Label.Text = m.Unit()
			p.Y.Label.Text = "errors"
			logAxis(&p.X, values)
			logAxis(&p.Y, append(counts, 1))
			var maxima []plot.Plotter // over all the lines
			for i, g := range filter(at(gs, w), func(g *group) bool { return g.point == point }) {
				line, worst := outline(g.hist(readTime))
				p.Add(&plotter.Line{XYs: line, LineStyle: styleOf(g.arm).line(), StepStyle: plotter.PostStep})
				maxima = append(maxima, maximum{worst, g.arm, i})
			}
			p.Add(maxima...)
			p.Y.Max *= math.Pow(10, 0.35*float64(len(armsOf(gs)))) // for their labels
			row = append(row, p)
		}
		rows = append(rows, row)
	}
	shareAxes(rows)
	return &figure{
		name: "tail-" + string(m), panels: rows,
		title:  fmt.Sprintf("Latency: every error, and the worst (%s)", m),
		legend: armEntries(armsOf(gs), true),
		alt:    fmt.Sprintf("Histogram with a logarithmic count of the time from an error's intended time to its read, in %s, one outline per channel, the maximum marked.", m.Unit()),
		notes: []string{fmt.Sprintf("%s, single errors, open loop, reader: %s. Marked: the maximum, never left out.", d.kernelNote(gs), readers(gs)),
			modeNote(m) + " " + bootsNote(gs)},
	}
}

// outline returns the histogram's steps, from the first bin to the end of the
// last, with its maximum. An empty bin between others is drawn at less than one.
func outline(h *result.Hist) (line plotter.XYs, worst plotter.XY) {
	const bins, empty = 40, 0.7 // bins of a decade
	count := map[int]float64{}
	lo, hi := math.MaxInt, 0
	for _, b := range h.Data.Distribution() {
		if b.Count > 0 {
			bin := int(math.Floor(math.Log10(max(1, float64(b.From))) * bins))
			count[bin] += float64(b.Count)
			lo, hi = min(lo, bin), max(hi, bin)
		}
	}
	edge := func(bin int) float64 { return math.Pow(10, float64(bin)/bins) }
	line = plotter.XYs{{X: edge(lo), Y: empty}}
	for bin := lo; bin <= hi; bin++ {
		line = append(line, plotter.XY{X: edge(bin), Y: max(empty, count[bin])})
	}
	line = append(line, plotter.XY{X: edge(hi + 1), Y: empty})
	return line, plotter.XY{X: max(1, float64(h.Data.Max())), Y: count[hi]}
}

// maximum marks the worst value of a channel.
type maximum struct {
	at  plotter.XY
	arm string
	row int // labels of several channels stand on different lines
}

// Plot draws a line up from the value, with the channel's marker and the number.
func (m maximum) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	s := styleOf(m.arm)
	top := c.Max.Y - vg.Length(9+11*m.row)
	line := s.line()
	line.Width = 1
	c.StrokeLine2(line, x(m.at.X), y(m.at.Y), x(m.at.X), top)
	c.DrawGlyphNoClip(s.marker(), vg.Point{X: x(m.at.X), Y: top})
	sty := textStyle(7.5, xfont.WeightBold, s.color)
	sty.XAlign, sty.YAlign = draw.XRight, draw.YCenter
	haloText(c, sty, vg.Point{X: x(m.at.X) - 5, Y: top}, "max "+figures3(m.at.X))
}
