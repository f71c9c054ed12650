// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"wqfan/bench/result"
	"wqfan/bench/stat"
)

// doc is report.md while it is being written.
type doc struct {
	strings.Builder
	*data
	figs  map[string]*figure
	shown []string // figures that are embedded
	notes []string // warnings, numbered from 1
	said  bool     // what a loss by guarantee is
}

func (d *doc) para(format string, a ...any) { fmt.Fprintf(&d.Builder, format+"\n\n", a...) }

func markdown(data *data, figs []*figure) string {
	d := &doc{data: data, figs: map[string]*figure{}}
	for _, f := range figs {
		d.figs[f.name] = f
	}
	d.head()
	d.problems()
	d.setup()
	d.overflow()
	d.latency()
	d.loss()
	d.corruption()
	d.others()
	d.footnotes()
	d.links(figs)
	d.again()
	return strings.TrimRight(d.String(), "\n") + "\n"
}

func (d *doc) head() {
	d.para("# fanotify against watch_queue: filesystem errors on %s", d.kernels())
	verdict := status(d.data)
	if !d.run.Complete || len(d.failed) > 0 || len(d.broken) > 0 {
		verdict = "**" + verdict + "**"
	}
	d.para("%s", verdict)
}

// status is the run in one sentence.
func status(d *data) string {
	r := d.run
	var s string
	switch {
	case !r.Complete:
		s = fmt.Sprintf("INCOMPLETE: %s of %s cells were measured: %s.", count(uint64(len(r.Cells))), count(uint64(r.Planned)), cmp.Or(oneLine(r.Reason), "no reason is recorded"))
	case len(d.failed) > 0:
		s = fmt.Sprintf("FAILED in %s of %s.", count(uint64(len(d.failed))), plural(uint64(len(r.Cells)), "cell", "cells"))
	default:
		s = fmt.Sprintf("Complete: %s in %s.", plural(uint64(len(r.Cells)), "cell", "cells"), plural(uint64(len(r.Boots)), "boot", "boots"))
	}
	var injected, silent uint64
	for i := range r.Cells {
		if c := &r.Cells[i]; c.Err == "" {
			injected += c.Account.Injected
			silent += c.Account.Silent
		}
	}
	switch {
	case len(d.broken) > 0:
		s += fmt.Sprintf(" The account does not close in %s.", plural(uint64(len(d.broken)), "cell", "cells"))
	case injected > 0:
		s += fmt.Sprintf(" Of %s errors none is unexplained; lost silently: %s.", count(injected), count(silent))
	}
	return s
}

