// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"wqfan/bench/result"
	"wqfan/bench/stat"
)

// claim is one of the ten of DESIGN.md: what was said on linux-fsdevel in 2021,
// in our words, and how a run decides it.
type claim struct {
	says  string
	from  []message
	run   string // scenarios that it can be measured with
	judge func(*data) finding
}

// message is where a claim was made.
type message struct{ letter, who, id string }

var (
	proposal = message{"R", "Gabriel Krisman Bertazi, the proposal", "87lfcne59g.fsf@collabora.com"}
	answer   = message{"K", "Jan Kara", "20210121114453.GD24063@quack2.suse.cz"}
	useCases = message{"W", "Darrick J. Wong, two use cases", "20210210000932.GH7190@magnolia"}
	reply    = message{"B", "Gabriel Krisman Bertazi, the reply", "87tuqj1oyf.fsf@collabora.com"}
	messages = []message{proposal, answer, useCases, reply}
)

var claims = []claim{
	{"watch_queue submits fast and without allocation, where fanotify allocates", []message{proposal}, "overflow latency targets", submission},
	{"watch_queue's records are too short, and linking them is unsafe: an overrun can erase part of a chain", []message{proposal, reply}, "chain", chains},
	{"watch_queue needs an overflow mechanism out of band; fanotify has one in band", []message{proposal, reply}, "chain loss overflow", overflowSignal},
	{"fsnotify has the visibility semantics (file, mount, filesystem); watch_queue would need them from scratch", []message{proposal, reply, answer}, "scope", visibility},
	{"CAP_SYS_ADMIN can be dropped for a program that holds the file open", []message{proposal, useCases, reply}, "scope", unprivileged},
	{"one daemon, a whole filesystem, rich records: that is a simple filesystem-wide pipe", []message{reply}, "overflow latency loss", pipe},
	{"watch_queue's filters can be extended so that a flood of one kind does not push out another", []message{reply}, "filter", reserves},
	{"one format can carry several filesystem types: a magic number and a blob", []message{useCases, reply, answer}, "corruption", oneFormat},
	{"in a flood only the first error matters", nil, "inodes", firstError},
	{"it does not matter which of the two carries the daemon's use case", []message{useCases}, "overflow latency", either},
}

// verdict is what a run says about a claim.
type verdict string

// The verdicts.
const (
	holds    verdict = "holds"
	fails    verdict = "does not hold"
	onlyIf   verdict = "holds only if" // goes on with the condition
	unknown  verdict = "no data in this run"
	noneHere verdict = "cannot be measured here"
)

// finding is what a run says about a claim, and why.
type finding struct {
	verdict   verdict
	condition string   // of onlyIf
	short     string   // the numbers in a line; "" where there are none
	text      string   // the numbers with what they stand for
	table     *table   // more of them; nil where there are none
	figures   []string // names of the plots that show it
	groups    []*group // what it rests on: warnings, the command and the number of boots follow from these
	boots     int      // the fewest that are behind a number
}

// says is the verdict in words. A few boots are observations, and no sample.
func (f finding) says() string {
	s := string(f.verdict)
	if f.verdict == onlyIf {
		s += " " + f.condition
	}
	if f.boots > 0 && f.boots < manyBoots && (f.verdict == holds || f.verdict == fails || f.verdict == onlyIf) {
		s += fmt.Sprintf(" (n=%d)", f.boots)
	}
	return s
}

// manyBoots is from how many boots on a verdict rests on intervals.
const manyBoots = 10

func notMeasured(*data) finding {
	return finding{verdict: unknown, text: "No cell of this run bears on it."}
}

// watchQueue says whether an arm is one of watch_queue's.
func watchQueue(arm string) bool { return strings.HasPrefix(arm, "wq") }

// mainFan is mainline's fanotify.
const mainFan = "fan"

// prototype returns the arm of watch_queue that gs judge the idea by: the best
// there is that posts where the error happens; "" where there is none.
func prototype(gs []*group) string {
	for _, a := range []string{"wq", "wq-base"} {
		if len(ofArm(gs, a)) > 0 {
			return a
		}
	}
	return ""
}

// yardstick returns the groups of mainline's fanotify on the kernel of an arm.
func yardstick(gs []*group, arm string) []*group {
	mine := ofArm(gs, arm)
	return filter(gs, func(g *group) bool {
		return len(mine) > 0 && g.variant == mine[0].variant && strings.TrimSuffix(g.arm, onKernel+clean(g.variant)) == mainFan
	})
}

// timedAt returns the groups at the first place whose times mean something.
func timedAt(gs []*group) []*group {
	gs = filter(gs, func(g *group) bool { return slices.Contains(timed, g.mode) })
	if len(gs) == 0 {
		return nil
	}
	return at(gs, places(gs)[0])
}

// contrast is one quantity of fanotify's and of watch_queue's.
type contrast struct {
	effect // of watch_queue's group
	fan    *group
	hist   string
}

// against compares the medians of two groups.
func against(fan, wq *group, hist string) contrast {
	old, new := fan.medians(hist), wq.medians(hist)
	return contrast{effect{group: wq, ratio: stat.Ratio(old, new), floor: max(stat.Floor(old), stat.Floor(new))}, fan, hist}
}

