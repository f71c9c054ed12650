// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"image/color"
	"slices"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"wqfan/bench/result"
)

// partialDrop is the share of errors whose loss the partial drop rate allows
// for, in per cent: FD.io CSIT's.
const partialDrop = 0.5

// partial says that no boot lost more than that.
func (g *group) partial() bool {
	return !slices.ContainsFunc(g.cells, func(c result.Cell) bool {
		return 100*part(float64(c.Account.Signalled+c.Account.Silent), total(&c)) > partialDrop
	})
}

// loadFigure shows the fate of every error against the offered rate, and up to
// which rate a channel lost nothing.
func loadFigure(d *data, m result.Mode, gs []*group) *figure {
	rates := distinct(gs, (*group).asked, cmp.Compare[float64])
	if len(rates) == 1 {
		return rateFigure(d, m, gs)
	}
	slot := func(g *group) int { return slices.Index(rates, g.asked()) }
	var labels []string
	for _, r := range rates {
		labels = append(labels, short(r))
	}
	seen := map[string]bool{}
	fellShort := false
	var rows [][]*plot.Plot
	for _, w := range places(gs) {
		var row []*plot.Plot
		for _, a := range armsOf(gs) {
			bars := loadBars{stack{swept(ofArm(at(gs, w), a)), slot}}
			if len(bars.groups) == 0 {
				row = append(row, nil)
				continue
			}
			p := panel(titleAt(a, w, places(gs)))
			p.X.Label.Text = "errors per second"
			p.Y.Label.Text = "share of the errors"
			categoryAxis(&p.X, thinned(labels))
			shareAxis(&p.Y, 0, 24)
			p.Add(bars)
			for _, f := range fates {
				seen[f.name] = seen[f.name] || bars.any(f)
			}
			fellShort = fellShort || slices.ContainsFunc(bars.groups, (*group).late)
			row = append(row, p)
		}
		rows = append(rows, row)
	}
	rows = tile(rows)
	shareAxes(rows)
	f := &figure{
		name: "load-" + string(m), panels: rows,
		title:  fmt.Sprintf("Fate of every error against the offered rate, with a reader that reads all the time (%s)", m),
		legend: fateEntries(seen),
		alt:    "Stacked bars: the fate of every error against the rate that every channel was asked for, by channel, with the highest rates without loss and with little loss marked.",
		notes: []string{
			fmt.Sprintf("%s; reader: %s. Open loop: every channel is asked for the same rates.", d.kernelNote(gs)+alone(places(gs)), readers(gs)),
			fmt.Sprintf("NDR: up to here nothing was lost in any boot; PDR: up to %g %%; the next rate is the other end of the bracket, and an × at this end leaves none. Counted is not lost.", partialDrop),
			modeNote(m) + " " + trials(m, gs) + " " + bootsNote(gs),
		},
	}
	if seen[silent.name] {
		f.notes[1] += " Above a bar, in bold: errors lost silently."
	}
	if fellShort {
		f.legend = append(f.legend, missedEntry())
	}
	return f
}

// rateFigure is loadFigure where there is one rate: a bar for each channel, side
// by side. Nothing brackets a rate there.
func rateFigure(d *data, m result.Mode, gs []*group) *figure {
	arms, rate := armsOf(gs), figures3(gs[0].asked())
	var row []*plot.Plot
	seen := map[string]bool{}
	for _, w := range places(gs) {
		bars := rateBars{stack{at(gs, w), func(g *group) int { return slices.Index(arms, g.arm) }}}
		p := panel(fmt.Sprintf("%v: %s errors per second", w, rate))
		p.Y.Label.Text = "share of the errors"
		categoryAxis(&p.X, arms)
		shareAxis(&p.Y, 0, 24)
		p.Add(bars)
		for _, f := range fates {
			seen[f.name] = seen[f.name] || bars.any(f)
		}
		row = append(row, p)
	}
	rows := rowsOf(row, 1) // the names of the channels need the width
	shareAxes(rows)
	f := &figure{
		name: "load-" + string(m), panels: rows,
		title:  fmt.Sprintf("Fate of every error at one offered rate, with a reader that reads all the time (%s)", m),
		legend: fateEntries(seen),
		alt:    fmt.Sprintf("Stacked bars: the fate of every error at %s errors per second, by channel.", rate),
		notes: []string{
			fmt.Sprintf("%s; reader: %s. Open loop: every channel is asked for the same rate. Counted is not lost.", d.kernelNote(gs), readers(gs)),
			modeNote(m) + " " + trials(m, gs) + " " + bootsNote(gs),
		},
	}
	switch late := filter(gs, (*group).late); {
	case len(late) == len(gs):
		f.notes = append(f.notes, fmt.Sprintf("In every channel the injector made less than %.0f %% of the rate, or was late: that may prove a loss, but not that there is none.", 100*reached))
	case len(late) > 0:
		f.legend = append(f.legend, missedEntry())
	}
	return f
}

