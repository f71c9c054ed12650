// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"wqfan/bench/result"
	"wqfan/bench/stat"
)

// effect is by what factor a channel's median latency differs from fanotify's on
// the same kernel, and what a factor of that size is worth.
type effect struct {
	*group
	ratio stat.Interval
	floor float64 // part by which the boots of one channel differ among themselves
}

// effects returns those of the groups that enough boots repeated.
func effects(gs []*group) []effect {
	medians := func(g *group) (out []stat.Boot) {
		for i := range g.cells {
			if h := find(&g.cells[i], readTime); h != nil {
				out = append(out, stat.AtQuantile(h.Data, 0.5))
			}
		}
		return out
	}
	var out []effect
	for _, g := range gs {
		here := filter(at(gs, g.place), func(o *group) bool { return o.point == g.point })
		fan := yardstick(here, g.arm)
		if len(fan) == 0 || fan[0] == g {
			continue
		}
		old, new := medians(fan[0]), medians(g)
		if floor := max(stat.Floor(old), stat.Floor(new)); !math.IsInf(floor, 0) {
			out = append(out, effect{g, stat.Ratio(old, new), floor})
		}
	}
	return out
}

// real says that the effect is none that two halves of the same boots show too.
func (e effect) real() bool {
	return math.Abs(e.ratio.Value-1) > e.floor && (e.ratio.Lo > 1 || e.ratio.Hi < 1)
}

// effectFigure shows the effects, and behind each the band of an A/A comparison;
// nil where there are too few boots for one.
func effectFigure(d *data, m result.Mode, gs []*group) *figure {
	es := effects(gs)
	if len(es) == 0 {
		return nil
	}
	p := panel("median latency ÷ fan's")
	p.X.Label.Text = "1 is fan; below 1 is sooner"
	var labels []string
	values := []float64{1}
	for _, e := range es {
		labels = append(labels, fmt.Sprintf("%s: %v, %s\n%v", e.arm, e.place, e.point, e))
		values = append(values, e.ratio.Lo, e.ratio.Hi, 1-min(e.floor, 0.9), 1+e.floor)
	}
	categoryAxis(&p.Y, labels)
	logAxis(&p.X, values)
	p.Add(effectBars(es), &plotter.Line{XYs: plotter.XYs{{X: 1, Y: -0.6}, {X: 1, Y: float64(len(es)) - 0.4}}, LineStyle: draw.LineStyle{Color: black, Width: 1}})
	return &figure{
		name: "effect-" + string(m), panels: [][]*plot.Plot{{p}}, wide: true, rows: len(es),
		title: fmt.Sprintf("What the channel does to the median latency, and what is noise (%s)", m),
		alt:   "The ratio of each channel's median latency to fanotify's with its interval, and behind it the band within which boots of one channel differ among themselves.",
		notes: []string{fmt.Sprintf("%s, %s boots. Interval: hierarchical bootstrap, 95 %%.", d.kernelNote(gs), sample(gs)), modeNote(m)},
		legend: []entry{
			{"A/A: by what two halves of the boots of one channel differ", func(c *draw.Canvas) { c.FillPolygon(bandGrey, corners(c.Rectangle)) }},
		},
	}
}

var bandGrey = color.RGBA{0xd0, 0xd0, 0xd0, 0xff}

func corners(r vg.Rectangle) []vg.Point {
	return []vg.Point{r.Min, {X: r.Max.X, Y: r.Min.Y}, r.Max, {X: r.Min.X, Y: r.Max.Y}}
}

// effectBars draws a band, an interval and a marker for each effect.
type effectBars []effect

// Plot draws the effects from the bottom up.
func (b effectBars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for i, e := range b {
		at := float64(i)
		band := vg.Rectangle{Min: vg.Point{X: x(max(p.X.Min, 1-e.floor)), Y: y(at - 0.4)}, Max: vg.Point{X: x(min(p.X.Max, 1+e.floor)), Y: y(at + 0.4)}}
		c.FillPolygon(bandGrey, corners(band))
		s := styleOf(e.arm)
		c.StrokeLine2(draw.LineStyle{Color: s.color, Width: 2}, x(e.ratio.Lo), y(at), x(e.ratio.Hi), y(at))
		c.DrawGlyphNoClip(s.marker(), vg.Point{X: x(e.ratio.Value), Y: y(at)})
	}
}

// short is the effect with its interval; "~" is none that can be told from noise.
func (e effect) short() string {
	s := fmt.Sprintf("%s [%s, %s]", multiple(e.ratio.Value), multiple(e.ratio.Lo), multiple(e.ratio.Hi))
	if !e.real() {
		s = "~ " + s
	}
	return s
}

// multiple writes a ratio, to a tenth of a per cent where it is near 1.
func multiple(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.3f", v)
	}
	return figures3(v)
}

// String is the effect in numbers; "~" is none that can be told from noise.
func (e effect) String() string {
	s := fmt.Sprintf("%.3f [%.3f, %.3f], A/A ± %s %%", e.ratio.Value, e.ratio.Lo, e.ratio.Hi, percent(100*e.floor))
	if !e.real() {
		s = "~ " + s
	}
	return s
}