// medians are those of a histogram's boots.
func (g *group) medians(hist string) (out []stat.Boot) {
	for i := range g.cells {
		if h := find(&g.cells[i], hist); h != nil {
			out = append(out, stat.AtQuantile(h.Data, 0.5))
		}
	}
	return out
}

// sign is 1 where watch_queue's number is larger, -1 where it is smaller, and 0
// where the boots do not tell. One boot has neither an interval nor a floor.
func (c contrast) sign() int {
	alone := math.IsInf(c.floor, 0)
	switch {
	case alone && math.Abs(c.ratio.Value-1) <= noise, !alone && !c.real():
		return 0
	case c.ratio.Value < 1:
		return -1
	}
	return 1
}

// String writes the ratio, with a ~ where it is noise.
func (c contrast) String() string {
	if c.sign() == 0 {
		return "~" + multiple(c.ratio.Value)
	}
	return multiple(c.ratio.Value)
}

// full writes the ratio with its interval, where there is one, and the floor.
func (c contrast) full() string {
	if math.IsInf(c.floor, 0) {
		return c.String()
	}
	return fmt.Sprintf("%v [%s, %s], A/A %s %%", c, multiple(c.ratio.Lo), multiple(c.ratio.Hi), percent(100*c.floor))
}

func (c contrast) medianOf(g *group) string { return compact(g.p50(c.hist)) }

// cost compares what a report costs its context while the queue has room.
type cost struct {
	contrast
	base  *contrast // with fanotify on the kernel base; nil where that is fan, or was not measured
	what  string    // is reported
	epoll bool      // the descriptor of the reader is in an epoll set
}

// dearer says that the context that hit the error pays more for watch_queue
// than for fanotify on either kernel.
func (c cost) dearer() bool { return c.sign() > 0 || c.base != nil && c.base.sign() > 0 }

func (c cost) String() string {
	s := c.what
	if c.epoll {
		s += ", epoll"
	}
	return s
}

// costs compares the costs of a single report and of many in a row, with the
// reader's descriptor in an epoll set and outside of any.
func (d *data) costs() (out []cost) {
	add := func(here []*group, arm, what, hist string, epoll bool, pick func([]*group) *group) {
		f, w := pick(yardstick(here, arm)), pick(ofArm(here, arm))
		if f == nil || w == nil || f.p50(hist).N == 0 || w.p50(hist).N == 0 {
			return
		}
		c := cost{contrast: against(f, w, hist), what: what, epoll: epoll}
		if b := pick(ofArm(here, mainFan+onKernel+"base")); b != nil && b != f && b.p50(hist).N > 0 {
			x := against(b, w, hist)
			c.base = &x
		}
		out = append(out, c)
	}
	first := func(gs []*group) *group {
		if len(gs) == 0 {
			return nil
		}
		return gs[0]
	}
	alone := filter(d.groups[targets], func(g *group) bool { return slices.Contains(timed, g.mode) && g.first().Params.Reader == unread })
	bursts := filter(d.groups[overflow], func(g *group) bool { return slices.Contains(timed, g.mode) && g.p50(reportCost).N > 0 })
	for _, p := range places(slices.Concat(alone, bursts)) {
		known := false
		for _, epoll := range []bool{false, true} {
			here := filter(at(alone, p), func(g *group) bool { return polled(g) == epoll })
			arm := prototype(here)
			add(here, arm, "single", "report", epoll, first)
			add(here, arm, "burst", "report-in-burst", epoll, first)
			known = epoll && len(here) > 0
		}
		if known {
			continue
		}
		here, arm := at(bursts, p), prototype(bursts)
		add(here, arm, "single", reportCost, true, func(gs []*group) *group {
			return first(filter(filled(gs, false), func(g *group) bool { return g.burst == 1 }))
		})
		add(here, arm, "burst", reportCost, true, roomy)
	}
	return out
}

// ways compares the medians from the time an error was due until it was read.
func (d *data) ways() (contrast, bool) {
	gs := timedAt(filter(d.groups[latency], func(g *group) bool { return g.p50(readTime).N > 0 }))
	arm := prototype(gs)
	f := yardstick(gs, arm)
	if len(f) == 0 {
		return contrast{}, false
	}
	w := filter(ofArm(gs, arm), func(g *group) bool { return g.point == f[0].point })
	if len(w) == 0 {
		return contrast{}, false
	}
	return against(f[0], w[0], readTime), true
}

// posted are the groups of one queue, on the same kernel, that is posted to from
// fserror's worker and from where the error happens, and fanotify's there.
func (d *data) posted() (fan, late, direct *group) {
	gs := timedAt(filter(d.groups[latency], func(g *group) bool { return g.p50(readTime).N > 0 }))
	l, w, f := ofArm(gs, "wq-base-worker"), ofArm(gs, "wq-base"), yardstick(gs, "wq-base")
	if len(l) == 0 || len(w) == 0 || len(f) == 0 || l[0].point != w[0].point {
		return nil, nil, nil
	}
	return f[0], l[0], w[0]
}

// worker says how much of the way by fserror's worker is the worker's.
func (d *data) worker() string {
	fan, late, direct := d.posted()
	if fan == nil {
		return ""
	}
	p50 := func(g *group) string { return compact(g.p50(readTime)) }
	s := fmt.Sprintf("fanotify is told by fserror's worker, which is not the channel's: on the kernel base %s takes %s and wq-base, posted directly, %s; "+
		"wq-base-worker, the same queue posted from that worker, takes %s.", mainFan, p50(fan), p50(direct), p50(late))
	if direct.cpus == 1 {
		s += " On one CPU the worker also waits until the injecting thread sleeps."
	}
	return s
}

