// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"slices"
	"strings"

	"wqfan/bench/result"
)

func (d *doc) overflow() {
	gs := d.groups[overflow]
	if len(gs) == 0 {
		return
	}
	d.para("## Overflow: bursts against a queue that nobody reads")
	d.para("The largest burst of each queue. A queue is the records it may hold (watch_queue: notes; fanotify: max_queued_events); \"taken\" are places that other events held before the errors came. " +
		"\"By count\" are errors known only as part of another error's count. " + countNote + " " + detailNote + " " + silentNote)
	d.para("\"Records\" are those of errors; where a channel names the task that reported, \"= workers\" says that there is one for each worker of fserror that ran. " +
		"\"Loss records\" are what the reader got instead of the lost errors, and after how many records of any kind. " + bootsNote(gs))
	t := &table{heads: []string{"channel", "queue", "where", "no loss up to>", "burst>", "in detail>", "by count>", "records>", "lost, told>", "elsewhere>", "**lost silently**>", "loss records>", "warnings"}}
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
					last.spread(detailed), last.spread(coalesced), last.workers(), told(last.spread(lostTold), last), some(last, elsewhere), bold(last.spread(lostMute)),
					lossRecords(last), d.mark(series...),
				}})
			}
		}
	}
	t.rows = mergeRows(rows, 2)
	t.dropEmpty("elsewhere>")
	d.table(t)
	d.guarantee(gs)
	if late := filter(gs, func(g *group) bool { return tellsLate(g.arm) && g.share(lostMute) > 0 }); len(late) > 0 {
		d.para("%s: here nothing followed the burst. The next error would bring word of the loss, and how much it was; until then it is silent.", strings.Join(armsOf(late), " and "))
	}
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

// cost shows what the context pays that hit the error.
func (d *doc) cost() {
	gs := filter(d.groups[overflow], func(g *group) bool { return g.p50(reportCost).N > 0 })
	if len(gs) == 0 {
		return
	}
	d.para("### What reporting costs the filesystem")
	d.para("%s", "The median time inside fserror_report(), in the context that hit the error, while nobody reads. \"Room\" is the largest burst, of ten errors at least, that fits into the queue; \"full\" the largest burst of which most was lost. "+
		pays(gs))
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
		t := &table{heads: []string{"where", "channel", "room: queue", "burst>", "p50>", "longest>", "full: queue", "burst>", "p50>", "longest>", "warnings"}}
		for _, p := range places(mode) {
			for _, a := range armsOf(at(mode, p)) {
				mine := ofArm(at(mode, p), a)
				row := []string{p.String(), a}
				shown := []*group{roomy(mine), crowded(mine)}
				for _, g := range shown {
					if g == nil {
						row = append(row, "–", "–", "–", "–")
						continue
					}
					row = append(row, g.queue.String(), count(g.burst), withInterval(g.p50(reportCost)), g.longest(reportCost))
				}
				t.add(append(row, d.mark(shown...))...)
			}
		}
		d.table(t)
	}
}

// pays says what is in the cost of a report, on the kernels and filesystems of gs.
func pays(gs []*group) string {
	has := func(keep func(*group) bool) bool { return slices.ContainsFunc(gs, keep) }
	direct := func(g *group) bool { return g.arm == "wq" || g.arm == "wq-parts" }
	s := "fserror allocates an event and queues a work item for whoever is told by its worker: fanotify and wq-base-worker."
	if has(func(g *group) bool { return g.variant == "base" && g.arm == "wq-base" }) {
		s += " On the kernel base it does so for every error, so that wq-base, which posts where the error happens, pays for both."
	}
	if has(func(g *group) bool { return g.variant == "patched" && direct(g) }) {
		s += " On the kernel patched wq posts where the error happens, and fserror does so only if somebody waits for the worker"
		s += ": on ext4 nobody does, and wq allocates nothing"
		if has(func(g *group) bool { return direct(g) && g.fs == "xfs" }) {
			s += "; on XFS its own ->report_error always does, and wq pays for that and for its post"
		}
		s += "."
	}
	return s
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
