// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"image/color"
	"slices"
	"strings"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"wqfan/bench/result"
)

// fateName names the figure of a place and of queues that others had filled or not.
func fateName(spot place, filled bool) string {
	if filled {
		return "fate-filled-" + spot.slug()
	}
	return "fate-" + spot.slug()
}

// fateFigure shows the fate of every error against the size of the burst.
// Queues that other events had filled are apart from those that were empty.
func fateFigure(d *data, spot place, gs []*group, filled bool) *figure {
	bursts := burstsOf(gs)
	var labels []string
	for _, b := range bursts {
		labels = append(labels, short(float64(b)))
	}

	arms := armsOf(gs)
	columns := make([][]fateBars, len(arms))
	rows := 0
	for j, a := range arms {
		for _, q := range queuesOf(ofArm(gs, a)) {
			bars := fateBars{queues: []queue{q}, groups: ofQueue(ofArm(gs, a), q), bursts: bursts}
			if i := slices.IndexFunc(columns[j], bars.alike); i >= 0 {
				columns[j][i].queues = append(columns[j][i].queues, q)
				continue
			}
			columns[j] = append(columns[j], bars)
		}
		rows = max(rows, len(columns[j]))
	}
	panels := make([][]*plot.Plot, rows)
	for i := range panels {
		panels[i] = make([]*plot.Plot, len(arms))
	}
	seen := map[string]bool{}
	for j, a := range arms {
		for i, bars := range columns[j] {
			p := panel(a + ", queue " + bars.names())
			if filled {
				p = panel(a + ", " + bars.names())
			}
			p.X.Label.Text = "errors in the burst"
			p.Y.Label.Text = "share of the errors"
			categoryAxis(&p.X, labels)
			shareAxis(&p.Y, 0, 22)
			p.Add(bars)
			for _, f := range fates {
				seen[f.name] = seen[f.name] || bars.any(f)
			}
			panels[i][j] = p
		}
	}
	shareAxes(panels)

	f := &figure{
		name:   fateName(spot, filled),
		title:  fmt.Sprintf("Fate of every error in a burst that nobody reads: %v", spot),
		panels: panels,
		alt:    fmt.Sprintf("Stacked bars: the fate of every error against the size of the burst, on %v, for each channel and queue size.", spot),
		notes: []string{
			fmt.Sprintf("%s, mode %s, %s. Queue: records it may hold.", d.kernelNote(gs), spot.mode, sample(gs)),
			"Above a bar: errors delivered in detail.",
			"In detail: as the channel has it; fan's record has no class, position, length or kernel time. " + countNote,
		},
	}
	if filled {
		f.title = fmt.Sprintf("Fate of every error in a burst when other events had filled the queue: %v", spot)
		f.alt = fmt.Sprintf("Stacked bars: the fate of every error against the size of the burst, on %v, for each channel, where other events had taken places of the queue.", spot)
		f.notes[0] = strings.TrimSuffix(f.notes[0], ".") + "; taken: by other events, before."
	}
	if seen[silent.name] {
		f.notes[1] = "Above a bar: errors delivered in detail; above those, in bold, errors lost silently."
	} else {
		f.notes[1] += " No error was lost silently."
	}
	if spot.mode == result.TCG {
		f.notes[1] += " Emulated CPUs: loss semantics only."
	}
	for _, ft := range fates {
		// The two losses and the two deliveries are named even where there are none.
		if seen[ft.name] || slices.Contains([]string{fates[0].name, fates[1].name, signalled.name, silent.name}, ft.name) {
			f.legend = append(f.legend, entry{ft.name, func(c *draw.Canvas) { ft.fillRect(c, c.Rectangle) }})
		}
	}
	return f
}

// fateBars draws one stacked bar for each burst.
type fateBars struct {
	queues []queue // one, and those at which every error had the same fate
	groups []*group
	bursts []uint64
}

// alike says that in both every error had the same fate.
func (b fateBars) alike(o fateBars) bool {
	return slices.EqualFunc(b.groups, o.groups, func(g, h *group) bool {
		return g.burst == h.burst && slices.EqualFunc(g.cells, h.cells, func(c, d result.Cell) bool { return c.Account == d.Account })
	})
}

func (b fateBars) names() string {
	if n := len(b.queues) - 1; n > 1 {
		return fmt.Sprintf("%v (and %d alike)", b.queues[0], n)
	}
	var names []string
	for _, q := range b.queues {
		names = append(names, q.String())
	}
	return strings.Join(names, "; ")
}

func (b fateBars) any(f fate) bool {
	return slices.ContainsFunc(b.groups, func(g *group) bool {
		return slices.ContainsFunc(g.cells, func(c result.Cell) bool { return f.of(&c) > 0 })
	})
}

func (b fateBars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	small := textStyle(7.5, xfont.WeightNormal, black)
	small.XAlign, small.YAlign = draw.XCenter, draw.YBottom
	loud := textStyle(7.5, xfont.WeightBold, black)
	loud.XAlign, loud.YAlign = draw.XCenter, draw.YBottom
	for _, g := range b.groups {
		i := float64(slices.Index(b.bursts, g.burst))
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
			if f.name == silent.name && sum > 0 {
				c.FillText(loud, vg.Point{X: x(i), Y: y(111)}, short(sum/float64(len(g.cells))))
			}
		}
		c.FillText(small, vg.Point{X: x(i), Y: y(101)}, short(g.median(func(c *result.Cell) float64 { return float64(c.Account.Detailed) }).Value))
	}
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