func submission(d *data) finding {
	costs := d.costs()
	way, timed := d.ways()
	switch {
	case len(costs) > 0 && timed:
	case len(d.groups[overflow])+len(d.groups[latency]) > 0 && len(timedAt(slices.Concat(d.groups[overflow], d.groups[latency]))) == 0:
		return finding{verdict: noneHere, text: "All cells of this run are of emulated CPUs, whose times are not hardware's."}
	default:
		return notMeasured(d)
	}
	f := finding{figures: []string{"latency-" + string(way.mode), "effect-" + string(way.mode)}, groups: []*group{way.fan, way.group}}
	if fan, late, direct := d.posted(); fan != nil {
		f.groups = append(f.groups, fan, late, direct)
	}
	f.table = &table{heads: []string{"where", "report", "reader in an epoll set", "fan>", "fan on base>", "wq>", "÷ fan", "÷ fan on base"}}
	each := map[string][]string{} // ratios by filesystem
	dear := map[string][]string{}
	var fs, outside []string // filesystems, and those without a reader outside of an epoll set
	for _, c := range costs {
		if !slices.Contains(fs, c.fs) {
			fs = append(fs, c.fs)
		}
		beside := "" // what only another kernel's fanotify shows
		if c.base != nil && c.base.sign() != c.sign() {
			beside = fmt.Sprintf(" (%v times fan on base)", c.base)
		}
		each[c.fs] = append(each[c.fs], fmt.Sprintf("%v %v%s", c, c.contrast, beside))
		if c.dearer() {
			where := c.String()
			if c.sign() <= 0 {
				where += ", beside fan on base"
			}
			dear[c.fs] = append(dear[c.fs], where)
		}
		in, base, ratio := "no", "", ""
		if c.epoll {
			in = "yes"
		}
		f.groups = append(f.groups, c.fan, c.group)
		if c.base != nil {
			base, ratio = c.medianOf(c.base.fan), c.base.full()
			f.groups = append(f.groups, c.base.fan)
		}
		f.table.add(c.place.String(), c.what, in, c.medianOf(c.fan), base, c.medianOf(c.group), c.contrast.full(), ratio)
	}
	for _, s := range fs {
		if !slices.ContainsFunc(costs, func(c cost) bool { return c.fs == s && !c.epoll }) {
			outside = append(outside, s)
		}
	}
	f.table.dropEmpty("fan on base>")
	f.table.dropEmpty("÷ fan on base")
	var ratios, where, costly, cheap []string
	for _, s := range fs {
		ratios = append(ratios, fmt.Sprintf("on %s %s", s, strings.Join(each[s], ", ")))
		switch len(dear[s]) {
		case 0:
			cheap = append(cheap, s)
		case len(each[s]):
			costly, where = append(costly, s), append(where, s)
		default:
			where = append(where, fmt.Sprintf("%s (%s)", s, strings.Join(dear[s], "; ")))
		}
	}
	f.short = fmt.Sprintf("a report costs %s, in multiples of fan: %s; read after fan %s, %s %s (%s)", way.arm, strings.Join(ratios, "; "),
		way.medianOf(way.fan), way.arm, way.medianOf(way.group), way.mode.Unit())
	f.text = fmt.Sprintf("From the moment an error is due until it is read it takes %s %s with fan and %s with %s on %v, a ratio of %s. %s "+
		"What a report costs the context that hit the error, in %s, is below: a single one, and one of many in a row, before the queue is full, with the ratio of the means over the boots, not of the medians beside it; an epoll set, which Go's runtime has its descriptors in, "+
		"is called back by each post to watch_queue; hardly ever does a thread sleep there, which the post would wake and pay for (the longest in the table of the targets), where fanotify leaves both to fserror's worker. A ~ is within the noise: the interval holds 1, or two halves of the boots of one channel differ as much (A/A). "+
		"That watch_queue's post allocates nothing is no figure here: the code shows it, which has no allocation between the report and the ring. "+
		"On the kernel base, and on XFS, fserror allocates its event for every error all the same.",
		way.medianOf(way.fan), way.mode.Unit(), way.medianOf(way.group), way.arm, way.place, way.full(), d.worker(), way.mode.Unit())
	if len(outside) > 0 {
		f.text += fmt.Sprintf(" With the descriptor outside of an epoll set nothing was measured on %s.", strings.Join(outside, ", "))
	}
	switch {
	case way.sign() >= 0:
		f.verdict = fails
	case len(where) == 0:
		f.verdict = holds
	case len(cheap) > 0:
		f.verdict, f.condition = onlyIf, fmt.Sprintf("the filesystem is %s; the context that hit the error pays more on %s", strings.Join(cheap, ", "), strings.Join(where, " and on "))
	case len(costly) == len(fs):
		f.verdict, f.condition = onlyIf, "the whole way to the reader counts: the context that hit the error pays more"
	default:
		f.verdict, f.condition = onlyIf, fmt.Sprintf("the whole way to the reader counts: the context that hit the error pays more on %s", strings.Join(where, " and on "))
	}
	return f
}

