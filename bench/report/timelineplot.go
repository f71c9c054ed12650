// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"wqfan/bench/result"
)

// withTimeline returns the groups of any scenario in which it was recorded how
// far a live reader was behind, and what it lost, as errors came.
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

// floods returns what was run at a place of which some channel has a timeline:
// the groups of one scenario and point, on every channel.
func floods(d *data, spot place) [][]*group {
	type flood struct{ scenario, point string }
	of := func(g *group) flood { return flood{g.first().Scenario, g.point} }
	var out [][]*group
	for _, f := range distinct(at(withTimeline(d), spot), of, func(a, b flood) int {
		return cmp.Or(strings.Compare(a.scenario, b.scenario), strings.Compare(a.point, b.point))
	}) {
		out = append(out, filter(at(d.groups[f.scenario], spot), func(g *group) bool { return of(g) == f }))
	}
	return out
}

// compareFloods puts that one last which says most of the channels: one that
// fanotify had too, then with losses on most of them, then with the same rate
// for all, then with the larger losses.
func compareFloods(a, b []*group) int {
	weigh := func(gs []*group) (w [4]float64) {
		for _, g := range gs {
			lost := g.share(lostTold) + g.share(lostMute)
			if g.arm == "fan" {
				w[0] = 1
			}
			if lost > 0 && !baseline(g.arm) {
				w[1]++
			}
			if g.first().Params.Interval > 0 {
				w[2] = 1
			}
			w[3] += lost / float64(len(gs))
		}
		return w
	}
	x, y := weigh(a), weigh(b)
	return slices.Compare(x[:], y[:])
}

// course is what a timeline says, as lines.
type course struct {
	*group
	queued, lost plotter.XYs
	told         []float64 // when the reader was told of a loss
}

// courseOf reads the group's timeline. Emulated CPUs make no time that compares: there it
// goes from 0 to 100 %.
func courseOf(g *group) course {
	t := g.timeline()
	scale := 1e-6
	if !timesMean(g.mode) {
		scale = 100 / max(1, float64(t.At[len(t.At)-1]))
	}
	c := course{group: g}
	for i, at := range t.At {
		x, out := float64(at)*scale, t.Read[i]
		switch {
		case t.Lost != nil:
			out += t.Lost[i]
			c.lost = append(c.lost, plotter.XY{X: x, Y: float64(t.Lost[i])})
		case g.lossless(): // without sequence numbers, too, it is known which: none
			c.lost = append(c.lost, plotter.XY{X: x})
		}
		c.queued = append(c.queued, plotter.XY{X: x, Y: float64(t.Reported[i] - min(out, t.Reported[i]))})
	}
	for _, s := range t.Signals {
		c.told = append(c.told, float64(s.At)*scale)
	}
	return c
}

// capacity is how many errors the channel may hold, or 0 where that is not known:
// a queue is so many records, of which a long error takes several.
func (g *group) capacity() float64 {
	if g.first().Params.Blob > 0 {
		return 0
	}
	return float64(g.queue.size)
}

