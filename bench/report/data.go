// SPDX-License-Identifier: MIT

package report

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wqfan/bench/result"
	"wqfan/bench/stat"
)

// The scenarios and the histograms that this package has tables and plots for.
const (
	overflow   = "overflow"
	latency    = "latency"
	loss       = "loss"
	corruption = "corruption"
	targets    = "targets"
	decode     = "decode"
	price      = "price"

	readTime   = result.IntendedToRead
	lateness   = "lateness"
	reportCost = "report-cost"
	reportRead = "report-to-read"

	unread = "unread" // the reader of a cell that starts when all is reported
	fixed  = "fixed"  // the schedule whose rate is asked for
)

// reached is the share of the errors asked for that an injector must have made
// in time for a point to count as that rate.
const reached = 0.95

// place is where a cell was measured. Times compare only within one mode.
type place struct {
	mode result.Mode
	fs   string
	cpus int
}

func (p place) String() string { return fmt.Sprintf("%s, %s", p.fs, cpuCount(p.cpus)) }

// slug names the place in a file name.
func (p place) slug() string { return fmt.Sprintf("%s-%dcpu-%s", slug(p.fs), p.cpus, p.mode) }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(modeRank(p.mode), modeRank(q.mode)), strings.Compare(p.fs, q.fs), cmp.Compare(p.cpus, q.cpus))
}

var modes = []result.Mode{result.KVM, result.Native, result.ICount, result.TCG}

func modeRank(m result.Mode) int { return slices.Index(modes, m) }

func cpuCount(n int) string {
	if n == 1 {
		return "1 CPU"
	}
	return fmt.Sprintf("%d CPUs", n)
}

func slug(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, s)
}

// queue is how much a channel was allowed to keep, and how much of that other
// events had taken before the errors came.
type queue struct{ size, filler uint64 }

// free is the number of records that still fit.
func (q queue) free() uint64 { return q.size - min(q.size, q.filler) }

// compare puts the queue that holds most first.
func (q queue) compare(r queue) int {
	return cmp.Or(cmp.Compare(r.free(), q.free()), cmp.Compare(r.size, q.size), cmp.Compare(r.filler, q.filler))
}

func (q queue) String() string {
	switch {
	case q.size == 0:
		return "default"
	case q.filler > 0:
		return fmt.Sprintf("%s of %s taken", count(q.filler), count(q.size))
	}
	return count(q.size)
}

// group is one cell over all boots that repeated it.
type group struct {
	place
	arm     string
	variant string
	point   string
	queue   queue
	burst   uint64
	cells   []result.Cell // at least one
}

// first stands for the group where repetitions cannot differ in meaning.
func (g *group) first() *result.Cell { return &g.cells[0] }

// median returns the median of f over the boots.
func (g *group) median(f func(*result.Cell) float64) stat.Median {
	var xs []float64
	for i := range g.cells {
		xs = append(xs, f(&g.cells[i]))
	}
	return stat.MedianOf(xs)
}

// share returns the median over the boots of what f takes of the injected errors, in per cent.
func (g *group) share(f func(*result.Cell) uint64) float64 {
	return g.median(func(c *result.Cell) float64 { return 100 * part(float64(f(c)), total(c)) }).Value
}

// rate is what the injector achieved, in errors per second of guest time.
func (g *group) rate() float64 {
	return g.median(func(c *result.Cell) float64 { return c.Flood.Rate }).Value
}

// asked is the rate that the injector was asked for, in errors per second of
// guest time; 0 where it was asked for as many as it can make.
func (g *group) asked() float64 {
	p := g.first().Params
	if p.Schedule != fixed || p.Interval <= 0 {
		return 0
	}
	return 1e9 / float64(p.Interval)
}

// late says that in some boot the injector made fewer errors than it was asked for,
// or made them later than its bound.
func (g *group) late() bool {
	return slices.ContainsFunc(g.cells, func(c result.Cell) bool { return c.Late() || c.Flood.Rate < reached*g.asked() })
}