// leftOut says what a finding does without, and what that shows all the same.
func leftOut(left []result.Cell, shows string) string {
	if len(left) == 0 {
		return ""
	}
	return fmt.Sprintf(" Left out: %s with a live reader whose injector was late. Such a cell proves a loss, and what was said of it, but not that there is none: %s.", plural(uint64(len(left)), "cell", "cells"), shows)
}

// chains judges by records that take several notes, where some were lost.
func chains(d *data) finding {
	gs, left := onTime(filter(d.groups["chain"], func(g *group) bool { return !g.lossless() && g.first().Params.Blob > 0 }))
	mine := filter(gs, func(g *group) bool { return watchQueue(g.arm) })
	if len(mine) == 0 {
		return notMeasured(d)
	}
	var parts, whole []string
	for _, a := range armsOf(mine) {
		var records, lost, broken uint64
		for _, g := range ofArm(mine, a) {
			for i := range g.cells {
				c := &g.cells[i]
				records += c.Reader.Whole
				lost += c.Account.Lost()
				broken += c.Reader.Broken + c.Reader.Fragments
			}
		}
		parts = append(parts, fmt.Sprintf("%s lost %s errors, gave %s records whole and %s in part", a, count(lost), count(records), count(broken)))
		if broken == 0 && records > 0 {
			whole = append(whole, a)
		}
	}
	blob := func(g *group) int { return g.first().Params.Blob }
	_, most := spans(gs, blob)
	var kept []string
	for _, g := range filter(gs, func(g *group) bool { return blob(g) == most && g.first().Params.Reader == unread }) {
		kept = append(kept, fmt.Sprintf("%s %s", g.arm, g.spread(func(c *result.Cell) uint64 { return c.Reader.Whole })))
	}
	f := finding{groups: gs, short: strings.Join(parts, "; "), text: fmt.Sprintf("With records of up to %s bytes against a queue that overflows: %s.", count(uint64(most)), strings.Join(parts, "; "))}
	if len(kept) > 0 {
		f.text += fmt.Sprintf(" The price is room: of records of %s bytes a queue of %v, unread, keeps whole: %s.", count(uint64(most)), gs[0].queue, strings.Join(kept, ", "))
	}
	var torn []string
	for _, a := range armsOf(mine) {
		var broken, records uint64
		for i := range left {
			if c := &left[i]; clean(c.Arm) == a {
				broken, records = broken+c.Reader.Broken+c.Reader.Fragments, records+c.Reader.Whole
			}
		}
		torn = append(torn, fmt.Sprintf("%s gave %s whole there and %s in part", a, count(records), count(broken)))
	}
	f.text += leftOut(left, strings.Join(torn, "; "))
	switch {
	case len(whole) == 0:
		f.verdict = holds
	case len(whole) < len(parts):
		f.verdict, f.condition = onlyIf, fmt.Sprintf("the parts of a record are lost one by one; %s loses it whole or not at all", strings.Join(whole, ", "))
	default:
		f.verdict = fails
	}
	return f
}

// scoped returns the groups of readers without privileges, of which each holds
// one of several files, with those that were told of all of its errors.
func scoped(d *data) (all, told []*group) {
	all = d.groups["scope"]
	return all, filter(all, func(g *group) bool { return g.lossless() && g.first().Account.Delivered() > 0 })
}

// tally names what each arm of the groups gave.
func tally(gs []*group) string {
	var out []string
	for _, a := range armsOf(gs) {
		g := ofArm(gs, a)[0]
		out = append(out, fmt.Sprintf("%s %s in detail and %s by count", a, g.spread(detailed), g.spread(coalesced)))
	}
	return strings.Join(out, "; ")
}

func visibility(d *data) finding {
	all, got := scoped(d)
	if len(filter(all, func(g *group) bool { return watchQueue(g.arm) })) == 0 {
		return notMeasured(d)
	}
	own := all[0].first()
	f := finding{groups: all, short: fmt.Sprintf("of %s errors of %d files, those of its own: %s", count(all[0].burst), own.Params.Targets, tally(got)),
		text: fmt.Sprintf("Of %s errors of %d files a reader that watches one of them was told of the %s of its own and of no other: %s. "+
			"Both roads watch a file and a whole filesystem here. For errors neither watches a mount, which FAN_FS_ERROR refuses, nor a subtree. How much code a scope takes is no measurement.",
			count(all[0].burst), own.Params.Targets, count(own.Account.Injected), tally(got))}
	if len(filter(got, func(g *group) bool { return watchQueue(g.arm) })) == 0 {
		f.verdict = holds
		return f
	}
	f.verdict, f.condition = onlyIf, "other events than errors count: for errors both watch a file and a filesystem, and neither a mount nor a subtree"
	return f
}

func unprivileged(d *data) finding {
	all, got := scoped(d)
	if len(all) == 0 {
		return notMeasured(d)
	}
	f := finding{groups: all, verdict: holds, short: "without privileges: " + tally(got),
		text: fmt.Sprintf("A reader without any capability holds one of %d files open and watches it. Of its %s errors it was given: %s.",
			all[0].first().Params.Targets, count(all[0].first().Account.Injected), tally(got))}
	switch {
	case len(got) == 0:
		f.verdict = fails
	case len(armsOf(got)) < len(armsOf(all)):
		f.verdict, f.condition = onlyIf, "the channel is "+strings.Join(armsOf(got), ", ")
	}
	return f
}

