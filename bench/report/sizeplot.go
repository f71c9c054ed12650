// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"wqfan/bench/model"
	"wqfan/bench/result"
	"wqfan/bench/stat"
)

// sizing is the scenario of queues whose loss queue theory predicts.
const sizing = "sizing"

// sized returns the groups for which queue theory predicts the loss.
func sized(d *data, m result.Mode) []*group {
	return filter(inMode(d.groups[sizing], m), func(g *group) bool {
		_, _, ok := g.predictedLoss(1)
		return ok
	})
}

// lostShare is the share of the errors of all boots together that was lost: theory
// predicts a mean, and a median says that nothing was lost where most boots lost nothing.
func (g *group) lostShare() float64 {
	var lost, all float64
	for i := range g.cells {
		lost += float64(g.cells[i].Account.Lost())
		all += total(&g.cells[i])
	}
	return part(lost, all)
}

// predictedLoss is what queue theory says of the group's load and a queue of a
// size, with the standard error over its boots; ok is false where it says nothing.
func (g *group) predictedLoss(size int) (loss, stdErr float64, ok bool) {
	for i := range g.cells {
		if _, _, ok := stat.PredictedLoss(&g.cells[i], 0, 1, 1); !ok {
			return 0, 0, false
		}
	}
	return stat.PredictedLoss(g.first(), size, 1, float64(len(g.cells)))
}

// reads says how its reader does.
func reads(p *result.Params) string {
	if p.Each > 0 {
		return figures3(float64(p.Each)/1e3) + " µs for each"
	}
	return "every " + figures3(float64(p.Every)/1e6) + " ms"
}

// sizeFigure shows the loss against the size of the queue, and the theory.
func sizeFigure(d *data, m result.Mode, gs []*group) *figure {
	type load struct{ every, each, interval int64 }
	loadOf := func(g *group) load { p := g.first().Params; return load{p.Every, p.Each, p.Interval} }
	loads := distinct(gs, loadOf, func(a, b load) int {
		return cmp.Or(cmp.Compare(b.every, a.every), cmp.Compare(a.each, b.each), cmp.Compare(b.interval, a.interval))
	})
	sizes, shares := []float64{}, []float64{1}
	for _, g := range gs {
		sizes = append(sizes, float64(g.queue.size))
		if s := g.lostShare(); s > 0 {
			shares = append(shares, s)
		}
		shares = append(shares, 0.3/float64(g.burst))
	}
	var row []*plot.Plot
	for _, l := range loads {
		mine := filter(gs, func(g *group) bool { return loadOf(g) == l })
		title := fmt.Sprintf("%s errors/s, read every %s ms: %s at a time", figures3(1e9/float64(l.interval)), figures3(float64(l.every)/1e6), figures3(float64(l.every)/float64(l.interval)))
		if l.each > 0 {
			title = fmt.Sprintf("%s errors/s, %s µs for each: load %s", figures3(1e9/float64(l.interval)), figures3(float64(l.each)/1e3), figures3(float64(l.each)/float64(l.interval)))
		}
		p := panel(title)
		p.X.Label.Text = "records that the queue may hold"
		p.Y.Label.Text = "share of the errors lost"
		logAxis(&p.X, sizes)
		logAxis(&p.Y, shares)
		floor := p.Y.Min
		none := floor / 4 // off the scale, where nothing was lost
		p.Y.Min = none / 2
		var theory plotter.XYs
		from, to, step := p.X.Min, p.X.Max, 1.01
		if l.each > 0 { // takes longer to predict
			from, to, step = float64(mine[0].queue.size), float64(mine[0].queue.size), 1.05
			for _, g := range mine {
				from, to = min(from, float64(g.queue.size)), max(to, float64(g.queue.size))
			}
			to *= step
		}
		for x := from; x <= to; x *= step {
			if loss, _, _ := mine[0].predictedLoss(int(math.Round(x))); loss >= floor {
				theory = append(theory, plotter.XY{X: x, Y: loss})
			}
		}
		p.Add(scaleEnd(floor), &plotter.Line{XYs: theory, LineStyle: theoryLine})
		for _, a := range armsOf(mine) {
			var seen plotter.XYs
			for _, g := range ofArm(mine, a) {
				at := plotter.XY{X: float64(g.queue.size), Y: none}
				if s := g.lostShare(); s > 0 {
					at.Y = max(floor, s)
				}
				seen = append(seen, at)
			}
			addLine(p, a, nil, seen)
		}
		p.Y.Tick.Marker = plot.TickerFunc(func(lo, hi float64) []plot.Tick {
			ticks := logTicks(floor, hi)
			for i, t := range ticks {
				if t.Label != "" {
					ticks[i].Label = figures3(100*t.Value) + " %"
				}
			}
			return append(ticks, plot.Tick{Value: none, Label: "none"})
		})
		row = append(row, p)
	}
	rows := rowsOf(row, min(len(row), 2)) // their titles are long
	shareAxes(rows)
	return &figure{
		name: "size-" + string(m), panels: rows,
		title:  fmt.Sprintf("Loss against the size of the queue, as predicted and as observed (%s)", m),
		legend: append(armEntries(armsOf(gs), false), entry{"queue theory", func(c *draw.Canvas) { c.StrokeLine2(theoryLine, c.Min.X, c.Center().Y, c.Max.X, c.Center().Y) }}),
		alt:    "Log-log: the share of the errors that was lost against the size of the queue, by channel, with the prediction of queue theory.",
		notes: []string{fmt.Sprintf("%s. Errors at random (Poisson); the reader looks now and then and takes all there is, or takes a time for each.", d.kernelNote(gs)),
			"Theory: E[(X-K)+]/E[X], X the errors between two looks, the first and the last cut short; M/D/1/K from an empty queue, K one more than it holds.",
			"Nothing is fitted. Observed: all boots together. " + bootsNote(gs)},
	}
}

