// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"wqfan/bench/result"
	"wqfan/bench/stat"
)

func (d *doc) latency() {
	gs := d.groups[latency]
	if len(gs) == 0 {
		return
	}
	d.para("## Latency: from the time an error was due until it was read")
	d.para("Single errors in an open loop; the reader: %s. An error that is only counted has the time of the record that counts it. "+
		"\"Late\" is the injector's own lateness: it is inside the latency of every arm. On one CPU an arm that posts from the worker also waits until the reporting thread sleeps.", readers(gs))
	for _, m := range modes {
		mode := inMode(gs, m)
		if len(mode) == 0 {
			continue
		}
		d.para("Mode %s, in %s; %s", m, m.Unit(), bootsNote(mode))
		t := &table{heads: []string{"where", "pace", "channel", "timed>", "p50>", "p50 ÷ fan>", "p99>", "max>", "late p50>", "late p99>", "by count>", "lost, told>", "**lost silently**>", "warnings"}}
		const ratioColumn = 5
		compared, es := m != result.TCG, effects(mode)
		for _, p := range places(mode) {
			here := at(mode, p)
			slices.SortStableFunc(here, func(a, b *group) int { return strings.Compare(a.point, b.point) })
			for _, g := range here {
				p50, most, n := "–", "–", "0"
				if h := g.hist(readTime); h != nil {
					n = count(uint64(h.N))
					p50, most = withInterval(g.p50(readTime)), figures3(float64(h.Max))
				}
				r := ratio(g, here)
				if i := slices.IndexFunc(es, func(e effect) bool { return e.group == g }); i >= 0 && r != "–" {
					r = es[i].short()
				}
				compared = compared || r != "–"
				t.add(p.String(), strings.TrimPrefix(g.point, "pace="), g.arm, n, p50, r, g.percentile(readTime, 99), most,
					g.percentile(lateness, 50), g.percentile(lateness, 99),
					g.spread(coalesced), told(g.spread(lostTold), g), bold(g.spread(lostMute)), d.mark(g))
			}
		}
		if !compared {
			t.drop(ratioColumn)
		}
		d.table(t)
		d.guarantee(mode)
		if !timesMean(m) {
			d.para("No plot has these times: of emulated CPUs their ratios mean something, where boots enough tell them from noise.")
		}
		d.embed("latency-" + string(m))
		d.embed("tail-" + string(m))
		d.embed("effect-" + string(m))
		d.stages(m, mode)
	}
}

// ratio compares a median with fanotify's on the same kernel, at the same place
// and pace. Emulated CPUs give another time in each boot: they need enough for an interval.
func ratio(g *group, here []*group) string {
	for _, f := range here {
		a, b := g.p50(readTime), f.p50(readTime)
		if arm, _, _ := strings.Cut(f.arm, onKernel); arm != "fan" || f.variant != g.variant || f.point != g.point || a.N == 0 || b.N == 0 || b.Value <= 0 ||
			g.mode == result.TCG && (a.Warning != "" || b.Warning != "") {
			continue
		}
		return fmt.Sprintf("%.2f", a.Value/b.Value)
	}
	return "–"
}

// latencyFigure shows the percentile spectrum of one mode.
func latencyFigure(d *data, m result.Mode, gs []*group) *figure {
	var points []string
	var values []float64
	most := 10.0
	for _, g := range gs {
		if !slices.Contains(points, g.point) {
			points = append(points, g.point)
		}
		h := g.hist(readTime)
		values = append(values, max(1, float64(h.Data.Min())), max(1, float64(h.Data.Max())))
		most = max(most, float64(h.Data.TotalCount()))
	}
	wheres := places(gs)
	panels := make([][]*plot.Plot, len(points))
	for i, point := range points {
		for _, w := range wheres {
			p := panel(fmt.Sprintf("%v, %s", w, strings.ReplaceAll(point, "=", " ")))
			p.X.Label.Text = "percentile"
			p.Y.Label.Text = m.Unit()
			tailAxis(&p.X, most)
			logAxis(&p.Y, values)
			for _, g := range filter(at(gs, w), func(g *group) bool { return g.point == point }) {
				line, marks := spectrum(g.hist(readTime))
				addLine(p, g.arm, line, marks)
			}
			panels[i] = append(panels[i], p)
		}
	}
	shareAxes(panels)
	return &figure{
		name: "latency-" + string(m), panels: panels,
		title:  fmt.Sprintf("Latency: from the time an error was due until it was read (%s)", m),
		legend: armEntries(armsOf(gs), true),
		alt:    fmt.Sprintf("Percentile spectrum of the time from an error's intended time to its read, in %s, one line per channel.", m.Unit()),
		notes: []string{fmt.Sprintf("%s, single errors, open loop, reader: %s. Markers: median, p90, p99, …, maximum.", d.kernelNote(gs), readers(gs)),
			modeNote(m), bootsNote(gs) + " The injector's own lateness is inside the latency of every arm."},
	}
}

// spectrum returns the percentile spectrum of h and the percentiles to mark.
// What is below the resolution of a log axis is drawn at its unit.
func spectrum(h *result.Hist) (line, marks plotter.XYs) {
	s := stat.Spectrum(h.Data)
	for _, q := range s {
		line = append(line, plotter.XY{X: q.Tail, Y: max(1, float64(q.Value))})
	}
	n := float64(h.Data.TotalCount())
	for _, tail := range []float64{2, 10, 100, 1e3, 1e4, 1e5, 1e6} {
		if tail < n {
			marks = append(marks, plotter.XY{X: tail, Y: max(1, float64(h.Data.ValueAtPercentile(100*(1-1/tail))))})
		}
	}
	return line, append(marks, line[len(line)-1])
}

// stageNames are the histograms of where a latency's time goes, in the order of
// the table.
var stageNames = []string{"report-to-post", "post-to-wake", "report-to-wake", "wake-to-read", "read-to-decoded", reportRead}

// stages shows where the time of a latency goes.
func (d *doc) stages(m result.Mode, gs []*group) {
	gs = filter(gs, func(g *group) bool { return g.p50(reportRead).N > 0 })
	if len(gs) == 0 {
		return
	}
	d.para("Where the time goes, in medians: from fserror_report() to the post, to the reader's wake-up, to the end of its read(), to the decoded event. fanotify does not say when it queued an error: the way to the wake-up is one step there. A watch_queue record has the time at which fserror_report() began to post it or to queue it for the worker, so that the way to wq-base-worker's wake-up has the worker in it. Longest: from the report to the read. The columns are medians of their own and do not add up exactly. %s", compactNote)
	t := &table{heads: []string{"where", "pace", "channel", "report → post>", "post → wake>", "report → wake>", "wake → read>", "read → decoded>", "report → read>", "longest>", "warnings"}}
	for _, g := range gs {
		row := []string{g.place.String(), strings.TrimPrefix(g.point, "pace="), g.arm}
		for _, name := range stageNames {
			row = append(row, g.median50(name))
		}
		t.add(append(row, g.longest(reportRead), d.mark(g))...)
	}
	d.table(t)
}

// median50 writes the median over the boots of a histogram's medians.
func (g *group) median50(name string) string {
	m := g.p50(name)
	if m.N == 0 {
		return "–"
	}
	return compact(m)
}
