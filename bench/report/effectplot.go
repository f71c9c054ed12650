// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
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

// far says that the effect would stretch an axis on which the others are seen.
func (e effect) far() bool { return e.ratio.Value > 5 || e.ratio.Value < 0.2 }

// effectFigure shows the effects, and behind each the band of an A/A comparison;
// nil where there are too few boots for one. Bands and intervals that an axis
// of all the effects would hide behind the markers are shown magnified too.
func effectFigure(d *data, m result.Mode, gs []*group) *figure {
	es := effects(gs)
	if len(es) == 0 {
		return nil
	}
	f := &figure{
		name: "effect-" + string(m), wide: true,
		title: fmt.Sprintf("What the channel does to the median latency, and what is noise (%s)", m),
		alt:   "The ratio of each channel's median latency to fanotify's with its interval, and behind it the band within which boots of one channel differ among themselves.",
		notes: []string{fmt.Sprintf("%s, %s boots. Interval: hierarchical bootstrap, 95 %%. \"~\": not told from noise.", d.kernelNote(gs), sample(gs)), modeNote(m)},
		legend: []entry{
			{"A/A: by what two halves of the boots of one channel differ", func(c *draw.Canvas) { c.FillPolygon(bandGrey, corners(c.Rectangle)) }},
			{"fan", func(c *draw.Canvas) { c.StrokeLine2(fanLine, c.Center().X, c.Min.Y, c.Center().X, c.Max.Y) }},
		},
	}
	magnify := slices.ContainsFunc(es, func(e effect) bool { return e.floor < 0.02 })
	if magnify {
		f.notes = append(f.notes, "On the right the same around the ratio itself: where fan is not to be seen it is further away than the axis reaches.")
	}
	for _, far := range []bool{false, true} {
		var near effectBars
		for _, e := range es {
			if e.far() == far {
				near = append(near, e)
			}
		}
		if len(near) == 0 {
			continue
		}
		row := []*plot.Plot{near.ratios()}
		if magnify {
			row = append(row, near.magnified())
		}
		f.panels = append(f.panels, row)
		f.high = append(f.high, vg.Length(len(near))*26)
	}
	return f
}

var (
	bandGrey = color.RGBA{0xd0, 0xd0, 0xd0, 0xff}
	fanLine  = draw.LineStyle{Color: black, Width: 1}
)

func corners(r vg.Rectangle) []vg.Point {
	return []vg.Point{r.Min, {X: r.Max.X, Y: r.Min.Y}, r.Max, {X: r.Min.X, Y: r.Max.Y}}
}

// effectBars are effects on one axis, from the bottom up.
type effectBars []effect

// ratios is the panel of the effects on a logarithmic axis with fan's place.
func (b effectBars) ratios() *plot.Plot {
	p := panel("median latency ÷ fan's")
	p.X.Label.Text = "1 is fan; below 1 is sooner"
	var labels []string
	values := []float64{1}
	for _, e := range b {
		labels = append(labels, fmt.Sprintf("%s: %v, %s\n%v", e.arm, e.place, e.point, e))
		values = append(values, e.ratio.Lo, e.ratio.Hi, 1-min(e.floor, 0.9), 1+e.floor)
	}
	categoryAxis(&p.Y, labels)
	logAxis(&p.X, values)
	p.X.Min, p.X.Max = floor125(slices.Min(values)), ceil125(slices.Max(values))
	p.Add(effectRows{b, func(e effect) effectRow {
		return effectRow{fan: 1, band: [2]float64{1 - e.floor, 1 + e.floor}, lo: e.ratio.Lo, at: e.ratio.Value, hi: e.ratio.Hi}
	}})
	return p
}

// magnified is the panel of what lies around the ratios, in per cent of each.
func (b effectBars) magnified() *plot.Plot {
	p := panel("around the ratio, magnified")
	p.X.Label.Text = "per cent of the ratio"
	percentOf := func(e effect, v float64) float64 { return 100 * (v/e.ratio.Value - 1) }
	most := 0.0
	for _, e := range b {
		most = max(most, 100*e.floor, -percentOf(e, e.ratio.Lo), percentOf(e, e.ratio.Hi))
	}
	categoryAxis(&p.Y, make([]string, len(b)))
	p.X.Min, p.X.Max = -1.15*most, 1.15*most
	step := ceil125(most / 2)
	var ticks plot.ConstantTicks
	for i := math.Ceil(p.X.Min / step); i*step <= p.X.Max; i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: fmt.Sprintf("%+g %%", math.Round(1e6*i*step)/1e6)})
		if i == 0 {
			ticks[len(ticks)-1].Label = "0"
		}
	}
	p.X.Tick.Marker = ticks
	p.Add(effectRows{b, func(e effect) effectRow {
		return effectRow{fan: percentOf(e, 1), band: [2]float64{-100 * e.floor, 100 * e.floor}, lo: percentOf(e, e.ratio.Lo), hi: percentOf(e, e.ratio.Hi)}
	}})
	return p
}

// effectRow is where on an axis the parts of an effect lie.
type effectRow struct {
	fan        float64
	band       [2]float64
	lo, at, hi float64
}

// effectRows draws a band, an interval and a marker for each effect.
type effectRows struct {
	effectBars
	on func(effect) effectRow
}

// Plot draws the effects, and fan where the axis reaches it.
func (b effectRows) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for i, e := range b.effectBars {
		r, at := b.on(e), float64(i)
		band := vg.Rectangle{Min: vg.Point{X: x(max(p.X.Min, r.band[0])), Y: y(at - 0.4)}, Max: vg.Point{X: x(min(p.X.Max, r.band[1])), Y: y(at + 0.4)}}
		c.FillPolygon(bandGrey, corners(band))
		if p.X.Min <= r.fan && r.fan <= p.X.Max {
			c.StrokeLine2(fanLine, x(r.fan), y(at-0.5), x(r.fan), y(at+0.5))
		}
		s := styleOf(e.arm)
		c.StrokeLine2(draw.LineStyle{Color: s.color, Width: 2}, x(r.lo), y(at), x(r.hi), y(at))
		c.DrawGlyphNoClip(s.marker(), vg.Point{X: x(r.at), Y: y(at)})
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
	s := fmt.Sprintf("%s [%s, %s], A/A ± %s %%", multiple(e.ratio.Value), multiple(e.ratio.Lo), multiple(e.ratio.Hi), percent(100*e.floor))
	if !e.real() {
		s = "~ " + s
	}
	return s
}