// percent3 writes a share in percent, to three places: what is rare is compared, too.
func percent3(v float64) string {
	if v > 0 && v < 5e-6 {
		return "<0.001"
	}
	return strconv.FormatFloat(100*v, 'f', 3, 64)
}

// off says by how many standard errors a loss differs from the one predicted.
func off(seen, predicted, stdErr float64) string {
	if stdErr < 1e-9 {
		return "–"
	}
	return strconv.FormatFloat((seen-predicted)/stdErr, 'f', 1, 64)
}

// scaleEnd is where a logarithmic axis ends, and the place of what is none begins.
type scaleEnd float64

// Plot draws the end across the panel, and breaks the axis there.
func (s scaleEnd) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	at := (y(float64(s)) + y(float64(s)/4)) / 2
	c.FillPolygon(white, corners(vg.Rectangle{Min: vg.Point{X: c.Min.X - 3, Y: at - 1.5}, Max: vg.Point{X: c.Max.X, Y: at + 1.5}}))
	edge := draw.LineStyle{Color: grey, Width: 0.6}
	for _, dy := range []vg.Length{-1.5, 1.5} {
		c.StrokeLine2(edge, c.Min.X-3, at+dy, c.Max.X, at+dy)
	}
}

var theoryLine = draw.LineStyle{Color: grey, Width: 1.2, Dashes: []vg.Length{4, 2}}

// sizes holds what was lost against what queue theory predicts.
func (d *doc) sizes() {
	for _, m := range modes {
		gs := sized(d.data, m)
		if len(gs) == 0 {
			continue
		}
		d.para("## Size: how large a queue has to be")
		d.para("Mode %s. Errors at random against a reader that looks now and then and takes all there is (periodic drain), or one that takes a time for each error, one after the other (M/D/1/K); predicted from those two rates alone, ± one standard error. The former looks at fixed times, however long a look takes, and what a read takes is part of the latter's time; one whose reads took several errors at once is left out. Nothing is fitted. Lost is of all boots together. They agree if they differ by no more than three standard errors and %g %% of what is predicted, which is for what the model leaves out; off is by how many standard errors they do. Boot for boot all of these were offered errors by the same draws, so that the rows do not bear each other out: what is off in one tends to be off to the same side in all. `wqfan size` answers for other loads. %s", m, 100*model.LeftOut, bootsNote(gs))
		t := &table{heads: []string{"channel", "errors/s>", "read", "queue>", "lost %>", "predicted %>", "off>", "agrees", "warnings"}}
		slices.SortStableFunc(gs, func(a, b *group) int { return compareArms(a.arm, b.arm) })
		for _, g := range gs {
			p := g.first().Params
			loss, stdErr, _ := g.predictedLoss(int(p.Queue))
			agrees := "yes"
			if !model.Agrees(loss, stdErr, g.lostShare(), g.burst*uint64(len(g.cells))) {
				agrees = "**no**"
			}
			t.add(g.arm, figures3(1e9/float64(p.Interval)), reads(&p), g.queue.String(), percent3(g.lostShare()),
				fmt.Sprintf("%s ± %s", percent3(loss), percent3(stdErr)), off(g.lostShare(), loss, stdErr), agrees, d.mark(g))
		}
		d.table(t)
		d.embed("size-" + string(m))
	}
}
