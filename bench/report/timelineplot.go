// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"wqfan/bench/result"
)

// withTimeline returns the groups of any scenario in which a live reader's
// losses were recorded as they came.
func withTimeline(d *data) []*group {
	var out []*group
	for _, gs := range d.groups {
		out = append(out, filter(gs, func(g *group) bool { return g.timeline() != nil })...)
	}
	return out
}

// timeline returns that of the first boot that has one, or nil.
func (g *group) timeline() *result.Timeline {
	i := slices.IndexFunc(g.cells, func(c result.Cell) bool { return c.Timeline != nil && len(c.Timeline.At) > 0 })
	if i < 0 {
		return nil
	}
	return g.cells[i].Timeline
}

// timelineFigure shows how the queue of each channel filled, what it dropped
// and when the reader was told, in the cell in which the channel lost most.
func timelineFigure(d *data, spot place) *figure {
	gs := at(withTimeline(d), spot)
	var rows [][]*plot.Plot
	var worst []*group
	end := 0.0
	for _, a := range armsOf(gs) {
		g := slices.MaxFunc(ofArm(gs, a), compareLoss)
		worst = append(worst, g)
		t := g.timeline()
		end = max(end, float64(t.At[len(t.At)-1])/1e6)
		var queued, lost plotter.XYs
		most := 1.0
		for i, at := range t.At {
			x, out := float64(at)/1e6, t.Read[i]
			if t.Lost != nil {
				out += t.Lost[i]
				lost = append(lost, plotter.XY{X: x, Y: float64(t.Lost[i])})
				most = max(most, lost[i].Y)
			}
			queued = append(queued, plotter.XY{X: x, Y: float64(t.Reported[i] - min(out, t.Reported[i]))})
			most = max(most, queued[i].Y)
		}
		p := panel(fmt.Sprintf("%s, %s %s: %s of %s errors lost", a, g.first().Scenario, g.point, g.spread(func(c *result.Cell) uint64 { return c.Account.Lost() }), count(g.burst)))
		p.X.Label.Text = "10⁶ " + spot.mode.Unit() + " since the first error"
		p.Y.Label.Text = "errors"
		if q := float64(g.queue.size); q > 0 && q < 4*most {
			most = max(most, q)
			p.Add(&plotter.Line{XYs: plotter.XYs{{X: 0, Y: q}, {X: 1e9, Y: q}}, LineStyle: capacityLine})
		}
		countAxis(&p.Y, most)
		p.Add(&plotter.Line{XYs: queued, LineStyle: draw.LineStyle{Color: styleOf(a).color, Width: 1.2}})
		if len(lost) > 0 {
			p.Add(&plotter.Line{XYs: lost, LineStyle: lostLine, StepStyle: plotter.PostStep})
		}
		p.Add(signals{t, lost})
		rows = append(rows, []*plot.Plot{p})
	}
	for _, row := range rows {
		countAxis(&row[0].X, end/1.08)
	}
	shareAxes(rows)
	return &figure{
		name: "timeline-" + spot.slug(), panels: rows,
		title: fmt.Sprintf("How queues fill, when errors are lost, and when the reader is told: %v (%s)", spot, spot.mode),
		alt:   fmt.Sprintf("Timeline on %v: errors queued, errors lost so far and each signal of a loss, by channel.", spot),
		legend: []entry{
			{"queued, in the channel's colour", func(c *draw.Canvas) {
				c.StrokeLine2(draw.LineStyle{Color: styleOf(worst[0].arm).color, Width: 1.2}, c.Min.X, c.Center().Y, c.Max.X, c.Center().Y)
			}},
			{"capacity", func(c *draw.Canvas) { c.StrokeLine2(capacityLine, c.Min.X, c.Center().Y, c.Max.X, c.Center().Y) }},
			{"lost so far, by when they were reported", func(c *draw.Canvas) { c.StrokeLine2(lostLine, c.Min.X, c.Center().Y, c.Max.X, c.Center().Y) }},
			{"the reader is told of a loss", func(c *draw.Canvas) { c.DrawGlyphNoClip(signal, c.Center()) }},
		},
		notes: []string{fmt.Sprintf("%s; of each channel the cell with a live reader in which it lost most, named above its panel; one boot. The cells may be of different scenarios. Channels that lost nothing are not shown.", d.kernelNote(worst)),
			"Queued: reported, and neither read nor lost (without sequence numbers: not read): in the channel, or before it with fserror's worker.", modeNote(spot.mode)},
	}
}

// compareLoss puts the group with the larger share of losses last.
func compareLoss(a, b *group) int {
	lost := func(g *group) float64 { return g.share(lostTold) + g.share(lostMute) }
	switch {
	case lost(a) < lost(b):
		return -1
	case lost(a) > lost(b):
		return 1
	}
	return 0
}

var (
	capacityLine = draw.LineStyle{Color: grey, Width: 1, Dashes: []vg.Length{3, 2}}
	lostLine     = draw.LineStyle{Color: black, Width: 1.4}
)

// signal marks the moment when a reader is told of a loss.
var signal = draw.GlyphStyle{Color: vermilion, Radius: 3.2, Shape: draw.TriangleGlyph{}}

// signals marks when the reader was told, on the line of what was lost by then.
type signals struct {
	*result.Timeline
	lost plotter.XYs
}

// Plot draws a marker for each signal.
func (s signals) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, sig := range s.Signals {
		at := plotter.XY{X: float64(sig.At) / 1e6}
		for _, xy := range s.lost {
			if xy.X <= at.X {
				at.Y = xy.Y
			}
		}
		c.DrawGlyphNoClip(signal, vg.Point{X: x(at.X), Y: y(at.Y)})
	}
}