// reserves judges by errors of one class that come after a flood of another.
func reserves(d *data) finding {
	gs := filter(d.groups["filter"], func(g *group) bool { return watchQueue(g.arm) && g.first().Params.Noise > 0 })
	const plain = "keep=nothing"
	without := filter(gs, func(g *group) bool { return g.point == plain && !g.lossless() })
	with := filter(gs, func(g *group) bool { return g.point != plain })
	if len(without) == 0 || len(with) == 0 {
		return notMeasured(d)
	}
	var parts []string
	for _, g := range gs {
		parts = append(parts, fmt.Sprintf("%s, %s: %s of %s", g.arm, g.point, g.spread(detailed), count(g.burst)))
	}
	f := finding{groups: gs, verdict: holds, short: strings.Join(parts, "; "),
		text: fmt.Sprintf("After %s errors of another class that nobody reads, this many of those that matter came in detail: %s. "+
			"keep=class filters the others out before they are queued; keep=reserve keeps places of the queue for the class.", count(gs[0].first().Params.Noise), strings.Join(parts, "; "))}
	if !slices.ContainsFunc(with, (*group).lossless) {
		f.verdict = fails
	}
	return f
}

func overflowSignal(d *data) finding {
	all := filter(slices.Concat(d.groups[overflow], d.groups["chain"], d.groups[loss]), func(g *group) bool { return !g.lossless() && !baseline(g.arm) })
	lossy, left := onTime(all)
	mine := filter(lossy, func(g *group) bool { return watchQueue(g.arm) })
	if len(mine) == 0 {
		return notMeasured(d)
	}
	var parts, elsewhere, mute, late []string
	var silent uint64 // of watch_queue's
	for _, a := range armsOf(all) {
		t, with := tallyLoss(ofArm(lossy, a)), tallyLoss(ofArm(all, a))
		if with.lost > t.lost {
			there := fmt.Sprintf("%s lost %s there, %s silently", a, count(with.lost-t.lost), count(with.silent-t.silent))
			if n := with.elsewhere - t.elsewhere; n > 0 {
				there += fmt.Sprintf(", and %s told of elsewhere", count(n))
			}
			late = append(late, there)
			if t.elsewhere == 0 && with.elsewhere > 0 {
				elsewhere = append(elsewhere, fmt.Sprintf("%s %s of %s with those of a late injector", a, count(with.elsewhere), count(with.lost)))
			}
		}
		if t.lost == 0 {
			continue
		}
		how := "uncounted"
		if t.exact {
			how = "counted"
		}
		if t.elsewhere > 0 {
			how += fmt.Sprintf(", %s of the errors elsewhere than where they are missing", count(t.elsewhere))
			elsewhere = append(elsewhere, fmt.Sprintf("%s %s of %s", a, count(t.elsewhere), count(t.lost)))
		}
		if t.silent > 0 {
			mute = append(mute, fmt.Sprintf("%s %s of %s", a, count(t.silent), count(t.lost)))
		}
		parts = append(parts, fmt.Sprintf("%s lost %s, told by %s in the stream, %s, and %s silently", a, count(t.lost), plural(t.records, "record", "records"), how, count(t.silent)))
		if watchQueue(a) {
			silent += t.silent
		}
	}
	f := finding{
		verdict: fails,
		groups:  lossy,
		short:   "each of fanotify's and watch_queue's channels told of every loss in its own stream, none was silent",
		text: "Over all overflowing cells on time: " + strings.Join(parts, "; ") + ". Both channels say in the stream itself that something was lost. " +
			"A loss is silent if it came after the last such record was read.",
		figures: []string{fateName(places(mine)[0], false), "timeline-" + places(mine)[0].slug()},
	}
	if len(mute) > 0 {
		f.short = "lost silently: " + strings.Join(mute, ", ")
	}
	if len(elsewhere) > 0 {
		f.short += "; told elsewhere than where they are missing: " + strings.Join(elsewhere, ", ")
		f.text += " Told elsewhere: fanotify has one record for several bouts of drops, where the first was; the wq prototype tells of a loss at once, ahead of older records."
	}
	f.text += leftOut(left, strings.Join(late, "; "))
	if other := d.mute(baseline); other != "" {
		f.text += " The claim is not about the baselines, which lost errors silently: " + other + "."
	}
	if silent > 0 {
		f.verdict, f.condition = onlyIf, "the queue is the one that lost errors silently"
	}
	return f
}

// lossTally is what became of the losses of an arm.
type lossTally struct {
	lost, elsewhere, silent uint64 // errors
	records                 uint64 // that told of them
	exact                   bool   // and counted them
}

func tallyLoss(gs []*group) lossTally {
	t := lossTally{exact: true}
	for _, g := range gs {
		for i := range g.cells {
			c := &g.cells[i]
			t.lost += c.Account.Lost()
			t.silent += c.Account.Silent
			t.elsewhere += c.Reader.Elsewhere
			t.records += c.Reader.LossEvents
			t.exact = t.exact && (c.Reader.LossEvents == 0 || c.Reader.LossExact)
		}
	}
	return t
}

