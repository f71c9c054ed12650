// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"wqfan/bench/result"
)

// claim is one of the ten of DESIGN.md: what was said on linux-fsdevel in 2021,
// in our words, and how a run decides it.
type claim struct {
	says  string
	from  []message
	run   string // what `wqfan run` measures it with; "" where nothing does
	judge func(*data) finding
}

// message is where a claim was made.
type message struct{ who, id string }

var (
	proposal = message{"Gabriel Krisman Bertazi, the proposal", "87lfcne59g.fsf@collabora.com"}
	answer   = message{"Jan Kara", "20210121114453.GD24063@quack2.suse.cz"}
	useCases = message{"Darrick J. Wong, two use cases", "20210210000932.GH7190@magnolia"}
	reply    = message{"Gabriel Krisman Bertazi, the reply", "87tuqj1oyf.fsf@collabora.com"}
)

var claims = []claim{
	{"watch_queue submits fast and without allocation, where fanotify allocates", []message{proposal}, "overflow latency", submission},
	{"watch_queue's records are too short, and linking them is unsafe: an overrun can erase part of a chain", []message{proposal, reply}, "chain", chains},
	{"watch_queue needs an overflow mechanism out of band; fanotify has one in band", []message{proposal, reply}, "overflow chain", overflowSignal},
	{"fsnotify has the visibility semantics (file, mount, filesystem); watch_queue would need them from scratch", []message{proposal, reply, answer}, "scope", visibility},
	{"CAP_SYS_ADMIN can be dropped for a program that holds the file open", []message{proposal, useCases, reply}, "scope", unprivileged},
	{"one daemon, a whole filesystem, rich records: that is a simple filesystem-wide pipe", []message{reply}, "overflow latency loss", pipe},
	{"watch_queue's filters can be extended so that a flood of one kind does not push out another", []message{reply}, "filter", reserves},
	{"one format can carry several filesystem types: a magic number and a blob", []message{useCases, reply, answer}, "corruption", oneFormat},
	{"in a flood only the first error matters", nil, "overflow inodes", firstError},
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
	condition string // of onlyIf
	short     string // the numbers in a line; "" where there are none
	text      string // the numbers with what they stand for
	figure    string // name of the plot that shows it
	boots     int    // the fewest that are behind a number
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

// pair is one number for fanotify and one for watch_queue.
type pair struct {
	fan, wq     float64
	base        float64 // fanotify on the kernel base; 0 where that is fan, or was not measured
	wqArm, unit string
	where       place
}

// costs compares, at each place, what a report costs its context while the
// queue has room.
func (d *data) costs() (out []pair) {
	gs := filter(d.groups[overflow], func(g *group) bool { return slices.Contains(timed, g.mode) && g.p50(reportCost).N > 0 })
	arm := prototype(gs)
	for _, p := range places(gs) {
		here := at(gs, p)
		if f, w := roomy(yardstick(here, arm)), roomy(ofArm(here, arm)); f != nil && w != nil {
			c := pair{fan: f.p50(reportCost).Value, wq: w.p50(reportCost).Value, wqArm: arm, unit: f.mode.Unit(), where: f.place}
			if b := roomy(ofArm(here, mainFan+onKernel+"base")); b != nil && b != f {
				c.base = b.p50(reportCost).Value
			}
			out = append(out, c)
		}
	}
	return out
}

// ways compares the medians from the time an error was due until it was read.
func (d *data) ways() (pair, bool) {
	gs := timedAt(filter(d.groups[latency], func(g *group) bool { return g.p50(readTime).N > 0 }))
	arm := prototype(gs)
	f := yardstick(gs, arm)
	if len(f) == 0 {
		return pair{}, false
	}
	w := filter(ofArm(gs, arm), func(g *group) bool { return g.point == f[0].point })
	if len(w) == 0 {
		return pair{}, false
	}
	return pair{fan: f[0].p50(readTime).Value, wq: w[0].p50(readTime).Value, wqArm: arm, unit: f[0].mode.Unit(), where: f[0].place}, true
}

// worker says how much of the way by fserror's worker is the worker's: the same
// queue, on the same kernel, is posted to from it and from where the error
// happens.
func (d *data) worker() string {
	gs := timedAt(filter(d.groups[latency], func(g *group) bool { return g.p50(readTime).N > 0 }))
	late, direct := ofArm(gs, "wq-base-worker"), ofArm(gs, "wq-base")
	if len(late) == 0 || len(direct) == 0 || late[0].point != direct[0].point {
		return ""
	}
	fan := yardstick(gs, "wq-base")
	if len(fan) == 0 {
		return ""
	}
	p50 := func(gs []*group) float64 { return gs[0].p50(readTime).Value }
	s := fmt.Sprintf("fanotify is told by fserror's worker, which is not the channel's: on the kernel base %s takes %s and wq-base, posted directly, %s; "+
		"wq-base-worker, the same queue posted from that worker, takes %s.", mainFan, figures3(p50(fan)), figures3(p50(direct)), figures3(p50(late)))
	if direct[0].cpus == 1 {
		s += " On one CPU the worker also waits until the injecting thread sleeps."
	}
	return s
}

func (p pair) String() string {
	s := fmt.Sprintf("%s %s", mainFan, figures3(p.fan))
	if p.base > 0 {
		s += fmt.Sprintf(" (%s on base)", figures3(p.base))
	}
	return fmt.Sprintf("%s, %s %s", s, p.wqArm, figures3(p.wq))
}

// dearer says that the context that hit the error pays more for watch_queue
// than for fanotify on either kernel.
func (p pair) dearer() bool {
	least := p.fan
	if p.base > 0 {
		least = min(least, p.base)
	}
	return p.wq > least*(1+noise)
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
	var each, dear, cheap []string
	for _, c := range costs {
		each = append(each, fmt.Sprintf("%s: %v", c.where.fs, c))
		if c.dearer() {
			dear = append(dear, c.where.fs)
		} else {
			cheap = append(cheap, c.where.fs)
		}
	}
	f := finding{
		short:  fmt.Sprintf("report costs on %s; read after %v (%s)", strings.Join(each, "; on "), way, way.unit),
		figure: "latency-" + string(way.where.mode),
		text: fmt.Sprintf("The median report costs the context that hit the error, in %s, on %s. From the moment an error is due until it is read it takes %s with fan and %s with %s on %v. %s",
			way.unit, strings.Join(each, "; on "), figures3(way.fan), figures3(way.wq), way.wqArm, way.where, d.worker()),
	}
	switch {
	case way.wq >= way.fan:
		f.verdict = fails
	case len(dear) == 0:
		f.verdict = holds
	case len(cheap) > 0:
		f.verdict, f.condition = onlyIf, fmt.Sprintf("the filesystem is %s; on %s the context that hit the error pays more", strings.Join(cheap, ", "), strings.Join(dear, ", "))
	default:
		f.verdict, f.condition = onlyIf, "the whole way to the reader counts: the context that hit the error pays more"
	}
	return f
}

// chains judges by records that take several notes, where some were lost.
func chains(d *data) finding {
	gs := filter(d.groups["chain"], func(g *group) bool { return !g.lossless() && g.first().Params.Blob > maxNote })
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
	f := finding{short: strings.Join(parts, "; "), text: fmt.Sprintf("With records of up to %s bytes against a queue that overflows: %s.", count(uint64(most)), strings.Join(parts, "; "))}
	if len(kept) > 0 {
		f.text += fmt.Sprintf(" The price is room: of records of %s bytes a queue of %v, unread, keeps whole: %s.", count(uint64(most)), gs[0].queue, strings.Join(kept, ", "))
	}
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

// maxNote is the longest record that watch_queue takes in one note, in bytes.
const maxNote = 127

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
	f := finding{short: fmt.Sprintf("of %s errors of %d files, those of its own: %s", count(all[0].burst), own.Params.Targets, tally(got)),
		text: fmt.Sprintf("Of %s errors of %d files a reader that watches one of them was told of the %s of its own and of no other: %s. "+
			"Both roads watch a file and a whole filesystem here. For errors neither watches a mount, which FAN_FS_ERROR refuses, nor a subtree. How much code a scope takes is no measurement.",
			count(all[0].burst), own.Params.Targets, count(own.Account.Injected), tally(got))}
	if len(filter(got, func(g *group) bool { return watchQueue(g.arm) })) == 0 {
		f.verdict = holds
		return f
	}
	f.verdict, f.condition = onlyIf, "other events than errors count: for errors both watch a file and a filesystem, and neither a mount or a subtree"
	return f
}

func unprivileged(d *data) finding {
	all, got := scoped(d)
	if len(all) == 0 {
		return notMeasured(d)
	}
	f := finding{verdict: holds, short: "without privileges: " + tally(got),
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
	f := finding{verdict: holds, short: strings.Join(parts, "; "),
		text: fmt.Sprintf("After %s errors of another class that nobody reads, this many of those that matter came in detail: %s. "+
			"keep=class filters the others out before they are queued; keep=reserve keeps places of the queue for the class.", count(gs[0].first().Params.Noise), strings.Join(parts, "; "))}
	if !slices.ContainsFunc(with, (*group).lossless) {
		f.verdict = fails
	}
	return f
}

func overflowSignal(d *data) finding {
	lossy := filter(slices.Concat(d.groups[overflow], d.groups["chain"], d.groups[loss]), func(g *group) bool { return !g.lossless() && !baseline(g.arm) })
	mine := filter(lossy, func(g *group) bool { return watchQueue(g.arm) })
	if len(mine) == 0 {
		return notMeasured(d)
	}
	var parts, elsewhere, mute []string
	var silent uint64 // of watch_queue's
	for _, a := range armsOf(lossy) {
		t := tallyLoss(ofArm(lossy, a))
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
		short:   "each channel told of every loss in its own stream, none was silent",
		text: "Over all overflowing cells: " + strings.Join(parts, "; ") + ". Both channels say in the stream itself that something was lost. " +
			"A loss is silent if it came after the last such record was read.",
		figure: fateName(places(mine)[0], false),
	}
	if len(mute) > 0 {
		f.short = "lost silently: " + strings.Join(mute, ", ")
	}
	if len(elsewhere) > 0 {
		f.short += "; told elsewhere than where they are missing: " + strings.Join(elsewhere, ", ")
		f.text += " Told elsewhere: fanotify has one record for several bouts of drops, where the first was; the wq prototype tells of a loss at once, ahead of older records."
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
			t.exact = t.exact && c.Reader.LossExact
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
	if !slices.ContainsFunc(lat, func(g *group) bool { return !g.inDetail() }) {
		bursts := filled(ofArm(d.groups[overflow], arm), false)
		var most, least string // what fits, and what does not
		if len(bursts) > 0 {
			series := ofQueue(at(bursts, bursts[0].place), bursts[0].queue)
			most = upTo(series, (*group).lossless, func(g *group) string { return count(g.burst) })
			if i := slices.IndexFunc(series, func(g *group) bool { return !g.lossless() }); i >= 0 {
				least = count(series[i].burst)
			}
		}
		rates := timedAt(swept(ofArm(d.groups[loss], arm)))
		f := finding{verdict: holds, figure: "kept", text: fmt.Sprintf("One reader of %s watched whole filesystems. Of single errors at a pace, over %s, it was told of each one in detail, with the inode.",
			arm, plural(uint64(len(lat)), "cell", "cells"))}
		f.short = "every single error in detail"
		if most != "" && !strings.HasPrefix(most, "≥") {
			f.verdict, f.condition = onlyIf, fmt.Sprintf("bursts that nobody reads fit the ring: of those tried %s did, %s did not", most, least)
			f.short += fmt.Sprintf("; the longest burst that fits is between %s and %s", most, least)
			f.text += fmt.Sprintf(" Unread, its ring of %v took a burst of %s, and not one of %s.", bursts[0].queue, most, least)
		}
		if len(rates) > 0 {
			top := rateUpTo(rates, (*group).lossless)
			f.short += fmt.Sprintf("; up to %s/s read live", top)
			f.text += fmt.Sprintf(" Read live on %v it lost nothing up to %s errors per second of guest time.", rates[0].place, top)
		}
		return f
	}
	return finding{verdict: fails, short: "single errors at a pace were lost", text: fmt.Sprintf("%s lost errors that came one at a time.", arm), figure: "kept"}
}

func oneFormat(d *data) finding {
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
	f := finding{figure: "kept"}
	several := filter(gs, func(g *group) bool {
		p := g.first().Params
		return p.Targets > 1 && p.Scope == "inode" && g.share(coalesced) > 50
	})
	if len(several) > 0 {
		g := slices.MinFunc(several, order)
		files := g.first().Params.Targets
		f.short = fmt.Sprintf("of %s errors of %d files %s came in detail", count(g.burst), files, g.spread(detailed))
		f.text = fmt.Sprintf("fan was told of %s errors of %d different files on %v (%s). %s came in detail, %s only as part of a count: their files are not named.",
			count(g.burst), files, g.place, g.point, g.spread(detailed), g.spread(coalesced))
		f.verdict = fails
		return f
	}
	g := slices.MinFunc(gs, order)
	f.verdict = unknown
	f.short = fmt.Sprintf("of %s errors of one object fan kept %s in detail, %s by count; errors of several were not measured", count(g.burst), g.spread(detailed), g.spread(coalesced))
	f.text = fmt.Sprintf("Of a burst of %s errors on %v fan kept %s in detail: one record for each of fserror's workers that ran, with the first error of each. %s are known by count, which is exact as long as the group is not full.",
		count(g.burst), g.place, g.spread(detailed), g.spread(coalesced))
	return f
}

func either(d *data) finding {
	way, ok := d.ways()
	gs := filled(d.groups[overflow], false)
	arm := prototype(gs)
	if !ok || arm == "" {
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
		short:   fmt.Sprintf("burst of %s: fan %s in detail, %s %% lost; %s %s in detail, %s %% lost", count(f.burst), f.spread(detailed), percent(lost(f)), arm, w.spread(detailed), percent(lost(w))),
		text: fmt.Sprintf("Of a burst of %s errors that nobody reads fan keeps %s in detail and %s by count, and loses %s %%; %s keeps %s in detail and loses %s %%. "+
			"A single error is read after %s %s with fan and %s with %s.",
			count(f.burst), f.spread(detailed), f.spread(coalesced), percent(lost(f)), arm, w.spread(detailed), percent(lost(w)), figures3(way.fan), way.unit, figures3(way.wq), arm),
		figure: fateName(f.place, false),
	}
	alike := func(f *group) bool { return f.spread(detailed) == w.spread(detailed) && lost(f) == lost(w) }
	slower := differ(way.fan, way.wq)
	fine := filter(ofArm(gs, "fan-detail"), func(g *group) bool { return g.burst == f.burst && g.queue == queuesOf(ofArm(gs, "fan-detail"))[0] })
	if len(fine) > 0 {
		g := fine[0]
		out.short += fmt.Sprintf("; fan-detail %s in detail, %s %% lost", g.spread(detailed), percent(lost(g)))
		out.text += fmt.Sprintf(" fan-detail, which does not merge, keeps %s of that burst in detail and loses %s %%.", g.spread(detailed), percent(lost(g)))
	}
	switch {
	case alike(f) && !slower:
	case len(fine) > 0 && alike(fine[0]):
		out.verdict, out.condition = onlyIf, "both merge, or neither does: what is kept is the policy's doing, not the channel's"
		if slower {
			out.condition += "; the time to the reader still differs, by fserror's worker"
		}
	default:
		out.verdict = fails
	}
	return out
}

// noise is what two boots of one kernel may differ by in a mode whose times
// mean something: medians agreed within 0.5 % in the calibration of icount.
const noise = 0.01

func differ(a, b float64) bool { return a > b*(1+noise) || b > a*(1+noise) }

// findings judges all claims.
func findings(d *data) []finding {
	out := make([]finding, len(claims))
	for i, c := range claims {
		var gs []*group
		for _, s := range strings.Fields(c.run) {
			gs = append(gs, d.groups[s]...)
		}
		out[i] = c.judge(d)
		out[i].boots, _ = boots(gs)
	}
	return out
}

// answers is the first screen: each claim, its verdict and the numbers.
func (d *doc) answers() {
	d.para("## The claims of 2021, and what this run says")
	d.para("In January and February 2021 linux-fsdevel weighed fanotify against watch_queue for filesystem errors, by argument. Verdicts are computed from this run's data.")
	t := &table{heads: []string{"", "claim", "verdict", "measured", "warnings"}}
	for i, f := range d.findings {
		t.add(fmt.Sprintf("[%d](#claim-%d)", i+1, i+1), claims[i].says, "**"+f.says()+"**", cmp.Or(f.short, "–"), d.marks(i, f))
	}
	d.table(t)
}

// marks returns the footnote marks of the scenarios that a finding about a claim
// comes from.
func (d *data) marks(claim int, f finding) string {
	if f.verdict == unknown || f.verdict == noneHere {
		return ""
	}
	var gs []*group
	for _, scenario := range strings.Fields(claims[claim].run) {
		gs = append(gs, d.groups[scenario]...)
	}
	return d.mark(gs...)
}

// oneByOne gives each claim its source, its numbers, its plot and its command.
func (d *doc) oneByOne() {
	d.para("## Claim by claim")
	for i, f := range d.findings {
		c := claims[i]
		d.para("### Claim %d", i+1)
		d.para("> %s\n>\n> %s", c.says, sources(c.from))
		d.para("**%s.** %s", upperFirst(f.says()), f.text)
		d.embed(f.figure)
		if c.run != "" {
			d.para("Measured by `wqfan run %s`.", c.run)
		}
	}
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
