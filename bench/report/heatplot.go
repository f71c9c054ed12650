// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"image/color"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"wqfan/bench/result"
)

// heatSteps are the shades of a heat map: the share of a column's errors from
// which a shade is taken, in per cent. They go from light to dark in one hue,
// so that print and any colour vision keep their order.
var heatSteps = []struct {
	from  float64
	shade color.RGBA
}{
	{0, color.RGBA{0xde, 0xeb, 0xf7, 0xff}},
	{0.3, color.RGBA{0x9e, 0xca, 0xe1, 0xff}},
	{1, color.RGBA{0x6b, 0xae, 0xd6, 0xff}},
	{3, color.RGBA{0x31, 0x82, 0xbd, 0xff}},
	{10, color.RGBA{0x08, 0x51, 0x9c, 0xff}},
	{30, color.RGBA{0x03, 0x1d, 0x44, 0xff}},
}

// perDecade is how many bins of a heat map a decade of latency has.
const perDecade = 10

// heatFigure shows how the latency spreads as the offered rate rises; nil where
// no cell was timed, or where there is one rate.
func heatFigure(d *data, m result.Mode, gs []*group) *figure {
	gs = filter(gs, func(g *group) bool { return g.hist(readTime) != nil })
	rates := distinct(gs, (*group).asked, cmp.Compare[float64])
	if len(rates) < 2 {
		return nil
	}
	var labels []string
	for _, r := range rates {
		labels = append(labels, short(r))
	}
	var values []float64
	for _, g := range gs {
		h := g.hist(readTime)
		values = append(values, max(1, float64(h.Data.Min())), max(1, float64(h.Data.Max())))
	}
	var rows [][]*plot.Plot
	for _, w := range places(gs) {
		var row []*plot.Plot
		for _, a := range armsOf(gs) {
			mine := ofArm(at(gs, w), a)
			if len(mine) == 0 {
				row = append(row, nil)
				continue
			}
			p := panel(titleAt(a, w, places(gs)))
			p.X.Label.Text = "errors per second"
			p.Y.Label.Text = m.Unit()
			categoryAxis(&p.X, thinned(labels))
			logAxis(&p.Y, values)
			for _, g := range mine {
				p.Add(heat{float64(slices.Index(rates, g.asked())), g.hist(readTime), g.late()})
			}
			row = append(row, p)
		}
		rows = append(rows, row)
	}
	rows = tile(rows)
	shareAxes(rows)
	f := &figure{
		name: "heat-" + string(m), panels: rows,
		title: fmt.Sprintf("Latency against the offered rate (%s): where the errors that were read lie", m),
		alt:   fmt.Sprintf("Heat map: the share of the errors by the time from when they were due until they were read, in %s, against the offered rate, by channel.", m.Unit()),
		notes: []string{fmt.Sprintf("%s; reader: %s. Open loop: from the time an error was due. The cross is the maximum.", d.kernelNote(gs)+alone(places(gs)), readers(gs)), modeNote(m) + " " + bootsNote(gs)},
	}
	for i, s := range heatSteps {
		name := fmt.Sprintf("≥ %g %%", s.from)
		if i == 0 {
			name = fmt.Sprintf("< %g %% of the errors", heatSteps[1].from)
		}
		f.legend = append(f.legend, entry{name, func(c *draw.Canvas) { fate{fill: s.shade, edge: true}.fillRect(c, c.Rectangle) }})
	}
	if slices.ContainsFunc(gs, (*group).late) {
		f.legend = append(f.legend, entry{"injector late or short of the rate", func(c *draw.Canvas) {
			box := corners(c.Rectangle)
			c.StrokeLines(lateLine, append(box, box[0]))
		}})
	}
	return f
}

// lateLine is around a column whose errors did not come when they were due.
var lateLine = draw.LineStyle{Color: grey, Width: 0.8, Dashes: []vg.Length{2, 2}}

// heat is one column: the latencies at one rate.
type heat struct {
	x    float64
	h    *result.Hist
	late bool // or short of the rate
}

// Plot draws the bins that have errors, those of one shade together. Where another
// shade follows it covers the end of the one below: edges that only met would let
// the paper shine through.
func (h heat) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	bins := map[int]int64{}
	for _, b := range h.h.Data.Distribution() {
		if b.Count > 0 {
			bins[int(math.Floor(math.Log10(max(1, float64(b.From)))*perDecade))] += b.Count
		}
	}
	shadeOf := func(bin int) (shade color.RGBA) {
		share := 100 * float64(bins[bin]) / float64(h.h.Data.TotalCount())
		for _, s := range heatSteps {
			if share >= s.from {
				shade = s.shade
			}
		}
		return shade
	}
	edge := func(bin float64) vg.Length { return y(min(max(math.Pow(10, bin/perDecade), p.Y.Min), p.Y.Max)) }
	for _, bin := range slices.Sorted(maps.Keys(bins)) {
		if bins[bin-1] > 0 && shadeOf(bin-1) == shadeOf(bin) {
			continue // drawn with the one below
		}
		end := bin
		for bins[end] > 0 && shadeOf(end) == shadeOf(bin) {
			end++
		}
		to := float64(end)
		if bins[end] > 0 {
			to += 0.5
		}
		c.FillPolygon(shadeOf(bin), corners(vg.Rectangle{Min: vg.Point{X: x(h.x - 0.45), Y: edge(float64(bin))}, Max: vg.Point{X: x(h.x + 0.45), Y: edge(to)}}))
	}
	if h.late {
		box := corners(vg.Rectangle{Min: vg.Point{X: x(h.x - 0.48), Y: c.Min.Y}, Max: vg.Point{X: x(h.x + 0.48), Y: c.Max.Y}})
		c.StrokeLines(lateLine, append(box, box[0]))
	}
	c.DrawGlyphNoClip(draw.GlyphStyle{Color: vermilion, Radius: 3, Shape: draw.CrossGlyph{}}, vg.Point{X: x(h.x), Y: y(max(1, float64(h.h.Data.Max())))})
}