func pipe(d *data) finding {
	lat := filter(d.groups[latency], func(g *group) bool { return watchQueue(g.arm) })
	arm := prototype(lat)
	lat = ofArm(lat, arm)
	if len(lat) == 0 {
		return notMeasured(d)
	}
	if slices.ContainsFunc(lat, func(g *group) bool { return !g.inDetail() }) {
		return finding{verdict: fails, groups: lat, short: "single errors at a pace were lost", text: fmt.Sprintf("%s lost errors that came one at a time.", arm)}
	}
	f := finding{verdict: holds, groups: slices.Clone(lat), short: "every single error in detail",
		text: fmt.Sprintf("One reader of %s watched whole filesystems. Of single errors at a pace, over %s, it was told of each one in detail, with the inode.", arm, plural(uint64(len(lat)), "cell", "cells"))}
	if bursts := filled(ofArm(d.groups[overflow], arm), false); len(bursts) > 0 {
		f.figures = append(f.figures, "kept")
		series := ofQueue(at(bursts, bursts[0].place), bursts[0].queue)
		f.groups = append(f.groups, series...)
		if i := slices.IndexFunc(series, func(g *group) bool { return !g.lossless() }); i >= 0 {
			most, least := upTo(series, (*group).lossless, func(g *group) string { return count(g.burst) }), count(series[i].burst)
			f.verdict, f.condition = onlyIf, fmt.Sprintf("bursts that nobody reads fit the ring: of those tried %s did, %s did not", most, least)
			f.short += fmt.Sprintf("; the longest burst that fits is between %s and %s", most, least)
			f.text += fmt.Sprintf(" Unread, its ring of %v took a burst of %s, and not one of %s.", bursts[0].queue, most, least)
		}
	}
	if rates := timedAt(swept(ofArm(d.groups[loss], arm))); len(rates) > 0 {
		f.figures = append(f.figures, "load-"+string(rates[0].mode))
		f.groups = append(f.groups, rates...)
		top := keepsUp(rates)
		f.short += "; read live no loss " + top
		f.text += fmt.Sprintf(" Read live on %v, in errors per second of guest time: no loss %s.", rates[0].place, top)
	}
	return f
}

// keepsUp says up to which rate nothing is lost, and what is not known of it.
func keepsUp(series []*group) string {
	top := "up to " + rateUpTo(series, (*group).lossless) + "/s"
	last, open := lastRate(series, (*group).lossless)
	if last == nil {
		return top
	}
	if open {
		top = "up to " + figures3(last.asked()) + "/s and perhaps beyond, where the injector was late or fell short"
	}
	if i := slices.IndexFunc(series, func(g *group) bool { return !g.lossless() }); i >= 0 {
		top += fmt.Sprintf(", a loss at %s/s", figures3(series[i].asked()))
	}
	var late []string
	for _, g := range series {
		if g.asked() < last.asked() && g.late() {
			late = append(late, figures3(g.asked())+"/s")
		}
	}
	if len(late) > 0 {
		top += fmt.Sprintf("; below that the injector was late at %s, where nothing was lost either", strings.Join(late, ", "))
	}
	return top
}

func oneFormat(d *data) finding {
	f := formats(d)
	if f.verdict != unknown {
		f.groups = d.groups[corruption]
	}
	return f
}

func formats(d *data) finding {
	gs := d.groups[corruption]
	generic, named, blob := map[string][]string{}, map[string][]string{}, map[string][]string{} // filesystems by arm
	for _, g := range gs {
		for i := range g.cells {
			c := &g.cells[i]
			if c.Account.Injected == 0 || c.Reader.Records != c.Account.Injected {
				continue
			}
			generic[g.arm] = append(generic[g.arm], g.fs)
			for _, has := range []struct {
				field string
				in    map[string][]string
			}{{" magic=", named}, {" record=", blob}} {
				if slices.ContainsFunc(c.Events, func(e string) bool { return strings.Contains(e, has.field) }) {
					has.in[g.arm] = append(has.in[g.arm], g.fs)
				}
			}
		}
	}
	several := func(m map[string][]string) (arms, fs []string) {
		for _, a := range armsOf(gs) {
			if s := slices.Compact(slices.Sorted(slices.Values(m[a]))); len(s) > 1 {
				arms, fs = append(arms, a), s
			}
		}
		return arms, fs
	}
	if arms, fs := several(blob); len(arms) > 0 {
		return finding{verdict: holds, short: fmt.Sprintf("%s, each with its magic number and its record, through %s", strings.Join(fs, " and "), strings.Join(arms, ", ")),
			text: fmt.Sprintf("Real faults on %s came through %s in one format, each with its filesystem's magic number and record.", strings.Join(fs, " and "), strings.Join(arms, ", "))}
	}
	if arms, fs := several(named); len(arms) > 0 {
		var with []string
		for _, a := range arms {
			with = append(with, blob[a]...)
		}
		with = slices.Compact(slices.Sorted(slices.Values(with)))
		without := slices.DeleteFunc(slices.Clone(fs), func(s string) bool { return slices.Contains(with, s) })
		f := finding{verdict: onlyIf, condition: fmt.Sprintf("a magic number without a blob counts, as on %s: only %s has a record of its own", strings.Join(without, ", "), cmp.Or(strings.Join(with, ", "), "none")),
			short: fmt.Sprintf("%s, each with its magic number, through %s; a record of its own: %s only", strings.Join(fs, " and "), strings.Join(arms, ", "), cmp.Or(strings.Join(with, ", "), "none"))}
		f.text = fmt.Sprintf("Real faults on %s came through %s in one format with the filesystem's magic number; the faults provoked on %s have no record of their own.", strings.Join(fs, " and "), strings.Join(arms, ", "), strings.Join(without, ", "))
		return f
	}
	if arms, fs := several(generic); len(arms) > 0 {
		return finding{verdict: onlyIf, condition: "what is common to filesystems is enough: no record carried a magic number and a blob",
			short: fmt.Sprintf("%s in one generic record, without a blob", strings.Join(fs, " and ")),
			text:  fmt.Sprintf("Real faults on %s came through %s in one format, each with the right inode and errno. None carried what only its filesystem can say.", strings.Join(fs, " and "), strings.Join(arms, ", "))}
	}
	return notMeasured(d)
}