// kernels names what was booted.
func (d *data) kernels() string {
	var out []string
	for _, b := range d.run.Boots {
		s := "Linux " + cmp.Or(oneLine(b.Kernel.Release), "(unknown)")
		if v := oneLine(b.Kernel.Variant); v != "" {
			s += " (" + v + ")"
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return cmp.Or(strings.Join(out, ", "), "no kernel: nothing was booted")
}

// problems lists, before any number, what went wrong.
func (d *doc) problems() {
	var list []string
	for _, b := range d.run.Boots {
		if b.Verdict == "ok" {
			continue
		}
		s := fmt.Sprintf("boot `%s` did not end well: %s", oneLine(b.ID), cmp.Or(oneLine(b.Verdict), "no verdict is recorded"))
		if b.Serial != "" {
			s += fmt.Sprintf("; its console is in [%s](%s)", oneLine(b.Serial), oneLine(b.Serial))
		}
		list = append(list, s)
	}
	for _, c := range d.failed {
		list = append(list, fmt.Sprintf("cell `%s` failed: %s", oneLine(c.ID), oneLine(c.Err)))
	}
	for _, c := range d.broken {
		list = append(list, fmt.Sprintf("cell `%s` does not add up: %v", oneLine(c.ID), c.Account))
	}
	if len(list) == 0 {
		return
	}
	d.para("## What went wrong")
	const most = 20
	for i, s := range list {
		if i == most {
			fmt.Fprintf(d, "- and %s more: see run.json\n", count(uint64(len(list)-most)))
			break
		}
		fmt.Fprintf(d, "- %s\n", s)
	}
	d.WriteByte('\n')
}

func (d *doc) setup() {
	d.para("## What ran")
	add := func(k, v string) {
		if v = oneLine(v); v != "" {
			fmt.Fprintf(d, "- %s: %s\n", k, shorten(v))
		}
	}
	var kernels []string
	for _, b := range d.run.Boots {
		k := b.Kernel
		s := "base " + cmp.Or(k.Base, "unknown") + ", series " + cmp.Or(hash(k.Series), "none") + ", config " + cmp.Or(hash(k.Config), "unknown") + ", " + k.CC
		if !slices.Contains(kernels, s) {
			kernels = append(kernels, s)
			add("kernel", k.Release+" ("+k.Variant+"): "+strings.TrimSuffix(s, ", "))
		}
	}
	for _, m := range modes {
		var boots []string
		for _, b := range d.run.Boots {
			if b.Mode == m {
				boots = append(boots, fmt.Sprintf("%s, %d MiB", cpuCount(b.CPUs), b.MemMiB))
			}
		}
		if len(boots) > 0 {
			_, means, _ := strings.Cut(modeNote(m), ": ")
			add("mode "+string(m), strings.Join(slices.Compact(boots), "; ")+": "+means)
		}
	}
	h := d.run.Host
	host := []string{}
	for _, s := range []string{h.CPU, plural(uint64(max(0, h.CPUs)), "CPU", "CPUs"), h.QEMU} {
		if s != "" && s != "0 CPUs" {
			host = append(host, s)
		}
	}
	if h.Kernel != "" {
		host = append(host, "Linux "+h.Kernel)
	}
	add("host", strings.Join(host, ", "))
	add("KVM", h.KVM)
	if h.Go != "" || h.Revision != "" {
		add("wqfan", cmp.Or(hash(h.Revision), "unknown revision")+", "+h.Go)
	}
	if !d.run.Started.IsZero() {
		add("started", d.run.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	for _, a := range d.arms {
		add("channel `"+a+"`", styleOf(a).about)
	}
	d.WriteByte('\n')
}

// shorten keeps the essentials to a line or two; run.json has all of it.
func shorten(s string) string {
	const most = 160
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return strings.TrimRight(string(r[:most]), " ") + " …"
}

// hash shortens a hash for people; run.json has all of it.
func hash(s string) string {
	s, dirty := strings.CutSuffix(s, "+dirty")
	if len(s) > 12 {
		s = s[:12]
	}
	if dirty {
		s += "+dirty"
	}
	return s
}

// embed puts a figure into the text, once.
func (d *doc) embed(name string) {
	f := d.figs[name]
	if f == nil || slices.Contains(d.shown, name) {
		return
	}
	d.shown = append(d.shown, name)
	d.para("![%s](%s/%s.png)", f.alt, plotDir, f.name)
}

// mark returns the footnote marks of the groups' warnings, for the cell of a
// table beside the numbers.
func (d *doc) mark(gs ...*group) string {
	var marks []string
	for _, g := range gs {
		for _, c := range g.cells {
			for _, w := range c.Warnings {
				if m := d.note(oneLine(w)); !slices.Contains(marks, m) {
					marks = append(marks, m)
				}
			}
		}
	}
	return strings.Join(marks, " ")
}

// note returns the footnote mark of a warning.
func (d *doc) note(w string) string {
	i := slices.Index(d.notes, w)
	if i < 0 {
		i = len(d.notes)
		d.notes = append(d.notes, w)
	}
	return fmt.Sprintf("[%d]", i+1)
}

func (d *doc) footnotes() {
	if len(d.notes) == 0 {
		return
	}
	d.para("## Warnings")
	for i, n := range d.notes {
		fmt.Fprintf(d, "- [%d] %s\n", i+1, n)
	}
	d.WriteByte('\n')
}

// spread writes a count that repeated boots may disagree about.
func (g *group) spread(f func(*result.Cell) uint64) string {
	lo, hi := f(&g.cells[0]), f(&g.cells[0])
	for i := range g.cells {
		v := f(&g.cells[i])
		lo, hi = min(lo, v), max(hi, v)
	}
	if lo == hi {
		return count(lo)
	}
	return count(lo) + "–" + count(hi)
}

func detailed(c *result.Cell) uint64  { return c.Account.Detailed }
func coalesced(c *result.Cell) uint64 { return c.Account.Coalesced }
func lostTold(c *result.Cell) uint64  { return c.Account.Signalled }
func lostMute(c *result.Cell) uint64  { return c.Account.Silent }

// whereAll names several places in few words.
func whereAll(ps []place) string {
	var fs, cpus []string
	pairs := map[string]bool{}
	for _, p := range ps {
		c := fmt.Sprint(p.cpus)
		if !slices.Contains(fs, p.fs) {
			fs = append(fs, p.fs)
		}
		if !slices.Contains(cpus, c) {
			cpus = append(cpus, c)
		}
		pairs[p.fs+c] = true
	}
	unit := " CPUs"
	if len(cpus) == 1 && cpus[0] == "1" {
		unit = " CPU"
	}
	if len(pairs) == len(fs)*len(cpus) {
		return strings.Join(fs, ", ") + "; " + strings.Join(cpus, ", ") + unit
	}
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	return strings.Join(out, "; ")
}

// mergeRows joins rows that differ only in where they were measured, which is
// the column at.
type placedRow struct {
	places []place
	cells  []string
}

func mergeRows(rows []placedRow, at int) [][]string {
	var merged []placedRow
	for _, r := range rows {
		i := slices.IndexFunc(merged, func(m placedRow) bool { return slices.Equal(m.cells, r.cells) })
		if i < 0 {
			merged = append(merged, r)
			continue
		}
		merged[i].places = append(merged[i].places, r.places...)
	}
	var out [][]string
	for _, m := range merged {
		out = append(out, slices.Insert(slices.Clone(m.cells), at, whereAll(m.places)))
	}
	return out
}

// sample writes how many boots are behind each row: n=1.
func sample(gs []*group) string {
	lo, hi := boots(gs)
	if lo == hi {
		return fmt.Sprintf("n=%d", hi)
	}
	return fmt.Sprintf("n=%d to %d", lo, hi)
}

// bootsNote says, for a table, what its numbers of boots are good for.
func bootsNote(gs []*group) string {
	if _, hi := boots(gs); hi == 1 {
		return sample(gs) + ": one boot, no interval."
	}
	return sample(gs) + " boots."
}

// readers names who read while the groups' cells ran.
func readers(gs []*group) string {
	names := distinct(gs, func(g *group) string { return oneLine(g.first().Params.Reader) }, strings.Compare)
	return strings.Join(names, "; ")
}

// What a column cannot say about itself.
const (
	detailNote = "\"In detail\" is as much as the channel's record holds: fan's has errno, inode and generation, but no class, position, length or kernel time; watch_queue's has all of them."
	countNote  = "An error known only by count is not lost."
)

// told marks a number of signalled losses that rests on the channel's guarantee.
func told(s string, gs ...*group) string {
	if slices.ContainsFunc(gs, (*group).guaranteed) {
		return s + " †"
	}
	return s
}

// guarantee explains the mark below a table that has it.
func (d *doc) guarantee(gs []*group) {
	switch {
	case !slices.ContainsFunc(gs, (*group).guaranteed):
		return
	case d.said:
		d.para("† By guarantee, as above.")
		return
	}
	d.said = true
	d.para("† By guarantee: there are no records with sequence numbers, or several workers delivered them, so that a loss has no place between two of them. " +
		"fanotify queues FAN_Q_OVERFLOW at the first drop, watch_queue marks the newest note of a full ring, and neither forgets before it is read. " +
		"Every loss without the mark was placed: its signal was read between the records before and after it.")
}

func (d *doc) table(t *table) { d.para("%s", strings.TrimSuffix(t.String(), "\n")) }

func (d *doc) overflow() {
	gs := d.groups[overflow]
	if len(gs) == 0 {
		return
	}
	d.para("## Overflow: bursts against a queue that nobody reads")
	d.para("The largest burst of each queue. A queue is the records it may hold (watch_queue: notes; fanotify: max_queued_events); \"taken\" are places that other events held before the errors came. " +
		"\"By count\" are errors known only as part of another error's count. " + countNote + " " + detailNote)
	d.para("\"Records\" are those of errors; where a channel names the task that reported, \"= workers\" says that there is one for each worker of fserror that ran. " +
		"\"Loss records\" are what the reader got instead of the lost errors, and after how many records of any kind. " + bootsNote(gs))
	t := &table{heads: []string{"channel", "queue", "where", "no loss up to>", "burst>", "in detail>", "by count>", "records>", "lost, told>", "**lost silently**>", "loss records>", "warnings"}}
	var rows []placedRow
	for _, a := range armsOf(gs) {
		for _, q := range queuesOf(ofArm(gs, a)) {
			for _, p := range places(gs) {
				series := ofQueue(at(ofArm(gs, a), p), q)
				if len(series) == 0 {
					continue
				}
				last := series[len(series)-1]
				rows = append(rows, placedRow{[]place{p}, []string{
					a, q.String(), upTo(series, (*group).lossless, func(g *group) string { return count(g.burst) }), count(last.burst),
					last.spread(detailed), last.spread(coalesced), last.workers(), told(last.spread(lostTold), last), bold(last.spread(lostMute)),
					lossRecords(last), d.mark(series...),
				}})
			}
		}
	}
	t.rows = mergeRows(rows, 2)
	d.table(t)
	d.guarantee(gs)
	for _, yes := range []bool{false, true} {
		if ps := places(filled(gs, yes)); len(ps) > 0 {
			d.embed(fateName(ps[0], yes)) // the others are alike, and linked at the end
		}
	}
	d.embed("kept")
	d.cost()
}

// workers writes the number of error records, and of the tasks that reported them.
func (g *group) workers() string {
	s := g.spread(func(c *result.Cell) uint64 { return c.Reader.Records })
	of := func(c *result.Cell) uint64 { return c.Reader.Workers }
	switch {
	case !slices.ContainsFunc(g.cells, func(c result.Cell) bool { return c.Reader.Workers > 0 }):
		return s
	case !slices.ContainsFunc(g.cells, func(c result.Cell) bool { return c.Reader.Workers != c.Reader.Records }):
		return s + " = workers"
	}
	return s + " of " + g.spread(of) + " workers"
}

// cost shows what the context pays that hit the error.
func (d *doc) cost() {
	gs := filter(d.groups[overflow], func(g *group) bool { return g.p50(reportCost).N > 0 })
	if len(gs) == 0 {
		return
	}
	d.para("### What reporting costs the filesystem")
	d.para("The median time inside fserror_report(), in the context that hit the error, while nobody reads. \"Room\" is the largest burst, of ten errors at least, that fits into the queue; \"full\" the largest burst of which most was lost. " +
		"Every arm pays for fserror's own event and its work item, which fserror_report() always allocates and schedules; wq-base adds its post to it, the others post from the worker.")
	for _, m := range modes {
		mode := inMode(gs, m)
		if len(mode) == 0 {
			continue
		}
		ignores := ""
		if m == result.ICount {
			ignores = " A count of instructions ignores cache misses and the price of locked operations."
		}
		d.para("Mode %s, in %s; %s%s", m, m.Unit(), bootsNote(mode), ignores)
		t := &table{heads: []string{"where", "channel", "room: queue", "burst>", "p50>", "full: queue", "burst>", "p50>"}}
		for _, p := range places(mode) {
			for _, a := range armsOf(at(mode, p)) {
				mine := ofArm(at(mode, p), a)
				row := []string{p.String(), a}
				for _, g := range []*group{roomy(mine), crowded(mine)} {
					if g == nil {
						row = append(row, "–", "–", "–")
						continue
					}
					row = append(row, g.queue.String(), count(g.burst), withInterval(g.p50(reportCost)))
				}
				t.add(row...)
			}
		}
		d.table(t)
	}
}

// roomy returns the group with the largest burst that fits into the largest
// empty queue, or nil. Fewer than ten errors make no median.
func roomy(gs []*group) *group {
	gs = filter(filled(gs, false), func(g *group) bool { return g.burst >= 10 && g.burst <= g.queue.size })
	if len(gs) == 0 {
		return nil
	}
	return slices.MinFunc(gs, func(a, b *group) int { return cmp.Or(a.queue.compare(b.queue), cmp.Compare(b.burst, a.burst)) })
}

// crowded returns the group with the largest burst that met a full queue with
// most of its errors, or nil.
func crowded(gs []*group) *group {
	gs = filter(gs, func(g *group) bool { return g.share(lostTold)+g.share(lostMute) > 50 })
	if len(gs) == 0 {
		return nil
	}
	return slices.MinFunc(gs, func(a, b *group) int { return cmp.Or(cmp.Compare(b.burst, a.burst), a.queue.compare(b.queue)) })
}

// bold makes a headline of a number that is not zero.
func bold(s string) string {
	if s == "0" {
		return s
	}
	return "**" + s + "**"
}

// upTo returns what show makes of the last group before the first one that is
// not ok; groups are in the order of their burst or rate.
func upTo(series []*group, ok func(*group) bool, show func(*group) string) string {
	i := slices.IndexFunc(series, func(g *group) bool { return !ok(g) })
	switch {
	case len(series) == 0:
		return "–"
	case i == 0:
		return "none"
	case i < 0: // the end of what was tried
		return "≥ " + show(series[len(series)-1])
	}
	return show(series[i-1])
}

// lossRecords says what told the reader of the loss.
func lossRecords(g *group) string {
	r := g.first().Reader
	switch {
	case g.lossless() && r.LossEvents == 0:
		return "–"
	case r.LossEvents == 0:
		return "none"
	}
	s := count(r.LossEvents)
	if r.LossExact {
		s += ", of " + count(r.LossCount)
	} else {
		s += ", uncounted"
	}
	if r.LossAfter >= 0 {
		s += ", after " + count(uint64(r.LossAfter))
	}
	return s
}

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
		compared := m != result.TCG
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
		d.embed("latency-" + string(m))
	}
}

// percentile writes a percentile of a histogram over all boots.
func (g *group) percentile(name string, p float64) string {
	h := g.hist(name)
	if h == nil {
		return "–"
	}
	return figures3(float64(h.Data.ValueAtPercentile(p)))
}

// withInterval writes a median over boots, with its interval where the boots
// are enough for one.
func withInterval(m stat.Median) string {
	switch {
	case m.N < 2:
		return figures3(m.Value)
	case m.Warning != "":
		return fmt.Sprintf("%s (%d boots: %s to %s)", figures3(m.Value), m.N, figures3(m.Lo), figures3(m.Hi))
	}
	return fmt.Sprintf("%s (95 %%: %s to %s)", figures3(m.Value), figures3(m.Lo), figures3(m.Hi))
}

// ratio compares a median with fanotify's on the same kernel, at the same place and pace. Emulated
// CPUs give another time in each boot: they need enough for an interval.
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

func (d *doc) loss() {
	gs := d.groups[loss]
	if len(gs) == 0 {
		return
	}
	d.para("## Loss: rate of errors against a reader that reads all the time")
	d.para("Rates are errors per second of guest time; under icount a second is 1,000,000,000 instructions. The reader: %s. "+
		"\"No loss\" allows for errors that are known only by count, \"all in detail\" does not. %s", readers(gs), detailNote)
	for _, m := range modes {
		mode := inMode(gs, m)
		if len(mode) == 0 {
			continue
		}
		d.sweep(m, swept(mode))
		d.embed("loss-" + string(m))
		d.flatOut(m, flatOut(mode))
	}
}

// sweep compares the channels at the rates that each of them was asked for.
func (d *doc) sweep(m result.Mode, gs []*group) {
	if len(gs) == 0 {
		return
	}
	d.para("Mode %s, open loop: every channel is asked for the same rates, and shares are of the errors at the highest of them; \"made\" is how much of it the injector achieved. A rate counts for \"up to\" only where that is %.0f %% or more. %s",
		m, 100*reached, bootsNote(gs))
	t := &table{heads: []string{"where", "channel", "all in detail up to /s>", "no loss up to /s>", "highest rate /s>", "made %>", "in detail %>", "by count %>", "lost, told %>", "**lost silently %**>", "warnings"}}
	for _, p := range places(gs) {
		here := at(gs, p)
		top := common(here)
		for _, a := range armsOf(here) {
			series := swept(ofArm(here, a))
			row := []string{p.String(), a, rateUpTo(series, (*group).inDetail), rateUpTo(series, (*group).lossless)}
			if i := slices.IndexFunc(series, func(g *group) bool { return g.asked() == top }); i >= 0 {
				g := series[i]
				made := percent(min(100, 100*g.rate()/g.asked()))
				if g.late() {
					made += " ×"
				}
				row = append(row, append([]string{figures3(top), made}, g.shares()...)...)
			} else {
				row = append(row, "–", "–", "–", "–", "–", "–")
			}
			t.add(append(row, strings.TrimSpace(d.short(series)+" "+d.mark(series...)))...)
		}
	}
	d.table(t)
	d.guarantee(gs)
	lo, hi := spans(gs, func(g *group) float64 { return float64(g.burst) * float64(g.first().Params.Interval) / 1e6 })
	length := figures3(lo) + " ms"
	if lo != hi {
		length += " to " + figures3(hi) + " ms"
	}
	var room []string
	for _, a := range armsOf(gs) {
		room = append(room, a+" "+queuesOf(ofArm(gs, a))[0].String())
	}
	d.para("A trial lasts errors × interval, here %s of guest time. A trial as short as that lets a queue hide a deficit, of at most its capacity (%s records).", length, strings.Join(room, ", "))
}

// shares writes what became of the group's errors, in per cent.
func (g *group) shares() []string {
	return []string{percent(g.share(detailed)), percent(g.share(coalesced)), told(percent(g.share(lostTold)), g), bold(percent(g.share(lostMute)))}
}

// flatOut shows cells whose rate is the channel's own doing.
func (d *doc) flatOut(m result.Mode, gs []*group) {
	if len(gs) == 0 {
		return
	}
	d.para("Mode %s, flat out (closed loop: a slower channel slows its own injector, rates differ per arm): no comparison of channels. %s", m, bootsNote(gs))
	t := &table{heads: []string{"where", "channel", "errors>", "achieved rate /s>", "in detail %>", "by count %>", "lost, told %>", "**lost silently %**>", "warnings"}}
	for _, g := range gs {
		row := append([]string{g.place.String(), g.arm, count(g.burst), figures3(g.rate())}, g.shares()...)
		t.add(append(row, d.mark(g))...)
	}
	d.table(t)
	d.guarantee(gs)
}

// common returns the highest rate that all channels were asked for, or 0.
func common(gs []*group) float64 {
	var top float64
	for _, g := range gs {
		same := filter(gs, func(o *group) bool { return o.asked() == g.asked() })
		if len(armsOf(same)) == len(armsOf(gs)) {
			top = max(top, g.asked())
		}
	}
	return top
}

// rateUpTo is upTo for rates. An injector that fell short proves a loss, but
// not that there is none.
func rateUpTo(series []*group, ok func(*group) bool) string {
	series = filter(series, func(g *group) bool { return !ok(g) || !g.late() })
	return upTo(series, ok, func(g *group) string { return figures3(g.asked()) })
}

// short returns the footnote mark of a channel that was not offered the rates
// that the others were, if it was not.
func (d *doc) short(series []*group) string {
	var rates []string
	for _, g := range series {
		if g.late() {
			rates = append(rates, fmt.Sprintf("%s %% of %s/s", percent(100*g.rate()/g.asked()), figures3(g.asked())))
		}
	}
	if len(rates) == 0 {
		return ""
	}
	return d.note(fmt.Sprintf("the injector fell short of the rate, so that the channel met less than the rate says: it made %s", strings.Join(rates, ", ")))
}

func (d *doc) corruption() {
	gs := d.groups[corruption]
	if len(gs) == 0 {
		return
	}
	d.para("## Real corruption")
	d.para("All channels watch while real faults are met, one after the other. Injected is the number of faults provoked; each was checked to give exactly one record on each channel, with the right inode and errno. " +
		"On ext4 the filesystem's own errors_count was checked to be that number too.")
	for _, g := range gs {
		c := g.first()
		line := fmt.Sprintf("- %s on %v, %s: %s provoked, %s read, %s lost silently %s", g.arm, g.place, oneLine(g.point),
			plural(c.Account.Injected, "fault", "faults"), plural(c.Reader.Records, "record", "records"), g.spread(lostMute), d.mark(g))
		d.WriteString(strings.TrimRight(line, " ") + "\n")
		for _, e := range c.Events {
			fmt.Fprintf(d, "  - `%s`\n", strings.ReplaceAll(oneLine(e), "`", "'"))
		}
	}
	d.WriteByte('\n')
}

// others names the scenarios that have no section of their own, so that a
// report never hides a cell.
func (d *doc) others() {
	known := []string{overflow, latency, loss, corruption}
	var list []string
	for s := range d.groups {
		if !slices.Contains(known, s) {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return
	}
	slices.Sort(list)
	d.para("## Other scenarios")
	for _, s := range list {
		for _, g := range d.groups[s] {
			line := fmt.Sprintf("- %s: %s on %v, %s: %v %s", oneLine(s), g.arm, g.place, oneLine(g.point), g.first().Account, d.mark(g))
			d.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	d.WriteByte('\n')
}

// links names the figures that are not embedded.
func (d *doc) links(figs []*figure) {
	if len(figs) == 0 {
		return
	}
	d.para("## Plots")
	also := ""
	if len(d.shown) < len(figs) {
		also = " Not shown above:"
	}
	d.para("Each plot is in `%s/` as PNG and as SVG.%s", plotDir, also)
	for _, f := range figs {
		if !slices.Contains(d.shown, f.name) {
			fmt.Fprintf(d, "- [%s](%s/%s.png)\n", f.title, plotDir, f.name)
		}
	}
	d.WriteByte('\n')
}

func (d *doc) again() {
	d.para("## Again")
	commands := [][2]string{
		{"wqfan report .", "this report, offline, from " + result.RunFile + " and hdr/"},
		{"benchstat -col /arm " + result.BenchFile, "the channels side by side"},
	}
	if len(d.run.Command) > 0 {
		var words []string
		for _, w := range d.run.Command {
			if w == "" || strings.ContainsAny(w, " \t\n\"'`$\\|&;<>()*?#~") {
				w = "'" + strings.ReplaceAll(clean(w), "'", `'\''`) + "'"
			}
			words = append(words, w)
		}
		commands = slices.Insert(commands, 0, [2]string{"wqfan " + strings.Join(words, " "), "measure anew"})
	}
	d.WriteString("```\n")
	for _, c := range commands {
		fmt.Fprintf(d, "%-31s # %s\n", c[0], c[1])
	}
	d.WriteString("```\n")
}
