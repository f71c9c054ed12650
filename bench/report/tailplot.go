// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"
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
// plots do; the maximum is marked. Each channel has a panel, below the others on
// one axis; those far beyond it have an axis of their own.
func tailFigure(d *data, m result.Mode, gs []*group) *figure {
	type where struct {
		point string
		place
	}
	whereOf := func(g *group) where { return where{g.point, g.place} }
	wheres := distinct(gs, whereOf, func(a, b where) int {
		if c := strings.Compare(a.point, b.point); c != 0 {
			return c
		}
		return a.place.compare(b.place)
	})
	f := &figure{
		name:  "tail-" + string(m),
		title: fmt.Sprintf("Latency: every error, and the worst (%s)", m),
		alt:   fmt.Sprintf("Histograms with a logarithmic count of the time from an error's intended time to its read, in %s, one for each channel, the maximum marked.", m.Unit()),
		notes: []string{fmt.Sprintf("%s, single errors, open loop, reader: %s. Marked: the maximum, never left out.", d.kernelNote(gs), readers(gs)),
			modeNote(m) + " " + bootsNote(gs)},
	}
	add := func(rows [][]*plot.Plot) {
		shareAxes(rows)
		for _, row := range rows {
			f.panels, f.high = append(f.panels, row), append(f.high, 46)
		}
	}
	cols := min(2, len(wheres))
	near, beyond := apart(gs)
	for some := range slices.Chunk(wheres, cols) {
		var rows [][]*plot.Plot
		for _, a := range armsOf(near) {
			row := make([]*plot.Plot, cols)
			for j, w := range some {
				if mine := filter(ofArm(near, a), func(g *group) bool { return whereOf(g) == w }); len(mine) > 0 {
					row[j] = tailPanel(mine[0], m, near)
				}
			}
			if slices.ContainsFunc(row, func(p *plot.Plot) bool { return p != nil }) {
				rows = append(rows, row)
			}
		}
		add(rows)
	}
	var row []*plot.Plot
	for _, g := range beyond {
		row = append(row, tailPanel(g, m, beyond))
	}
	if len(row) > 0 {
		add(rowsOf(row, cols))
	}
	return f
}

// apart returns the groups whose medians lie within two decades of the smallest,
// and the others.
func apart(gs []*group) (near, beyond []*group) {
	median := func(g *group) float64 { return max(1, float64(g.hist(readTime).Data.ValueAtPercentile(50))) }
	least, _ := spans(gs, median)
	for _, g := range gs {
		if median(g) <= 100*least {
			near = append(near, g)
		} else {
			beyond = append(beyond, g)
		}
	}
	return near, beyond
}

// tailPanel is the histogram of g on axes for all of gs.
func tailPanel(g *group, m result.Mode, gs []*group) *plot.Plot {
	var values []float64
	counts := []float64{1}
	for _, o := range gs {
		line, worst := outline(o.hist(readTime))
		values = append(values, line[0].X, worst.X)
		for _, xy := range line {
			counts = append(counts, xy.Y)
		}
	}
	p := panel(fmt.Sprintf("%s: %v, %s", g.arm, g.place, strings.ReplaceAll(g.point, "=", " ")))
	p.X.Label.Text = m.Unit()
	p.Y.Label.Text = "errors"
	logAxis(&p.X, values)
	worst := slices.Max(values)
	p.X.Max = worst * math.Pow(worst/p.X.Min, 0.4) // for the number beside the last marker
	logAxis(&p.Y, counts)
	p.Y.Min, p.Y.Max = empty, 4*p.Y.Max // for the marker
	p.Y.Tick.Marker = plot.TickerFunc(func(lo, hi float64) []plot.Tick { return everySecond(logTicks(1, hi)) })
	line, last := outline(g.hist(readTime))
	p.Add(bars{line, styleOf(g.arm).color}, maximum{last, line, g.arm})
	return p
}

// empty is where a logarithmic count has none: below one.
const empty = 0.5

// outline returns the histogram's steps, from the first bin to the end of the
// last, with its maximum.
func outline(h *result.Hist) (line plotter.XYs, worst plotter.XY) {
	const bins = 40 // of a decade
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
	for bin := lo; bin <= hi; bin++ {
		line = append(line, plotter.XY{X: edge(bin), Y: max(empty, count[bin])})
	}
	line = append(line, plotter.XY{X: edge(hi + 1), Y: empty})
	return line, plotter.XY{X: max(1, float64(h.Data.Max())), Y: count[hi]}
}

// bars are an outline, filled.
type bars struct {
	line  plotter.XYs
	color color.Color
}

// Plot fills the steps down to the axis, all in one, so that nothing shines through.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	pts := []vg.Point{{X: x(b.line[0].X), Y: c.Min.Y}}
	for i, xy := range b.line[:len(b.line)-1] {
		pts = append(pts, vg.Point{X: x(xy.X), Y: y(xy.Y)}, vg.Point{X: x(b.line[i+1].X), Y: y(xy.Y)})
	}
	pts = append(pts, vg.Point{X: x(b.line[len(b.line)-1].X), Y: c.Min.Y})
	c.FillPolygon(b.color, pts)
}

// maximum marks the worst value of a channel.
type maximum struct {
	at   plotter.XY
	line plotter.XYs // what it stands over
	arm  string
}

// Plot draws the channel's marker over the value and what is near it, with the
// number beside it.
func (m maximum) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	at := vg.Point{X: x(m.at.X), Y: y(m.at.Y)}
	for _, xy := range m.line {
		if x(xy.X) > at.X-10 {
			at.Y = max(at.Y, y(xy.Y))
		}
	}
	at.Y += 6
	c.DrawGlyphNoClip(styleOf(m.arm).marker(), at)
	sty := textStyle(7.5, xfont.WeightBold, black)
	sty.XAlign, sty.YAlign = draw.XLeft, draw.YCenter
	haloText(c, sty, vg.Point{X: at.X + 6, Y: at.Y}, "max "+figures3(m.at.X))
}