func firstError(d *data) finding {
	var gs []*group
	for name, list := range d.groups {
		if name == "scope" { // its reader holds one file, and the errors of the others are none of its
			continue
		}
		gs = append(gs, filter(list, func(g *group) bool { return strings.Split(g.arm, onKernel)[0] == mainFan && g.share(coalesced) > 0 })...)
	}
	if len(gs) == 0 {
		return notMeasured(d)
	}
	order := func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.share(coalesced), a.share(coalesced)), cmp.Compare(b.burst, a.burst), a.place.compare(b.place), strings.Compare(a.point, b.point))
	}
	f := finding{}
	several := filter(gs, func(g *group) bool {
		p := g.first().Params
		return p.Targets > 1 && p.Scope == "inode" && g.share(coalesced) > 50
	})
	if len(several) > 0 {
		g := slices.MinFunc(several, order)
		f.groups = []*group{g}
		files := g.first().Params.Targets
		f.short = fmt.Sprintf("fan: of %s errors of %d files %s came in detail", count(g.burst), files, g.spread(detailed))
		f.text = fmt.Sprintf("fan was told of %s errors of %d different files on %v (%s). %s came in detail, %s only as part of a count: their files are not named.",
			count(g.burst), files, g.place, g.point, g.spread(detailed), g.spread(coalesced))
		f.verdict = fails
		if len(d.groups[overflow]) > 0 {
			f.text += " The plot is of errors of one object."
			f.figures = []string{"kept"}
		}
		return f
	}
	g := slices.MinFunc(gs, order)
	f.groups, f.figures = []*group{g}, []string{"kept"}
	f.verdict = unknown
	f.short = fmt.Sprintf("of %s errors of one object fan kept %s in detail, %s by count; errors of several were not measured", count(g.burst), g.spread(detailed), g.spread(coalesced))
	f.text = fmt.Sprintf("Of a burst of %s errors on %v fan kept %s in detail: one record for each of fserror's workers that ran, with the first error of each. %s are known by count, which is exact as long as the group is not full.",
		count(g.burst), g.place, g.spread(detailed), g.spread(coalesced))
	return f
}

func either(d *data) finding {
	gs := filled(d.groups[overflow], false)
	arm := prototype(gs)
	if arm == "" {
		return notMeasured(d)
	}
	gs = at(gs, ofArm(gs, arm)[0].place)
	if len(yardstick(gs, arm)) == 0 {
		return notMeasured(d)
	}
	// The largest burst that both were given, against the queue of each that holds most.
	most := func(gs []*group) []*group { return ofQueue(gs, queuesOf(gs)[0]) }
	fans, wqs := most(yardstick(gs, arm)), most(ofArm(gs, arm))
	fans = filter(fans, func(f *group) bool {
		return slices.ContainsFunc(wqs, func(w *group) bool { return w.burst == f.burst })
	})
	if len(fans) == 0 {
		return notMeasured(d)
	}
	f := slices.MaxFunc(fans, func(a, b *group) int { return cmp.Compare(a.burst, b.burst) })
	w := wqs[slices.IndexFunc(wqs, func(w *group) bool { return w.burst == f.burst })]
	lost := func(g *group) float64 { return g.share(lostTold) + g.share(lostMute) }
	out := finding{
		verdict: holds,
		groups:  []*group{f, w},
		short:   fmt.Sprintf("burst of %s: fan %s in detail, %s %% lost; %s %s in detail, %s %% lost", count(f.burst), f.spread(detailed), percent(lost(f)), arm, w.spread(detailed), percent(lost(w))),
		text: fmt.Sprintf("Of a burst of %s errors that nobody reads fan keeps %s in detail and %s by count, and loses %s %%; %s keeps %s in detail and loses %s %%.",
			count(f.burst), f.spread(detailed), f.spread(coalesced), percent(lost(f)), arm, w.spread(detailed), percent(lost(w))),
		figures: []string{fateName(f.place, false)},
	}
	alike := func(f *group) bool { return f.spread(detailed) == w.spread(detailed) && lost(f) == lost(w) }
	fine := filter(ofArm(gs, "fan-detail"), func(g *group) bool { return g.burst == f.burst && g.queue == queuesOf(ofArm(gs, "fan-detail"))[0] })
	if len(fine) > 0 {
		g := fine[0]
		out.groups = append(out.groups, g)
		out.short += fmt.Sprintf("; fan-detail %s in detail, %s %% lost", g.spread(detailed), percent(lost(g)))
		out.text += fmt.Sprintf(" fan-detail, which does not merge, keeps %s of that burst in detail and loses %s %%.", g.spread(detailed), percent(lost(g)))
	}
	var time string // what is to say of it
	way, timed := d.ways()
	switch {
	case timed:
		out.groups = append(out.groups, way.fan, way.group)
		out.figures = append(out.figures, "latency-"+string(way.mode))
		out.text += fmt.Sprintf(" A single error is read after %s %s with fan and %s with %s, a ratio of %s.", way.medianOf(way.fan), way.mode.Unit(), way.medianOf(way.group), way.arm, way.full())
		if way.sign() != 0 {
			time = "the time to the reader still differs, by fserror's worker"
		}
	case len(d.groups[latency]) > 0:
		time = "this is the half about loss: emulated CPUs say nothing of the time to the reader"
	default:
		time = "this is the half about loss: no cell of this run is about the time to the reader"
	}
	switch {
	case alike(f) && time == "":
	case alike(f):
		out.verdict, out.condition = onlyIf, "only what is kept counts; "+time
	case len(fine) > 0 && alike(fine[0]):
		out.verdict, out.condition = onlyIf, "both merge, or neither does: what is kept is the policy's doing, not the channel's"
		if time != "" {
			out.condition += "; " + time
		}
	default:
		out.verdict = fails
	}
	return out
}

