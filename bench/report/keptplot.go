// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"slices"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"wqfan/bench/result"
)

// keptFigure shows how many records a channel keeps of a burst.
func keptFigure(d *data, gs []*group) *figure {
	const none = 0.3 // where a log axis has its zero
	arms := armsOf(gs)
	type row struct {
		cpus int
		mode result.Mode
	}
	var rows []row
	var filesystems []string
	xs, ys := []float64{1, 10}, []float64{none, 10}
	for _, p := range places(gs) {
		if r := (row{p.cpus, p.mode}); !slices.Contains(rows, r) {
			rows = append(rows, r)
		}
		if !slices.Contains(filesystems, p.fs) {
			filesystems = append(filesystems, p.fs)
		}
	}
	kept := func(g *group) float64 {
		return max(none, g.median(func(c *result.Cell) float64 { return float64(c.Reader.Records) }).Value)
	}
	for _, g := range gs {
		if g.burst > 0 {
			xs, ys = append(xs, float64(g.burst)), append(ys, kept(g))
		}
	}

	panels := make([][]*plot.Plot, len(rows))
	for i, r := range rows {
		for _, a := range arms {
			if !slices.ContainsFunc(gs, func(g *group) bool { return g.arm == a && g.cpus == r.cpus && g.mode == r.mode }) {
				panels[i] = append(panels[i], nil)
				continue
			}
			title := fmt.Sprintf("%s, %s", a, cpuCount(r.cpus))
			if slices.ContainsFunc(rows, func(o row) bool { return o.cpus == r.cpus && o.mode != r.mode }) {
				title += fmt.Sprintf(" (%s)", r.mode)
			}
			p := panel(title)
			p.X.Label.Text = "errors in the burst"
			p.Y.Label.Text = "error records kept"
			logAxis(&p.X, xs)
			p.X.Tick.Marker = plot.TickerFunc(everySecondDecade)
			logAxis(&p.Y, ys)
			p.Y.Min = none * 0.7
			p.Y.Max *= 5 // for the label of the highest queue
			p.Y.Tick.Marker = plot.TickerFunc(func(lo, hi float64) []plot.Tick {
				return append(logTicks(1, hi), plot.Tick{Value: none, Label: "0"})
			})
			end := min(p.X.Max, p.Y.Max)
			p.Add(&plotter.Line{XYs: plotter.XYs{{X: p.X.Min, Y: p.X.Min}, {X: end, Y: end}}, LineStyle: draw.LineStyle{Color: grey, Width: 0.8, Dashes: []vg.Length{2, 2}}})
			var lines []plot.Plotter
			for k, fs := range filesystems {
				mine := at(ofArm(gs, a), place{r.mode, fs, r.cpus})
				for _, q := range queuesOf(mine) {
					var line plotter.XYs
					for _, g := range ofQueue(mine, q) {
						if g.burst > 0 {
							line = append(line, plotter.XY{X: float64(g.burst), Y: kept(g)})
						}
					}
					if len(line) == 0 {
						continue
					}
					s := styleOf(a)
					if !once(r.mode, mine) {
						lines = append(lines, &plotter.Line{XYs: line, LineStyle: draw.LineStyle{Color: s.color, Width: 1.2}})
					}
					glyph := s.marker()
					glyph.Shape, glyph.Radius = fsGlyph(k), 2.6
					lines = append(lines, &plotter.Scatter{XYs: line, GlyphStyleFunc: func(int) draw.GlyphStyle { return glyph }})
				}
			}
			p.Add(capacities(queuesOf(ofArm(gs, a))))
			p.Add(lines...)
			panels[i] = append(panels[i], p)
		}
	}
	panels = tile(panels)
	shareAxes(panels)
	f := &figure{
		name: "kept", panels: panels,
		title: "Records kept of a burst that nobody reads",
		alt:   "Log-log: the number of error records kept against the size of the burst, for each channel and queue size.",
		notes: []string{
			fmt.Sprintf("%s, %s. Queues that were empty before.", d.kernelNote(gs), sample(gs)),
			"On the sloping line every error keeps a record of its own; at the level one the queue is full. One record of fan may count many errors. Lines join the bursts that were tried; between them nothing was measured.",
		},
	}
	if emulated := inMode(gs, result.TCG); len(emulated) > 0 {
		f.notes = append(f.notes, modeNote(result.TCG)+" One boot of it has points and no lines.")
	}
	for k, fs := range filesystems {
		f.legend = append(f.legend, entry{fs, func(c *draw.Canvas) {
			c.DrawGlyphNoClip(draw.GlyphStyle{Color: black, Radius: 3.4, Shape: fsGlyph(k)}, c.Center())
		}})
	}
	return f
}

// everySecondDecade labels so few ticks that they fit below a narrow panel.
func everySecondDecade(lo, hi float64) []plot.Tick { return everySecond(logTicks(lo, hi)) }

// everySecond leaves every second label out, and keeps its tick.
func everySecond(ticks []plot.Tick) []plot.Tick {
	n := 0
	for i := range ticks {
		if ticks[i].Label == "" {
			continue
		}
		if n%2 == 1 {
			ticks[i].Label = " "
		}
		n++
	}
	return ticks
}

// fsGlyph returns markers that stay apart when one lies on the other.
func fsGlyph(i int) draw.GlyphDrawer {
	return []draw.GlyphDrawer{draw.RingGlyph{}, draw.CrossGlyph{}, draw.SquareGlyph{}, draw.PlusGlyph{}}[i%4]
}

// capacities are the queues of a panel.
type capacities []queue

// Plot draws how many records a queue may hold, and names it where neither the
// diagonal nor the records kept pass: above its line, left of the diagonal or right.
func (qs capacities) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	sty := textStyle(7.5, xfont.WeightNormal, black)
	sty.YAlign = draw.YBottom
	const gap = 3
	lowest := c.Max.Y // of the labels so far
	for _, q := range qs {
		label := "queue " + q.String()
		if q.size == 0 {
			sty.XAlign = draw.XRight
			c.FillText(sty, vg.Point{X: c.Max.X - gap, Y: c.Min.Y + gap}, label)
			continue
		}
		at := vg.Point{X: c.Min.X + gap, Y: y(float64(q.size)) + gap}
		c.StrokeLine2(capacityLine, c.Min.X, at.Y-gap, c.Max.X, at.Y-gap)
		if at.Y+sty.Font.Size > lowest {
			continue // no room between this queue and the one above
		}
		lowest = at.Y - 2*gap
		sty.XAlign = draw.XLeft
		if at.X+sty.Width(label)+gap > x(float64(q.size)) {
			at.X, sty.XAlign = c.Max.X-gap, draw.XRight
		}
		c.FillText(sty, at, label)
	}
}
