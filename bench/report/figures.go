// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"

	"wqfan/bench/result"
)

// figures returns the plots that there is data for.
func figures(d *data) []*figure {
	var out []*figure
	for _, p := range places(d.groups[overflow]) {
		for _, yes := range []bool{false, true} {
			if gs := filled(at(d.groups[overflow], p), yes); len(gs) > 0 {
				out = append(out, fateFigure(d, p, gs, yes))
			}
		}
	}
	if gs := filled(d.groups[overflow], false); len(gs) > 0 {
		out = append(out, keptFigure(d, gs))
	}
	for _, m := range modes {
		gs := filter(inMode(d.groups[latency], m), func(g *group) bool { return g.hist(readTime) != nil })
		if len(gs) == 0 {
			continue
		}
		if timesMean(m) {
			out = append(out, latencyFigure(d, m, gs), tailFigure(d, m, gs))
		}
		out = append(out, effectFigure(d, m, gs))
	}
	for _, m := range modes {
		gs := swept(inMode(d.groups[loss], m))
		if len(gs) == 0 {
			continue
		}
		out = append(out, loadFigure(d, m, gs))
		if timesMean(m) {
			out = append(out, heatFigure(d, m, gs))
		}
	}
	for _, m := range modes {
		if gs := sized(d, m); len(gs) > 0 {
			out = append(out, sizeFigure(d, m, gs))
		}
	}
	for _, p := range places(withTimeline(d)) {
		out = append(out, timelineFigure(d, p))
	}
	return slices.DeleteFunc(out, func(f *figure) bool { return f == nil })
}

// timesMean says that a time of the mode means something by itself. The emulated
// CPUs of tcg give ratios: what they take is no time of any hardware.
func timesMean(m result.Mode) bool { return m != result.TCG }

// perRow is how many of n panels stand side by side, of which more than so many
// are not legible.
func perRow(n, most int) int {
	rows := (n + most - 1) / most
	return (n + rows - 1) / rows
}

// titleAt is the title of an arm's panel where there are others of other places.
func titleAt(arm string, w place, all []place) string {
	if len(all) == 1 {
		return arm
	}
	return fmt.Sprintf("%s: %v", arm, w)
}

// alone names the place of all panels for a note, where it is in no title.
func alone(all []place) string {
	if len(all) == 1 {
		return "; " + all[0].String()
	}
	return ""
}

// tile closes the gaps in rows of panels, and breaks those that are too many for
// the width of a figure.
func tile(rows [][]*plot.Plot) [][]*plot.Plot {
	var out [][]*plot.Plot
	most := 0
	for _, row := range rows {
		most = max(most, perRow(len(row), 4))
	}
	for _, row := range rows {
		out = append(out, rowsOf(slices.DeleteFunc(row, func(p *plot.Plot) bool { return p == nil }), most)...)
	}
	return out
}

// rowsOf breaks a row of panels into rows of so many.
func rowsOf(row []*plot.Plot, each int) [][]*plot.Plot {
	var out [][]*plot.Plot
	for part := range slices.Chunk(row, each) {
		out = append(out, append(part[:len(part):len(part)], make([]*plot.Plot, each-len(part))...))
	}
	return out
}

// kernelNote is the line that says what was booted, for a plot that travels alone.
func (d *data) kernelNote(gs []*group) string {
	var releases []string
	for _, g := range gs {
		k := d.boots[g.first().Boot].Kernel
		s := "Linux " + clean(k.Release)
		if k.Variant != "" {
			s += " (" + clean(k.Variant) + ")"
		}
		if !slices.Contains(releases, s) {
			releases = append(releases, s)
		}
	}
	s := strings.Join(releases, ", ")
	if !d.run.Complete {
		s += "; the run is not complete"
	}
	return s
}

// modeNote says what a number of guest time means.
func modeNote(m result.Mode) string {
	switch m {
	case result.ICount:
		return "Mode icount: guest time counts instructions of the one CPU, not nanoseconds."
	case result.TCG:
		return "Mode tcg: loss semantics and ratios only; the CPUs are emulated, and no number here is time of hardware."
	case result.KVM:
		return "Mode kvm: nanoseconds of the guest's clock."
	}
	return "Mode host: nanoseconds of the machine's clock."
}

// armEntry is the legend entry of a channel, with its line where the figure
// has lines.
func armEntry(arm string, line bool) entry {
	s := styleOf(arm)
	return entry{arm, func(c *draw.Canvas) {
		if mid := c.Center().Y; line {
			c.StrokeLine2(s.line(), c.Min.X, mid, c.Max.X, mid)
		}
		c.DrawGlyphNoClip(s.marker(), c.Center())
	}}
}

func armEntries(arms []string, lines bool) []entry {
	var out []entry
	for _, a := range arms {
		out = append(out, armEntry(a, lines))
	}
	return out
}

// missed is the cross over a point whose injector fell short of its rate.
var missed = draw.GlyphStyle{Color: black, Radius: 6, Shape: draw.CrossGlyph{}}

// addLine draws xys in the arm's style, with markers at marks.
func addLine(p *plot.Plot, arm string, xys, marks plotter.XYs) {
	s := styleOf(arm)
	if len(xys) > 1 {
		p.Add(&plotter.Line{XYs: xys, LineStyle: s.line()})
	}
	if len(marks) > 0 {
		g := s.marker()
		p.Add(&plotter.Scatter{XYs: marks, GlyphStyleFunc: func(int) draw.GlyphStyle { return g }})
	}
}