// missedEntry is the legend entry of [missed].
func missedEntry() entry {
	return entry{fmt.Sprintf("the injector made less than %.0f %% of the rate, or was late", 100*reached), func(c *draw.Canvas) {
		c.DrawGlyphNoClip(missed, c.Center())
	}}
}

// trials says how long a trial is beside the queues, which may hide a deficit.
func trials(m result.Mode, gs []*group) string {
	lo, hi := spans(gs, func(g *group) uint64 { return g.burst })
	s := fmt.Sprintf("A trial is %s errors, against a queue of", count(lo))
	if lo != hi {
		s = fmt.Sprintf("A trial is %s to %s errors, against a queue of", count(lo), count(hi))
	}
	for i, a := range armsOf(gs) {
		if i > 0 {
			s += ","
		}
		s += fmt.Sprintf(" %v (%s)", queuesOf(ofArm(gs, a))[0], a)
	}
	s += ", which hides a deficit of as many."
	if m == result.ICount {
		s = "A second is 1,000,000,000 instructions. " + s
	}
	return s
}

// rateBars are the channels at one rate.
type rateBars struct{ stack }

// Plot draws the bars, and a cross over those whose injector fell short, unless
// all did.
func (b rateBars) Plot(c draw.Canvas, p *plot.Plot) {
	b.stack.Plot(c, p)
	if late := filter(b.groups, (*group).late); len(late) < len(b.groups) {
		b.cross(c, p, late)
	}
}

// cross marks bars whose injector fell short.
func (s stack) cross(c draw.Canvas, p *plot.Plot, late []*group) {
	x, y := p.Transforms(&c)
	glyph := missed
	glyph.Radius = 3.2
	for _, g := range late {
		c.DrawGlyphNoClip(glyph, vg.Point{X: x(float64(s.slot(g))), Y: y(104)})
	}
}

// loadBars are the rates that one channel was asked for, in their order.
type loadBars struct{ stack }

// upTo returns the place of the last rate before the first that is not ok; -1 where that is the first, or where there is none, and
// where the injector fell short or was late, which may prove a loss but not that
// there is none.
func (b loadBars) upTo(ok func(*group) bool) int {
	i := slices.IndexFunc(b.groups, func(g *group) bool { return !ok(g) })
	if i <= 0 || b.groups[i-1].late() { // no bracket
		return -1
	}
	return b.slot(b.groups[i-1])
}

// Plot draws the bars, and a line behind the last rate of NDR and of PDR.
func (b loadBars) Plot(c draw.Canvas, p *plot.Plot) {
	b.stack.Plot(c, p)
	b.cross(c, p, filter(b.groups, (*group).late))
	x, y := p.Transforms(&c)
	mark := func(i int, name string, align text.XAlignment) {
		if i < 0 {
			return
		}
		at := x(float64(i) + 0.5)
		c.StrokeLine2(draw.LineStyle{Color: color.White, Width: 3}, at, y(0), at, y(110))
		c.StrokeLine2(draw.LineStyle{Color: black, Width: 1.4, Dashes: []vg.Length{4, 2}}, at, y(0), at, y(110))
		sty := textStyle(8, xfont.WeightBold, black)
		sty.XAlign, sty.YAlign = align, draw.YBottom
		c.FillText(sty, vg.Point{X: at, Y: y(112)}, name)
	}
	none, some := b.upTo((*group).lossless), b.upTo((*group).partial)
	if none == some {
		mark(none, "NDR, PDR", draw.XCenter)
		return
	}
	mark(none, "NDR", draw.XRight)
	mark(some, "PDR", draw.XLeft)
}
