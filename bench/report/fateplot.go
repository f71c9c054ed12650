// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot"
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

	seen := map[string]bool{}
	var row []*plot.Plot
	for _, a := range armsOf(gs) {
		var of []fateBars
		for _, q := range queuesOf(ofArm(gs, a)) {
			bars := fateBars{[]queue{q}, stack{ofQueue(ofArm(gs, a), q), func(g *group) int { return slices.Index(bursts, g.burst) }}}
			if i := slices.IndexFunc(of, bars.alike); i >= 0 {
				of[i].queues = append(of[i].queues, q)
				continue
			}
			of = append(of, bars)
		}
		for _, bars := range of {
			p := panel(a + ", queue " + bars.names())
			if filled {
				p = panel(a + ", " + strings.ReplaceAll(bars.names(), " of ", "/"))
			}
			p.X.Label.Text = "errors in the burst"
			p.Y.Label.Text = "share of the errors"
			categoryAxis(&p.X, thinned(labels))
			shareAxis(&p.Y, 0, 22)
			p.Add(bars)
			for _, f := range fates {
				seen[f.name] = seen[f.name] || bars.any(f)
			}
			row = append(row, p)
		}
	}
	most := 4
	if len(bursts) > 4 {
		most = 3 // for the numbers above the bars
	}
	panels := rowsOf(row, perRow(len(row), most))
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
		f.title = fmt.Sprintf("Fate of every error in a burst, with places of the queue taken before: %v", spot)
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
	if late := filter(gs, func(g *group) bool { return tellsLate(g.arm) }); len(late) > 0 {
		f.notes = append(f.notes, fmt.Sprintf("%s: nothing followed. The next error would bring word of the loss, with its number.", strings.Join(armsOf(late), ", ")))
	}
	f.legend = fateEntries(seen)
	return f
}

// fateBars are the bursts against queues at which every error had the same fate.
type fateBars struct {
	queues []queue // at least one
	stack
}

// alike says that in both every error had the same fate.
func (b fateBars) alike(o fateBars) bool {
	return slices.EqualFunc(b.groups, o.groups, func(g, h *group) bool {
		return g.burst == h.burst && slices.EqualFunc(g.cells, h.cells, func(c, d result.Cell) bool { return c.Account == d.Account })
	})
}

func (b fateBars) names() string {
	if n := len(b.queues) - 1; n > 1 {
		return fmt.Sprintf("%v (%d alike)", b.queues[0], n)
	}
	var names []string
	for _, q := range b.queues {
		names = append(names, q.String())
	}
	return strings.Join(names, "; ")
}

// Plot draws the bars, with the number of errors in detail above each.
func (b fateBars) Plot(c draw.Canvas, p *plot.Plot) {
	b.stack.Plot(c, p)
	for _, g := range b.groups {
		b.above(c, p, g, 101, false, short(g.median(func(c *result.Cell) float64 { return float64(c.Account.Detailed) }).Value))
	}
}
