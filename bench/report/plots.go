// SPDX-License-Identifier: MIT

package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"wqfan/bench/result"
	"wqfan/bench/stat"
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
		if len(gs) > 0 {
			out = append(out, latencyFigure(d, m, gs))
		}
	}
	for _, m := range modes {
		if gs := swept(inMode(d.groups[loss], m)); len(gs) > 0 {
			out = append(out, lossFigure(d, m, gs))
		}
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
		return "Mode tcg: loss semantics only; the CPUs are emulated, and no number here is time of hardware."
	case result.KVM:
		return "Mode kvm: nanoseconds of the guest's clock."
	}
	return "Mode host: nanoseconds of the machine's clock."
}

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
			p := panel(fmt.Sprintf("%s, %s (%s)", a, cpuCount(r.cpus), r.mode))
			p.X.Label.Text = "errors in the burst"
			p.Y.Label.Text = "error records kept"
			logAxis(&p.X, xs)
			logAxis(&p.Y, ys)
			p.Y.Min = none * 0.7
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
	shareAxes(panels)
	f := &figure{
		name: "kept", panels: panels,
		title: "Records kept of a burst that nobody reads",
		alt:   "Log-log: the number of error records kept against the size of the burst, for each channel and queue size.",
		notes: []string{
			fmt.Sprintf("%s, %s. Queues that were empty before.", d.kernelNote(gs), sample(gs)),
			"On the dotted line every error keeps a record of its own. One record of fan may count many errors.",
		},
	}
	if emulated := inMode(gs, result.TCG); len(emulated) > 0 {
		f.notes = append(f.notes, modeNote(result.TCG))
	}
	for k, fs := range filesystems {
		f.legend = append(f.legend, entry{fs, func(c *draw.Canvas) {
			c.DrawGlyphNoClip(draw.GlyphStyle{Color: black, Radius: 3.4, Shape: fsGlyph(k)}, c.Center())
		}})
	}
	return f
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
	halo := sty
	halo.Color = white
	for _, e := range l {
		label := "queue " + strings.Join(e.queues, "; ")
		if len(e.queues) > 2 {
			label = fmt.Sprintf("%d queue sizes", len(e.queues))
		}
		at := vg.Point{X: x(e.at.X) + 4, Y: y(e.at.Y) + 3}
		for _, d := range []vg.Point{{X: -1}, {X: 1}, {Y: -1}, {Y: 1}} { // a halo, for what lies below
			c.FillText(halo, at.Add(d), label)
		}
		c.FillText(sty, at, label)
	}
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

// sideBySide returns by which factor a channel's markers leave their rate on a
// logarithmic axis, so that those of one rate do not lie on each other.
func sideBySide(rates []float64, arms []string) func(arm string) float64 {
	rates = slices.Compact(slices.Sorted(slices.Values(rates)))
	step := 0.08 // decades: the width of a marker
	for i := 1; i < len(rates); i++ {
		step = min(step, math.Log10(rates[i]/rates[i-1])/float64(len(arms)+1))
	}
	return func(arm string) float64 {
		return math.Pow(10, step*(float64(slices.Index(arms, arm))-float64(len(arms)-1)/2))
	}
}

// lossFigure shows what is lost, and what only counted, against the offered rate.
func lossFigure(d *data, m result.Mode, gs []*group) *figure {
	type quantity struct {
		label string
		of    func(*result.Cell) uint64
	}
	quantities := []quantity{
		{"lost, reader told", func(c *result.Cell) uint64 { return c.Account.Signalled }},
		{"lost silently", func(c *result.Cell) uint64 { return c.Account.Silent }},
		{"known only by count", func(c *result.Cell) uint64 { return c.Account.Coalesced }},
	}
	note := ""
	if !slices.ContainsFunc(gs, func(g *group) bool { return g.share(quantities[1].of) > 0 }) {
		quantities = slices.Delete(quantities, 1, 2)
		note = " No error was lost silently."
	}
	var rates []float64
	short := false
	for _, g := range gs {
		rates = append(rates, g.asked())
		short = short || g.late()
	}
	arms := armsOf(gs)
	side := func(string) float64 { return 1 }
	if once(m, gs) {
		side = sideBySide(rates, arms)
		note += " Channels at one rate stand side by side."
	}
	wheres := places(gs)
	panels := make([][]*plot.Plot, len(quantities))
	for i, q := range quantities {
		for _, w := range wheres {
			p := panel(fmt.Sprintf("%v: %s", w, q.label))
			p.X.Label.Text = "errors asked for per second of guest time"
			p.Y.Label.Text = "share of the errors"
			logAxis(&p.X, rates)
			p.X.Min, p.X.Max = p.X.Min*side(arms[0]), p.X.Max*side(arms[len(arms)-1])
			shareAxis(&p.Y, 4, 4)
			for _, a := range arms {
				series := swept(ofArm(at(gs, w), a))
				var line, late plotter.XYs
				for _, g := range series {
					xy := plotter.XY{X: g.asked() * side(a), Y: g.share(q.of)}
					line = append(line, xy)
					if g.late() {
						late = append(late, xy)
					}
				}
				if once(m, gs) {
					addLine(p, a, nil, line)
				} else {
					addLine(p, a, line, line)
				}
				if len(late) > 0 {
					p.Add(&plotter.Scatter{XYs: late, GlyphStyleFunc: func(int) draw.GlyphStyle { return missed }})
				}
			}
			panels[i] = append(panels[i], p)
		}
	}
	shareAxes(panels)
	f := &figure{
		name: "loss-" + string(m), panels: panels,
		title:  fmt.Sprintf("Loss against the rate asked for, with a reader that reads all the time (%s)", m),
		legend: armEntries(armsOf(gs), !once(m, gs)),
		alt:    "Share of the errors that was lost, and that was known only by count, against the rate that every channel was asked for, by channel.",
		notes:  []string{fmt.Sprintf("%s; reader: %s. Open loop.%s", d.kernelNote(gs), readers(gs), note), modeNote(m), bootsNote(gs)},
	}
	if short {
		f.legend = append(f.legend, entry{fmt.Sprintf("the injector made less than %.0f %% of the rate", 100*reached), func(c *draw.Canvas) {
			c.DrawGlyphNoClip(missed, c.Center())
		}})
	}
	return f
}
