// SPDX-License-Identifier: MIT

package report

import (
	"image/color"
	"slices"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"wqfan/bench/result"
)

// stack draws a bar for each group at its place on a category axis: the fates
// of its errors on each other, up to 100 %.
type stack struct {
	groups []*group
	slot   func(*group) int
}

// any says that some error had the fate.
func (s stack) any(f fate) bool {
	return slices.ContainsFunc(s.groups, func(g *group) bool {
		return slices.ContainsFunc(g.cells, func(c result.Cell) bool { return f.of(&c) > 0 })
	})
}

// Plot draws the bars, with the number of errors lost silently high above those
// that have any, where there is room.
func (s stack) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, g := range s.groups {
		i := float64(s.slot(g))
		var all float64
		for k := range g.cells {
			all += total(&g.cells[k])
		}
		from := 0.0
		for _, f := range fates {
			var sum float64
			for k := range g.cells {
				sum += f.of(&g.cells[k])
			}
			to := from + 100*part(sum, all)
			if to > from {
				f.fillRect(&c, vg.Rectangle{Min: vg.Point{X: x(i - 0.4), Y: y(from)}, Max: vg.Point{X: x(i + 0.4), Y: y(to)}})
			}
			from = to
			if f.name == silent.name && sum > 0 && roomFor(s.slot(g), int(p.X.Max)+1) {
				s.above(c, p, g, 111, true, short(sum/float64(len(g.cells))))
			}
		}
	}
}

// above writes text over the bar of g, at a height in per cent.
func (s stack) above(c draw.Canvas, p *plot.Plot, g *group, height float64, bold bool, text string) {
	x, y := p.Transforms(&c)
	sty := textStyle(7.5, xfont.WeightNormal, black)
	if bold {
		sty = textStyle(7.5, xfont.WeightBold, black)
	}
	sty.XAlign, sty.YAlign = draw.XCenter, draw.YBottom
	c.FillText(sty, vg.Point{X: x(float64(s.slot(g))), Y: y(height)}, text)
}

// fateEntries is the legend of bars in which the fates in seen occur. The two
// losses and the two deliveries are named even where there are none.
func fateEntries(seen map[string]bool) []entry {
	var out []entry
	for _, f := range fates {
		if seen[f.name] || slices.Contains([]string{fates[0].name, fates[1].name, signalled.name, silent.name}, f.name) {
			out = append(out, entry{f.name, func(c *draw.Canvas) { f.fillRect(c, c.Rectangle) }})
		}
	}
	return out
}

// fillRect fills r as the fate demands: colour, diagonals, edge.
func (f fate) fillRect(c *draw.Canvas, r vg.Rectangle) {
	corners := []vg.Point{r.Min, {X: r.Max.X, Y: r.Min.Y}, r.Max, {X: r.Min.X, Y: r.Max.Y}}
	c.FillPolygon(f.fill, corners)
	if f.hatch > 0 {
		ink := draw.LineStyle{Color: color.Gray{0x50}, Width: 0.6}
		// The lines x-y = k·hatch, so that they go on from bar to bar.
		first := vg.Length(int((r.Min.X-r.Max.Y)/f.hatch)-1) * f.hatch
		for k := first; k < r.Max.X-r.Min.Y; k += f.hatch {
			lo, hi := max(r.Min.X, k+r.Min.Y), min(r.Max.X, k+r.Max.Y)
			if lo < hi {
				c.StrokeLine2(ink, lo, lo-k, hi, hi-k)
			}
		}
	}
	if f.edge {
		c.StrokeLines(draw.LineStyle{Color: color.Gray{0x50}, Width: 0.4}, append(corners, r.Min))
	}
}