// timelineFigure shows how the queue of each channel filled, what it dropped and
// when the reader was told, in one flood and on the same axes.
func timelineFigure(d *data, spot place) *figure {
	flood := slices.MaxFunc(floods(d, spot), compareFloods)
	var cs []course
	var lossless []string
	deepest, most, end := 1.0, 1.0, 1e-3
	for _, g := range flood {
		if g.timeline() == nil {
			lossless = append(lossless, fmt.Sprintf("%s (%s)", g.arm, g.delivered()))
			continue
		}
		c := courseOf(g)
		cs = append(cs, c)
		for _, xy := range c.queued {
			deepest = max(deepest, xy.Y)
		}
		for _, xy := range c.lost {
			most = max(most, xy.Y)
		}
		end = max(end, c.queued[len(c.queued)-1].X)
	}
	for _, c := range cs {
		if q := c.capacity(); q < 4*deepest {
			deepest = max(deepest, q)
		}
	}

	var panels [][]*plot.Plot
	for part := range slices.Chunk(cs, perRow(len(cs), 3)) {
		var depth, loss []*plot.Plot
		for _, c := range part {
			p := panel(c.arm + ": queued")
			p.Y.Label.Text = "errors queued"
			countAxis(&p.Y, deepest)
			if q := c.capacity(); q > 0 {
				p.Add(&plotter.Line{XYs: plotter.XYs{{X: 0, Y: q}, {X: end, Y: q}}, LineStyle: capacityLine})
			}
			p.Add(&plotter.Line{XYs: c.queued, LineStyle: draw.LineStyle{Color: styleOf(c.arm).color, Width: 1.2}})
			depth = append(depth, p)

			p = panel(fmt.Sprintf("%s: %s of %s lost", c.arm, c.spread(func(c *result.Cell) uint64 { return c.Account.Lost() }), count(c.burst)))
			p.Y.Label.Text = "errors lost so far"
			countAxis(&p.Y, most)
			p.Y.Max *= 1.15 // for the signals
			if len(c.lost) > 0 {
				p.Add(&plotter.Line{XYs: c.lost, LineStyle: lostLine, StepStyle: plotter.PostStep})
			}
			p.Add(signals(c.told))
			loss = append(loss, p)
		}
		for _, row := range [][]*plot.Plot{depth, loss} {
			for _, p := range row {
				p.X.Label.Text = "10⁶ " + spot.mode.Unit() + " since the first error"
				countAxis(&p.X, end/1.08)
				if !timesMean(spot.mode) {
					p.X.Label.Text = "share of the channel's own time"
					shareAxis(&p.X, 0, 6) // its last label is not beside the next panel's first
				}
			}
			panels = append(panels, rowsOf(row, perRow(len(cs), 3))...)
		}
	}
	shareAxes(panels)

	f := &figure{
		name: "timeline-" + spot.slug(), panels: panels,
		title: fmt.Sprintf("How queues fill, when errors are lost, and when the reader is told: %v (%s)", spot, spot.mode),
		alt:   fmt.Sprintf("Timeline on %v: errors queued, errors lost so far and each signal of a loss, by channel.", spot),
		legend: []entry{
			{"queued, in the channel's colour", func(c *draw.Canvas) {
				each := (c.Max.X - c.Min.X) / vg.Length(len(cs))
				for i, of := range cs {
					from := c.Min.X + vg.Length(i)*each
					c.StrokeLine2(draw.LineStyle{Color: styleOf(of.arm).color, Width: 1.2}, from, c.Center().Y, from+each, c.Center().Y)
				}
			}},
			{"capacity", func(c *draw.Canvas) { c.StrokeLine2(capacityLine, c.Min.X, c.Center().Y, c.Max.X, c.Center().Y) }},
			{"lost so far, by when they were reported", func(c *draw.Canvas) { c.StrokeLine2(lostLine, c.Min.X, c.Center().Y, c.Max.X, c.Center().Y) }},
			{"the reader is told of a loss", func(c *draw.Canvas) { c.StrokeLine2(signalLine, c.Center().X, c.Min.Y, c.Center().X, c.Max.Y) }},
		},
		notes: []string{
			fmt.Sprintf("%s; scenario %s, %s; reader: %s. One boot; the numbers are of %s.", d.kernelNote(flood), flood[0].first().Scenario, flood[0].point, readers(flood), sample(flood)),
			"Queued: reported, and neither read nor lost (without sequence numbers: not read): in the channel, or before it with fserror's worker.",
			offers(cs),
		},
	}
	if len(lossless) > 0 {
		f.notes = append(f.notes, fmt.Sprintf("Lost nothing, which leaves no timeline: %s.", strings.Join(lossless, ", ")))
	}
	f.notes = append(f.notes, modeNote(spot.mode))
	return f
}

// delivered says what the reader got of errors of which none was lost.
func (g *group) delivered() string {
	s := g.spread(detailed) + " in detail"
	if n := g.spread(coalesced); n != "0" {
		s += ", " + n + " by count"
	}
	return s
}

// offers says what was asked for, of all the channels alike, and made of it.
func offers(cs []course) string {
	gap := cs[0].first().Params.Interval
	if gap <= 0 {
		return "Flat out: a slower channel slows its own injector."
	}
	rate := 1e9 / float64(gap)
	if !slices.ContainsFunc(cs, func(c course) bool { return c.rate() < reached*rate }) {
		return fmt.Sprintf("Asked for, and made: %s errors per second.", figures3(rate))
	}
	var made []string
	for _, c := range cs {
		made = append(made, fmt.Sprintf("%s %% for %s", percent(min(100, 100*c.rate()/rate)), c.arm))
	}
	return fmt.Sprintf("Asked for: %s errors per second; the injector made %s.", figures3(rate), strings.Join(made, ", "))
}

var (
	capacityLine = draw.LineStyle{Color: grey, Width: 1, Dashes: []vg.Length{3, 2}}
	lostLine     = draw.LineStyle{Color: black, Width: 1.4}
	signalLine   = draw.LineStyle{Color: black, Width: 0.8}
)

// signals are the moments when the reader was told of a loss.
type signals []float64

// Plot draws a mark for each at the top, off the line of what was lost.
func (s signals) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	for _, at := range s {
		c.StrokeLine2(signalLine, x(at), c.Max.Y-8, x(at), c.Max.Y)
	}
}
