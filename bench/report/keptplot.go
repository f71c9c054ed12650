// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"slices"
	"strings"

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
			p.Y.Max *= 5 // for the label of the highest line
			p.Y.Tick.Marker = plot.TickerFunc(func(lo, hi float64) []plot.Tick {
				return append(logTicks(1, hi), plot.Tick{Value: none, Label: "0"})
			})
			end := min(p.X.Max, p.Y.Max)
			p.Add(&plotter.Line{XYs: plotter.XYs{{X: p.X.Min, Y: p.X.Min}, {X: end, Y: end}}, LineStyle: draw.LineStyle{Color: grey, Width: 0.8, Dashes: []vg.Length{2, 2}}})
			var lines []plot.Plotter
			tops := map[queue]plotter.XY{} // where the line of a queue ends, highest over the filesystems
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
					if end := line[len(line)-1]; end.Y > tops[q].Y {
						tops[q] = end
					}
				}
			}
			var ends endLabels
			for _, q := range queuesOf(ofArm(gs, a)) {
				if end, ok := tops[q]; ok {
					ends = ends.add(end, q.String())
				}
			}
			p.Add(ends) // below the lines, which the halo of a label would cut
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
			"On the dotted line every error keeps a record of its own. One record of fan may count many errors. Lines join the bursts that were tried; between them nothing was measured.",
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
func everySecondDecade(lo, hi float64) []plot.Tick {
	ticks := logTicks(lo, hi)
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

// endLabels writes which queues the lines that end in a point belong to.
type endLabels []endLabel

type endLabel struct {
	at     plotter.XY
	queues []string
}

func (l endLabels) add(at plotter.XY, queue string) endLabels {
	i := slices.IndexFunc(l, func(e endLabel) bool { return e.at == at })
	if i < 0 {
		return append(l, endLabel{at, []string{queue}})
	}
	l[i].queues = append(l[i].queues, queue)
	return l
}

func (l endLabels) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	sty := textStyle(7.5, xfont.WeightNormal, black)
	sty.XAlign, sty.YAlign = draw.XRight, draw.YBottom
	for _, e := range l {
		label := "queue " + strings.Join(e.queues, "; ")
		if len(e.queues) > 2 {
			label = fmt.Sprintf("%d queue sizes", len(e.queues))
		}
		haloText(c, sty, vg.Point{X: x(e.at.X) + 4, Y: y(e.at.Y) + 3}, label)
	}
}