// onTime returns the groups without the cells whose injector was late, and how
// many those were. A late injector may prove a loss, but not that there is none;
// where nobody reads meanwhile it makes no difference when the errors came.
func onTime(gs []*group) (out []*group, left []result.Cell) {
	for _, g := range gs {
		kept := *g
		kept.cells = nil
		for _, c := range g.cells {
			if c.Late() && c.Params.Reader != unread {
				left = append(left, c)
			} else {
				kept.cells = append(kept.cells, c)
			}
		}
		switch len(kept.cells) {
		case 0:
		case len(g.cells):
			out = append(out, g)
		default:
			out = append(out, &kept)
		}
	}
	return out, left
}

// spans returns the smallest and the largest of what of says of the groups.
func spans[T cmp.Ordered](gs []*group, of func(*group) T) (lo, hi T) {
	for i, g := range gs {
		v := of(g)
		if i == 0 {
			lo, hi = v, v
		}
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi
}

// boots returns the smallest and the largest number of boots of the groups.
func boots(gs []*group) (lo, hi int) {
	return spans(gs, func(g *group) int { return len(g.cells) })
}

// once says that the groups are one boot each, in a mode in which another boot
// would give other times.
func once(m result.Mode, gs []*group) bool {
	_, most := boots(gs)
	return m == result.TCG && most == 1
}

// guaranteed says that losses in the group count as signalled by the channel's
// guarantee: they were not held against the records around them.
func (g *group) guaranteed() bool {
	return slices.ContainsFunc(g.cells, func(c result.Cell) bool { return c.Account.Signalled > 0 && !c.Reader.Placed })
}

// p50 is the median over the boots of a histogram's medians.
func (g *group) p50(name string) stat.Median {
	var xs []float64
	for i := range g.cells {
		if h := find(&g.cells[i], name); h != nil {
			xs = append(xs, float64(h.P50))
		}
	}
	return stat.MedianOf(xs)
}

// lossless says that no boot lost an error.
func (g *group) lossless() bool {
	return !slices.ContainsFunc(g.cells, func(c result.Cell) bool { return c.Account.Signalled > 0 || c.Account.Silent > 0 })
}

// inDetail says that no boot lost an error or gave only its count.
func (g *group) inDetail() bool {
	return g.lossless() && !slices.ContainsFunc(g.cells, func(c result.Cell) bool { return c.Account.Coalesced > 0 })
}

// hist returns the histogram of that name of all boots together, or nil.
func (g *group) hist(name string) *result.Hist {
	var sum *result.Hist
	var all []*hdrhistogram.Histogram
	for i := range g.cells {
		h := find(&g.cells[i], name)
		switch {
		case h == nil:
			continue
		case sum == nil:
			cp := *h
			sum = &cp
		default:
			sum.N += h.N
			sum.Max = max(sum.Max, h.Max)
		}
		all = append(all, h.Data)
	}
	if len(all) > 1 {
		sum.Data = result.Sum(all...)
	}
	return sum
}

// find returns the histogram of a cell that has both values and raw data. What
// a report cost is known only where nobody reads: a reader that preempts the
// reporter is inside it, on the channel that wakes it there and on no other.
func find(c *result.Cell, name string) *result.Hist {
	if name == reportCost && c.Params.Reader != unread {
		return nil
	}
	if h := c.Hist(name); h != nil && h.Data != nil {
		return h
	}
	return nil
}

// total is the height of a cell's bar: the errors, or their fates where those
// are more. Both are floats because a damaged record may overflow the sum.
func total(c *result.Cell) float64 {
	var sum float64
	for _, f := range fates {
		sum += f.of(c)
	}
	return sum
}

func part(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// data is a run in the order in which it is shown.
type data struct {
	run    *result.Run
	boots  map[string]result.Boot
	groups map[string][]*group // by scenario
	failed []result.Cell
	broken []result.Cell // accounts that do not add up
	arms   []string
	notes  []footnote // warnings that tables refer to, numbered from 1
}

// footnote is warnings that differ in nothing but their numbers, or, where it has
// a head, what that is said of.
type footnote struct {
	head string
	all  []string
}

// number is a number in a warning.
var number = regexp.MustCompile(`[0-9][0-9,]*(\.[0-9]+)?`)

// String writes what the warnings have in common, and from where to where their
// numbers go.
func (f footnote) String() string {
	if f.head != "" {
		return f.head + ": " + strings.Join(f.all, "; ")
	}
	var lo, hi []string
	value := func(s string) float64 {
		v, _ := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
		return v
	}
	for _, w := range f.all {
		for i, n := range number.FindAllString(w, -1) {
			if i == len(lo) {
				lo, hi = append(lo, n), append(hi, n)
			}
			if value(n) < value(lo[i]) {
				lo[i] = n
			}
			if value(n) > value(hi[i]) {
				hi[i] = n
			}
		}
	}
	i := -1
	return number.ReplaceAllStringFunc(f.all[0], func(string) string {
		if i++; lo[i] != hi[i] {
			return lo[i] + " to " + hi[i]
		}
		return lo[i]
	})
}

// mark returns the footnote marks of the groups' warnings, for the cell of a
// table beside the numbers.
func (d *data) mark(gs ...*group) string {
	var warnings []string
	for _, g := range gs {
		if g != nil {
			warnings = append(warnings, d.warnings(g)...)
		}
	}
	return d.note(warnings...)
}

// warnings says what has to be known with every number of a group.
func (d *data) warnings(g *group) []string {
	var out []string
	add := func(w string) {
		if w = oneLine(w); w != "" && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	add(stat.Few(len(g.cells)))
	timed, drifting, late := 0, 0, 0
	coarse, stages := "", []string(nil)
	for i := range g.cells {
		c := &g.cells[i]
		for _, w := range c.Warnings {
			if strings.HasPrefix(w, result.Late) {
				late++ // by another time in each boot
				continue
			}
			add(w)
		}
		for _, h := range c.Hists {
			// How late the injector was is no number of the channel's, and what a
			// record costs to decode was taken of many.
			if h.Name == lateness || c.Scenario == decode || find(c, h.Name) == nil {
				continue
			}
			if w := stat.Coarse(d.boots[c.Boot].Clock, float64(h.P50)); w != "" {
				coarse, stages = w, append(stages, h.Name)
			}
			if h.Name == readTime {
				timed++
				if !stat.Settled(h) {
					drifting++
				}
			}
		}
	}
	if coarse != "" {
		slices.Sort(stages)
		add(coarse + ", much of " + strings.Join(slices.Compact(stages), ", "))
	}
	if late > 0 {
		add(fmt.Sprintf("%s at p99, beyond its bound, in %d of %d boots: the errors did not come when they were due", result.Late, late, len(g.cells)))
	}
	if drifting > 0 {
		add(fmt.Sprintf("latency without a steady state in %d of %d boots", drifting, timed))
	}
	return out
}

// note returns the footnote marks of warnings, in order.
func (d *data) note(warnings ...string) string {
	var marks []int
	for _, w := range warnings {
		kind := func(s string) string { return number.ReplaceAllString(s, "#") }
		marks = append(marks, d.footnote(func(f footnote) bool { return f.head == "" && kind(f.all[0]) == kind(w) }, footnote{all: []string{w}}))
	}
	return markAll(marks)
}

// footnote adds to the first footnote of a kind, or makes it, and returns its number.
func (d *data) footnote(like func(footnote) bool, f footnote) int {
	i := slices.IndexFunc(d.notes, like)
	if i < 0 {
		d.notes = append(d.notes, f)
		return len(d.notes)
	}
	for _, w := range f.all {
		if !slices.Contains(d.notes[i].all, w) {
			d.notes[i].all = append(d.notes[i].all, w)
		}
	}
	return i + 1
}

// markAll writes numbers of footnotes, in order.
func markAll(marks []int) string {
	slices.Sort(marks)
	var out []string
	for _, m := range slices.Compact(marks) {
		out = append(out, fmt.Sprintf("[%d]", m))
	}
	return strings.Join(out, " ")
}

func newData(run *result.Run) *data {
	d := &data{run: run, boots: map[string]result.Boot{}, groups: map[string][]*group{}}
	for _, b := range run.Boots {
		d.boots[b.ID] = b
	}
	type key struct {
		place
		scenario, variant, arm, point string
	}
	index := map[key]*group{}
	arms := map[string]bool{}
	variants := map[string]map[string]bool{} // by arm
	for _, c := range run.Cells {
		if variants[c.Arm] == nil {
			variants[c.Arm] = map[string]bool{}
		}
		variants[c.Arm][c.Variant] = true
	}
	for _, c := range run.Cells {
		switch {
		case c.Err != "":
			d.failed = append(d.failed, c)
			continue
		case c.Account.Unexplained() != 0:
			d.broken = append(d.broken, c)
		}
		arm := clean(c.Arm)
		if c.Variant != "patched" && len(variants[c.Arm]) > 1 {
			arm += onKernel + clean(c.Variant)
		}
		k := key{place{d.boots[c.Boot].Mode, clean(c.FS), c.CPUs}, c.Scenario, c.Variant, arm, clean(c.Point)}
		g := index[k]
		if g == nil {
			g = &group{place: k.place, arm: k.arm, variant: k.variant, point: k.point, queue: queue{c.Params.Queue, c.Params.Filler}, burst: c.Params.Errors}
			index[k] = g
			d.groups[c.Scenario] = append(d.groups[c.Scenario], g)
		}
		g.cells = append(g.cells, c)
		arms[k.arm] = true
	}
	for _, gs := range d.groups {
		slices.SortStableFunc(gs, func(a, b *group) int {
			return cmp.Or(a.place.compare(b.place), compareArms(a.arm, b.arm), a.queue.compare(b.queue), cmp.Compare(a.burst, b.burst))
		})
	}
	d.arms = slices.SortedFunc(maps.Keys(arms), compareArms)
	return d
}

// distinct returns what of says of the groups, each value once, in order.
func distinct[T comparable](gs []*group, of func(*group) T, order func(a, b T) int) []T {
	seen := map[T]bool{}
	for _, g := range gs {
		seen[of(g)] = true
	}
	return slices.SortedFunc(maps.Keys(seen), order)
}

func places(gs []*group) []place {
	return distinct(gs, func(g *group) place { return g.place }, place.compare)
}

func armsOf(gs []*group) []string {
	return distinct(gs, func(g *group) string { return g.arm }, compareArms)
}

// queuesOf returns the queues of the groups, the one that holds most first.
func queuesOf(gs []*group) []queue {
	return distinct(gs, func(g *group) queue { return g.queue }, queue.compare)
}

func burstsOf(gs []*group) []uint64 {
	return distinct(gs, func(g *group) uint64 { return g.burst }, cmp.Compare)
}

func filter(gs []*group, keep func(*group) bool) []*group {
	var out []*group
	for _, g := range gs {
		if keep(g) {
			out = append(out, g)
		}
	}
	return out
}

func inMode(gs []*group, m result.Mode) []*group {
	return filter(gs, func(g *group) bool { return g.mode == m })
}

func at(gs []*group, p place) []*group {
	return filter(gs, func(g *group) bool { return g.place == p })
}

func ofArm(gs []*group, arm string) []*group {
	return filter(gs, func(g *group) bool { return g.arm == arm })
}

// filled returns the groups whose queue other events had taken, in part or
// whole, or the others.
func filled(gs []*group, yes bool) []*group {
	return filter(gs, func(g *group) bool { return (g.queue.filler > 0) == yes })
}

// swept returns the groups of a rate that was asked for, by rate.
func swept(gs []*group) []*group {
	gs = filter(gs, func(g *group) bool { return g.asked() > 0 })
	slices.SortStableFunc(gs, func(a, b *group) int { return cmp.Compare(a.asked(), b.asked()) })
	return gs
}

// flatOut returns the groups in which the injector was asked for no rate.
func flatOut(gs []*group) []*group {
	return filter(gs, func(g *group) bool { return g.asked() == 0 })
}

func ofQueue(gs []*group, q queue) []*group {
	return filter(gs, func(g *group) bool { return g.queue == q })
}