// noise is what two boots of one kernel may differ by in a mode whose times
// mean something, for a run of one boot: medians agreed within 0.5 % in the
// calibration of icount.
const noise = 0.01

// findings judges all claims.
func findings(d *data) []finding {
	out := make([]finding, len(claims))
	for i, c := range claims {
		out[i] = c.judge(d)
		out[i].boots, _ = boots(out[i].groups)
	}
	return out
}

// answers is the first screen: each claim, its verdict and the numbers.
func (d *doc) answers() {
	d.para("## The claims of 2021, and what this run says")
	d.para("In January and February 2021 linux-fsdevel weighed fanotify against watch_queue for filesystem errors, by argument. Verdicts are computed from this run's data.")
	t := &table{heads: []string{"", "claim", "verdict", "measured", "warnings"}}
	for i, f := range d.findings {
		t.add(fmt.Sprintf("[%d](#claim-%d)", i+1, i+1), claims[i].says, "**"+f.says()+"**", cmp.Or(f.short, "–"), d.mark(f.groups...))
	}
	d.table(t)
}

// oneByOne gives each claim its source, its numbers, its plots and its command.
func (d *doc) oneByOne() {
	d.para("## Claim by claim")
	for i, f := range d.findings {
		c := claims[i]
		d.para("### Claim %d", i+1)
		d.para("> %s\n>\n> %s", c.says, sources(c.from))
		d.para("**%s.** %s", upperFirst(f.says()), f.text)
		if f.table != nil {
			d.table(f.table)
		}
		d.plots(f)
		if len(f.groups) > 0 {
			d.para("Measured by `%s`.", d.rerun(f.groups))
		} else {
			flag := ""
			if f.verdict == noneHere {
				flag = "--icount "
			}
			d.para("`wqfan run %s%s` measures it.", flag, c.run)
		}
	}
}

// plots shows the plots of a finding, points at those that were shown already, or
// says why there is none.
func (d *doc) plots(f finding) {
	var links []string
	for _, name := range f.figures {
		switch p := d.figs[name]; {
		case p == nil:
		case slices.Contains(d.shown, name):
			links = append(links, p.link())
		default:
			d.embed(name)
			return
		}
	}
	switch {
	case len(links) > 0:
		d.para("Plot: %s.", strings.Join(links, "; "))
	case len(f.groups) == 0:
		d.para("No plot: there is nothing to show.")
	default:
		var tables []string
		for _, g := range f.groups {
			if g.first().Scenario == corruption {
				d.para("No plot: what was read is words, under [real corruption](#real-corruption).")
				return
			}
			if s := section(g); !slices.Contains(tables, s) {
				tables = append(tables, s)
			}
		}
		d.para("No plot: the numbers are few, above and in the table of %s.", strings.Join(tables, " and "))
	}
}

// section links the table of a scenario that has no section of its own.
func section(g *group) string {
	s := g.first().Scenario
	return fmt.Sprintf("[%s](#%s-mode-%s)", oneLine(s), slug(s), g.mode)
}

// rerun is the command that measures groups anew: that of the run, for their
// scenarios alone.
func (d *data) rerun(gs []*group) string {
	var names, words []string
	for _, g := range gs {
		names = append(names, g.first().Scenario)
	}
	slices.Sort(names)
	other := func(w string) bool { // a scenario, as far as a report knows them
		return d.groups[w] != nil || slices.ContainsFunc(claims, func(c claim) bool { return slices.Contains(strings.Fields(c.run), w) })
	}
	for _, w := range d.run.Command {
		if !other(w) {
			words = append(words, w)
		}
	}
	if len(words) == 0 {
		words = []string{"run"}
	}
	return commandLine(append(words, slices.Compact(names)...))
}

// sources links the messages that a claim comes from.
func sources(from []message) string {
	if len(from) == 0 {
		return "From the reviews of the 2021 patches that became FAN_FS_ERROR."
	}
	var out []string
	for _, m := range from {
		out = append(out, fmt.Sprintf("[%s](https://lore.kernel.org/linux-fsdevel/%s/)", m.who, m.id))
	}
	return strings.Join(out, "; ")
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// timed are the modes whose times and rates mean something in one boot.
var timed = []result.Mode{result.KVM, result.Native, result.ICount}
